//! Rollouts that exclude each other, blue/green, and more arms than two.

use crate::world::{ask, keys, settled, steady, turn};
use reqwest::Method;
use serde_json::json;
use serinus_core::bucket::place;
use serinus_tests::lab::{CANARY, CONTROL, Lab, Settings};
use serinus_tests::load::{Arm, USER_HEADER};

#[tokio::test(flavor = "multi_thread")]
async fn rollouts_of_one_layer_share_out_the_users() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    // Both for the same requests: the first has 30% of the users, the second 50%.
    for (id, percent) in [("first", 30), ("second", 50)] {
        let mut spec = steady(id);
        spec["layer"] = json!({"name": "digits", "percent": percent});
        spec["steps"] = json!([{"weights": {CANARY: 50}}, {"weights": {CANARY: 100}}]);
        lab.judge.create(&spec).await.unwrap();
    }
    let mut third = steady("third");
    third["layer"] = json!({"name": "digits", "percent": 30});
    let refused = lab
        .judge
        .call(Method::POST, "/v1/rollouts", Some(&third.to_string()))
        .await
        .unwrap();
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(refused.body["field"], "layer.percent");
    settled(&lab).await.unwrap();
    let plan = lab
        .judge
        .call(Method::GET, "/v1/plan", None)
        .await
        .unwrap()
        .body;
    let layers: Vec<_> = plan["rollouts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rollout| rollout["layer"].clone())
        .collect();
    assert_eq!(
        layers,
        [
            json!({"salt": "layer/digits", "from": 0, "to": 3_000}),
            json!({"salt": "layer/digits", "from": 3_000, "to": 8_000}),
        ]
    );
    let in_canary = |key: &str, salt: &str| place(key.as_bytes(), salt).bucket >= 5_000;
    let mut by_part = [0, 0, 0];
    for key in keys(200) {
        let (part, canary) = match place(key.as_bytes(), "layer/digits").bucket {
            0..3_000 => (0, in_canary(&key, "first")),
            3_000..8_000 => (1, in_canary(&key, "second")),
            _ => (2, false),
        };
        by_part[part] += 1;
        let expected = if canary { Arm::Canary } else { Arm::Control };
        let found = ask(&lab, &[(USER_HEADER, &key)]).await.unwrap();
        assert_eq!(found, expected, "{key} is in part {part}");
    }
    assert!(by_part.iter().all(|&users| users > 10), "{by_part:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn blue_green_is_all_at_once_and_back() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let mut spec = steady("swap");
    spec["steps"] = json!([{"weights": {CANARY: 100}}]);
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    let users = keys(30);
    let all = async |arm: Arm| {
        for key in &users {
            assert_eq!(ask(&lab, &[(USER_HEADER, key)]).await.unwrap(), arm);
        }
        // The baseline is the arm that all have, so who has no user has it too.
        assert_eq!(ask(&lab, &[]).await.unwrap(), arm);
    };
    all(Arm::Canary).await;
    lab.judge
        .act("swap", "abort", "back to blue")
        .await
        .unwrap();
    settled(&lab).await.unwrap();
    all(Arm::Control).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn held_out_users_are_in_no_rollout() {
    let _turn = turn().await;
    let mut lab = Lab::start(&Settings {
        judge: false,
        ..Settings::default()
    })
    .await
    .unwrap();
    lab.judge.option("--holdout-percent", "40");
    lab.judge.start().await.unwrap();
    let mut spec = steady("all");
    spec["steps"] = json!([{"weights": {CANARY: 99}}]);
    spec["segments"] = json!([{"name": "vip", "when": [{"header": "x-vip"}], "arm": CANARY}]);
    spec["arms"] = json!([{"name": CONTROL}, {"name": CANARY}]);
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    let (mut held, mut tested) = (0, 0);
    for key in keys(100) {
        let is_held = place(key.as_bytes(), "serinus-holdout").bucket < 4_000;
        let vip = ask(&lab, &[(USER_HEADER, &key), ("x-vip", "1")])
            .await
            .unwrap();
        let plain = ask(&lab, &[(USER_HEADER, &key)]).await.unwrap();
        if is_held {
            held += 1;
            assert_eq!((plain, vip), (Arm::Control, Arm::Control), "{key}");
        } else {
            tested += 1;
            assert_eq!(vip, Arm::Canary, "{key}");
        }
    }
    assert!(held > 20 && tested > 20, "{held} {tested}");
}
