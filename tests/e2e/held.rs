//! A request that waits for its body, because its user stands in there, comes through
//! like any other: whole, once, and to its user's arm.

use crate::wire::answer::{self, Answer};
use crate::wire::echo::pattern;
use crate::wire::http1::{chunked, request};
use crate::wire::{Counts, ID, Wire, arm_at_half, http2, options, spec, user, websocket};
use crate::world::{arm_of, canary_after, keys, settled_by, turn};
use hyper::{HeaderMap, Method};
use serde_json::{Value, json};
use serinus_tests::load::Arm;

const ARMS: [Arm; 2] = [Arm::Control, Arm::Canary];

/// As much as a plan may ask for.
const MOST: usize = 512 * 1024;

fn by_body() -> Value {
    let mut spec = spec();
    spec["unit"] = json!([{"body": "/user"}]);
    spec["max_held_body_bytes"] = json!(MOST);
    spec
}

fn body(key: &str, size: usize) -> Vec<u8> {
    json!({"padding": "x".repeat(size), "user": key})
        .to_string()
        .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn held_bodies_of_every_framing_and_size_come_whole() {
    let _turn = turn().await;
    let wire = Wire::start_with(&by_body(), &options::ALL).await;
    let streams = wire.http2().await;
    for key in keys(8) {
        let arm = Some(arm_at_half(&key));
        let mut client = wire.http1().await;
        for size in [0, 1, 1_000, 60_000, 300_000, MOST - 100] {
            let body = body(&key, size);
            let whole = client.ask("POST /", &[], &body).await.unwrap();

            let headers = [
                ("transfer-encoding", "chunked"),
                ("te", "trailers"),
                ("trailer", "x-end"),
            ];
            client
                .send(&request("POST /", &headers, b""))
                .await
                .unwrap();
            let pieces: Vec<&[u8]> = body.chunks(7_000).collect();
            client
                .send(&chunked(&pieces, "x-end: yes\r\n"))
                .await
                .unwrap();
            let in_chunks = client.answer().await.unwrap();
            assert_eq!(Answer::text(&in_chunks.trailers, "x-end"), "yes");

            let post = || http2::request(Method::POST, "/", &[]);
            let at_once = streams.ask(post(), &body).await.unwrap();

            // Neither the last of the body nor its length says that it is the last.
            let mut exchange = streams.begin(post(), false).await.unwrap();
            exchange.sending.send(&body, false).await.unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-end", "yes".parse().unwrap());
            exchange.sending.end_with(trailers).unwrap();
            let with_trailers = exchange.answer().await.unwrap();
            assert_eq!(Answer::text(&with_trailers.trailers, "x-end"), "yes");

            for answer in [whole, in_chunks, at_once, with_trailers] {
                assert_eq!((answer.status, answer.arm()), (200, arm), "{key} {size}");
                assert!(
                    answer.body == body,
                    "{key}: {size} bytes came back otherwise"
                );
            }
        }
    }
    wire.vms_live().await.unwrap();
}

/// What is longer than may be held, or never ends, or is no body: it goes on at once,
/// to the baseline.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_held_goes_on_to_the_baseline() {
    let _turn = turn().await;
    let wire = Wire::start_with(&by_body(), &options::ALL).await;
    let canary = user(Arm::Canary);
    let mut client = wire.http1().await;
    let large = pattern(3 * 1024 * 1024);
    let chunks = [("transfer-encoding", "chunked")];
    for size in [MOST + 1, 1_000_000, 1_048_577, 3_145_728] {
        let answer = client.ask("POST /", &[], &large[..size]).await.unwrap();
        assert_eq!((answer.status, answer.arm()), (200, Some(Arm::Control)));
        assert!(answer.body == large[..size]);
        for piece in [1_000, 500_000, size] {
            client.send(&request("POST /", &chunks, b"")).await.unwrap();
            let pieces: Vec<&[u8]> = large[..size].chunks(piece).collect();
            client.send(&chunked(&pieces, "")).await.unwrap();
            let answer = client.answer().await.unwrap();
            assert_eq!(
                (answer.status, answer.arm()),
                (200, Some(Arm::Control)),
                "{size} {piece}"
            );
            assert!(answer.body == large[..size]);
        }
    }
    for line in ["GET /", "HEAD /", "DELETE /"] {
        let answer = client.ask(line, &[], b"").await.unwrap();
        assert_eq!((answer.status, answer.arm()), (200, Some(Arm::Control)));
    }
    // Envoy tells it to go on, and then the body decides.
    let body = body(&canary, 10);
    let length = body.len().to_string();
    let headers = [
        ("expect", "100-continue"),
        ("content-length", length.as_str()),
    ];
    client
        .send(&request("POST /", &headers, b""))
        .await
        .unwrap();
    assert_eq!(client.answer_without_body().await.unwrap().status, 100);
    client.send(&body).await.unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.body), (200, body));

    // A WebSocket and a gRPC stream do not wait for what comes only after an answer.
    let upgrade = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", websocket::KEY),
    ];
    let mut client = wire.http1().await;
    client.send(&request("GET /", &upgrade, b"")).await.unwrap();
    assert_eq!(client.answer_without_body().await.unwrap().status, 101);
    let hello = websocket::read(&mut client.stream).await.unwrap();
    assert_eq!(hello, websocket::Frame::text("control"));
    let grpc = [
        ("content-type", "application/grpc+json"),
        ("x-answer", "stream"),
    ];
    let streams = wire.http2().await;
    let call = http2::request(Method::POST, "/", &grpc);
    let mut exchange = streams.begin(call, false).await.unwrap();
    exchange
        .sending
        .send(b"\0\0\0\0\x02{}", false)
        .await
        .unwrap();
    let (_sending, receiving) = exchange.headers().await.unwrap();
    assert_eq!(answer::arm(&receiving.headers), Some(Arm::Control));
    wire.vms_live().await.unwrap();
}

