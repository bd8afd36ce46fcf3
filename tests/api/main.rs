//! The judge's API asked by Schemathesis, with all that its OpenAPI document allows and
//! much that it does not: whatever is answered must be what the document says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by panicking"
)]

use serde_json::json;
use serinus_tests::artefacts;
use serinus_tests::judge::Judge;
use serinus_tests::process::Process;
use serinus_tests::tokens::Tokens;
use tokio::process::Command;

/// Of each operation in each phase. With 25 operations that takes about a minute.
const EXAMPLES: &str = "10";

/// `SERINUS_SEED` tries others.
const SEED: &str = "1";

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_what_the_document_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.start().await.unwrap();
    for (id, deed) in [
        ("running", None),
        ("paused", Some("pause")),
        ("aborted", Some("abort")),
        ("promoted", Some("promote")),
    ] {
        let spec = json!({
            "id": id,
            "match": {"path_prefix": format!("/{id}/")},
            "unit": [{"header": "x-user-id"}],
            "arms": [
                {"name": "control", "version": "v1", "model": "digits-v1.json"},
                {"name": "canary", "version": "v2"},
            ],
            "segments": [{"name": "gold", "when": [{"header": "x-card", "in": ["gold"]}], "arm": "control"}],
            "steps": [{"weights": {"canary": 10}}, {"weights": {"canary": 100}}],
        });
        judge.create(&spec).await.unwrap();
        if let Some(deed) = deed {
            judge.act(id, deed, "before the test").await.unwrap();
        }
    }
    let said = asked(&judge, "schemathesis.toml", &["--max-examples", EXAMPLES]).await;
    assert!(said.success, "{}", said.whole);
    asked_for_all(&judge, &said.report).await;
}

/// Whichever way somebody asks who is nobody: no operation answers.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_answered_without_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = Tokens::new(folder.path()).unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.option("--tokens", &tokens.path());
    judge.token(Some(&tokens.operator));
    judge.start().await.unwrap();
    let bearer = format!("Authorization: Bearer {}", tokens.operator);
    let only = ["--checks", "ignored_auth", "--max-examples", "2"];
    let options = [&only[..], &["--header", &bearer]].concat();
    let said = asked(&judge, "guarded.toml", &options).await;
    asked_for_all(&judge, &said.report).await;
    // Who guesses too often is told to wait, which Schemathesis takes for a failure.
    let answers = said.report.lines().filter(|line| {
        let status = line
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("] "));
        status.is_some_and(|(status, _)| status.parse::<u16>().is_ok())
    });
    for answer in answers {
        assert_eq!(answer, "[429] Too Many Requests:", "{}", said.whole);
    }
    let titles = said.report.lines().filter(|line| line.starts_with("- "));
    for title in titles {
        let invalid = "- ST401 Unexpected response to invalid authentication";
        assert_eq!(title, invalid, "{}", said.whole);
    }
}

struct Said {
    success: bool,
    report: String,
    /// With all that helps where it is not as it should be.
    whole: String,
}

/// What Schemathesis says of the judge.
async fn asked(judge: &Judge, config: &str, options: &[&str]) -> Said {
    let seed = std::env::var("SERINUS_SEED").unwrap_or_else(|_| SEED.to_owned());
    println!("seed {seed}");
    // It leaves files where it runs.
    let folder = tempfile::tempdir().unwrap();
    let said = Command::new(artefacts::schemathesis().unwrap())
        .arg("--config-file")
        .arg(artefacts::root().join("tests/api").join(config))
        .args(["run", &format!("{}/v1/openapi.json", judge.address())])
        .args(["--seed", &seed, "--no-color"])
        .args(options)
        .current_dir(folder.path())
        .output()
        .await
        .unwrap();
    let report = String::from_utf8_lossy(&said.stdout).into_owned();
    let whole = format!(
        "seed {seed}: {}\n{report}\n{}\n{}",
        said.status,
        String::from_utf8_lossy(&said.stderr),
        judge.process().map(Process::log_tail).unwrap_or_default()
    );
    Said {
        success: said.status.success(),
        report,
        whole,
    }
}

/// That it has asked for all of it, and was not content with less. Its command line counts
/// one operation fewer than the document has.
async fn asked_for_all(judge: &Judge, report: &str) {
    let document = judge
        .call(reqwest::Method::GET, "/v1/openapi.json", None)
        .await
        .unwrap();
    let paths = document.body["paths"].as_object().unwrap();
    let operations: usize = paths
        .values()
        .map(|path| path.as_object().unwrap().len())
        .sum();
    let tested =
        (operations - 1..=operations).any(|all| report.contains(&format!("Tested: {all}")));
    assert!(
        tested,
        "not all of {operations} operations were asked for\n{report}"
    );
}
