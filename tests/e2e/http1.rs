//! HTTP/1.1 byte by byte: connections that stay, bodies in every framing, answers
//! that end early or never begin.

use crate::wire::answer::Answer;
use crate::wire::echo::pattern;
use crate::wire::http1::{chunked, request};
use crate::wire::{Counts, Wire, arm_at_half, options, user, users};
use crate::world::{keys, turn};
use serinus_tests::load::{Arm, USER_HEADER};

const ARMS: [Arm; 2] = [Arm::Control, Arm::Canary];

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_a_row_on_one_connection_each_go_by_their_user() {
    let _turn = turn().await;
    let wire = Wire::start(&[]).await;
    let mut client = wire.http1().await;
    // Pipelined: all are sent before the first answer is read.
    let mut bytes = Vec::new();
    for key in keys(40) {
        let body = format!("body of {key}");
        bytes.extend(request("POST /", &[(USER_HEADER, &key)], body.as_bytes()));
    }
    client.send(&bytes).await.unwrap();
    for key in keys(40) {
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.arm(), Some(arm_at_half(&key)), "{key}");
        assert_eq!(answer.body, format!("body of {key}").as_bytes());
    }
    // And one after another, on the same connection.
    for key in keys(40) {
        let answer = client
            .ask("GET /", &[(USER_HEADER, &key)], b"")
            .await
            .unwrap();
        assert_eq!(answer.arm(), Some(arm_at_half(&key)), "{key}");
        assert_eq!((answer.status, answer.body.len()), (200, 0));
    }
    for arm in ARMS {
        let theirs = keys(40)
            .iter()
            .filter(|key| arm_at_half(key) == arm)
            .count();
        let expected = Counts {
            exposures: 2 * theirs as u64,
            finished: 2 * theirs as u64,
            ..Counts::default()
        };
        wire.counted(arm, expected).await;
    }
    wire.unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_every_framing_and_size_pass() {
    let _turn = turn().await;
    let wire = Wire::start(&[]).await;
    for arm in ARMS {
        let key = user(arm);
        let who = (USER_HEADER, key.as_str());
        let mut client = wire.http1().await;

        // HEAD says what GET would, and sends nothing; the connection goes on.
        let size = [who, ("x-answer", "size 5000")];
        let answer = client.ask("HEAD /", &size, b"").await.unwrap();
        assert_eq!(answer.arm(), Some(arm));
        assert_eq!(Answer::text(&answer.headers, "content-length"), "5000");
        let answer = client.ask("GET /", &size, b"").await.unwrap();
        assert_eq!(answer.body, pattern(5000));
        let seen = wire.server(arm).take_seen();
        let methods: Vec<_> = seen.iter().map(|seen| seen.method.as_str()).collect();
        assert_eq!(methods, ["HEAD", "GET"]);

        let chunks = [who, ("transfer-encoding", "chunked")];
        client.send(&request("POST /", &chunks, b"")).await.unwrap();
        let bytes = chunked(&[b"one ", b"two ", b"three"], "");
        client.send(&bytes).await.unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!(
            (answer.arm(), answer.body.as_slice()),
            (Some(arm), b"one two three".as_slice())
        );

        // Over Envoy's own buffers, both ways.
        let large = pattern(3 * 1024 * 1024);
        let answer = client.ask("POST /", &[who], &large).await.unwrap();
        assert_eq!(answer.arm(), Some(arm));
        assert!(answer.body == large, "a body of 3 MB came back otherwise");
        let size = [who, ("x-answer", "size 5000000")];
        let answer = client.ask("GET /", &size, b"").await.unwrap();
        assert!(answer.body == pattern(5_000_000));

        // Answers without a body.
        for status in ["204", "304"] {
            let no_body = [who, ("x-answer", "empty"), ("x-answer-status", status)];
            let answer = client.ask("GET /", &no_body, b"").await.unwrap();
            assert_eq!(
                (answer.arm(), answer.status.to_string().as_str()),
                (Some(arm), status)
            );
        }
    }
    wire.unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_pieces_is_held_back_nowhere() {
    let _turn = turn().await;
    let wire = Wire::start(&[]).await;
    for arm in ARMS {
        let mut client = wire.http1().await;
        let headers = [(USER_HEADER, &*user(arm)), ("x-answer", "gated 3")];
        client.send(&request("GET /", &headers, b"")).await.unwrap();
        let answer = client.answer_without_body().await.unwrap();
        assert_eq!(answer.arm(), Some(arm));
        for piece in 0..3 {
            // Only now does the server send it.
            wire.server(arm).release(1);
            let expected = format!("piece {piece}\n").into_bytes();
            assert_eq!(client.chunk().await.unwrap(), Some(expected));
        }
        assert_eq!(client.chunk().await.unwrap(), None);
    }
    wire.unharmed().await;
}

/// 100-continue, as Envoy says it, and as the server does.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_to_be_told_to_go_on_is_told() {
    let _turn = turn().await;
    for edits in [&[][..], &[options::ASK_FIRST]] {
        let wire = Wire::start(edits).await;
        for arm in ARMS {
            let mut client = wire.http1().await;
            let headers = [
                (USER_HEADER, &*user(arm)),
                ("expect", "100-continue"),
                ("content-length", "4"),
            ];
            client
                .send(&request("POST /", &headers, b""))
                .await
                .unwrap();
            let go_on = client.answer_without_body().await.unwrap();
            assert_eq!(go_on.status, 100);
            client.send(b"body").await.unwrap();
            let answer = client.answer().await.unwrap();
            assert_eq!(
                (answer.status, answer.body.as_slice()),
                (200, b"body".as_slice())
            );
            assert_eq!(answer.arm(), Some(arm));
            let seen = wire.server(arm).take_seen();
            let asked = seen.iter().any(|seen| seen.headers.contains_key("expect"));
            assert_eq!(asked, !edits.is_empty());
        }
        wire.unharmed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_both_ways() {
    let _turn = turn().await;
    let wire = Wire::start(&options::ALL).await;
    for arm in ARMS {
        let mut client = wire.http1().await;
        let headers = [
            (USER_HEADER, &*user(arm)),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("trailer", "x-of-the-client"),
            ("x-trailer-x-of-the-server", "at the end"),
        ];
        client
            .send(&request("POST /", &headers, b""))
            .await
            .unwrap();
        let body = chunked(&[b"body"], "x-of-the-client: checksum\r\n");
        client.send(&body).await.unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!(
            (answer.arm(), answer.body.as_slice()),
            (Some(arm), b"body".as_slice())
        );
        for (name, value) in [
            ("x-of-the-client", "checksum"),
            ("x-of-the-server", "at the end"),
        ] {
            assert_eq!(Answer::text(&answer.trailers, name), value, "{answer:?}");
        }
    }
    wire.unharmed().await;
}

/// What breaks off harms nobody else, and is counted for what it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_off_is_counted_apart_and_harms_nobody() {
    let _turn = turn().await;
    // Nothing here may end by a timeout.
    let wire = Wire::start(&options::NO_TIMEOUT).await;
    let arm = Arm::Canary;
    let [first, second, third, fourth] = users(arm, 4).try_into().unwrap();
    let server = wire.server(arm);

    // A client that hangs up within its body, and one that does within the answer.
    let mut client = wire.http1().await;
    let headers = [(USER_HEADER, first.as_str()), ("content-length", "1000")];
    client
        .send(&request("POST /", &headers, b""))
        .await
        .unwrap();
    client.send(b"and no more").await.unwrap();
    wire.arrived(arm, 1).await;
    drop(client);
    let mut client = wire.http1().await;
    let headers = [(USER_HEADER, second.as_str()), ("x-answer", "gated 2")];
    client.send(&request("GET /", &headers, b"")).await.unwrap();
    server.release(1);
    client.answer_without_body().await.unwrap();
    client.chunk().await.unwrap();
    drop(client);
    let mut expected = Counts {
        exposures: 2,
        disconnects: 2,
        ..Counts::default()
    };
    wire.counted(arm, expected).await;

    // A server that breaks off within its answer, and one that gives none.
    let mut client = wire.http1().await;
    let headers = [(USER_HEADER, third.as_str()), ("x-answer", "reset")];
    client.send(&request("GET /", &headers, b"")).await.unwrap();
    let answer = client.answer_without_body().await.unwrap();
    assert_eq!((answer.status, answer.arm()), (200, Some(arm)));
    assert_eq!(
        client.chunk().await.unwrap().as_deref(),
        Some(b"begun".as_slice())
    );
    // One for the answer to the client that went away, which is first in line.
    server.release(2);
    assert_eq!(client.rest().await.unwrap(), b"", "no last chunk");
    let mut client = wire.http1().await;
    let headers = [(USER_HEADER, fourth.as_str()), ("x-answer", "drop")];
    let answer = client.ask("GET /", &headers, b"").await.unwrap();
    assert_eq!((answer.status, answer.arm()), (503, None));
    expected.exposures += 2;
    expected.finished += 2;
    expected.errors += 2;
    wire.counted(arm, expected).await;

    // A server that answers before it has read.
    let mut client = wire.http1().await;
    let headers = [
        (USER_HEADER, fourth.as_str()),
        ("x-answer", "early"),
        ("content-length", "1000"),
    ];
    client
        .send(&request("POST /", &headers, b""))
        .await
        .unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.arm()), (200, Some(arm)));
    assert_eq!(answer.body, b"early");
    expected.exposures += 1;
    expected.finished += 1;
    wire.counted(arm, expected).await;
    wire.unharmed().await;
}
