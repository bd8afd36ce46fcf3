//! A shadow gets copies of requests, and the client never notices.

use crate::world::{LIMIT, arm_of, ask, canary_after, keys, settled, steady, turn};
use serde_json::{Value, json};
use serinus_tests::lab::{CANARY, CONTROL, Lab, Settings};
use serinus_tests::load::{Arm, MODEL, USER_HEADER};
use serinus_tests::wait;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// Reads nothing, answers nothing, and keeps the connection.
    Hangs,
    /// Answers each request only when the test lets it.
    Slow,
    Fails,
}

/// What reached the shadow.
struct Shadow {
    port: u16,
    requests: AtomicUsize,
    from_canary: AtomicBool,
    /// Permits for slow answers.
    may_answer: Semaphore,
}

impl Shadow {
    async fn start(manner: Manner) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shadow = Arc::new(Self {
            port: listener.local_addr().unwrap().port(),
            requests: AtomicUsize::new(0),
            from_canary: AtomicBool::new(false),
            may_answer: Semaphore::new(0),
        });
        let server = Arc::clone(&shadow);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(Arc::clone(&server).serve(stream, manner));
            }
        });
        shadow
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream, manner: Manner) {
        if manner == Manner::Hangs {
            self.requests.fetch_add(1, Ordering::Relaxed);
            // For ever: the socket's buffers fill, and nobody empties them.
            std::future::pending::<()>().await;
        }
        let mut read = Vec::new();
        while stream.read_buf(&mut read).await.is_ok_and(|size| size > 0) {
            let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            while read.len() < end + 4 + length {
                if stream.read_buf(&mut read).await.unwrap() == 0 {
                    return;
                }
            }
            read.drain(..end + 4 + length);
            self.requests.fetch_add(1, Ordering::Relaxed);
            if head.contains("x-serinus-arm: canary") {
                self.from_canary.store(true, Ordering::Relaxed);
            }
            if manner == Manner::Slow {
                self.may_answer.acquire().await.unwrap().forget();
            }
            let answer = "HTTP/1.1 500 No\r\ncontent-length: 6\r\n\r\nshadow";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn lab(shadow: &Shadow, of_it: Value) -> Lab {
    let lab = Lab::start(&Settings {
        shadow: Some(shadow.port),
        ..Settings::default()
    })
    .await
    .unwrap();
    let mut spec = steady("shadowed");
    spec["steps"] = json!([{"weights": {CANARY: 50}}]);
    spec["shadow"] = of_it;
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    lab
}

/// Every user gets the answer of the arm that core names, while the shadow is as it is.
async fn all_are_answered(lab: &Lab, count: u32) {
    let allocation = canary_after(&[50]);
    for key in keys(count) {
        let found = ask(lab, &[(USER_HEADER, &key)]).await.unwrap();
        assert_eq!(found, arm_of(&allocation, &key, "shadowed"), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_is_not_waited_for() {
    let _turn = turn().await;
    let shadow = Shadow::start(Manner::Hangs).await;
    let lab = lab(&shadow, json!({"cluster": "shadow"})).await;
    all_are_answered(&lab, 40).await;
    assert!(shadow.requests() > 0, "copies were sent");
    // A body larger than every buffer on the way to a shadow that reads nothing. (The
    // model server answers 4xx to it, as it does without a shadow.)
    let url = format!("{}/v2/models/{MODEL}/infer", lab.envoy.address());
    let large = "x".repeat(5_000_000);
    for shadowed in [true, false] {
        let user = if shadowed { "user-1" } else { "" };
        let request = reqwest::Client::new()
            .post(&url)
            .header(USER_HEADER, user)
            .timeout(Duration::from_secs(60))
            .body(large.clone());
        let answer = request.send().await.unwrap();
        println!("{shadowed}: {}", answer.status());
        assert!(answer.status().is_client_error(), "{shadowed}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_slow_is_not_waited_for() {
    let _turn = turn().await;
    let shadow = Shadow::start(Manner::Slow).await;
    let lab = lab(&shadow, json!({"cluster": "shadow"})).await;
    // All are answered before the shadow answers the first of them.
    all_are_answered(&lab, 40).await;
    wait::until("the copies", LIMIT, async || {
        Ok((shadow.requests() == 40).then_some(()))
    })
    .await
    .unwrap();
    shadow.may_answer.add_permits(1_000);
    all_are_answered(&lab, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_changes_no_answer_and_no_count() {
    let _turn = turn().await;
    let shadow = Shadow::start(Manner::Fails).await;
    let of_it = json!({"cluster": "shadow", "arms": [CONTROL], "share": 0.5});
    let lab = lab(&shadow, of_it).await;
    all_are_answered(&lab, 100).await;
    // Who chooses a shadow for himself gets none.
    let claim = ("x-serinus-shadow", "shadow");
    let before = shadow.requests();
    for _ in 0..20 {
        let canary = keys(50)
            .into_iter()
            .find(|key| arm_of(&canary_after(&[50]), key, "shadowed") == Arm::Canary)
            .unwrap();
        ask(&lab, &[(USER_HEADER, &canary), claim]).await.unwrap();
    }
    let status = wait::until("the reports", LIMIT, async || {
        let status = lab.judge.status("shadowed").await?;
        let finished: u64 = [CONTROL, CANARY]
            .map(|arm| status.traffic_of(arm).finished)
            .iter()
            .sum();
        Ok((finished == 120).then_some(status))
    })
    .await
    .unwrap();
    for arm in [CONTROL, CANARY] {
        assert_eq!(status.traffic_of(arm).errors, 0, "{arm}");
    }
    assert_eq!(shadow.requests(), before, "none by the client's own header");
    // About a quarter of the users: half of control's.
    assert!((10..45).contains(&before), "{before}");
    assert!(!shadow.from_canary.load(Ordering::Relaxed));
}
