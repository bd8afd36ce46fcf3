//! What Envoy answers by itself reaches the client as Envoy says it, and is held
//! against no arm, unless the arm's server is why.

use crate::wire::answer::Answer;
use crate::wire::{Counts, Wire, http1, http2, options, user};
use crate::world::turn;
use hyper::Method;
use serinus_tests::load::{Arm, USER_HEADER};

const ARMS: [Arm; 2] = [Arm::Control, Arm::Canary];

#[tokio::test(flavor = "multi_thread")]
async fn envoys_own_answers_pass_and_blame_no_arm() {
    let _turn = turn().await;
    let wire = Wire::start(&options::LOCAL_REPLIES).await;
    // Only the first request is not limited.
    let mut client = wire.http1().await;
    let answer = client.ask("GET /limited", &[], b"").await.unwrap();
    assert_eq!(answer.status, 200);
    for arm in ARMS {
        let key = user(arm);
        let who = (USER_HEADER, key.as_str());
        let streams = wire.http2().await;
        let mut client = wire.http1().await;
        for (path, status, body) in [
            ("/direct/429", 429, "later"),
            ("/direct/503", 503, ""),
            ("/limited", 429, "local_rate_limited"),
        ] {
            let answer = client.ask(&format!("GET {path}"), &[who], b"").await;
            own(&answer.unwrap(), status, body);
            let answer = client.ask(&format!("HEAD {path}"), &[who], b"").await;
            own(&answer.unwrap(), status, "");
            // With a body that nobody reads, and over HTTP/2.
            let mut closed = wire.http1().await;
            let post = http1::request(&format!("POST {path}"), &[who], &[b'x'; 10_000]);
            closed.send(&post).await.unwrap();
            own(&closed.answer().await.unwrap(), status, body);
            let request = http2::request(Method::GET, path, &[who]);
            own(&streams.ask(request, b"").await.unwrap(), status, body);
        }
        // No route at all.
        let lost =
            format!("GET / HTTP/1.1\r\nhost: nowhere.example\r\n{USER_HEADER}: {key}\r\n\r\n");
        client.send(lost.as_bytes()).await.unwrap();
        own(&client.answer().await.unwrap(), 404, "");
        let expected = Counts {
            exposures: 13,
            local_replies: 13,
            ..Counts::default()
        };
        wire.counted(arm, expected).await;
    }
    for arm in ARMS {
        let key = user(arm);
        let who = [(USER_HEADER, key.as_str())];
        let mut client = wire.http1().await;
        let answer = client.ask("GET /redirect", &who, b"").await.unwrap();
        own(&answer, 301, "");
        let to = Answer::text(&answer.headers, "location");
        assert_eq!(to, "http://models.example/elsewhere");
        let answer = client.ask("GET /nowhere", &who, b"").await.unwrap();
        own(&answer, 503, "");
    }
    wire.unharmed().await;
}

/// Refused before any filter is asked: too long, no HTTP, a path of two spellings.
#[tokio::test(flavor = "multi_thread")]
async fn what_envoy_refuses_before_the_filter_is_no_request() {
    let _turn = turn().await;
    let wire = Wire::start(&[]).await;
    let key = user(Arm::Canary);
    let who = (USER_HEADER, key.as_str());
    let long = "x".repeat(70_000);
    let many = "x-many: 1\r\n".repeat(200);
    for (bytes, status) in [
        (http1::request("GET /", &[who, ("x-long", &long)], b""), 431),
        (http1::request("GET /a%2fb", &[who], b""), 400),
        (http1::request("GET /", &[who, ("x-nul", "a\0b")], b""), 400),
        (
            format!("GET / HTTP/1.1\r\n{USER_HEADER}: {key}\r\n\r\n").into_bytes(),
            400,
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\n{USER_HEADER}: {key}\r\n{many}\r\n").into_bytes(),
            431,
        ),
        (
            format!("GET / HTTP/1.0\r\nhost: a\r\n{USER_HEADER}: {key}\r\n\r\n").into_bytes(),
            426,
        ),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 is no HTTP\r\n\r\n".to_vec(),
            400,
        ),
    ] {
        let mut client = wire.http1().await;
        client.send(&bytes).await.unwrap();
        let start = bytes[..bytes.len().min(60)].escape_ascii().to_string();
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.arm()), (status, None), "{start}");
    }
    // One of a length that Envoy takes.
    let long = "x".repeat(50_000);
    let mut client = wire.http1().await;
    let answer = client
        .ask("GET /", &[who, ("x-long", &long)], b"")
        .await
        .unwrap();
    assert_eq!((answer.status, answer.arm()), (200, Some(Arm::Canary)));
    let expected = Counts {
        exposures: 1,
        finished: 1,
        ..Counts::default()
    };
    wire.counted(Arm::Canary, expected).await;
    wire.unharmed().await;
}

/// The one kind of Envoy's own answers that is the arm's fault.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_is_its_arms_error() {
    let _turn = turn().await;
    let wire = Wire::start(&[]).await;
    wire.canary.stop();
    let key = user(Arm::Canary);
    let mut client = wire.http1().await;
    for _ in 0..5 {
        let answer = client
            .ask("GET /", &[(USER_HEADER, &key)], b"")
            .await
            .unwrap();
        assert_eq!((answer.status, answer.arm()), (503, None));
    }
    let expected = Counts {
        exposures: 5,
        finished: 5,
        errors: 5,
        ..Counts::default()
    };
    wire.counted(Arm::Canary, expected).await;
    // Nobody else notices.
    wire.vms_live().await.unwrap();
    let arm = wire.arm_of(&user(Arm::Control)).await.unwrap();
    assert_eq!(arm, Arm::Control);
}

fn own(answer: &Answer, status: u16, body: &str) {
    assert_eq!((answer.status, answer.arm()), (status, None), "{answer:?}");
    assert_eq!(String::from_utf8_lossy(&answer.body), body);
}
