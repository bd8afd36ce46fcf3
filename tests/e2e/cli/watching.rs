//! `serinus watch`: lines where nobody looks, and a page on a terminal.

use super::desk::{Desk, ID, NOWHERE, Said};
use serinus_tests::artefacts;
use serinus_tests::failure::Result;
use serinus_tests::wait;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

const LIMIT: Duration = Duration::from_secs(30);

fn lines(desk: &Desk, arguments: &[&str]) -> Child {
    let log = std::fs::File::create(desk.path("watch.log")).unwrap();
    let errors = log.try_clone().unwrap();
    desk.command(arguments)
        .stdout(log)
        .stderr(errors)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn logged(desk: &Desk, name: &str, words: &str) {
    let look = async || -> Result<Option<()>> {
        let log = std::fs::read(desk.path(name)).unwrap_or_default();
        Ok(String::from_utf8_lossy(&log).contains(words).then_some(()))
    };
    wait::until(words, LIMIT, look).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_for_each_change_until_it_is_over() {
    let desk = Desk::with_rollout().await;
    let mut child = lines(&desk, &["watch", ID]);
    logged(&desk, "watch.log", "Z digits: running\n").await;
    logged(&desk, "watch.log", "Z digits: step 1 of 2, canary 10%\n").await;
    desk.run(&["pause", ID]).await.done();
    logged(&desk, "watch.log", "Z digits: paused\n").await;
    desk.run(&["abort", ID]).await.done();
    let status = child.wait().await.unwrap();
    assert_eq!(status.code(), Some(6), "it was taken back");
    logged(&desk, "watch.log", "serinus: digits: is aborted\n").await;
    let log = std::fs::read_to_string(desk.path("watch.log")).unwrap();
    assert!(!log.contains('\x1b'), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_waits_for_a_phase() {
    let mut desk = Desk::with_rollout().await;
    let mut child = lines(&desk, &["watch", ID, "--until", "paused"]);
    logged(&desk, "watch.log", "digits: running").await;
    // A judge that is away for a while is waited for.
    desk.judge.kill().await.unwrap();
    logged(&desk, "watch.log", "; trying again").await;
    desk.judge.start().await.unwrap();
    logged(&desk, "watch.log", "the judge is there again").await;
    desk.run(&["pause", ID]).await.done();
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    let said: Said = desk.run(&["watch", "digit"]).await;
    said.failed(4, "there is no rollout `digit`; did you mean `digits`?");
    let said = desk.run(&["watch", "--judge", NOWHERE]).await;
    said.failed(3, "failed: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promoted_and_finished_was_promoted() {
    let desk = Desk::with_rollout().await;
    desk.run(&["promote", ID]).await.done();
    let said = desk.run(&["watch", ID, "--until", "running"]).await;
    said.failed(6, "digits: is promoted");
    let said = desk.run(&["delete", ID]).await;
    said.failed(5, "finish it first, or abort it");
    let said = desk.run(&["finish", ID]).await.done();
    assert_eq!(said, "digits: finished, step 2 of 2, canary 100%\n");
    desk.run(&["watch", ID, "--until", "promoted"]).await.done();
    desk.run(&["watch", ID, "--until", "finished"]).await.done();
    let said = desk.run(&["watch", ID, "--until", "rolled-back"]).await;
    said.failed(6, "digits: is finished");
}

/// Ctrl-C, `q` and SIGTERM: the terminal is as it was, each time.
#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_given_back_on_every_way_out() {
    let desk = Desk::with_rollout().await;
    for way in ["q", "\x03", "TERM"] {
        let mut terminal = on_a_terminal(&desk);
        logged(&desk, "screen", "digits").await;
        logged(&desk, "screen", "requests").await;
        if way == "TERM" {
            let pid = std::fs::read_to_string(desk.path("pid")).unwrap();
            let mut sent = Command::new("sh");
            sent.args(["-c", &format!("kill -TERM {pid}")]);
            assert!(sent.status().await.unwrap().success());
        } else {
            let stdin = terminal.stdin.as_mut().unwrap();
            stdin.write_all(way.as_bytes()).await.unwrap();
            stdin.flush().await.unwrap();
        }
        assert!(terminal.wait().await.unwrap().success(), "{way:?}");
        let screen = std::fs::read(desk.path("screen")).unwrap();
        let screen = String::from_utf8_lossy(&screen);
        assert!(
            screen.contains("\x1b[?1049h") && screen.contains("\x1b[?1049l"),
            "{screen}"
        );
        assert!(screen.contains("\x1b[?25h"), "{screen}");
        let text = |name: &str| std::fs::read_to_string(desk.path(name)).unwrap();
        assert_eq!(text("before"), text("after"), "{way:?}");
        assert_eq!(text("code"), "0\n", "{way:?}");
        std::fs::remove_file(desk.path("screen")).unwrap();
    }
}

/// `script` has a terminal for it; the settings of that stand in `before` and `after`.
fn on_a_terminal(desk: &Desk) -> Child {
    let serinus = artefacts::program("serinus").unwrap();
    let run = desk.file(
        "run.sh",
        &format!(
            "stty rows 30 cols 120\nstty -a > before\n\
             sh -c 'echo $$ > pid; exec \"$0\" watch digits' {}\n\
             echo $? > code\nstty -a > after\n",
            serinus.display()
        ),
    );
    Command::new("script")
        .args([
            "--quiet",
            "--flush",
            "--command",
            &format!("sh {run}"),
            "screen",
        ])
        .current_dir(std::path::Path::new(&run).parent().unwrap())
        .env("SERINUS_JUDGE", desk.judge.address())
        .env("TERM", "xterm-256color")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}
