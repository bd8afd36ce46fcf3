//! `serinus apply` and `serinus validate`.

use super::desk::{Desk, ID, NOWHERE, spec};
use serde_json::{Value, json};

const YAML: &str = "\
# The digits of our users.
id: digits
match: {path_prefix: /v2/models/digits/}
unit:
- header: x-user-id
arms:
- {name: control, version: v1}
- {name: canary, version: v2}
steps:
- weights: {canary: 10}
- weights: {canary: 100}
";

#[tokio::test(flavor = "multi_thread")]
async fn applying_twice_is_applying_once() {
    let desk = Desk::start().await;
    let file = desk.file("digits.yaml", YAML);
    let said = desk.run(&["apply", "-f", &file, "--dry-run"]).await.done();
    assert!(said.starts_with("digits: would be created\n"), "{said}");
    for line in [
        "+id: digits\n",
        "+holdback_percent: 0.0\n",
        "+    canary: 10.0\n",
    ] {
        assert!(said.contains(line), "{line}{said}");
    }
    assert!(!said.contains('\x1b'), "no colours for a pipe: {said}");
    assert!(desk.state().await.is_empty(), "a dry run does nothing");
    let said = desk.run(&["apply", "-f", &file]).await.done();
    let created = "digits: created; running, step 1 of 2, canary 10%\n";
    assert_eq!(said, created);
    let before = desk.state().await;
    // The same as JSON, from standard input, in other words.
    let same = spec().to_string();
    let said = desk.run_with(&["apply", "-f", "-"], &same).await.done();
    assert_eq!(said, created.replace("created", "unchanged"));
    let said = desk.run(&["apply", "-f", &file, "-o", "json"]).await.json();
    assert_eq!(said, json!([{"id": ID, "action": "unchanged"}]));
    assert_eq!(desk.state().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_at_the_same_time_is_applying_once() {
    let desk = Desk::start().await;
    let file = desk.file("digits.yaml", YAML);
    let arguments = ["apply", "-f", file.as_str()];
    let run = || desk.run(&arguments);
    let (a, b, c, d, e, f) = tokio::join!(run(), run(), run(), run(), run(), run());
    let said = [a, b, c, d, e, f].map(super::desk::Said::done);
    let created = said.iter().filter(|said| said.contains(": created; "));
    assert_eq!(created.count(), 1, "{said:?}");
    let rest = said.iter().filter(|said| said.contains(": unchanged; "));
    assert_eq!(rest.count(), 5, "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_file_whose_rollouts_want_the_same_requests_none_is_created() {
    let desk = Desk::start().await;
    let both = format!("{YAML}---\n{}", YAML.replace("id: digits", "id: again"));
    let file = desk.file("both.yaml", &both);
    for arguments in [
        &["apply", "-f", &file][..],
        &["apply", "-f", &file, "--dry-run"],
    ] {
        let said = desk.run(arguments).await;
        said.failed(5, "both.yaml, document 2: match: is that of `digits` too");
    }
    assert!(desk.state().await.is_empty());
    let twice = desk.file("twice.yaml", &format!("{YAML}---\n{YAML}"));
    let said = desk.run(&["validate", "-f", &twice]).await;
    said.failed(
        1,
        "twice.yaml, document 2: id: `digits` stands in another document too",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_not_changed_and_the_difference_is_shown() {
    let desk = Desk::with_rollout().await;
    let file = desk.file("digits.yaml", &YAML.replace("canary: 10}", "canary: 20}"));
    let before = desk.state().await;
    for arguments in [
        &["apply", "-f", &file][..],
        &["apply", "-f", &file, "--dry-run"],
    ] {
        let said = desk.run(arguments).await;
        said.failed(5, "digits: is running, and nothing of it can be changed; start another with `supersedes: digits`");
        assert!(said.out.contains("--- digits\n"), "{said:?}");
        assert!(
            said.out.contains("-    canary: 10.0\n+    canary: 20.0\n"),
            "{said:?}"
        );
        assert_eq!(desk.state().await, before);
    }
    desk.run(&["abort", ID]).await.done();
    let said = desk.run(&["apply", "-f", &file]).await;
    said.failed(
        5,
        "digits: is aborted, and was another rollout; `serinus delete digits` makes room",
    );
    desk.run(&["delete", ID]).await.done();
    desk.run(&["apply", "-f", &file]).await.done();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_documents_are_done_all_or_none() {
    let desk = Desk::start().await;
    let second = YAML
        .replace("id: digits", "id: letters")
        .replace("models/digits", "models/letters");
    let bad = second.replace("name: canary", "name: control");
    let both = desk.file("both.yaml", &format!("{YAML}---\n{bad}"));
    let said = desk.run(&["apply", "-f", &both]).await;
    said.failed(
        1,
        "both.yaml, document 2: arms[1].name: `control` names two arms",
    );
    assert!(desk.state().await.is_empty());
    let twice = desk.file("twice.yaml", &format!("{YAML}---\n{YAML}"));
    let said = desk.run(&["apply", "-f", &twice]).await;
    said.failed(1, "document 2: id: `digits` stands in another document too");
    assert!(desk.state().await.is_empty());
    // The next one takes the place of the one before, in one file.
    let next = YAML.replace("id: digits", "id: digits-2\nsupersedes: digits");
    let chain = desk.file("chain.yaml", &format!("{YAML}---\n{second}---\n{next}"));
    desk.run(&["apply", "-f", &chain]).await.done();
    let phases = desk.state().await;
    let phases: Vec<(&str, &str)> = phases
        .iter()
        .map(|(id, phase, _)| (&**id, &**phase))
        .collect();
    let expected = [
        ("digits", "superseded"),
        ("letters", "running"),
        ("digits-2", "running"),
    ];
    assert_eq!(phases, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_change_nothing() {
    let desk = Desk::start().await;
    let missing = desk.path("missing.yaml");
    for (text, words) in [
        (&YAML[..90], "bad.yaml: "),
        ("id: digits\n  match: {}\n", "bad.yaml: "),
        ("id: a\nid: b\n", "bad.yaml: "),
        (
            "{\"id\": \"digits\",\n\"match\": {",
            "bad.yaml: line 2, column ",
        ),
        ("", "bad.yaml: is empty; a rollout is right"),
        ("- a\n- b\n", "bad.yaml: .: "),
        ("id: 7\n", "bad.yaml: id: is 7; a text is right"),
        ("id: 7\n", "bad.yaml: arms: is missing"),
        (
            &format!("{YAML}steeps: []\n"),
            "bad.yaml: steeps: unknown field; did you mean `steps`?",
        ),
        (&YAML.replace("- header:", "- heder:"), "bad.yaml: unit[0]"),
        (
            &YAML.replace("canary: 100}", "canari: 100}"),
            "bad.yaml: steps[1].weights.canari: unknown arm `canari`; the arms are control, canary",
        ),
    ] {
        let file = desk.file("bad.yaml", text);
        for arguments in [
            &["apply", "-f", &file][..],
            &["apply", "--dry-run", "-f", &file],
            &["validate", "-f", &file],
        ] {
            let said = desk.run(arguments).await;
            said.failed(1, words);
            // One for each field that is wrong.
            let mut lines = said.error.lines();
            assert!(lines.all(|line| line.contains("bad.yaml: ")), "{said:?}");
            assert!(desk.state().await.is_empty(), "{text}");
        }
    }
    for command in ["apply", "validate"] {
        let said = desk.run(&[command, "-f", &missing]).await;
        said.failed(4, "missing.yaml: No such file");
        desk.run(&[command]).await.failed(2, "--file");
    }
    let binary = desk.path("binary.yaml");
    std::fs::write(&binary, [b'a', 0xff]).unwrap();
    let said = desk.run(&["apply", "-f", &binary]).await;
    said.failed(1, "binary.yaml: is no UTF-8 at byte 1");
    let file = desk.file("digits.yaml", YAML);
    let said = desk.run(&["apply", "-f", &file, "--judge", NOWHERE]).await;
    said.failed(3, "failed: ");
    // Only a judge knows its models.
    let file = desk.file(
        "model.yaml",
        &YAML.replace("version: v2", "model: nowhere.json"),
    );
    desk.run(&["validate", "-f", &file]).await.done();
    let said = desk.run(&["apply", "-f", &file, "--dry-run"]).await;
    said.failed(1, "model.yaml: arms[1].model: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_validated_without_a_judge() {
    let desk = Desk::start().await;
    let file = desk.file("digits.yaml", YAML);
    let mut command = desk.command(&["validate", "-f", &file]);
    let output = command
        .env("SERINUS_JUDGE", NOWHERE)
        .output()
        .await
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "digits: makes sense; steps: canary 10%, canary 100%\n"
    );
    let whole = desk.run(&["validate", "-f", &file, "-o", "json"]).await;
    let whole = whole.json();
    assert_eq!((&whole["id"], &whole["salt"]), (&ID.into(), &ID.into()));
    // What is printed is a rollout again.
    let yaml = desk.run(&["validate", "-f", &file, "-o", "yaml"]).await;
    let again = desk.file("whole.yaml", &yaml.done());
    let read = desk.run(&["validate", "-f", &again, "-o", "json"]).await;
    assert_eq!(read.json(), whole);
    let simulate = [
        "simulate",
        "-f",
        &file,
        "--requests-per-minute",
        "6000",
        "--runs",
        "20",
    ];
    let said = desk.run(&simulate).await.done();
    assert!(said.contains("canary 10%"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_is_said_at_once() {
    let desk = Desk::start().await;
    let mut wrong = spec();
    wrong["minimum"] = json!({"seconds": -1});
    wrong["alpha"] = json!({"rollback": 2});
    let file = desk.file("wrong.json", &wrong.to_string());
    for words in [["validate", "-f", &file], ["apply", "-f", &file]] {
        let said = desk.run(&words).await;
        said.failed(1, "minimum.seconds: is -1");
        said.failed(1, "alpha.rollback: is 2");
    }
    let body = wrong.to_string();
    let path = "/v1/rollouts";
    let call = desk.judge.call(reqwest::Method::POST, path, Some(&body));
    let refused = call.await.unwrap();
    assert_eq!(refused.body["field"], "minimum.seconds");
    let errors = refused.body["errors"].as_array().unwrap().iter();
    let fields: Vec<&Value> = errors.map(|error| &error["field"]).collect();
    assert_eq!(fields, ["minimum.seconds", "alpha.rollback"]);
}

/// As the API says it.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_the_api_keeps_nothing() {
    let desk = Desk::start().await;
    let post = async |query: &str| {
        let path = format!("/v1/rollouts{query}");
        let body = spec().to_string();
        let call = desk.judge.call(reqwest::Method::POST, &path, Some(&body));
        call.await.unwrap()
    };
    let draft = post("?dry_run=true").await;
    assert_eq!(draft.status, 200, "{draft:?}");
    assert_eq!(draft.body["phase"], "running");
    assert_eq!(draft.body["spec"]["salt"], ID);
    assert!(desk.state().await.is_empty());
    for wrong in ["?dry_run=maybe", "?dry-run=true"] {
        let refused = post(wrong).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert_eq!(refused.content_type, "application/problem+json");
        assert!(desk.state().await.is_empty());
    }
    assert_eq!(post("?dry_run=false").await.status, 201);
    assert_eq!(post("?dry_run=true").await.status, 409, "the id is taken");
}
