//! The API under nonsense: a problem that names the field, and what was serving
//! goes on serving.

use crate::world::{ask, keys, settled, steady, turn};
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::judge::Reply;
use serinus_tests::lab::{CANARY, CONTROL, Lab, Settings};
use serinus_tests::load::{Arm, USER_HEADER};

const ROLLOUTS: &str = "/v1/rollouts";

async fn post(lab: &Lab, path: &str, body: &str) -> Reply {
    lab.judge
        .call(Method::POST, path, Some(body))
        .await
        .unwrap()
}

/// A 4xx as an RFC 9457 problem whose detail has these words.
fn refused(reply: &Reply, status: u16, words: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(reply.content_type, "application/problem+json", "{reply:?}");
    assert_eq!(reply.body["status"], status);
    let detail = reply.body["detail"].as_str().unwrap();
    assert!(detail.contains(words), "`{words}` is not in: {detail}");
}

/// `steady` with one field replaced, by pointer.
fn with(pointer: &str, value: Value) -> String {
    let mut spec = steady("other");
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match spec.pointer_mut(parent).unwrap() {
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        object => object[key] = value,
    }
    spec.to_string()
}

async fn arms(lab: &Lab) -> Vec<Arm> {
    let mut arms = Vec::new();
    for key in keys(60) {
        arms.push(ask(lab, &[(USER_HEADER, &key)]).await.unwrap());
    }
    arms
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_by_name_and_disturbs_nothing() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    lab.judge.create(&steady("first")).await.unwrap();
    settled(&lab).await.unwrap();
    let before = arms(&lab).await;
    assert!(before.contains(&Arm::Canary));

    specs(&lab).await;
    reports(&lab).await;
    samples(&lab).await;
    deeds_and_paths(&lab).await;

    let counters = lab
        .judge
        .call(Method::GET, "/v1/counters", None)
        .await
        .unwrap();
    assert!(
        counters.body["requests_malformed"].as_u64().unwrap() >= 6,
        "{counters:?}"
    );
    assert!(
        counters.body["reports_refused"].as_u64().unwrap() >= 3,
        "{counters:?}"
    );
    let known = lab.judge.call(Method::GET, ROLLOUTS, None).await.unwrap();
    assert_eq!(
        known.body.as_array().unwrap().len(),
        1,
        "nothing was created"
    );
    assert_eq!(arms(&lab).await, before);
}

