//! What is asked before anybody has the new version: the models' files, and the other arm's
//! server.

use super::{answers, ask_until, with_models};
use crate::world::{LIMIT, ask, keys, settled, steady, turn};
use reqwest::Method;
use serde_json::json;
use serinus_tests::judge::status::Phase;
use serinus_tests::lab::{CANARY, CONTROL, Lab, Settings};
use serinus_tests::load::USER_HEADER;
use serinus_tests::wait;

#[tokio::test(flavor = "multi_thread")]
async fn models_are_compared_before_anybody_has_the_new_version() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let mut spec = with_models(steady("look"));
    spec["steps"] = json!([
        {"look_first": true}, {"weights": {CANARY: 50}}, {"weights": {CANARY: 100}},
    ]);
    // The two models of the digits give one picture in some twenty another label.
    spec["guardrails"] = json!({"difference": {"margin": 0.3}});
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    ask_until(&lab, "look", Phase::Paused).await;
    let decisions = lab.judge.decisions("look").await.unwrap();
    let why = decisions.last().unwrap().reasons.join(" ");
    assert!(why.contains("a person is to look first"), "{why}");
    assert!(why.contains("answer differently for under 30%"), "{why}");
    let found = answers(&lab.judge, "look").await;
    let models = &found["models"][CANARY];
    assert!(models["inputs"].as_u64().unwrap() >= 50, "{models}");
    let confused: u64 = models["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| pair["count"].as_u64().unwrap())
        .sum();
    assert_eq!(Some(confused), models["inputs"].as_u64());
    let whole = &found["served"][0];
    assert_eq!(whole["arm"], CONTROL);
    assert!(!whole["labels"].as_array().unwrap().is_empty(), "{whole}");
    let nobody = lab.judge.status("look").await.unwrap();
    let canary = nobody.traffic.iter().find(|arm| arm.arm == CANARY).unwrap();
    assert_eq!(canary.exposures, 0);
    lab.judge.act("look", "approve", "looked").await.unwrap();
    assert_eq!(lab.judge.status("look").await.unwrap().step, 1);
    let twice = lab.judge.act("look", "approve", "again").await.unwrap_err();
    let twice = twice.to_string();
    assert!(twice.contains("does not ask for an approval"), "{twice}");
    assert_eq!(lab.judge.status("look").await.unwrap().step, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_server_shows_in_pairs_before_anybody_has_it() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let faults = json!({"fault": "wrong-preprocessing"});
    lab.canary.set_faults(&faults).await.unwrap();
    let mut spec = with_models(steady("pairs"));
    spec["steps"] = json!([{}, {"weights": {CANARY: 50}}, {"weights": {CANARY: 100}}]);
    spec["minimum"] = json!({"seconds": 86_000, "exposures": 500});
    let address = |port: u16| format!("http://127.0.0.1:{port}");
    spec["pairing"] = json!({
        "endpoints": {
            CONTROL: address(lab.control.port().unwrap()),
            CANARY: address(lab.canary.port().unwrap()),
        },
        "methods": ["POST"],
        "per_second": 200,
    });
    spec["guardrails"] = json!({"pairs": {}});
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    let status = ask_until(&lab, "pairs", Phase::RolledBack).await;
    let decisions = lab.judge.decisions("pairs").await.unwrap();
    let why = decisions.last().unwrap().reasons.join(" ");
    assert!(why.contains("only canary's was not its model's"), "{why}");
    let canary = status.traffic.iter().find(|arm| arm.arm == CANARY).unwrap();
    assert_eq!(canary.exposures, 0, "no user had it");
    let examples = lab
        .judge
        .call(Method::GET, "/v1/rollouts/pairs/examples", None);
    let examples = examples.await.unwrap().body;
    let pair = examples.as_array().unwrap().iter();
    let pair = pair
        .filter(|example| example["other"].is_object())
        .collect::<Vec<_>>();
    assert!(!pair.is_empty(), "{examples}");
    for one in pair {
        assert_eq!(
            (&one["arm"], &one["other"]["arm"]),
            (&json!(CANARY), &json!(CONTROL))
        );
        assert_ne!(one["served_label"], one["expected_label"], "{one}");
        assert!(one["other"]["label"].is_i64(), "{one}");
    }
    let found = answers(&lab.judge, "pairs").await;
    assert!(
        found["samples"][CONTROL]["paired"].as_u64().unwrap() > 5,
        "{found}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_asked_twice_only_if_a_spec_says_so() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let mut spec = with_models(steady("once"));
    let address = |port: u16| format!("http://127.0.0.1:{port}");
    spec["minimum"] = json!({"seconds": 86_000, "exposures": 500});
    spec["pairing"] = json!({
        "endpoints": {
            CONTROL: address(lab.control.port().unwrap()),
            CANARY: address(lab.canary.port().unwrap()),
        },
    });
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    let found = wait::until("samples without pairs", LIMIT, async || {
        for key in keys(20) {
            ask(&lab, &[(USER_HEADER, &key)]).await?;
        }
        let found = answers(&lab.judge, "once").await;
        let samples = &found["samples"][CONTROL];
        let refused = samples["not_paired"]["method_not_allowed"].as_u64();
        Ok(refused.is_some().then(|| samples.clone()))
    })
    .await
    .unwrap();
    assert_eq!(found["paired"], 0, "{found}");
}
