//! How bodies are read, what may be kept of them, and the switch that ends it.

use super::{answers, judge, with_models};
use crate::world::{LIMIT, alone, ask, keys, settled, steady, turn};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::artefacts;
use serinus_tests::judge::Judge;
use serinus_tests::lab::{CONTROL, Lab, Settings};
use serinus_tests::load::USER_HEADER;
use serinus_tests::wait;
use std::io::Write;

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
    let folder = tempfile::tempdir().unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.environment("RUST_LOG", "trace");
    judge.start().await.unwrap();
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
    // Nor is anything of a body logged or stored, whatever the log is asked for.
    let bodies = [request(64), request(9), answer.to_owned()];
    let private = ["Lovelace".to_owned(), "out of memory".to_owned()].into_iter();
    let encoded = bodies.iter().map(|body| STANDARD.encode(body));
    let private: Vec<String> = private.chain(bodies.clone()).chain(encoded).collect();
    let mut files = 0;
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let holds = |text: &String| {
            bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        let found: Vec<&String> = private.iter().filter(|text| holds(text)).collect();
        assert!(found.is_empty(), "{}: {found:?}", path.display());
        files += usize::from(bytes.len() > 1_000);
    }
    assert!(files >= 2, "a log and a database");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_the_file_that_the_registry_means() {
    let judge = judge().await;
    let output = std::process::Command::new("sha256sum")
        .arg(artefacts::root().join("tests/models/digits-v2.safetensors"))
        .output()
        .unwrap();
    let sum = String::from_utf8(output.stdout).unwrap();
    let sum = sum.split(' ').next().unwrap();
    let mut spec = with_models(alone("meant"));
    spec["arms"][1]["sha256"] = json!("0".repeat(64));
    let refused = judge.create(&spec).await.unwrap_err().to_string();
    let words = format!("is {}, but the model's file has {sum}", "0".repeat(64));
    for part in ["arms[1].sha256", &words] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    spec["arms"][1]["sha256"] = json!(sum.to_uppercase());
    judge.create(&spec).await.unwrap();
    let status = judge.call(Method::GET, "/v1/rollouts/meant", None).await;
    let arms = status.unwrap().body["arms"].clone();
    assert_eq!(arms[1]["file_sha256"], *sum);
    assert!(arms[0]["file_sha256"].is_string(), "{arms}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_changed_while_the_judge_was_away_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    std::fs::create_dir(&models).unwrap();
    for name in ["digits-v1", "digits-v2"] {
        for kind in ["json", "safetensors"] {
            let file = format!("{name}.{kind}");
            std::fs::copy(artefacts::models().join(&file), models.join(file)).unwrap();
        }
    }
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.models(&models);
    judge.start().await.unwrap();
    judge.create(&with_models(alone("kept"))).await.unwrap();
    let notices = async |judge: &Judge| {
        let status = judge.call(Method::GET, "/v1/rollouts/kept", None).await?;
        Ok::<_, serinus_tests::failure::Failure>(status.body["notices"].to_string())
    };
    let words = "samples are not compared: a model file has changed";
    assert!(!notices(&judge).await.unwrap().contains(words));
    judge.kill().await.unwrap();
    let file = models.join("digits-v2.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 0x80;
    std::fs::write(&file, bytes).unwrap();
    judge.start().await.unwrap();
    wait::until("it to be said", LIMIT, async || {
        Ok(notices(&judge).await?.contains(words).then_some(()))
    })
    .await
    .unwrap();
    // Another one by its name is made of what is there now.
    judge.act("kept", "abort", "to begin anew").await.unwrap();
    let deleted = judge.call(Method::DELETE, "/v1/rollouts/kept", None).await;
    assert_eq!(deleted.unwrap().status, 204);
    judge.create(&with_models(alone("kept"))).await.unwrap();
    assert!(!notices(&judge).await.unwrap().contains(words));
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
