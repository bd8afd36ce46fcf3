//! Units and segments from a value in the body, for which a request is held.

use crate::world::{LIMIT, arm_of, canary_after, keys, settled, steady, turn};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use serinus_tests::lab::{CANARY, Lab, Settings, VERSIONS};
use serinus_tests::load::{Arm, MODEL, USER_HEADER, request_body};
use serinus_tests::wait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One image, with a user and a card in its parameters.
fn body(lab: &Lab, user: &str, card: &str) -> String {
    let mut body: Value = serde_json::from_slice(&request_body(&lab.images[0])).unwrap();
    body["parameters"] = json!({"user": user, "card": card});
    body.to_string()
}

async fn arm(request: RequestBuilder) -> Arm {
    let response = request.send().await.unwrap();
    assert!(response.status().is_success(), "{response:?}");
    let answer: Value = response.json().await.unwrap();
    match answer["model_version"].as_str() {
        Some(version) if version == VERSIONS.canary => Arm::Canary,
        Some(version) if version == VERSIONS.control => Arm::Control,
        _ => panic!("{answer}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_in_the_body_is_a_unit_and_a_card() {
    let _turn = turn().await;
    let lab = Lab::start(&Settings::default()).await.unwrap();
    let mut spec = steady("bodies");
    spec["unit"] = json!([{"header": USER_HEADER}, {"body": "/parameters/user"}]);
    spec["segments"] = json!([
        {"name": "gold", "when": [{"body": "/parameters/card", "in": ["gold"]}], "arm": CANARY}]);
    spec["max_held_body_bytes"] = json!(4_000);
    lab.judge.create(&spec).await.unwrap();
    settled(&lab).await.unwrap();
    let url = format!("{}/v2/models/{MODEL}/infer", lab.envoy.address());
    let http = reqwest::Client::new();
    let allocation = canary_after(&[10]);
    let users = keys(60);
    for user in &users {
        let expected = arm_of(&allocation, user, "bodies");
        assert_eq!(
            arm(http.post(&url).body(body(&lab, user, "none"))).await,
            expected
        );
        assert_eq!(in_chunks(&lab, &body(&lab, user, "none")).await, expected);
        assert_eq!(
            arm(http.post(&url).body(body(&lab, user, "gold"))).await,
            Arm::Canary
        );
    }
    // Over the limit, known in advance or not; not JSON to its end; compressed.
    let canary = users
        .iter()
        .find(|user| arm_of(&allocation, user, "bodies") == Arm::Canary)
        .unwrap();
    let long = body(&lab, canary, &"x".repeat(5_000));
    assert_eq!(in_chunks(&lab, &long).await, Arm::Control);
    assert_eq!(arm(http.post(&url).body(long)).await, Arm::Control);
    let compressed = http
        .post(&url)
        .header("content-encoding", "gzip")
        .body(body(&lab, canary, "gold"));
    assert_eq!(arm(compressed).await, Arm::Control, "it says so, at least");
    let broken = http.post(&url).body("{\"parameters\": {\"user\": \"u\"");
    let status = broken.send().await.unwrap().status();
    assert_eq!(status, 400, "the model server's own answer to it");
    let nothing = http.get(&url).send().await.unwrap().status();
    assert!(nothing.is_client_error(), "{nothing}");
    wait::until("the reports", LIMIT, async || {
        let status = lab
            .judge
            .call(Method::GET, "/v1/rollouts/bodies", None)
            .await?;
        let fallbacks = &status.body["fallbacks"];
        let causes = [&fallbacks["body"], &fallbacks["rule"]];
        Ok((causes == [&json!(5), &json!(users.len())]).then_some(()))
    })
    .await
    .unwrap();
}

/// Sends a body in chunks of 100 bytes, whose end only the last one tells.
async fn in_chunks(lab: &Lab, body: &str) -> Arm {
    let host = lab.envoy.address().trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "POST /v2/models/{MODEL}/infer HTTP/1.1\r\nhost: {host}\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for chunk in body.as_bytes().chunks(100) {
        let size = format!("{:x}\r\n", chunk.len());
        for part in [size.as_bytes(), chunk, b"\r\n"] {
            stream.write_all(part).await.unwrap();
        }
        stream.flush().await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    if answer.contains(&format!("\"model_version\":\"{}\"", VERSIONS.canary)) {
        Arm::Canary
    } else {
        Arm::Control
    }
}
