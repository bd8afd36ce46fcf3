//! Upgrades: a WebSocket is routed by its user like any request, and then both
//! sides talk as if nobody stood between.

use crate::wire::answer;
use crate::wire::echo::pattern;
use crate::wire::http1::request;
use crate::wire::http2::{self, Receiving};
use crate::wire::websocket::{self, Frame};
use crate::wire::{Counts, Wire, options, user};
use crate::world::{LIMIT, turn};
use h2::ext::Protocol;
use hyper::Method;
use serinus_tests::load::{Arm, USER_HEADER};
use serinus_tests::wait;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

const ARMS: [(Arm, &str); 2] = [(Arm::Control, "control"), (Arm::Canary, "canary")];

fn handshake(key: &str) -> [(&str, &str); 5] {
    [
        (USER_HEADER, key),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", websocket::KEY),
    ]
}

/// What a client says, and what the server says to that.
fn talk() -> Vec<(Frame, Frame)> {
    let same = |frame: Frame| (frame.clone(), frame);
    vec![
        same(Frame::text("grüß dich")),
        same(Frame::binary(&pattern(100_000))),
        (Frame::ping(), Frame::pong()),
        same(Frame::close()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_talks_to_its_users_arm() {
    let _turn = turn().await;
    let wire = Wire::start(&options::ALL).await;
    for (arm, name) in ARMS {
        let mut client = wire.http1().await;
        let upgrade = request("GET /socket", &handshake(&user(arm)), b"");
        client.send(&upgrade).await.unwrap();
        let answer = client.answer_without_body().await.unwrap();
        assert_eq!((answer.status, answer.arm()), (101, Some(arm)));
        assert_eq!(answer.headers["sec-websocket-accept"], websocket::ACCEPT);
        let mut stream = client.stream;
        // The server speaks first.
        let hello = timeout(LIMIT, websocket::read(&mut stream)).await.unwrap();
        assert_eq!(hello.unwrap(), Frame::text(name));
        // However long it lives and whoever closes it: its answer was the upgrade.
        let well = Counts {
            exposures: 1,
            finished: 1,
            ..Counts::default()
        };
        wire.counted(arm, well).await;
        for (said, answered) in talk() {
            websocket::send(&mut stream, &said).await.unwrap();
            let answer = timeout(LIMIT, websocket::read(&mut stream)).await.unwrap();
            assert_eq!(answer.unwrap(), answered);
        }
        let end = timeout(LIMIT, stream.read(&mut [0])).await.unwrap();
        assert_eq!(end.unwrap(), 0, "the server closes, and so does Envoy");
        wire.counted(arm, well).await;
    }
    wire.unharmed().await;
}

/// A server that does not want to is heard like any other answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_is_refused_is_a_plain_answer() {
    let _turn = turn().await;
    let wire = Wire::start(&options::ALL).await;
    for (arm, _) in ARMS {
        let mut client = wire.http1().await;
        let key = user(arm);
        let headers = [
            handshake(&key).as_slice(),
            &[("x-answer-status", "401"), ("x-answer", "size 10")],
        ]
        .concat();
        let answer = client.ask("GET /socket", &headers, b"").await.unwrap();
        assert_eq!((answer.status, answer.arm()), (401, Some(arm)));
        assert_eq!(answer.body, pattern(10));
    }
    wire.unharmed().await;
}

/// RFC 8441: one stream of an HTTP/2 connection becomes a WebSocket, beside others.
#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_over_http2_talks_to_its_users_arm() {
    let _turn = turn().await;
    let wire = Wire::start(&options::ALL).await;
    let client = wire.http2().await;
    wait::until("Envoy's settings", LIMIT, async || {
        Ok(client.takes_connect().then_some(()))
    })
    .await
    .unwrap();
    for (arm, name) in ARMS {
        let key = user(arm);
        let headers = [(USER_HEADER, key.as_str()), ("sec-websocket-version", "13")];
        let mut connect = http2::request(Method::CONNECT, "/socket", &headers);
        connect
            .extensions_mut()
            .insert(Protocol::from_static("websocket"));
        let exchange = client.begin(connect, false).await.unwrap();
        let (mut sending, mut receiving) = exchange.headers().await.unwrap();
        assert_eq!(
            (receiving.status, answer::arm(&receiving.headers)),
            (200, Some(arm))
        );
        let mut read = Vec::new();
        assert_eq!(next(&mut receiving, &mut read).await, Frame::text(name));
        for (said, answered) in talk() {
            let mut bytes = Vec::new();
            websocket::send(&mut bytes, &said).await.unwrap();
            sending.send(&bytes, false).await.unwrap();
            assert_eq!(next(&mut receiving, &mut read).await, answered);
        }
        let plain = http2::request(Method::GET, "/", &headers[..1]);
        assert_eq!(client.ask(plain, b"").await.unwrap().arm(), Some(arm));
    }
    wire.unharmed().await;
}

/// The next frame of a stream, of whose bytes `read` holds those that came already.
async fn next(receiving: &mut Receiving, read: &mut Vec<u8>) -> Frame {
    loop {
        let mut bytes = read.as_slice();
        if let Ok(frame) = websocket::read(&mut bytes).await {
            *read = bytes.to_vec();
            return frame;
        }
        let piece = receiving.piece().await.unwrap();
        read.extend(piece.expect("the stream ended within a frame"));
    }
}
