//! What models answer, beside errors and latency: differences before anybody is moved,
//! outcomes that are told later, requests that both versions answer, other protocols.

use crate::world::{LIMIT, alone, arm_of, ask, canary_after, keys, settled, steady, turn};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::judge::Judge;
use serinus_tests::judge::status::{Phase, Status};
use serinus_tests::lab::{CANARY, CANARY_MODEL, CONTROL, CONTROL_MODEL, Lab, Settings};
use serinus_tests::load::{Arm, USER_HEADER};
use serinus_tests::wait;
use std::io::Write;

fn with_models(mut spec: Value) -> Value {
    spec["arms"] = json!([
        {"name": CONTROL, "model": CONTROL_MODEL},
        {"name": CANARY, "model": CANARY_MODEL},
    ]);
    spec["minimum"] = json!({"seconds": 1, "exposures": 50});
    spec["sampling"] = json!({"share": 1.0, "per_second": 1_000});
    spec
}

async fn answers(judge: &Judge, id: &str) -> Value {
    let path = format!("/v1/rollouts/{id}/answers");
    let reply = judge.call(Method::GET, &path, None).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

async fn reached(judge: &Judge, id: &str, phase: Phase) -> Status {
    wait::until(&format!("{id} to be {phase:?}"), LIMIT, async || {
        let status = judge.status(id).await?;
        Ok((status.phase == phase).then_some(status))
    })
    .await
    .unwrap()
}

/// Requests of these users, one each, until the rollout is in the phase.
async fn ask_until(lab: &Lab, id: &str, phase: Phase) -> Status {
    for round in 0.. {
        for key in keys(200) {
            let key = format!("{key}-{round}");
            ask(lab, &[(USER_HEADER, &key)]).await.unwrap();
        }
        let status = lab.judge.status(id).await.unwrap();
        if status.phase == phase || round > 20 {
            return reached(&lab.judge, id, phase).await;
        }
    }
    panic!("rounds have no end")
}

fn reasons(status: &Status) -> String {
    let evaluation = status.evaluation.as_ref().unwrap();
    evaluation.reasons.join(" ")
}

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
    assert_eq!(received["counted"], 4_000, "{received}");
    let status = reached(&judge, "told", Phase::RolledBack).await;
    let decisions = judge.decisions("told").await.unwrap();
    let why = decisions.last().unwrap().reasons.join(" ");
    assert!(why.contains("a wrong answer, as was told later"), "{why}");
    assert!(!reasons(&status).is_empty());
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
    judge.kill().await.unwrap();
    judge.start().await.unwrap();
    let again = tell(&judge, &told("eve", 4.0).to_string()).await;
    assert_eq!(again["repeated"], 1, "{again}");
    let found = answers(&judge, "kept").await;
    let sum = |what: &str, field: &str| -> f64 {
        let arms = found["served"].as_array().unwrap().iter();
        arms.map(|arm| arm[what][field].as_f64().unwrap()).sum()
    };
    assert_eq!(sum("outcomes", "users"), 2.0, "{found}");
    assert_eq!(sum("outcomes", "bad"), 2.0);
    assert_eq!(sum("values", "users"), 2.0);
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
    let judge = judge().await;
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
        (&json!(2), &json!(2)),
        "{received}"
    );
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
    let rest = tell(&judge, &bob(r#""label": 3, "prediction": 3"#)).await;
    assert_eq!(rest["counted"], 1, "{rest}");
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
        (6, "rollout"),
    ];
    assert_eq!(found[..5], wanted);
    assert_eq!(found[5].0, 8);
    assert_eq!(found[6..], [(9, "value"), (10, "rollout")]);
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
}

/// A judge without Envoy.
async fn judge() -> Judge {
    let folder = tempfile::tempdir().unwrap().keep();
    let mut judge = Judge::new(&folder).unwrap();
    judge.start().await.unwrap();
    judge
}

