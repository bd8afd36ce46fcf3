//! `serinus serve` by a file, the environment and flags; and what it logs for programs.

use crate::world::{LIMIT, alone};
use reqwest::Method;
use serde_json::Value;
use serinus_tests::judge::Judge;
use serinus_tests::{artefacts, tokens, wait};
use tokio::process::Command;

#[tokio::test]
async fn a_flag_comes_before_the_environment_and_that_before_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = tokens::Tokens::new(folder.path()).unwrap();
    let file = folder.path().join("serinus.toml");
    let text = format!(
        "listen = \"127.0.0.1:1\"\nreport-interval-ms = 700\nlog-format = \"json\"\ntokens = \"{}\"\nholdout-percent = 5\n",
        tokens.path()
    );
    std::fs::write(&file, text).unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.option("--config", &file.display().to_string());
    judge.environment("SERINUS_HOLDOUT_PERCENT", "2");
    judge.token(Some(&tokens.operator));
    judge.start().await.unwrap();
    let plan = judge.call(Method::GET, "/v1/plan", None).await.unwrap();
    assert_eq!(
        plan.body["report_interval_ms"], 700,
        "the file's: {:?}",
        plan.body
    );
    judge.create(&alone("r")).await.unwrap();
    judge.act("r", "abort", "to see the log").await.unwrap();
    judge.token(None);
    let unknown = judge.call(Method::GET, "/v1/rollouts", None).await.unwrap();
    assert_eq!(unknown.status, 401, "the file's tokens");
    judge.token(Some("serinus_wrong"));
    judge.call(Method::GET, "/v1/rollouts", None).await.unwrap();

    let log = judge.process().unwrap();
    let line = wait::until("a line of the log", LIMIT, async || {
        let tail = log.log_tail();
        let objects = tail
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(objects
            .into_iter()
            .find(|line| line["path"] == "/v1/rollouts"))
    })
    .await
    .unwrap();
    assert_eq!(line["level"], "WARN");
    assert!(
        line["message"].as_str().unwrap().contains("token"),
        "{line}"
    );
    assert!(line["timestamp"].is_string());
    assert!(!log.log_tail().contains("serinus_wrong"));
}

#[tokio::test]
async fn a_file_that_makes_no_sense_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("serinus.toml");
    for (text, words) in [
        ("port = 8090", "`port` is no option"),
        ("allow_remote = true", "`allow-remote` is"),
        ("listen = ", "serinus.toml"),
        ("report-interval-ms = 5", "--report-interval-ms"),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = Command::new(artefacts::program("serinus").unwrap())
            .args(["serve", "--config"])
            .arg(&file)
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "`{words}` is not in {said}");
    }
    let output = Command::new(artefacts::program("serinus").unwrap())
        .args(["serve", "--config", "/nowhere.toml"])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("failed to read /nowhere.toml"), "{said}");
}
