//! A real registry of MLflow's, whose alias moves when a version has won.

use serde_json::json;
use serinus_tests::judge::Judge;
use serinus_tests::lab::{CANARY, CONTROL};
use serinus_tests::process::Process;
use serinus_tests::{artefacts, wait};
use std::time::Duration;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_the_guide_move_an_alias_in_mlflow() {
    let programs = artefacts::mlserver().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = artefacts::root();
    let mut command = Command::new(programs.join("python3"));
    command
        .arg(root.join("tests/mlserver/registry.py"))
        .arg(root.join("judge-service/docs/gates-and-alerts.md"))
        .current_dir(folder.path());
    let started = Process::start_until("registry", command, folder.path(), "listening on ");
    let (registry, port) = started.await.unwrap();
    let hooks = folder.path().join("webhooks.json");
    let url = format!("http://127.0.0.1:{port}/promoted");
    let hook = json!([{"name": "mlflow", "url": url, "events": ["promoted"]}]);
    std::fs::write(&hooks, hook.to_string()).unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.option("--webhooks", hooks.to_str().unwrap());
    judge.start().await.unwrap();
    let spec = json!({
        "id": "fraud",
        "match": {"path_prefix": "/v2/models/fraud/"},
        "unit": [{"header": "x-user-id"}],
        "arms": [{"name": CONTROL, "version": "7"}, {"name": CANARY, "version": "8"}],
        "steps": [{"weights": {CANARY: 50}}, {"weights": {CANARY: 100}}],
    });
    judge.create(&spec).await.unwrap();
    judge.act("fraud", "promote", "it won").await.unwrap();
    wait::until("the alias to move", Duration::from_secs(60), async || {
        Ok(registry.log_tail().contains("champion is 8").then_some(()))
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\n{}", registry.log_tail()));
}