/// What Envoy reads at once comes on top of what is held already: with a limit of the
/// connection alone, the two together can be more than it, and the client gets 413.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_may_be_more_than_a_connections_buffer() {
    let _turn = turn().await;
    let edits = [&options::ALL[..], &[options::SMALL_BUFFERS]].concat();
    let wire = Wire::start_with(&by_body(), &edits).await;
    let streams = wire.http2().await;
    let canary = user(Arm::Canary);
    let mut client = wire.http1().await;
    for (size, arm) in [
        (30_000, Arm::Canary),
        (100_000, Arm::Canary),
        (MOST - 100, Arm::Canary),
        (MOST + 1, Arm::Control),
        (3 * 1024 * 1024, Arm::Control),
    ] {
        let body = body(&canary, size);
        let whole = client.ask("POST /", &[], &body).await.unwrap();
        let post = http2::request(Method::POST, "/", &[]);
        let by_stream = streams.ask(post, &body).await.unwrap();
        for answer in [whole, by_stream] {
            assert_eq!((answer.status, answer.arm()), (200, Some(arm)), "{size}");
            assert!(answer.body == body, "{size} bytes came back otherwise");
        }
    }
    wire.vms_live().await.unwrap();
}

/// Read by the filter, and by nobody before it.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_cannot_be_read_go_on_to_the_baseline_as_they_are() {
    let _turn = turn().await;
    let wire = Wire::start_with(&by_body(), &[]).await;
    let user = user(Arm::Canary);
    let good = body(&user, 10);
    let deep = |open: &str| open.repeat((MOST - 100) / open.len()).into_bytes();
    let around = |before: &[u8], after: &[u8]| [before, good.as_slice(), after].concat();
    let mut client = wire.http1().await;
    for body in [
        deep("["),
        deep("{\"user\":"),
        deep("{\"a\":[{\"user\":"),
        around(b"[", b"]"),
        around(b"\xef\xbb\xbf\xff", b""),
        around(b"", b"{"),
        b"{\"user\": \"\xff\"}".to_vec(),
        b"{\"user\": \"\\ud800\"}".to_vec(),
        b"{\"user\": \"no end".to_vec(),
        b"{\"user\": null}".to_vec(),
        b"{\"user\": {\"user\": 1}}".to_vec(),
        b"{\"user\": ".to_vec(),
        b"\0".to_vec(),
    ] {
        let start = body[..body.len().min(30)].escape_ascii().to_string();
        let answer = client.ask("POST /", &[], &body).await.unwrap();
        assert_eq!(
            (answer.status, answer.arm()),
            (200, Some(Arm::Control)),
            "{start}"
        );
        assert!(answer.body == body, "{start} came back otherwise");
    }
    let answer = client.ask("POST /", &[], &good).await.unwrap();
    assert_eq!(answer.arm(), Some(Arm::Canary));
    wire.vms_live().await.unwrap();
}

