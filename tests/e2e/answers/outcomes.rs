//! Labels and values that come late: `POST /v1/feedback`.

use super::{answers, judge, reached, reasons};
use crate::world::{LIMIT, alone, arm_of, canary_after, keys};
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::judge::Judge;
use serinus_tests::judge::status::Phase;
use serinus_tests::lab::{CANARY, CONTROL};
use serinus_tests::load::Arm;
use serinus_tests::wait;

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_are_those_of_the_arm_that_the_user_had() {
    let judge = judge().await;
    let mut spec = alone("told");
    spec["guardrails"] = json!({"outcomes": {}});
    judge.create(&spec).await.unwrap();
    let allocation = canary_after(&[10]);
    let users = keys(4_000);
    let is_canary = |key: &String| arm_of(&allocation, key, "told") == Arm::Canary;
    // Canary is wrong for every second user, control for every tenth.
    let lines: Vec<String> = users
        .iter()
        .enumerate()
        .map(|(index, key)| {
            let wrong_in = if is_canary(key) { 2 } else { 10 };
            json!({
                "id": format!("outcome-{index}"), "rollout": "told", "unit": key,
                "right": index % wrong_in != 0, "score": 0.75, "value": 2.5,
            })
            .to_string()
        })
        .collect();
    let received = tell(&judge, &lines.join("\n")).await;
    // It may be taken back before all was read.
    let counted = received["counted"].as_u64().unwrap();
    let late = received["late"].as_u64().unwrap();
    assert_eq!(counted + late, 4_000, "{received}");
    let status = reached(&judge, "told", Phase::RolledBack).await;
    let decisions = judge.decisions("told").await.unwrap();
    let why = decisions.last().unwrap().reasons.join(" ");
    assert!(why.contains("a wrong answer, as was told later"), "{why}");
    assert!(!reasons(&status).is_empty());
    // Canary was as sure as control, and right half as often.
    let calibration = answers(&judge, "told").await["calibration"].clone();
    let loss = |arm: &str| calibration[arm]["log_loss"].as_f64().unwrap();
    assert!(loss(CANARY) > loss(CONTROL) + 0.2, "{calibration}");
    let metrics = judge.call(Method::GET, "/v1/counters", None).await.unwrap();
    assert_eq!(metrics.body["feedback"]["counted"], counted);
    // By now it is over; what is told again is known by its id all the same.
    let again = tell(&judge, &lines[0]).await;
    assert_eq!(again["repeated"], 1, "{again}");
    let late = json!({"rollout": "told", "unit": "x", "right": true}).to_string();
    assert_eq!(tell(&judge, &late).await["late"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_survive_a_restart_and_each_user_has_one() {
    let mut judge = judge().await;
    judge.create(&alone("kept")).await.unwrap();
    let told = |unit: &str, value: f64| json!({"rollout": "kept", "unit": unit, "right": false, "value": value});
    let list = json!([told("ada", 2.0), told("eve", 4.0), told("ada", 99.0)]).to_string();
    let received = tell(&judge, &list).await;
    assert_eq!(
        (&received["counted"], &received["repeated"]),
        (&json!(2), &json!(1))
    );
    // Who was told to be right is not told to be wrong as well: each is one.
    let mut bob = json!({"rollout": "kept", "unit": "bob", "label": 3.0, "prediction": 3});
    assert_eq!(tell(&judge, &bob.to_string()).await["counted"], 1);
    bob["label"] = json!(4);
    assert_eq!(tell(&judge, &bob.to_string()).await["repeated"], 1);
    judge.kill().await.unwrap();
    judge.start().await.unwrap();
    let again = tell(&judge, &told("eve", 4.0).to_string()).await;
    assert_eq!(again["repeated"], 1, "{again}");
    let found = answers(&judge, "kept").await;
    let sum = |what: &str, field: &str| sum_of(&found, what, field);
    assert_eq!(sum("outcomes", "users"), 3.0, "{found}");
    assert_eq!(sum("outcomes", "bad"), 2.0);
    assert_eq!(sum("values", "users"), 2.0);
    // What a user was worth more than once adds up where each has an id of its own.
    let more = json!({"id": "order-9", "rollout": "kept", "unit": "eve", "value": 5.0});
    for (field, wanted) in [("counted", 1), ("repeated", 1)] {
        let received = tell(&judge, &more.to_string()).await;
        assert_eq!(received[field], wanted, "{received}");
    }
    let found = answers(&judge, "kept").await;
    let sum = |what: &str, field: &str| sum_of(&found, what, field);
    assert_eq!((sum("worth", "told"), sum("worth", "total")), (3.0, 11.0));
    assert_eq!(sum("values", "users"), 2.0, "each is one for the verdict");
}

/// Over all arms.
fn sum_of(answers: &Value, what: &str, field: &str) -> f64 {
    let arms = answers["served"].as_array().unwrap().iter();
    arms.map(|arm| arm[what][field].as_f64().unwrap()).sum()
}

/// The evidence about what canary's users were worth, once everything told is counted.
async fn value_of(judge: &Judge, id: &str) -> Value {
    let path = format!("/v1/rollouts/{id}");
    wait::until("values to be judged", LIMIT, async || {
        let status = judge.call(Method::GET, &path, None).await?.body;
        let metrics = status["evaluation"]["metrics"].as_array().cloned();
        let mut metrics = metrics.unwrap_or_default().into_iter();
        let value = metrics.find(|metric| metric["metric"] == "value");
        Ok(value.filter(|value| {
            let words = value["words"].as_str().unwrap_or_default();
            !words.contains("nothing yet")
        }))
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_earns_less_is_taken_back() {
    let judge = judge().await;
    let users = keys(2_000);
    for (id, loses) in [("same", 0.0), ("earns-less", 4.0)] {
        let mut spec = alone(id);
        spec["steps"] = json!([{"weights": {CANARY: 50}}, {"weights": {CANARY: 100}}]);
        spec["guardrails"] = json!({"value": {"highest": 10, "tolerated_loss": 0.2}});
        judge.create(&spec).await.unwrap();
        let allocation = canary_after(&[50]);
        let lines: Vec<String> = users
            .iter()
            .enumerate()
            .map(|(index, key)| {
                // Most buy nothing.
                let bought = if index % 5 < 3 { 0.0 } else { 6.0 };
                let lost = if arm_of(&allocation, key, id) == Arm::Canary {
                    loses
                } else {
                    0.0
                };
                let value = f64::max(bought - lost, 0.0);
                json!({"rollout": id, "unit": key, "value": value}).to_string()
            })
            .collect();
        let received = tell(&judge, &lines.join("\n")).await;
        assert_eq!(received["counted"], 2_000, "{received}");
    }
    let why = reached(&judge, "earns-less", Phase::RolledBack).await;
    assert!(
        reasons(&why).contains("0.2 less is tolerated"),
        "{}",
        reasons(&why)
    );
    let same = value_of(&judge, "same").await;
    assert_eq!(same["harmed"], false, "{same}");
    // A rollback is replayed to the same verdict, bet and all.
    judge.replay("earns-less", 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_one_rollouts_and_used_up_only_by_what_counts() {
    let mut judge = judge().await;
    for id in ["one", "other"] {
        judge.create(&alone(id)).await.unwrap();
    }
    let told = |rollout: &str, more: &str| {
        format!(r#"{{"id": "order-1", "rollout": "{rollout}", "unit": "ada", {more}}}"#)
    };
    // Nobody knows what she was answered; with that, the same order counts.
    let first = tell(&judge, &told("one", r#""label": 3"#)).await;
    assert_eq!(first["without_prediction"], 1, "{first}");
    let whole = r#""label": 3, "prediction": 4"#;
    let lines = [
        told("one", whole),
        told("one", whole),
        told("other", whole),
        told("other", r#""label": 3, "prediction": 4, "value": 1"#),
    ];
    let received = tell(&judge, &lines.join("\n")).await;
    assert_eq!(
        (&received["counted"], &received["repeated"]),
        (&json!(3), &json!(1)),
        "an answer and a value of one id are told apart: {received}"
    );
    // What counted is known by its id after a restart too.
    judge.kill().await.unwrap();
    judge.start().await.unwrap();
    assert_eq!(tell(&judge, &told("one", whole)).await["repeated"], 1);
    // A value counts without its label, which may still come.
    let bob = |more: &str| {
        told("one", more)
            .replace("ada", "bob")
            .replace("order-1", "order-2")
    };
    let half = tell(&judge, &bob(r#""label": 3, "value": 1"#)).await;
    assert_eq!(
        (&half["counted"], &half["without_prediction"]),
        (&json!(1), &json!(1)),
        "{half}"
    );
    // However often it is told meanwhile, as a queue may.
    let again = tell(&judge, &bob(r#""label": 3, "value": 1"#)).await;
    assert_eq!(
        (&again["counted"], &again["without_prediction"]),
        (&json!(0), &json!(1)),
        "{again}"
    );
    let rest = tell(&judge, &bob(r#""label": 3, "prediction": 3"#)).await;
    assert_eq!(rest["counted"], 1, "{rest}");
    let found = answers(&judge, "one").await;
    assert_eq!(sum_of(&found, "worth", "total"), 1.0, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_outcomes_keep_nobody_waiting() {
    let judge = judge().await;
    judge.create(&alone("many")).await.unwrap();
    let lines: Vec<String> = (0..60_000)
        .map(|index| {
            format!(r#"{{"id": "order-{index}", "rollout": "many", "unit": "user-{index}", "right": true}}"#)
        })
        .collect();
    let body = lines.join("\n");
    let telling = tell(&judge, &body);
    // Between its parts others have their turn: a judge that is ready is one that answers.
    let asking = async {
        let mut asked = 0;
        loop {
            let reply = judge
                .call(Method::GET, "/health/ready", None)
                .await
                .unwrap();
            assert_eq!(reply.status, 200, "{}", reply.body);
            asked += 1;
            tokio::task::yield_now().await;
            if asked == 50 {
                break;
            }
        }
    };
    let (received, ()) = tokio::join!(telling, asking);
    assert_eq!(received["counted"], 60_000, "{received}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_says_why_and_spoils_nothing() {
    let judge = judge().await;
    judge.create(&alone("picky")).await.unwrap();
    let mut drawn = alone("drawn");
    drawn["unit"] = json!(["each_request"]);
    judge.create(&drawn).await.unwrap();
    let mut inside = alone("looks-inside");
    inside["segments"] = json!([{"name": "gold", "when": [{"body": "/card", "in": ["gold"]}]}]);
    judge.create(&inside).await.unwrap();
    let lines = [
        r#"{"rollout": "picky", "unit": "ada", "right": true}"#,
        r#"{"rollout": "picy", "unit": "ada", "right": true}"#,
        r#"{"rollout": "picky", "unit": "ada", "rihgt": true}"#,
        r#"{"rollout": "picky", "unit": "eve"}"#,
        r#"{"rollout": "picky", "unit": "eve", "value": 1, "at_ms": 1}"#,
        r#"{"rollout": "picky", "unit": "eve", "value": 1, "at_ms": 9999999999999}"#,
        r#"{"rollout": "drawn", "unit": "eve", "right": true}"#,
        r#"{"rollout": "picky", "unit": "bob", "label": 3}"#,
        "nonsense",
        r#"{"rollout": "picky", "unit": "bob", "value": 1e200}"#,
        r#"{"rollout": "looks-inside", "unit": "bob", "right": true}"#,
    ];
    let received = tell(&judge, &lines.join("\n")).await;
    assert_eq!(received["counted"], 1, "{received}");
    assert_eq!(
        (&received["early"], &received["without_prediction"]),
        (&json!(1), &json!(1))
    );
    let problems = received["problems"].as_array().unwrap();
    let found: Vec<_> = problems
        .iter()
        .map(|problem| {
            (
                problem["index"].as_u64().unwrap(),
                problem["field"].as_str().unwrap(),
            )
        })
        .collect();
    let wanted = [
        (1, "rollout"),
        (2, "rihgt"),
        (3, "label"),
        (5, "at_ms"),
        (6, "unit"),
    ];
    assert_eq!(found[..5], wanted);
    assert_eq!(found[5].0, 8);
    assert_eq!(found[6..], [(9, "value"), (10, "unit")]);
    // What it was told so far can still be read.
    let chain = judge
        .call(Method::GET, "/v1/rollouts/picky/chain", None)
        .await
        .unwrap();
    assert_eq!(chain.status, 200);
    let empty = judge
        .call(Method::POST, "/v1/feedback", Some(" "))
        .await
        .unwrap();
    assert_eq!(empty.status, 400, "{}", empty.body);
    // Nor is what cannot be read at all; it is counted.
    let refused = async || {
        let counters = judge.call(Method::GET, "/v1/counters", None).await.unwrap();
        counters.body["feedback"]["refused"].as_u64().unwrap()
    };
    let before = refused().await;
    let unread = judge
        .call(Method::POST, "/v1/feedback", Some("{\"unt\": 1}\n7"))
        .await
        .unwrap();
    assert_eq!(unread.status, 400, "{}", unread.body);
    assert_eq!(unread.body["errors"][1]["field"], "[1]");
    assert_eq!(refused().await, before + 2);
}

pub async fn tell(judge: &Judge, body: &str) -> Value {
    let reply = judge
        .call(Method::POST, "/v1/feedback", Some(body))
        .await
        .unwrap();
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}
