//! Outcomes of requests: which version answered, and what, is remembered on disk.

use super::outcomes::tell;
use super::{answers, judge, with_models};
use crate::world::{LIMIT, alone, ask, settled, steady, turn};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::judge::Judge;
use serinus_tests::lab::{CANARY, CONTROL, Lab, Settings};
use serinus_tests::load::USER_HEADER;
use serinus_tests::wait;

/// Outcomes of requests, with true labels alone.
fn of_requests(rollout: &str, ids: &[&str], label: i64) -> String {
    let lines = ids
        .iter()
        .map(|id| json!({"rollout": rollout, "request_id": id, "label": label}).to_string());
    lines.collect::<Vec<_>>().join("\n")
}

/// Tells it until all requests and what was answered to them are known.
async fn told(judge: &Judge, body: &str) -> Value {
    wait::until("the requests to be known", LIMIT, async || {
        let received = tell(judge, body).await;
        let unknown = [
            &received["unknown_request"],
            &received["without_prediction"],
        ];
        Ok((unknown == [0, 0]).then_some(received))
    })
    .await
    .unwrap()
}

/// Waits until so many answers of an arm were compared with its model.
async fn compared(judge: &Judge, rollout: &str, arm: &str, count: u64) {
    wait::until("the samples to be compared", LIMIT, async || {
        let found = answers(judge, rollout).await;
        Ok((found["samples"][arm]["compared"] == count).then_some(()))
    })
    .await
    .unwrap();
}

async fn epoch(judge: &Judge) -> Value {
    let plan = judge.call(Method::GET, "/v1/plan", None).await.unwrap();
    plan.body["rollouts"][0]["epoch"].clone()
}