/// Who leaves while they are held was never there; who stays is decided by the plan
/// of the moment in which the body is whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_and_a_plan_that_changes_while_a_request_is_held() {
    let _turn = turn().await;
    let wire = Wire::start_with(&by_body(), &options::ALL).await;
    let next = canary_after(&[50, 75]);
    let moves =
        |key: &String| arm_at_half(key) == Arm::Control && arm_of(&next, key, ID) == Arm::Canary;
    let key = keys(200).into_iter().find(moves).unwrap();
    let body = body(&key, 10_000);
    let length = body.len().to_string();
    let head = request("POST /", &[("content-length", &length)], b"");
    let (first, rest) = body.split_at(5_000);

    let mut leaves = wire.http1().await;
    leaves.send(&[&head, first].concat()).await.unwrap();
    let streams = wire.http2().await;
    let mut resets = streams
        .begin(http2::request(Method::POST, "/", &[]), false)
        .await
        .unwrap();
    resets.sending.send(first, false).await.unwrap();
    let mut stays = wire.http1().await;
    stays.send(&[&head, first].concat()).await.unwrap();
    drop(leaves);
    resets.sending.reset();

    wire.judge.act(ID, "promote", "to 75%").await.unwrap();
    settled_by(&wire.judge).await.unwrap();
    assert_eq!(
        wire.control.count() + wire.canary.count(),
        0,
        "nobody got anything yet"
    );
    stays.send(rest).await.unwrap();
    let answer = stays.answer().await.unwrap();
    assert_eq!((answer.status, answer.arm()), (200, Some(Arm::Canary)));
    assert!(answer.body == body);
    let one = Counts {
        exposures: 1,
        finished: 1,
        ..Counts::default()
    };
    wire.counted(Arm::Canary, one).await;
    assert_eq!(wire.counts(Arm::Control).await.unwrap(), Counts::default());
    assert_eq!(wire.control.count() + wire.canary.count(), 1);
    wire.vms_live().await.unwrap();
}

/// Pipelined, asked again, and answered by Envoy itself.
#[tokio::test(flavor = "multi_thread")]
async fn held_requests_keep_their_order_and_are_retried_whole() {
    let _turn = turn().await;
    let edits = [options::RETRIES.as_slice(), &options::LOCAL_REPLIES].concat();
    let wire = Wire::start_with(&by_body(), &edits).await;
    let mut client = wire.http1().await;
    let users = keys(20);
    let requests = users
        .iter()
        .map(|key| request("POST /", &[], &body(key, 3_000)));
    client
        .send(&requests.collect::<Vec<_>>().concat())
        .await
        .unwrap();
    for key in &users {
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.arm()), (200, Some(arm_at_half(key))));
        assert!(answer.body == body(key, 3_000), "{key}");
    }
    for arm in ARMS {
        let (key, server) = (user(arm), wire.server(arm));
        server.take_seen();
        server.fail_next(2);
        let body = body(&key, 50_000);
        let answer = client.ask("POST /", &[], &body).await.unwrap();
        assert_eq!((answer.status, answer.arm()), (200, Some(arm)));
        assert!(answer.body == body);
        assert_eq!(server.take_seen().len(), 3);
        let answer = client.ask("POST /direct/429", &[], &body).await.unwrap();
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (429, b"later".as_slice())
        );
    }
    wire.vms_live().await.unwrap();
}
