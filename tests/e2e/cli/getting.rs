//! `serinus get`.

use super::desk::{Desk, ID, NOWHERE};

#[tokio::test(flavor = "multi_thread")]
async fn rollouts_as_a_table_json_and_yaml() {
    let desk = Desk::start().await;
    let none = desk.run(&["get"]).await.done();
    assert!(none.contains("there is no rollout yet"), "{none}");
    desk.judge.create(&super::desk::spec()).await.unwrap();
    let table = desk.run(&["get"]).await.done();
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 2, "{table}");
    assert!(rows[0].starts_with("ROLLOUT  PHASE"), "{table}");
    for cell in [ID, "running", "1 of 2", "canary 10%"] {
        assert!(rows[1].contains(cell), "{cell}: {table}");
    }
    let page = desk.run(&["get", ID]).await.done();
    for part in ["digits: running", "ARM", "v2", "10%", "0 of 0 workers"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let all = desk.run(&["get", "-o", "json"]).await.json();
    assert_eq!(all[0]["id"], ID);
    let one = desk.run(&["get", ID, "--output", "json"]).await.json();
    assert_eq!(one["spec"]["steps"][1]["weights"]["canary"], 100.0);
    let yaml = desk.run(&["get", ID, "--output", "yaml"]).await.done();
    assert!(yaml.contains("phase: running\n"), "{yaml}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said() {
    let desk = Desk::start().await;
    let said = desk.run(&["get", "digits"]).await;
    said.failed(4, "there is no rollout `digits`; there is none yet");
    desk.judge.create(&super::desk::spec()).await.unwrap();
    let said = desk.run(&["get", "digitz"]).await;
    said.failed(4, "there is no rollout `digitz`; did you mean `digits`?");
    let said = desk.run(&["get", "a/../b c%"]).await;
    said.failed(4, "there is no rollout `a/../b c%`; there is digits");
    // Nobody listens; somebody listens who is no judge; no address at all.
    let said = desk.run(&["get", "--judge", NOWHERE]).await;
    said.failed(3, "GET http://127.0.0.1:1/v1/rollouts failed: ");
    assert!(said.error.contains("refused"), "{said:?}");
    for (wrong, words) in [
        ("judge:x", "--judge: `judge:x` is no URL: "),
        ("127.0.0.1:8090", "it has no http://"),
    ] {
        let said = desk.run(&["get", "--judge", wrong]).await;
        said.failed(2, words);
    }
    let other = another_server().await;
    let said = desk.run(&["get", "--judge", &other]).await;
    said.failed(3, "answered 404, and that is no Serinus judge");
    // A slip in the command itself.
    let said = desk.run(&["promot", "digits"]).await;
    said.failed(2, "promote");
    let said = desk.run(&["get", "--output", "jason"]).await;
    said.failed(2, "json");
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_are_in_the_help() {
    let desk = Desk::start().await;
    let help = desk.run(&["--help"]).await.done();
    assert!(help.contains("Exit codes: 0 done"), "{help}");
}

/// It says 404 to everything, and signs nothing.
async fn another_server() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, axum::Router::new()).await });
    format!("http://{address}")
}
