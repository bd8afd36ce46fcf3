//! A model that answers no faster than it can, behind samples that come faster.

use super::{answers, reached, with_models};
use crate::world::alone;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::judge::Judge;
use serinus_tests::judge::status::Phase;
use serinus_tests::lab::{CANARY, CONTROL};
use std::path::Path;

const WIDTH: usize = 1_024;

/// The same matrix again and again: some hundred million products for each sample.
const LAYERS: usize = 60;

/// A batch of the judge's has 64 at most, each of which takes it most of a second.
const SAMPLES: usize = 2_000;

fn write_model(folder: &Path) {
    let bytes = WIDTH * WIDTH * size_of::<f32>();
    let header = json!({
        "w": {"dtype": "F32", "shape": [WIDTH, WIDTH], "data_offsets": [0, bytes]}
    });
    let header = header.to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(vec![0; bytes]);
    std::fs::write(folder.join("slow.safetensors"), file).unwrap();
    let layers = vec![json!({"linear": {"weight": "w"}}); LAYERS];
    let description = json!({
        "name": "slow", "weights": "slow.safetensors",
        "input": {"name": "x", "shape": [WIDTH], "datatype": "FP32"},
        "layers": layers,
        "output": {"name": "y", "kind": "values"},
    });
    std::fs::write(folder.join("slow.json"), description.to_string()).unwrap();
}

fn samples(epoch: &Value) -> Value {
    let tensor = |name: &str| json!({"name": name, "shape": [1, WIDTH], "datatype": "FP32", "data": vec![0; WIDTH]});
    let request = STANDARD.encode(json!({"inputs": [tensor("x")]}).to_string());
    let response = STANDARD.encode(json!({"outputs": [tensor("y")]}).to_string());
    let sample = |unit: usize| {
        let arm = if unit.is_multiple_of(2) {
            CONTROL
        } else {
            CANARY
        };
        json!({
            "rollout": "slow", "epoch": epoch, "arm": arm, "unit": unit,
            "request": request, "response": response,
        })
    };
    let samples: Vec<Value> = (0..100).map(sample).collect();
    json!({"version": 1, "session": "0a".repeat(16), "samples": samples})
}

/// Canary fails for each of 50 users, and control for none.
fn report(epoch: &Value) -> String {
    let arm =
        |name: &str, failed: u64| json!({"arm": name, "slots": [[7, 500, 500, failed, 500, []]]});
    let failures: Vec<Value> = (0..50).map(|unit| json!([unit, 1])).collect();
    json!({
        "version": 1, "session": "0b".repeat(16), "sequence": 1, "revision": null,
        "rollouts": [{
            "rollout": "slow", "epoch": epoch, "arms": [arm(CONTROL, 0), arm(CANARY, 50)],
            "first_errors": failures,
        }],
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_verdicts_and_plans_do_not_wait_for_it() {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path());
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.models(folder.path());
    judge.start().await.unwrap();
    let mut spec = with_models(alone("slow"));
    for arm in spec["arms"].as_array_mut().unwrap() {
        arm["model"] = json!("slow.json");
    }
    judge.create(&spec).await.unwrap();
    let plan = judge.call(Method::GET, "/v1/plan", None).await.unwrap();
    let epoch = plan.body["rollouts"][0]["epoch"].clone();
    let batch = samples(&epoch).to_string();
    let mut taken = 0;
    while taken < SAMPLES {
        let sent = judge.call(Method::POST, "/v1/samples", Some(&batch)).await;
        let sent = sent.unwrap();
        taken += sent.body["taken"].as_u64().unwrap() as usize;
        assert_eq!(sent.body["shed"], 0, "{}", sent.body);
    }
    let body = report(&epoch);
    let sent = judge.call(Method::POST, "/v1/reports", Some(&body)).await;
    let sent = sent.unwrap();
    assert_eq!(sent.status, 200, "{}", sent.body);
    reached(&judge, "slow", Phase::RolledBack).await;
    let after = judge.call(Method::GET, "/v1/plan", None).await.unwrap();
    assert_ne!(after.body["revision"], plan.body["revision"]);
    let found = answers(&judge, "slow").await;
    let compared = |arm: &str| found["samples"][arm]["compared"].as_u64();
    let compared = compared(CONTROL).unwrap_or_default() + compared(CANARY).unwrap_or_default();
    assert!(compared < SAMPLES as u64, "the model was not slow: {found}");
}