/// Requests by id that `arm` answered with the label 3.
async fn sampled(judge: &Judge, rollout: &str, arm: &str, ids: &[&str]) {
    let epoch = epoch(judge).await;
    let request = STANDARD.encode(json!({"pixels": vec![1; 64]}).to_string());
    let response = STANDARD.encode(r#"{"digit": 3}"#);
    let samples = ids.iter().zip(1u64..).map(|(id, unit)| {
        json!({
            "rollout": rollout, "epoch": epoch, "arm": arm, "unit": unit,
            "request": request, "response": response,
            "request_headers": [["x-request-id", id]],
        })
    });
    let samples: Vec<Value> = samples.collect();
    let batch = json!({"version": 1, "session": "0a".repeat(16), "samples": samples});
    let body = batch.to_string();
    let reply = judge.call(Method::POST, "/v1/samples", Some(&body)).await;
    assert_eq!(reply.unwrap().body["taken"], ids.len());
}

fn plain(id: &str) -> Value {
    let mut spec = with_models(alone(id));
    let pixels: Vec<String> = (0..64).map(|pixel| format!("/pixels/{pixel}")).collect();
    spec["protocol"] = json!({"json": {"inputs": pixels, "label": "/digit"}});
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_names_its_request_and_the_judge_knows_the_rest() {
    let mut judge = judge().await;
    judge.create(&plain("asked")).await.unwrap();
    sampled(&judge, "asked", CANARY, &["r-1", "r-2", "r-3"]).await;
    // With the last of them all are known.
    let right = told(&judge, &of_requests("asked", &["r-3"], 3)).await;
    assert_eq!(right["counted"], 1, "{right}");
    // The disk knows them, and not only this process.
    judge.kill().await.unwrap();
    judge.start().await.unwrap();
    let wrong = tell(&judge, &of_requests("asked", &["r-2", "nobody's"], 4)).await;
    assert_eq!(
        (&wrong["counted"], &wrong["unknown_request"]),
        (&json!(1), &json!(1)),
        "{wrong}"
    );
    let again = tell(&judge, &of_requests("asked", &["r-2"], 4)).await;
    assert_eq!(again["repeated"], 1, "its user has an outcome: {again}");
    let found = answers(&judge, "asked").await;
    let served = found["served"].as_array().unwrap().iter();
    let outcomes = served
        .map(|arm| (arm["arm"].as_str().unwrap(), &arm["outcomes"]))
        .find(|(arm, _)| *arm == CANARY)
        .unwrap()
        .1;
    assert_eq!(
        (&outcomes["users"], &outcomes["bad"]),
        (&json!(2), &json!(1))
    );
    // Whoever ends the sampling wants nothing to be known of it.
    let stop = Some(r#"{"reason": "a complaint"}"#);
    let path = "/v1/rollouts/asked/sampling/stop";
    judge.call(Method::POST, path, stop).await.unwrap();
    let gone = tell(&judge, &of_requests("asked", &["r-1"], 3)).await;
    assert_eq!(gone["unknown_request"], 1, "{gone}");
    let both = r#"{"rollout": "asked", "request_id": "r-1", "unit": "ada", "right": true}"#;
    let refused = tell(&judge, both).await;
    assert_eq!(refused["problems"][0]["field"], "request_id", "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_remembered_where_nothing_may_be() {
    let judge = judge().await;
    let mut spec = plain("forgets");
    spec["remember"] = json!({"seconds": 0});
    judge.create(&spec).await.unwrap();
    sampled(&judge, "forgets", CONTROL, &["r-1"]).await;
    compared(&judge, "forgets", CONTROL, 1).await;
    let gone = tell(&judge, &of_requests("forgets", &["r-1"], 3)).await;
    assert_eq!(gone["unknown_request"], 1, "{gone}");
    let mut wrong = plain("wrong");
    wrong["remember"] = json!({"request_header": "X Request"});
    let refused = judge.create(&wrong).await.unwrap_err().to_string();
    assert!(refused.contains("remember.request_header"), "{refused}");
}

/// Nobody can say which version such a request had, but whoever saw it.
#[tokio::test(flavor = "multi_thread")]
async fn requests_whose_versions_were_drawn_have_outcomes_too() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let mut spec = with_models(steady("drawn"));
    spec["unit"] = json!(["each_request"]);
    // Envoy's own ids are for servers behind it, and clients do not see them.
    spec["remember"] = json!({"request_header": "x-order-id"});
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    let ids: Vec<String> = (0..40).map(|number| format!("request-{number}")).collect();
    for id in &ids {
        let headers = [(USER_HEADER, "ada"), ("x-order-id", id.as_str())];
        ask(&lab, &headers).await.unwrap();
    }
    let line = |id: &String| json!({"rollout": "drawn", "request_id": id, "right": true});
    let lines: Vec<String> = ids.iter().map(|id| line(id).to_string()).collect();
    let body = lines.join("\n");
    let mut counted = 0;
    wait::until("all requests to be known", LIMIT, async || {
        let received = tell(&lab.judge, &body).await;
        counted += received["counted"].as_u64().unwrap();
        Ok((received["unknown_request"] == 0).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(counted, 40, "each counts once, however often it is told");
    let again = tell(&lab.judge, &body).await;
    assert_eq!(again["repeated"], 40, "{again}");
    // What it was worth is told by itself, and once.
    let worth = json!({"rollout": "drawn", "request_id": ids[0], "value": 2.5}).to_string();
    for field in ["counted", "repeated"] {
        let received = tell(&lab.judge, &worth).await;
        assert_eq!(received[field], 1, "{received}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_known_where_no_model_says_what_was_answered() {
    let judge = judge().await;
    let mut spec = plain("half");
    spec["arms"][0]["model"] = Value::Null;
    judge.create(&spec).await.unwrap();
    let batch = json!({"version": 1, "session": "0a".repeat(16), "samples": [{
        "rollout": "half", "epoch": epoch(&judge).await, "arm": CONTROL, "unit": 1,
        "request": "", "response": "", "request_headers": [["x-request-id", "r-1"]],
    }, {
        "rollout": "half", "epoch": 1_000_000, "arm": CONTROL, "unit": 2,
        "request": "", "response": "", "request_headers": [["x-request-id", "another's"]],
    }]});
    let body = batch.to_string();
    let sent = judge.call(Method::POST, "/v1/samples", Some(&body)).await;
    let sent = sent.unwrap().body;
    assert_eq!(
        (&sent["without_model"], &sent["unwanted"]),
        (&json!(1), &json!(1))
    );
    let label = tell(&judge, &of_requests("half", &["r-1"], 3)).await;
    assert_eq!(label["without_prediction"], 1, "{label}");
    let right = |id: &str| json!({"rollout": "half", "request_id": id, "right": true}).to_string();
    let received = tell(&judge, &right("r-1")).await;
    assert_eq!(received["counted"], 1, "{received}");
    // Of an epoch that this rollout never had: it is of another one of its name.
    let received = tell(&judge, &right("another's")).await;
    assert_eq!(received["unknown_request"], 1, "{received}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_is_private_is_not_remembered() {
    let judge = judge().await;
    let mut spec = plain("hushed");
    spec["privacy"] = json!({"redact": ["/digit"]});
    judge.create(&spec).await.unwrap();
    sampled(&judge, "hushed", CANARY, &["r-1"]).await;
    compared(&judge, "hushed", CANARY, 1).await;
    let label = tell(&judge, &of_requests("hushed", &["r-1"], 3)).await;
    assert_eq!(label["without_prediction"], 1, "{label}");
}
