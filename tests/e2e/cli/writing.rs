//! What `serinus` writes for others: Envoy, shells, `man`.

use super::desk::{Desk, ID, spec};
use serde_json::json;
use serinus_tests::artefacts;
use tokio::process::Command;

/// Envoy itself says whether it would start with a configuration.
async fn envoy_takes(path: &str) {
    let envoy = artefacts::envoy().unwrap();
    let output = Command::new(envoy)
        .args(["--mode", "validate", "-c", path])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{path}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_takes_the_manifests() {
    let desk = Desk::with_rollout().await;
    let wasm = artefacts::wasm().unwrap().display().to_string();
    let filter = desk
        .run(&["manifest", "filter", "--wasm", &wasm])
        .await
        .done();
    let filter = desk.file("serinus.yaml", &filter);
    let mut three = spec();
    three["arms"] = json!([{"name": "control"}, {"name": "canary"}, {"name": "3.0"}]);
    three["steps"] = json!([{"weights": {"canary": 10, "3.0": 10}}]);
    three["shadow"] = json!({"cluster": "copies"});
    let three = desk.file("three.json", &three.to_string());
    let two = [
        "--address",
        "control=digits-v1:8001",
        "--address",
        "canary=127.0.0.1:8002",
        "--filter-file",
        &filter,
    ];
    let more = [
        "--address",
        "3.0=[::1]:8003",
        "--shadow-address",
        "copies:80",
    ];
    for (name, what) in [
        (
            "two.yaml",
            [&["manifest", "envoy", ID][..], &two, &[]].concat(),
        ),
        (
            "ecds.yaml",
            [&["manifest", "envoy", ID, "--plans", "ecds"][..], &two, &[]].concat(),
        ),
        (
            "three.yaml",
            [&["manifest", "envoy", "-f", &three][..], &two, &more].concat(),
        ),
    ] {
        let text = desk.run(&what).await.done();
        envoy_takes(&desk.file(name, &text)).await;
    }
    let one = &["manifest", "envoy", ID, "--address", "canary=a:1"];
    desk.run(one)
        .await
        .failed(2, "--address: arm `control` has none");
    let wrong = &["manifest", "envoy", ID, "--address", "canary=a"];
    desk.run(wrong)
        .await
        .failed(2, "a host and a port are right");
    let unknown = &["manifest", "envoy", "digit", "--address", "canary=a:1"];
    desk.run(unknown).await.failed(4, "did you mean `digits`?");
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_and_man_know_the_commands() {
    let desk = Desk::start().await;
    let bash = desk.run(&["completions", "bash"]).await.done();
    let file = desk.file("serinus.bash", &bash);
    let complete = format!(
        "source {file}; COMP_WORDS=(serinus pro); COMP_CWORD=1; _serinus serinus pro serinus; echo ${{COMPREPLY[0]}}"
    );
    let output = Command::new("bash").args(["-c", &complete]).output();
    let output = output.await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "promote\n");
    for shell in ["zsh", "fish"] {
        let text = desk.run(&["completions", shell]).await.done();
        assert!(text.contains("promote"), "{shell}");
    }
    desk.run(&["completions", "cmd"]).await.failed(2, "bash");
    let page = desk.run(&["man"]).await.done();
    assert!(
        page.contains(".TH SERINUS 1") && page.contains("Exit codes"),
        "{page}"
    );
    let folder = desk.path("man");
    let written = desk.run(&["man", "--into", &folder]).await.done();
    for name in ["serinus.1", "serinus-apply.1", "serinus-manifest-envoy.1"] {
        assert!(written.contains(name), "{written}");
        let page = std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
        assert!(page.contains(".TH SERINUS"), "{page}");
    }
}
