//! HTTP/2 with prior knowledge, to servers that speak it too and to servers that
//! do not.

use crate::wire::answer::Answer;
use crate::wire::echo::pattern;
use crate::wire::http2::request;
use crate::wire::{Counts, Wire, arm_at_half, options, spec, user, users};
use crate::world::{keys, turn};
use hyper::{HeaderMap, Method, Version};
use serde_json::json;
use serinus_tests::load::{Arm, USER_HEADER};

const ARMS: [Arm; 2] = [Arm::Control, Arm::Canary];

/// All are under way at once: no answer goes on before the last request has arrived.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_streams_of_one_connection_each_go_by_their_user() {
    let _turn = turn().await;
    // As long as two hundred take on a machine that does something else meanwhile.
    let patient = options::NO_TIMEOUT;
    for (edits, version) in [
        (patient.to_vec(), Version::HTTP_11),
        ([&options::ALL[..], &patient].concat(), Version::HTTP_2),
    ] {
        let wire = Wire::start(&edits).await;
        let client = wire.http2().await;
        let users = keys(200);
        let mut streams = Vec::new();
        for key in &users {
            let headers = [(USER_HEADER, key.as_str()), ("x-answer", "gated 2")];
            let request = request(Method::GET, &format!("/{key}"), &headers);
            streams.push(client.begin(request, true).await.unwrap());
        }
        for arm in ARMS {
            let theirs = users.iter().filter(|key| arm_at_half(key) == arm).count();
            wire.arrived(arm, theirs).await;
            wire.server(arm).release(2 * theirs);
            for seen in wire.server(arm).take_seen() {
                assert_eq!(seen.version, version);
                assert_eq!(
                    seen.headers[USER_HEADER],
                    seen.path.rsplit('/').next().unwrap()
                );
            }
        }
        for (key, stream) in users.iter().zip(streams) {
            let answer = stream.answer().await.unwrap();
            assert_eq!(answer.arm(), Some(arm_at_half(key)), "{key}");
            assert_eq!(answer.body, b"piece 0\npiece 1\n", "{key}");
        }
        wire.unharmed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_trailers_pass_both_ways() {
    let _turn = turn().await;
    let wire = Wire::start(&options::ALL).await;
    let client = wire.http2().await;
    for arm in ARMS {
        let key = user(arm);
        let who = (USER_HEADER, key.as_str());

        let head = request(Method::HEAD, "/", &[who, ("x-answer", "size 5000")]);
        let answer = client.ask(head, b"").await.unwrap();
        assert_eq!((answer.arm(), answer.body.len()), (Some(arm), 0));
        assert_eq!(Answer::text(&answer.headers, "content-length"), "5000");

        // Larger than all windows; both ways at once, since the server streams.
        let large = pattern(3 * 1024 * 1024);
        let post = request(Method::POST, "/", &[who, ("x-answer", "stream")]);
        let exchange = client.begin(post, false).await.unwrap();
        let (mut sending, receiving) = exchange.headers().await.unwrap();
        let (sent, answer) = tokio::join!(sending.send(&large, true), receiving.rest());
        sent.unwrap();
        let answer = answer.unwrap();
        assert_eq!(answer.arm(), Some(arm));
        assert!(answer.body == large, "a body of 3 MB came back otherwise");

        let post = request(
            Method::POST,
            "/",
            &[who, ("x-trailer-x-of-the-server", "yes")],
        );
        let mut exchange = client.begin(post, false).await.unwrap();
        exchange.sending.send(b"body", false).await.unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-of-the-client", "yes".parse().unwrap());
        exchange.sending.end_with(trailers).unwrap();
        let answer = exchange.answer().await.unwrap();
        assert_eq!(
            (answer.arm(), answer.body.as_slice()),
            (Some(arm), b"body".as_slice())
        );
        for name in ["x-of-the-client", "x-of-the-server"] {
            assert_eq!(Answer::text(&answer.trailers, name), "yes", "{answer:?}");
        }
    }
    wire.unharmed().await;
}

/// A reset ends one stream and no other of the connection, from either side.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_reset_harms_no_other() {
    let _turn = turn().await;
    let edits = [options::ALL.as_slice(), &options::NO_TIMEOUT].concat();
    let wire = Wire::start(&edits).await;
    let client = wire.http2().await;
    let arm = Arm::Canary;
    let server = wire.server(arm);
    let [leaving, broken] = users(arm, 2).try_into().unwrap();
    let staying = user(Arm::Control);
    let get = |key: &str, wish: &str| {
        request(Method::GET, "/", &[(USER_HEADER, key), ("x-answer", wish)])
    };
    let stays = client.begin(get(&staying, "gated 1"), true).await.unwrap();
    let (_sending, stays) = stays.headers().await.unwrap();

    let mut leaves = client.begin(get(&leaving, "never"), true).await.unwrap();
    // Not before the filter and the server have it.
    wire.arrived(arm, 1).await;
    leaves.sending.reset();
    let mut expected = Counts {
        exposures: 1,
        disconnects: 1,
        ..Counts::default()
    };
    wire.counted(arm, expected).await;

    let breaks = client.begin(get(&broken, "reset"), true).await.unwrap();
    let (_sending, mut breaks) = breaks.headers().await.unwrap();
    assert_eq!(breaks.piece().await.unwrap().unwrap(), "begun");
    server.release(1);
    assert!(
        breaks.piece().await.is_err(),
        "no end of a stream that broke"
    );
    expected.exposures += 1;
    expected.finished += 1;
    expected.errors += 1;
    wire.counted(arm, expected).await;

    wire.control.release(1);
    let answer = stays.rest().await.unwrap();
    assert_eq!(answer.arm(), Some(Arm::Control));
    assert_eq!(answer.body, b"piece 0\n");
    wire.unharmed().await;
}

/// HTTP/2 lets a client cut its cookies into several headers (RFC 9113, section
/// 8.2.3); the unit's may stand in any.
#[tokio::test(flavor = "multi_thread")]
async fn a_unit_in_a_later_crumb_of_the_cookies_is_found() {
    let _turn = turn().await;
    let mut by_cookie = spec();
    by_cookie["unit"] = json!([{"cookie": "uid"}]);
    let wire = Wire::start_with(&by_cookie, &[]).await;
    let client = wire.http2().await;
    for key in keys(20) {
        let uid = format!("uid={key}");
        let crumbs = [
            ("cookie", "theme=dark"),
            ("cookie", &uid),
            ("cookie", "last=1"),
        ];
        let answer = client
            .ask(request(Method::GET, "/", &crumbs), b"")
            .await
            .unwrap();
        assert_eq!(answer.arm(), Some(arm_at_half(&key)), "{key}");
    }
    wire.vms_live().await.unwrap();
}