async fn specs(lab: &Lab) {
    let overlap = json!([{"weights": {CANARY: 60, "third": 50}}]);
    let mut three: Value = serde_json::from_str(&with("/steps", overlap)).unwrap();
    three["arms"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "third"}));
    for (body, words) in [
        (with("/colour", json!("red")), "colour: unknown field"),
        (
            with("/steeps", json!([])),
            "steeps: unknown field; did you mean `steps`?",
        ),
        (
            with("/alpha", json!({"rollbak": "x", "promotion": "y"})),
            "alpha.promotion: is a text; a number is right; alpha.rollbak: unknown field; did you mean `rollback`?",
        ),
        (
            with("/minimum", json!({"exposures": 1e300})),
            "minimum.exposures: is 1e+300; a whole number from 0 to",
        ),
        (
            with("/arms/1/weight", json!(10)),
            "arms[1].weight: unknown field",
        ),
        (
            with("/arms", json!([{"name": CONTROL}])),
            "arms: are fewer than 2",
        ),
        (with("/arms/1/name", json!(CONTROL)), "arms[1].name"),
        (with("/arms/1/name", json!("a\r\nb")), "arms[1].name"),
        (
            with("/baseline", json!("nobody")),
            "baseline: unknown arm `nobody`",
        ),
        (
            with("/steps", json!([{"weights": {"nobody": 10}}])),
            "steps[0].weights.nobody: unknown arm `nobody`; the arms are control, canary",
        ),
        (
            with("/steps", json!([{"weights": {CANARY: 101}}])),
            "steps[0].weights.canary",
        ),
        (
            three.to_string(),
            "steps[0].weights: the weights add up to 110%",
        ),
        (with("/unit", json!([])), "unit"),
        (
            with("/unit", json!([{"header": "not a header"}])),
            "unit[0]",
        ),
        (with("/unit", json!([{"cookies": "x"}])), "unit[0]"),
        (
            with("/match/path_prefix", json!("no-slash")),
            "match.path_prefix",
        ),
        (
            with("/match/host", json!("models.example:8443")),
            "match.host",
        ),
        (
            with("/arms/1/model", json!("missing.json")),
            "arms[1].model",
        ),
        (
            with("/arms/1/model", json!("../../etc/passwd")),
            "arms[1].model",
        ),
        (with("/arms/1/model", json!("digits.csv")), "arms[1].model"),
        (with("/alpha", json!({"rollback": 2})), "alpha.rollback"),
        // What cannot be decided, with the number that shows why.
        (
            with("/alpha", json!({"rollback": 0})),
            "alpha.rollback: is 0",
        ),
        (
            with("/guardrails", json!({"errors": {"margin_ratio": 1}})),
            "guardrails.errors.margin_ratio: is 1; 1.01 to 100 is right",
        ),
        (
            with("/steps", json!([{"weights": {CANARY: 0}}])),
            "steps[0].weights: give no arm any users",
        ),
        (
            with("/expected", json!({"requests_per_minute": 4})),
            "deadline.seconds: is too short: at 4 requests a minute and 1% errors, step 1 needs about",
        ),
        (
            with("/minimum", json!({"seconds": 300_000})),
            "deadline.seconds: is 259200, but a step lasts at least minimum.seconds = 300000",
        ),
        (
            with("/unit", json!(["each_request", {"header": "x-user-id"}])),
            "unit[0]: is each_request beside another source",
        ),
        (with("/minimum", json!({"seconds": -1})), "minimum.seconds"),
        (
            with("/minimum", json!({"seconds": "NaN"})),
            "minimum.seconds",
        ),
        (with("/id", json!("../x")), "id"),
        ("[]".to_owned(), "an object is right"),
        ("{".to_owned(), "EOF"),
        (String::new(), ""),
        ("[".repeat(100_000), "no JSON document"),
        (
            format!("{{\"id\":{}", "[".repeat(100_000)),
            "no JSON document",
        ),
    ] {
        refused(&post(lab, ROLLOUTS, &body).await, 400, words);
    }
    refused(
        &post(lab, ROLLOUTS, &steady("first").to_string()).await,
        409,
        "already",
    );
    let huge = "x".repeat(1024 * 1024);
    refused(&post(lab, ROLLOUTS, &huge).await, 413, "over");
}

