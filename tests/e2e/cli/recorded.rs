//! What was decided, and by whom: `serinus decisions`, `replay`, `workers` and `sampling`.

use super::desk::{Desk, ID};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_shown_and_replayed_from_the_judge() {
    let desk = Desk::with_rollout().await;
    desk.run(&["abort", ID, "--reason", "to have two"])
        .await
        .done();
    let table = desk.run(&["decisions", ID]).await.done();
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 3, "{table}");
    for part in ["2 ", "person", "abort", "to have two"] {
        assert!(rows[2].contains(part), "{part}: {table}");
    }
    let all = desk.run(&["decisions", ID, "-o", "json"]).await.json();
    assert_eq!(all[1]["action"], "abort");

    let whole = desk.run(&["replay", "--rollout", ID]).await.done();
    assert!(whole.starts_with("2 decisions follow"), "{whole}");
    let said = desk
        .run(&["replay", "--rollout", ID, "--decision", "2"])
        .await;
    said.failed(1, "digits: decision 2: a person made this decision");
    let said = desk
        .run(&["replay", "--rollout", ID, "--decision", "9"])
        .await;
    said.failed(4, "9");
    let said = desk.run(&["replay", "--rollout", "digit"]).await;
    said.failed(4, "did you mean `digits`?");
    let said = desk.run(&["decisions", "digit"]).await;
    said.failed(4, "did you mean `digits`?");
    desk.run(&["replay"]).await.failed(2, "BUNDLE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_record_has_an_exit_code_of_its_own() {
    let desk = Desk::with_rollout().await;
    let path = format!("/v1/rollouts/{ID}/chain");
    let reply = desk.judge.call(reqwest::Method::GET, &path, None).await;
    let mut chain: Value = reply.unwrap().body;
    chain[0]["decision"]["at_ms"] = 1.into();
    let file = desk.file("chain.json", &chain.to_string());
    let said = desk.run(&["replay", &file]).await;
    said.failed(7, "chain.json: decision 1: its hash is ");
    // A file is judged whole.
    let said = desk.run(&["replay", &file, "--decision", "1"]).await;
    said.failed(2, "--decision");
    let file = desk.file("none.json", "{}");
    desk.run(&["replay", &file]).await.failed(1, "none.json");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_listed() {
    let desk = Desk::start().await;
    let none = desk.run(&["workers"]).await.done();
    assert!(none.contains("no worker was heard of yet"), "{none}");
    let session = "5f".repeat(16);
    let poll = format!(
        "{}/v1/plan?revision=0.0&session={session}",
        desk.judge.address()
    );
    let poll = reqwest::Client::new()
        .get(poll)
        .header("x-serinus-node", "edge-1");
    assert_eq!(poll.send().await.unwrap().status(), 200);
    let table = desk.run(&["workers"]).await.done();
    let row = table.lines().nth(1).unwrap();
    for part in ["edge-1", &session, "lagging", "no"] {
        assert!(row.contains(part), "{part}: {table}");
    }
    assert_eq!(
        desk.run(&["workers", "-o", "json"]).await.json()[0]["node"],
        "edge-1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sampling_is_stopped_and_started() {
    let desk = Desk::with_rollout().await;
    for what in ["stop", "start"] {
        desk.run(&["sampling", what, ID]).await.done();
        let table = desk.run(&["decisions", ID]).await.done();
        let last = table.lines().last().unwrap();
        assert!(last.contains(&format!("{what} sampling")), "{table}");
    }
    let said = desk.run(&["sampling", "stop", "digit"]).await;
    said.failed(4, "did you mean `digits`?");
}
