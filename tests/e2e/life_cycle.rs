//! A rollout from waiting for its version to being superseded.

use crate::world::{LIMIT, ask, keys, settled, steady, turn};
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::judge::status::{Phase, Status};
use serinus_tests::lab::{CANARY, CONTROL, Lab, Settings};
use serinus_tests::load::{Arm, USER_HEADER};
use serinus_tests::wait;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A version's readiness endpoint: 503 until it is ready.
struct Readiness {
    url: String,
    ready: Arc<AtomicBool>,
}

impl Readiness {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v2/health/ready", listener.local_addr().unwrap());
        let ready = Arc::new(AtomicBool::new(false));
        let answers = Arc::clone(&ready);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let status = match answers.load(Ordering::Relaxed) {
                    true => "200 OK",
                    false => "503 Service Unavailable",
                };
                let _ = stream.read(&mut [0; 1024]).await;
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, ready }
    }
}

async fn reached(lab: &Lab, id: &str, phase: Phase) -> Status {
    let what = format!("{id} to be {phase:?}");
    wait::until(&what, LIMIT, async || {
        let status = lab.judge.status(id).await?;
        Ok((status.phase == phase).then_some(status))
    })
    .await
    .unwrap()
}

async fn arms_of(lab: &Lab, users: &[String]) -> Vec<Arm> {
    let mut arms = Vec::new();
    for key in users {
        arms.push(ask(lab, &[(USER_HEADER, key)]).await.unwrap());
    }
    arms
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_runs_is_watched_and_finishes_and_another_takes_its_place() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let readiness = Readiness::start().await;
    let mut spec = steady("first");
    spec["arms"][1]["ready"] = json!(readiness.url);
    spec["holdback_percent"] = json!(20);
    spec["watch"] = json!({"seconds": 1});
    spec["warm_up"] = json!({"seconds": 0, "requests": 20});
    spec["minimum"] = json!({"seconds": 86_000, "exposures": 20});
    spec["steps"] = json!([{"weights": {CANARY: 50}}, {"weights": {CANARY: 100}}]);
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    let users = keys(40);
    let waiting = wait::until("the judge to say what it waits for", LIMIT, async || {
        let status = lab.judge.status("first").await?;
        let said = status.evaluation.as_ref().is_some_and(|evaluation| {
            let mut reasons = evaluation.reasons.iter();
            reasons.any(|reason| reason.contains("canary is not ready") && reason.contains("503"))
        });
        Ok(said.then_some(status))
    });
    assert_eq!(waiting.await.unwrap().phase, Phase::Waiting);
    let everybody = arms_of(&lab, &users).await;
    assert!(everybody.iter().all(|arm| *arm == Arm::Control));

    readiness.ready.store(true, Ordering::Relaxed);
    reached(&lab, "first", Phase::Running).await;
    settled(&lab).await.unwrap();
    let split = arms_of(&lab, &users).await;
    assert!(split.contains(&Arm::Control) && split.contains(&Arm::Canary));

    lab.judge
        .act("first", "promote", "it looks good")
        .await
        .unwrap();
    // A second is over before anybody came: only with those who are held back it ends.
    let finished = wait::until("it to be watched and finished", LIMIT, async || {
        for user in &users {
            ask(&lab, &[(USER_HEADER, user)]).await?;
        }
        let status = lab.judge.status("first").await?;
        Ok((status.phase == Phase::Finished).then_some(status))
    });
    let finished = finished.await.unwrap();
    assert!(
        (finished.arms[1].weight - 100.0).abs() < 1e-9,
        "{finished:?}"
    );
    settled(&lab).await.unwrap();
    let everybody = arms_of(&lab, &users).await;
    assert!(everybody.iter().all(|arm| *arm == Arm::Canary));

    // The next version: the one that won is what it is compared with.
    let mut next = steady("second");
    next["supersedes"] = json!("first");
    let create = async |spec: &Value| {
        let text = spec.to_string();
        let call = lab.judge.call(Method::POST, "/v1/rollouts", Some(&text));
        call.await.unwrap()
    };
    let refused = create(&next).await;
    assert_eq!(
        (refused.status, &refused.body["field"]),
        (400, &json!("baseline"))
    );
    next["baseline"] = json!(CANARY);
    next["steps"] = json!([{"weights": {CONTROL: 10}}, {"weights": {CONTROL: 100}}]);
    let created = create(&next).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(
        lab.judge.status("first").await.unwrap().phase,
        Phase::Superseded
    );
    settled(&lab).await.unwrap();
    let again = arms_of(&lab, &users).await;
    let won = again.iter().filter(|arm| **arm == Arm::Canary).count();
    assert!((20..40).contains(&won), "{again:?}");

    let path = "/v1/rollouts/first/decisions";
    let decisions = lab.judge.call(Method::GET, path, None).await.unwrap();
    let decisions = decisions.body.as_array().unwrap().clone();
    let deeds: Vec<&str> = decisions
        .iter()
        .map(|decision| decision["action"].as_str().unwrap())
        .collect();
    assert_eq!(deeds, ["create", "start", "promote", "finish", "supersede"]);
    assert_eq!(decisions[4]["reasons"][0], "superseded by `second`");
}