async fn reports(lab: &Lab) {
    let report = |rollouts: Value| {
        json!({"version": 1, "session": "5e".repeat(16), "sequence": 1, "revision": null,
            "rollouts": rollouts})
        .to_string()
    };
    let part = |rollout: &str, epoch: u64, arm: &str| {
        report(json!([{"rollout": rollout, "epoch": epoch,
            "arms": [{"arm": arm, "slots": [[0, 1, 1, 0, 5, []]]}]}]))
    };
    let plan = lab.judge.call(Method::GET, "/v1/plan", None).await.unwrap();
    let rollouts = plan.body["rollouts"].as_array().unwrap();
    let first = rollouts.iter().find(|rollout| rollout["id"] == "first");
    let epoch = first.unwrap()["epoch"].as_u64().unwrap();
    for (body, status, words) in [
        ("{}".to_owned(), 400, "version"),
        ("nonsense".to_owned(), 400, "no JSON document"),
        (report(json!(7)), 400, "rollouts"),
        (
            report(json!([{"rollout": "first", "epoch": 1,
                "arms": [{"arm": CANARY, "slots": [[256, 1, 1, 0, 5, []]]}]}])),
            400,
            "rollouts[0].arms[0].slots[0]",
        ),
        (
            report(json!([{"rollout": "first", "epoch": 1,
                "arms": [{"arm": CANARY, "slots": [[0, -1, 1, 0, 5, []]]}]}])),
            400,
            "rollouts[0].arms[0].slots[0]",
        ),
        (
            report(json!([{"rollout": "first", "epoch": epoch,
                "arms": [{"arm": CANARY, "slots": [[0, 1, 1, 2, 5, []]]}]}])),
            400,
            "rollouts[0].arms[0].slots[0]: counts more errors",
        ),
        (
            report(json!([{"rollout": "first", "epoch": epoch,
                "arms": [{"arm": CANARY, "slots": [[0, u64::MAX, 1, 0, 5, []]]}]}])),
            400,
            "rollouts[0].arms[0].slots[0]: counts more than 4294967296 requests",
        ),
        (
            part("first", epoch, CANARY).replace("[0,1,1,0,5,[]]", "[0,NaN,1,0,5,[]]"),
            400,
            "no JSON document",
        ),
        (part("nobody", 1, CANARY), 404, "no rollout `nobody`"),
        (part("first", 99, CANARY), 404, "no epoch 99"),
        (part("first", epoch, "nobody"), 400, "unknown arm `nobody`"),
    ] {
        refused(&post(lab, "/v1/reports", &body).await, status, words);
    }
    let huge = format!(
        "{{\"version\": 1, \"session\": \"{}\"}}",
        "x".repeat(5 * 1024 * 1024)
    );
    refused(&post(lab, "/v1/reports", &huge).await, 413, "over");
}

async fn samples(lab: &Lab) {
    let batch = |rollout: &str, arm: &str| {
        json!({"version": 1, "session": "5e".repeat(16), "samples": [{"rollout": rollout,
            "epoch": 1, "arm": arm, "unit": 7, "request": "%%%", "response": ""}]})
        .to_string()
    };
    refused(&post(lab, "/v1/samples", "{}").await, 400, "version");
    // A worker may know a plan of before: its other samples are good.
    for body in [batch("nobody", CANARY), batch("first", "nobody")] {
        let reply = post(lab, "/v1/samples", &body).await;
        assert_eq!((reply.status, &reply.body["unwanted"]), (200, &json!(1)));
    }
    let huge = format!("{{\"session\": \"{}\"}}", "x".repeat(3 * 1024 * 1024));
    refused(&post(lab, "/v1/samples", &huge).await, 413, "over");
}

async fn deeds_and_paths(lab: &Lab) {
    let get = async |path: &str| lab.judge.call(Method::GET, path, None).await.unwrap();
    refused(
        &post(lab, "/v1/rollouts/nobody/promote", "").await,
        404,
        "nobody",
    );
    refused(
        &post(lab, "/v1/rollouts/first/resume", "").await,
        409,
        "paused",
    );
    refused(
        &post(lab, "/v1/rollouts/first/pause", "{\"because\": 1}").await,
        400,
        "because: unknown field",
    );
    refused(
        &get("/v1/rollouts/first/decisions/x").await,
        404,
        "no decision `x`",
    );
    refused(&get("/v1/plan?revision=yesterday").await, 400, "revision");
    refused(&get("/v1/plan?wait=-1").await, 400, "wait");
    refused(&get("/v1/rollouts/%ff").await, 400, "no UTF-8");
    refused(&get("/nowhere").await, 404, "nothing at this path");
    let deleted = lab
        .judge
        .call(Method::DELETE, "/v1/rollouts/first", None)
        .await
        .unwrap();
    refused(&deleted, 409, "abort it first");
    let put = lab
        .judge
        .call(Method::PUT, ROLLOUTS, Some("{}"))
        .await
        .unwrap();
    refused(&put, 405, "method");
}
