//! Key splits: gold cards here, platinum there, the rest by weights.

use crate::world::{LIMIT, arm_of, ask, canary_after, keys, settled, steady, turn};
use serde_json::{Value, json};
use serinus_tests::lab::{CANARY, CONTROL, Lab, Settings};
use serinus_tests::load::{Arm, USER_HEADER};
use serinus_tests::wait;

#[tokio::test(flavor = "multi_thread")]
async fn gold_cards_here_platinum_there_and_the_rest_by_weights() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let mut spec = steady("cards");
    spec["segments"] = json!([
        {"name": "gold", "when": [{"header": "x-card", "in": ["gold"]}], "arm": CONTROL},
        {"name": "platinum", "when": [{"header": "x-card", "in": ["platinum"]}], "arm": CANARY},
        {"name": "silver", "when": [{"header": "x-card", "in": ["silver"]}],
         "weights": {CANARY: 50}},
    ]);
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    let (rest, silver) = (canary_after(&[10]), canary_after(&[50]));
    let users = keys(40);
    for key in &users {
        for (card, arm) in [
            ("gold", Arm::Control),
            ("platinum", Arm::Canary),
            ("silver", arm_of(&silver, key, "cards")),
            ("none", arm_of(&rest, key, "cards")),
        ] {
            let headers = [(USER_HEADER, key.as_str()), ("x-card", card)];
            assert_eq!(ask(&lab, &headers).await.unwrap(), arm, "{key} {card}");
        }
    }
    // What was placed by weights is in the books by segment; rules are no test.
    let n = users.len() as u64;
    wait::until("the reports", LIMIT, async || {
        let status = lab
            .judge
            .call(reqwest::Method::GET, "/v1/rollouts/cards", None);
        let body = status.await?.body;
        let of = |pointer: &str| body.pointer(pointer).and_then(Value::as_u64);
        let exposures = |path: &str| {
            let arm = |index| of(&format!("{path}/traffic/{index}/exposures"));
            Some(arm(0)? + arm(1)?)
        };
        let counted = (
            of("/segments/0/by_rule"),
            of("/segments/1/by_rule"),
            exposures("/segments/2"),
            exposures(""),
        );
        Ok((counted == (Some(n), Some(n), Some(n), Some(2 * n))).then_some(()))
    })
    .await
    .unwrap();
    lab.judge.act("cards", "abort", "enough").await.unwrap();
    settled(&lab).await.unwrap();
    for card in ["platinum", "silver", "none"] {
        let headers = [(USER_HEADER, users[0].as_str()), ("x-card", card)];
        assert_eq!(ask(&lab, &headers).await.unwrap(), Arm::Control, "{card}");
    }
}
