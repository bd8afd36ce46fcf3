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
    let seed = std::env::var("SERINUS_SEED").unwrap_or_else(|_| SEED.to_owned());
    println!("seed {seed}");
    let config = artefacts::root().join("tests/api/schemathesis.toml");
    let said = Command::new(artefacts::schemathesis().unwrap())
        .arg("--config-file")
        .arg(config)
        .args(["run", &format!("{}/v1/openapi.json", judge.address())])
        .args(["--seed", &seed, "--max-examples", EXAMPLES, "--no-color"])
        .current_dir(folder.path())
        .output()
        .await
        .unwrap();
    let report = String::from_utf8_lossy(&said.stdout);
    assert!(
        said.status.success(),
        "seed {seed}: {}\n{report}\n{}\n{}",
        said.status,
        String::from_utf8_lossy(&said.stderr),
        judge.process().map(Process::log_tail).unwrap_or_default()
    );
    // That it has asked for all of it, and was not content with less. Its command line
    // counts one operation fewer than the document has.
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
