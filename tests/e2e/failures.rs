//! What counts as an error or as slow, and what happens when the judge is silent.

use crate::wire::options;
use crate::world::{LIMIT, arm_of, ask, canary_after, keys, settled, steady, turn};
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::judge::status::Phase;
use serinus_tests::lab::{CANARY, CONTROL, Lab, Settings};
use serinus_tests::load::{Arm, MODEL, USER_HEADER};
use serinus_tests::wait;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn what_an_error_is_says_the_spec() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let user = ("lenient", "strict");
    for (id, statuses) in [(user.0, json!(["5xx"])), (user.1, json!(["5xx", "400"]))] {
        let mut spec = steady(id);
        spec["match"]["when"] = json!([{"header": "x-rollout", "in": [id]}]);
        spec["errors"] = json!({"statuses": statuses});
        lab.judge.create(&spec).await.unwrap();
    }
    settled(&lab).await.unwrap();
    let url = format!("{}/v2/models/{MODEL}/infer", lab.envoy.address());
    for key in keys(20) {
        for id in [user.0, user.1] {
            let request = reqwest::Client::new()
                .post(&url)
                .header(USER_HEADER, &key)
                .header("x-rollout", id)
                .body("no JSON");
            assert_eq!(request.send().await.unwrap().status(), 400);
        }
    }
    for (id, expected) in [(user.0, 0), (user.1, 20)] {
        wait::until("the reports", LIMIT, async || {
            let status = lab.judge.status(id).await?;
            let sum = |of: fn(&serinus_tests::judge::status::Traffic) -> u64| -> u64 {
                [CONTROL, CANARY]
                    .map(|arm| of(&status.traffic_of(arm)))
                    .iter()
                    .sum()
            };
            let counted = (
                sum(|traffic| traffic.finished),
                sum(|traffic| traffic.errors),
            );
            Ok((counted == (20, expected)).then_some(()))
        })
        .await
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_judge_means_the_baseline_where_the_spec_says_so() {
    let _turn = turn().await;
    let mut lab = Lab::start(&Settings::default()).await.unwrap();
    for (id, then) in [("holds", "hold"), ("stale", "baseline")] {
        let mut spec = steady(id);
        spec["match"]["when"] = json!([{"header": "x-rollout", "in": [id]}]);
        spec["on_stale"] = json!({"then": then, "after_seconds": 15});
        lab.judge.create(&spec).await.unwrap();
    }
    settled(&lab).await.unwrap();
    let in_canary = |id: &str| {
        let keys = keys(100).into_iter();
        let allocation = canary_after(&[10]);
        let mut keys = keys.filter(|key| arm_of(&allocation, key, id) == Arm::Canary);
        keys.next().unwrap()
    };
    let of = async |lab: &Lab, id: &str| {
        let headers = [(USER_HEADER, &*in_canary(id)), ("x-rollout", id)];
        ask(lab, &headers).await.unwrap()
    };
    assert_eq!(of(&lab, "holds").await, Arm::Canary);
    assert_eq!(of(&lab, "stale").await, Arm::Canary);
    lab.judge.kill().await.unwrap();
    wait::until("the baseline", LIMIT, async || {
        Ok((of(&lab, "stale").await == Arm::Control).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(of(&lab, "holds").await, Arm::Canary);
    lab.judge.start().await.unwrap();
    settled(&lab).await.unwrap();
    assert_eq!(of(&lab, "stale").await, Arm::Canary);
    let fallbacks = wait::until("the reports", LIMIT, async || {
        let status = lab
            .judge
            .call(Method::GET, "/v1/rollouts/stale", None)
            .await?;
        let stale = status
            .body
            .pointer("/fallbacks/stale")
            .and_then(Value::as_u64);
        Ok(stale)
    });
    assert!(fallbacks.await.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_is_slow_long_before_it_times_out() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings {
        edits: options::NO_TIMEOUT.to_vec(),
        ..Settings::default()
    })
    .await
    .unwrap();
    let mut spec = steady("hung");
    spec["steps"] = json!([{"weights": {CANARY: 50}}]);
    spec["warm_up"] = json!({"seconds": 0, "requests": 20});
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    // Until control's latency is learned, which is when edges come.
    let keys = keys(1_000);
    let mut next = keys.iter();
    wait::until("latency edges", LIMIT, async || {
        for key in next.by_ref().take(40) {
            ask(&lab, &[(USER_HEADER, key)]).await?;
        }
        let plan = lab.judge.call(Method::GET, "/v1/plan", None).await?.body;
        let edges = plan.pointer("/rollouts/0/latency_edges_us");
        Ok(edges
            .and_then(Value::as_array)
            .and_then(|edges| edges.first().map(drop)))
    })
    .await
    .unwrap();
    settled(&lab).await.unwrap();
    let seen_before = lab.canary.counts().await.unwrap().requests;
    lab.canary
        .set_faults(&json!({"latency_ms": 300_000.0}))
        .await
        .unwrap();
    let allocation = canary_after(&[50]);
    let (canary, control): (Vec<_>, Vec<_>) = keys
        .iter()
        .take(80)
        .partition(|key| arm_of(&allocation, key, "hung") == Arm::Canary);
    let hanging = canary.len() as u64;
    let mut asked = JoinSet::new();
    for key in canary {
        let url = format!("{}/v2/models/{MODEL}/infer", lab.envoy.address());
        let request = reqwest::Client::new().post(url).header(USER_HEADER, key);
        let body = serinus_tests::load::request_body(&lab.images[0]);
        asked.spawn(async move { request.body(body).send().await });
    }
    wait::until("canary to have all of them", LIMIT, async || {
        let seen = lab.canary.counts().await?.requests - seen_before;
        Ok((seen == hanging).then_some(()))
    })
    .await
    .unwrap();
    // One by one: all at once they would be slow too.
    for key in control {
        ask(&lab, &[(USER_HEADER, key)]).await.unwrap();
    }
    let status = wait::until("the rollback", LIMIT, async || {
        let status = lab.judge.status("hung").await?;
        Ok((status.phase == Phase::RolledBack).then_some(status))
    })
    .await
    .unwrap();
    assert_eq!(status.traffic_of(CANARY).errors, 0, "none of them ends");
    let decisions = lab.judge.decisions("hung").await.unwrap();
    let reasons = &decisions.last().unwrap().reasons;
    assert!(
        reasons.iter().any(|reason| reason.contains("slow")),
        "{reasons:?}"
    );
    assert!(asked.try_join_next().is_none(), "all of them hang");
}
