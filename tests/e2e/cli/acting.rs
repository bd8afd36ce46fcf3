//! What a person does to a rollout by the command line.

use super::desk::{Desk, ID, NOWHERE};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_led_by_hand() {
    let desk = Desk::with_rollout().await;
    let said = desk.run(&["pause", ID, "--reason", "lunch"]).await.done();
    assert_eq!(said, "digits: paused, step 1 of 2, canary 10%\n");
    let said = desk.run(&["resume", ID]).await.done();
    assert_eq!(said, "digits: running, step 1 of 2, canary 10%\n");
    let status = desk.run(&["promote", ID, "-o", "json"]).await.json();
    assert_eq!(status["step"], 1);
    let said = desk.run(&["abort", ID, "--reason", "it smells"]).await;
    assert_eq!(said.done(), "digits: aborted, step 2 of 2, canary 0%\n");
    let path = format!("/v1/rollouts/{ID}/decisions");
    let reply = desk.judge.call(reqwest::Method::GET, &path, None).await;
    let decisions = reply.unwrap().body;
    let found: Vec<(&Value, &Value)> = decisions.as_array().unwrap()[1..]
        .iter()
        .map(|decision| (&decision["action"], &decision["reasons"][0]))
        .collect();
    assert_eq!(
        serde_json::json!(found),
        serde_json::json!([
            ["pause", "lunch"],
            ["resume", "by hand"],
            ["promote", "by hand"],
            ["abort", "it smells"]
        ])
    );
    assert_eq!(desk.run(&["delete", ID]).await.done(), "digits: deleted\n");
    assert!(desk.state().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_state_does_not_allow_changes_nothing() {
    let desk = Desk::with_rollout().await;
    let before = desk.state().await;
    for (arguments, code, words) in [
        (
            &["resume", ID][..],
            5,
            "cannot resume digits: the rollout is running; only a rollout that is paused allows this",
        ),
        (
            &["finish", ID],
            5,
            "cannot finish digits: the rollout is running",
        ),
        (
            &["delete", ID],
            5,
            "cannot delete digits: the rollout is running; abort it first",
        ),
        (
            &["drop", ID, "canarry"],
            4,
            "rollout `digits` has no arm `canarry`; did you mean `canary`?",
        ),
        (
            &["abort", "digit"],
            4,
            "there is no rollout `digit`; did you mean `digits`?",
        ),
        (&["abort", ID, "--judge", NOWHERE], 3, "failed: "),
        (&["abort"], 2, "<ID>"),
    ] {
        let said = desk.run(arguments).await;
        said.failed(code, words);
        assert_eq!(desk.state().await, before, "{arguments:?}");
    }
    // Somebody else was faster.
    let seen = desk.run(&["get", ID, "-o", "json"]).await.json();
    let seen = seen["version"].as_str().unwrap().to_owned();
    let first = ["pause", ID, "--if-version", &seen];
    desk.run(&first).await.done();
    let second = ["promote", ID, "--if-version", &seen];
    let said = desk.run(&second).await;
    said.failed(
        5,
        "cannot promote digits: rollout `digits` has changed since",
    );
    assert_eq!(desk.state().await[0].2, 0);
    desk.run(&["abort", ID]).await.done();
    let said = desk.run(&["promote", ID]).await;
    said.failed(5, "cannot promote digits: the rollout is aborted");
}