async fn tell(judge: &Judge, body: &str) -> Value {
    let reply = judge
        .call(Method::POST, "/v1/feedback", Some(body))
        .await
        .unwrap();
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A sample as a worker sends it.
fn sample(rollout: &str, request: &[u8], response: &[u8], headers: &Value) -> Value {
    json!({
        "rollout": rollout, "epoch": 1, "arm": CONTROL, "unit": request.len(),
        "request": STANDARD.encode(request), "response": STANDARD.encode(response),
        "request_headers": headers, "response_headers": headers,
    })
}

async fn send(judge: &Judge, samples: &[Value]) {
    let batch = json!({"version": 1, "session": "0a".repeat(16), "samples": samples});
    let reply = judge
        .call(Method::POST, "/v1/samples", Some(&batch.to_string()))
        .await
        .unwrap();
    assert_eq!(reply.status, 200, "{}", reply.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_json_is_read_by_pointers_compressed_and_without_what_is_private() {
    let judge = judge().await;
    let mut spec = with_models(alone("plain"));
    let pixels: Vec<String> = (0..64).map(|pixel| format!("/pixels/{pixel}")).collect();
    spec["protocol"] = json!({"json": {"inputs": pixels, "label": "/digit"}});
    spec["privacy"] = json!({"redact": ["/customer"]});
    judge.create(&spec).await.unwrap();
    let plan = judge.call(Method::GET, "/v1/plan", None).await.unwrap();
    let epoch = plan.body["rollouts"][0]["epoch"].clone();
    let request =
        |pixels: usize| json!({"customer": "Ada Lovelace", "pixels": vec![1; pixels]}).to_string();
    let plain = json!([]);
    let encoded = json!([["content-encoding", "gzip"]]);
    let answer = r#"{"digit": 3}"#;
    let mut samples = vec![
        sample("plain", request(64).as_bytes(), answer.as_bytes(), &plain),
        sample("plain", &gzip(&request(64)), &gzip(answer), &encoded),
        sample("plain", request(9).as_bytes(), answer.as_bytes(), &plain),
        sample("plain", b"{\"customer\": \"Ada Lovelace\"", b"{}", &plain),
        // 200 OK, and no answer: as wrong as any other.
        sample(
            "plain",
            format!("{} ", request(64)).as_bytes(),
            b"{\"error\": \"out of memory\"}",
            &plain,
        ),
    ];
    for sample in &mut samples {
        sample["epoch"] = epoch.clone();
    }
    send(&judge, &samples).await;
    let found = wait::until("the samples to be read", LIMIT, async || {
        let found = answers(&judge, "plain").await;
        let samples = &found["samples"][CONTROL];
        let unreadable = samples["unreadable"].as_object().map_or(0, |causes| {
            causes
                .values()
                .map(|cause| cause["count"].as_u64().unwrap())
                .sum()
        });
        let read = samples["compared"].as_u64().unwrap_or_default();
        Ok((read + unreadable == 6).then_some(found))
    })
    .await
    .unwrap();
    let samples = &found["samples"][CONTROL];
    assert_eq!(samples["compared"], 3, "{found}");
    assert_eq!(samples["unreadable"]["malformed"]["count"], 1, "{samples}");
    assert_eq!(samples["unreadable"]["missing"]["count"], 2, "{samples}");
    // The digit may be what the model says to a picture of one colour, or not: the last
    // one is wrong in any case.
    wait::until("the wrong answer to count", LIMIT, async || {
        let status = judge.call(Method::GET, "/v1/rollouts/plain", None).await?;
        let control = &status.body["traffic"][0];
        let mismatched = control["mismatched_users"].as_u64().unwrap_or_default();
        Ok((mismatched >= 1).then_some(()))
    })
    .await
    .unwrap();
    assert!(!found.to_string().contains("Lovelace"), "{found}");
    let examples = judge
        .call(Method::GET, "/v1/rollouts/plain/examples", None)
        .await
        .unwrap();
    assert!(!examples.body.to_string().contains("Lovelace"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pointers_that_do_not_fit_a_model_are_refused_at_creation() {
    let judge = judge().await;
    let mut spec = with_models(alone("unfit"));
    spec["protocol"] = json!({"json": {"inputs": ["/a", "/b"], "label": "/digit"}});
    let reply = judge
        .call(Method::POST, "/v1/rollouts", Some(&spec.to_string()))
        .await
        .unwrap();
    assert_eq!(
        (reply.status, &reply.body["field"]),
        (400, &json!("protocol.json")),
        "{}",
        reply.body
    );
    spec["protocol"] = json!("open_inference");
    spec["arms"][1]["serves"] = json!({"inputs": {"imge": "picture"}});
    let reply = judge
        .call(Method::POST, "/v1/rollouts", Some(&spec.to_string()))
        .await
        .unwrap();
    assert_eq!(
        reply.body["field"], "arms[1].serves.inputs.imge",
        "{}",
        reply.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sampling_can_be_switched_off_while_a_rollout_runs() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let faults = json!({"fault": "wrong-preprocessing"});
    lab.control.set_faults(&faults).await.unwrap();
    let mut spec = with_models(steady("private"));
    spec["minimum"] = json!({"seconds": 86_000, "exposures": 500});
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    wait::until("examples", LIMIT, async || {
        for key in keys(20) {
            ask(&lab, &[(USER_HEADER, &key)]).await?;
        }
        Ok((!lab.judge.examples("private").await?.is_empty()).then_some(()))
    })
    .await
    .unwrap();
    lab.judge
        .act("private", "sampling/stop", "a complaint")
        .await
        .unwrap();
    settled(&lab).await.unwrap();
    // What a worker still had is not looked at.
    let late = sample("private", b"{}", b"{}", &json!([]));
    let batch = json!({"version": 1, "session": "0b".repeat(16), "samples": [late]}).to_string();
    let reply = lab
        .judge
        .call(Method::POST, "/v1/samples", Some(&batch))
        .await;
    assert_eq!(reply.unwrap().body["unwanted"], 1);
    assert!(lab.judge.examples("private").await.unwrap().is_empty());
    let plan = lab.judge.call(Method::GET, "/v1/plan", None).await.unwrap();
    assert!(
        plan.body["rollouts"][0]["sampling"].is_null(),
        "{}",
        plan.body
    );
    assert_eq!(answers(&lab.judge, "private").await["sampling"], false);
    lab.judge
        .act("private", "sampling/start", "settled")
        .await
        .unwrap();
    assert_eq!(answers(&lab.judge, "private").await["sampling"], true);
}
