//! SIGTERM: what is under way is finished, and who waits is let go.

use crate::world::{LIMIT, alone};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use serinus_tests::judge::Judge;
use serinus_tests::judge::status::Phase;
use serinus_tests::postgres::Postgres;
use serinus_tests::wait;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_let_go_and_what_was_sent_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut judge = Judge::new(folder.path()).unwrap();
    judge.start().await.unwrap();
    judge.create(&alone("r")).await.unwrap();
    let plan = judge.call(Method::GET, "/v1/plan", None).await.unwrap();
    let revision = &plan.body["revision"];
    let known = format!("{}.{}", revision["generation"], revision["counter"]);
    let http = Client::new();
    let events = format!("{}/v1/events", judge.address());
    let mut events = http.get(events).send().await.unwrap();
    assert!(events.chunk().await.unwrap().is_some());
    let polls = ["ab", "cd"].map(|session| {
        let session = session.repeat(16);
        let poll = format!(
            "{}/v1/plan?revision={known}&wait=30&session={session}",
            judge.address()
        );
        tokio::spawn(http.get(poll).send())
    });
    // A poll waits as soon as the judge has seen it.
    wait::until("the judge to hold the polls", LIMIT, async || {
        let workers = judge.call(Method::GET, "/v1/workers", None).await?;
        let known = workers.body.as_array().map_or(0, Vec::len);
        Ok((known == polls.len()).then_some(()))
    })
    .await
    .unwrap();

    let began = Instant::now();
    judge.process().unwrap().terminate().await.unwrap();
    for poll in polls {
        assert_eq!(poll.await.unwrap().unwrap().status(), 204);
    }
    // The stream ends as a stream that is over does, and not as one that broke.
    while events.chunk().await.unwrap().is_some() {}
    let code = judge.ended().await.unwrap();
    assert_eq!(code, Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );

    judge.start().await.unwrap();
    assert_eq!(judge.status("r").await.unwrap().phase, Phase::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_need_read_what_a_judge_says() {
    let folder = tempfile::tempdir().unwrap();
    let full = || {
        let full = std::fs::File::options().write(true).open("/dev/full");
        std::process::Stdio::from(full.unwrap())
    };
    let port = serinus_tests::ports::free().unwrap();
    let serinus = serinus_tests::artefacts::program("serinus").unwrap();
    let mut judge = tokio::process::Command::new(&serinus)
        .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
        .current_dir(folder.path())
        .stdout(full())
        .stderr(full())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ready = format!("http://127.0.0.1:{port}/health/ready");
    wait::until("it to be ready", LIMIT, async || {
        let answer = Client::new().get(&ready).send().await;
        Ok(answer
            .is_ok_and(|answer| answer.status() == 200)
            .then_some(()))
    })
    .await
    .unwrap();
    assert!(judge.try_wait().unwrap().is_none());
    // Nor what a command says.
    let mut get = tokio::process::Command::new(&serinus);
    get.args([
        "get",
        "nothing",
        "--judge",
        &format!("http://127.0.0.1:{port}"),
    ]);
    let status = get.stderr(full()).status().await.unwrap();
    assert_eq!(status.code(), Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_judge_judges_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let mut judges = Vec::new();
    for number in 0..2 {
        let own = folder.path().join(format!("judge-{number}"));
        std::fs::create_dir(&own).unwrap();
        let mut judge = Judge::new(&own).unwrap();
        judge.store(&database.url());
        judge.start().await.unwrap();
        judges.push(judge);
    }
    let role = async |judge: &Judge| {
        let ready = judge.call(Method::GET, "/health/ready", None).await?;
        Ok::<Value, serinus_tests::failure::Failure>(ready.body["role"].clone())
    };
    let leader = wait::until("a judge to judge", LIMIT, async || {
        for (number, judge) in judges.iter().enumerate() {
            if role(judge).await? == "leader" {
                return Ok(Some(number));
            }
        }
        Ok(None)
    })
    .await
    .unwrap();
    let other = 1 - leader;
    let process = judges[leader].process().unwrap();
    process.terminate().await.unwrap();
    wait::until("the other one to judge", LIMIT, async || {
        Ok((role(&judges[other]).await? == "leader").then_some(()))
    })
    .await
    .unwrap();
    // Nobody had to wait until it ended by itself.
    let said = judges[leader].process().unwrap().log_tail();
    assert!(!said.contains("the lease could not be given up"), "{said}");
    assert_eq!(judges[leader].ended().await.unwrap(), Some(0));
    judges[other].create(&alone("r")).await.unwrap();
    let reason = json!({"reason": "to end"}).to_string();
    let aborted = judges[other].call(Method::POST, "/v1/rollouts/r/abort", Some(&reason));
    assert_eq!(aborted.await.unwrap().status, 200);
}
