//! gRPC, framed by hand over HTTP/2: every message comes through as it was, and so
//! does the status behind it.

use crate::wire::answer::{self, Answer};
use crate::wire::http2::request;
use crate::wire::{Counts, Wire, arm_at_half, options, user};
use crate::world::{keys, turn};
use hyper::{Method, Request};
use serinus_tests::load::{Arm, USER_HEADER};

const ARMS: [Arm; 2] = [Arm::Control, Arm::Canary];
const PATH: &str = "/inference.GRPCInferenceService/ModelInfer";

/// A message with its prefix: whether it is compressed, and its length.
fn message(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [[0].as_slice(), &length, payload].concat()
}

fn call(key: &str, wishes: &[(&str, &str)]) -> Request<()> {
    let grpc = [
        (USER_HEADER, key),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", "10S"),
        ("x-header-content-type", "application/grpc"),
    ];
    request(Method::POST, PATH, &[&grpc, wishes].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn unary_calls_pass_with_their_status() {
    let _turn = turn().await;
    let wire = Wire::start(&options::ALL).await;
    let client = wire.http2().await;
    for key in keys(20) {
        // Bytes of every kind, with a zero and no UTF-8 among them.
        let payload: Vec<u8> = (0..=255).chain(key.bytes()).collect();
        let wishes = [
            ("x-trailer-grpc-status", "0"),
            ("x-trailer-grpc-message", "all%20well"),
        ];
        let answer = client
            .ask(call(&key, &wishes), &message(&payload))
            .await
            .unwrap();
        assert_eq!(
            (answer.status, answer.arm()),
            (200, Some(arm_at_half(&key)))
        );
        assert_eq!(answer.body, message(&payload));
        assert_eq!(
            Answer::text(&answer.headers, "content-type"),
            "application/grpc"
        );
        assert_eq!(Answer::text(&answer.trailers, "grpc-status"), "0");
        assert_eq!(Answer::text(&answer.trailers, "grpc-message"), "all%20well");
    }
    for arm in ARMS {
        let theirs = keys(20)
            .iter()
            .filter(|key| arm_at_half(key) == arm)
            .count() as u64;
        let good = Counts {
            exposures: theirs,
            finished: theirs,
            ..Counts::default()
        };
        wire.counted(arm, good).await;
    }
    wire.unharmed().await;
}

/// Both sides send when they like, and each message comes before the next is sent.
#[tokio::test(flavor = "multi_thread")]
async fn messages_stream_both_ways() {
    let _turn = turn().await;
    let wire = Wire::start(&options::ALL).await;
    let client = wire.http2().await;
    for arm in ARMS {
        let wishes = [("x-answer", "stream"), ("x-trailer-grpc-status", "0")];
        let mut exchange = client
            .begin(call(&user(arm), &wishes), false)
            .await
            .unwrap();
        exchange
            .sending
            .send(&message(b"hello"), false)
            .await
            .unwrap();
        let (mut sending, mut receiving) = exchange.headers().await.unwrap();
        assert_eq!(answer::arm(&receiving.headers), Some(arm));
        assert_eq!(receiving.piece().await.unwrap().unwrap(), message(b"hello"));
        for number in 0..5 {
            let next = message(format!("message {number}").as_bytes());
            sending.send(&next, false).await.unwrap();
            assert_eq!(receiving.piece().await.unwrap().unwrap(), next);
        }
        sending.send(b"", true).await.unwrap();
        let answer = receiving.rest().await.unwrap();
        assert_eq!(answer.body, b"", "nothing twice");
        assert_eq!(Answer::text(&answer.trailers, "grpc-status"), "0");
    }
    wire.unharmed().await;
}

/// A server that streams: each message comes when the server sends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_servers_stream_is_held_back_nowhere() {
    let _turn = turn().await;
    let wire = Wire::start(&options::ALL).await;
    let client = wire.http2().await;
    for arm in ARMS {
        let wishes = [("x-answer", "gated 5"), ("x-trailer-grpc-status", "0")];
        let mut exchange = client
            .begin(call(&user(arm), &wishes), false)
            .await
            .unwrap();
        exchange
            .sending
            .send(&message(b"all, please"), true)
            .await
            .unwrap();
        let (_sending, mut receiving) = exchange.headers().await.unwrap();
        assert_eq!(answer::arm(&receiving.headers), Some(arm));
        for number in 0..5 {
            wire.server(arm).release(1);
            let piece = receiving.piece().await.unwrap().unwrap();
            assert_eq!(piece, format!("piece {number}\n"));
        }
        let answer = receiving.rest().await.unwrap();
        assert_eq!(Answer::text(&answer.trailers, "grpc-status"), "0");
    }
    wire.unharmed().await;
}

/// A status other than OK is an error, though HTTP says 200: behind the messages,
/// or in an answer that is nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn errors_pass_as_they_are_and_are_counted() {
    let _turn = turn().await;
    let wire = Wire::start(&options::ALL).await;
    let client = wire.http2().await;
    for arm in ARMS {
        let key = user(arm);
        let behind = call(&key, &[("x-trailer-grpc-status", "13")]);
        let answer = client.ask(behind, &message(b"hello?")).await.unwrap();
        assert_eq!((answer.status, answer.arm()), (200, Some(arm)));
        assert_eq!(answer.body, message(b"hello?"));
        assert_eq!(Answer::text(&answer.trailers, "grpc-status"), "13");

        let wishes = [
            ("x-answer", "empty"),
            ("x-header-grpc-status", "12"),
            ("x-header-grpc-message", "no such method"),
        ];
        let mut exchange = client.begin(call(&key, &wishes), false).await.unwrap();
        exchange
            .sending
            .send(&message(b"hello?"), true)
            .await
            .unwrap();
        let (_sending, receiving) = exchange.headers().await.unwrap();
        assert!(receiving.is_over(), "{:?}", receiving.headers);
        let answer = receiving.rest().await.unwrap();
        assert_eq!((answer.status, answer.arm()), (200, Some(arm)));
        assert_eq!(Answer::text(&answer.headers, "grpc-status"), "12");
        assert_eq!(
            Answer::text(&answer.headers, "grpc-message"),
            "no such method"
        );
        let bad = Counts {
            exposures: 2,
            finished: 2,
            errors: 2,
            ..Counts::default()
        };
        wire.counted(arm, bad).await;
    }
    wire.unharmed().await;
}

/// Envoy answers a gRPC call in gRPC's words, by headers of 200: when the server does
/// not answer, which is an error, and when it does not want to ask, which is none.
#[tokio::test(flavor = "multi_thread")]
async fn what_envoy_answers_in_grpcs_words_is_told_apart() {
    let _turn = turn().await;
    let edits = [options::ALL.as_slice(), &options::LOCAL_REPLIES].concat();
    let wire = Wire::start(&edits).await;
    let client = wire.http2().await;
    for arm in ARMS {
        let key = user(arm);
        let broken = call(&key, &[("x-answer", "drop")]);
        let mut limited = call(&key, &[]);
        *limited.uri_mut() = "http://models.example/direct/429".parse().unwrap();
        for call in [broken, limited] {
            let answer = client.ask(call, &message(b"hello?")).await.unwrap();
            assert_eq!((answer.status, answer.arm()), (200, None));
            let status = Answer::text(&answer.headers, "grpc-status");
            assert_eq!(status, "14", "unavailable: {answer:?}");
        }
        let apart = Counts {
            exposures: 2,
            finished: 1,
            errors: 1,
            local_replies: 1,
            ..Counts::default()
        };
        wire.counted(arm, apart).await;
    }
    wire.unharmed().await;
}
