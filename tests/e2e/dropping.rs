//! A/B/n: the arm that does harm is dropped, and the others go on.

use crate::world::{LIMIT, ask, keys, settled, steady, turn};
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::judge::status::Phase;
use serinus_tests::lab::{CANARY, CONTROL, Lab, Settings};
use serinus_tests::load::{Arm, USER_HEADER};
use serinus_tests::wait;

/// It has no route, so the default one serves it.
const THIRD: &str = "third";

/// The plan's ranges of an arm.
async fn ranges_of(lab: &Lab, arm: &str) -> Vec<Value> {
    let plan = lab.judge.call(Method::GET, "/v1/plan", None).await.unwrap();
    let allocation = plan.body.pointer("/rollouts/0/allocation");
    let ranges = allocation.and_then(Value::as_array).unwrap().iter();
    ranges
        .filter(|range| range["arm"] == arm)
        .cloned()
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_harmful_arm_is_dropped_and_the_other_keeps_its_users() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let mut spec = steady("several");
    spec["arms"] = json!([{"name": CONTROL}, {"name": CANARY}, {"name": THIRD}]);
    spec["steps"] = json!([{"weights": {CANARY: 30, THIRD: 30}}]);
    spec["same_cluster"] = json!(true);
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    let users = keys(60);
    let mut of_canary = Vec::new();
    for key in &users {
        if ask(&lab, &[(USER_HEADER, key)]).await.unwrap() == Arm::Canary {
            of_canary.push(key);
        }
    }
    assert!((5..40).contains(&of_canary.len()), "{}", of_canary.len());
    let before = ranges_of(&lab, THIRD).await;

    lab.canary
        .set_faults(&json!({"error_rate": 0.6}))
        .await
        .unwrap();
    let load = lab.load(300, 3_000).unwrap();
    let status = wait::until("the harmful arm to be dropped", LIMIT, async || {
        let status = lab.judge.status("several").await?;
        Ok(status.arms[1].dropped_ms.is_some().then_some(status))
    })
    .await
    .unwrap();
    load.stop();
    assert_eq!(status.phase, Phase::Running);
    assert_eq!(status.arms[1].weight, 0.0);
    assert_eq!(
        (status.arms[2].weight, status.arms[2].dropped_ms),
        (30.0, None)
    );
    settled(&lab).await.unwrap();
    assert_eq!(ranges_of(&lab, THIRD).await, before, "nobody of it moved");
    assert_eq!(ranges_of(&lab, CANARY).await, Vec::<Value>::new());
    for key in of_canary {
        assert_eq!(
            ask(&lab, &[(USER_HEADER, key)]).await.unwrap(),
            Arm::Control
        );
    }

    let decisions = lab.judge.decisions("several").await.unwrap();
    let last = decisions.last().unwrap();
    assert_eq!((last.action.as_str(), last.by.as_str()), ("drop", "judge"));
    assert_eq!(
        last.reasons.last().unwrap(),
        "control gets the users of canary; third goes on"
    );
    lab.judge.replay("several", last.sequence).await.unwrap();

    // What no person can drop, and the last one, with which it is over.
    let drop = async |arm: &str| {
        let path = format!("/v1/rollouts/several/arms/{arm}/drop");
        lab.judge.call(Method::POST, &path, None).await.unwrap()
    };
    for (arm, status) in [("nobody", 404), (CONTROL, 409), (CANARY, 409)] {
        assert_eq!(drop(arm).await.status, status, "{arm}");
    }
    let dropped = drop(THIRD).await;
    assert_eq!(
        (dropped.status, &dropped.body["phase"]),
        (200, &json!("rolled_back"))
    );
    let path = "/v1/rollouts/several/decisions";
    let decisions = lab.judge.call(Method::GET, path, None).await.unwrap();
    let last = decisions.body.as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["action"], &last["drops"]),
        (&json!("drop"), &json!([THIRD]))
    );
}
