//! MLServer, with scikit-learn's own reading of a model, as the server behind real Envoy:
//! what the judge computes from the model's file is what another library answers, and a
//! server that answers otherwise is taken back. And MLflow, whose alias moves with a
//! promotion. `make test-mlserver`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod registry;

use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::envoy::{self, Envoy, Upstreams};
use serinus_tests::judge::Judge;
use serinus_tests::judge::status::Phase;
use serinus_tests::lab::{CANARY, CONTROL, CONTROL_MODEL};
use serinus_tests::load::USER_HEADER;
use serinus_tests::process::Process;
use serinus_tests::{artefacts, digits, ports, wait};
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

/// MLServer imports scikit-learn, which takes long on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);

/// A model in a folder that `models.py` has written.
async fn serve(programs: &Path, folder: &Path) -> (Process, u16) {
    let port = ports::free().unwrap();
    let settings = json!({
        "host": "127.0.0.1", "http_port": port,
        "grpc_port": ports::free().unwrap(), "metrics_port": ports::free().unwrap(),
        "parallel_workers": 0,
    });
    std::fs::write(folder.join("settings.json"), settings.to_string()).unwrap();
    let mut command = Command::new(programs.join("mlserver"));
    command.args(["start", "."]).current_dir(folder);
    let name = folder.file_name().unwrap().to_str().unwrap();
    let process = Process::start(name, command, folder).unwrap();
    let url = format!("http://127.0.0.1:{port}/v2/models/digits/ready");
    let ready = wait::until("MLServer to be ready", LIMIT, async || {
        let answer = reqwest::get(&url).await;
        Ok(answer
            .is_ok_and(|answer| answer.status().is_success())
            .then_some(()))
    })
    .await;
    ready.unwrap_or_else(|error| panic!("{error}\n{}", process.log_tail()));
    (process, port)
}

fn request(image: &digits::Image) -> String {
    json!({
        "inputs": [{
            "name": "image", "shape": [1, 64], "datatype": "FP32", "data": image.pixels,
        }],
        "outputs": [{"name": "predict"}, {"name": "predict_proba"}],
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn scikit_learn_agrees_with_the_file_and_a_wrong_server_is_taken_back() {
    let programs = artefacts::mlserver().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let written = Command::new(programs.join("python3"))
        .arg(artefacts::root().join("tests/mlserver/models.py"))
        .arg(folder.path())
        .status()
        .await
        .unwrap();
    assert!(written.success());
    let (right, wrong) = (
        folder.path().join("right"),
        folder.path().join("transposed"),
    );
    let ((_control, control), (_canary, canary)) =
        tokio::join!(serve(&programs, &right), serve(&programs, &wrong));
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.start().await.unwrap();
    let settings = envoy::Settings {
        upstreams: Upstreams {
            control,
            canary,
            shadow: ports::free().unwrap(),
            judge: judge.port(),
        },
        wasm: &artefacts::wasm().unwrap(),
        concurrency: 2,
        edits: &[],
    };
    let envoy = Envoy::start(folder.path(), &settings).await.unwrap();
    // Both servers are to answer as one file says, under scikit-learn's names.
    let serves = json!({"label": "predict", "probabilities": "predict_proba"});
    let arm = |name: &str| json!({"name": name, "model": CONTROL_MODEL, "serves": serves});
    let spec = json!({
        "id": "sklearn",
        "match": {"path_prefix": "/v2/models/digits/"},
        "unit": [{"header": USER_HEADER}],
        "arms": [arm(CONTROL), arm(CANARY)],
        "steps": [{"weights": {CANARY: 50}}, {"weights": {CANARY: 100}}],
        "minimum": {"seconds": 86_000},
        "sampling": {"share": 1.0, "per_second": 1_000},
    });
    judge.create(&spec).await.unwrap();
    let images = digits::read().unwrap();
    let client = reqwest::Client::new();
    let url = format!("{}/v2/models/digits/infer", envoy.address());
    let mut user = 0;
    let why = wait::until("canary to be taken back", LIMIT, async || {
        for image in images.iter().cycle().skip(user).take(20) {
            user += 1;
            let answer = client
                .post(&url)
                .header(USER_HEADER, format!("user-{user}"))
                .header("content-type", "application/json")
                .body(request(image))
                .send()
                .await?;
            let status = answer.status();
            if !status.is_success() {
                return Err(format!("{status}: {}", answer.text().await?).into());
            }
        }
        let over = judge.status("sklearn").await?.phase == Phase::RolledBack;
        if !over {
            return Ok(None);
        }
        let decisions = judge.decisions("sklearn").await?;
        Ok(decisions.last().map(|last| last.reasons.join(" ")))
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    assert!(
        why.contains("their version's model file does not give"),
        "{why}"
    );
    let path = "/v1/rollouts/sklearn/answers";
    let answers: Value = judge.call(Method::GET, path, None).await.unwrap().body;
    assert_eq!(
        answers["samples"][CONTROL]["unreadable"],
        json!({}),
        "{answers}"
    );
    assert!(
        answers["samples"][CONTROL]["compared"].as_u64().unwrap() > 5,
        "{answers}"
    );
    let examples = judge.examples("sklearn").await.unwrap();
    assert!(!examples.is_empty());
    // Not one answer of scikit-learn's differs from the judge's by more than the tolerance.
    assert!(
        examples.iter().all(|example| example.arm == CANARY),
        "{examples:?}"
    );
}
