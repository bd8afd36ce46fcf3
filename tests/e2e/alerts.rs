//! Webhooks and gates, with receivers that fail, hang, redirect and come back.

use crate::world::{LIMIT, alone};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use reqwest::Method;
use serde_json::{Value, json};
use serinus_tests::judge::Judge;
use serinus_tests::judge::status::Phase;
use serinus_tests::lab::CANARY;
use serinus_tests::wait;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// What a receiver does with the next call; 200 when nothing is said.
#[derive(Clone, Copy)]
enum Does {
    Answers(u16),
    Hangs,
    Redirects,
}

#[derive(Clone, Default)]
struct Receiver {
    next: Arc<Mutex<VecDeque<Does>>>,
    got: Arc<Mutex<Vec<(HeaderMap, String)>>>,
}

impl Receiver {
    async fn start() -> (Self, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver = Self::default();
        let router = Router::new().fallback(receive).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, url)
    }

    fn next(&self, all: &[Does]) {
        self.next.lock().unwrap().extend(all);
    }

    fn got(&self) -> Vec<(HeaderMap, Value)> {
        let got = self.got.lock().unwrap();
        got.iter()
            .map(|(headers, body)| (headers.clone(), serde_json::from_str(body).unwrap()))
            .collect()
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> Response {
    receiver.got.lock().unwrap().push((headers, body));
    let next = receiver.next.lock().unwrap().pop_front();
    match next.unwrap_or(Does::Answers(200)) {
        Does::Answers(status) => {
            let status = StatusCode::from_u16(status).unwrap();
            (status, "not on a Friday").into_response()
        }
        Does::Hangs => std::future::pending().await,
        Does::Redirects => {
            let to = [(header::LOCATION, "http://127.0.0.1:1/secret")];
            (StatusCode::FOUND, to).into_response()
        }
    }
}

async fn judge(options: &[(&str, &str)], hooks: &Value) -> Judge {
    let folder = tempfile::tempdir().unwrap().keep();
    std::fs::write(folder.join("secret"), "s3cret").unwrap();
    let file = folder.join("webhooks.json");
    std::fs::write(&file, hooks.to_string()).unwrap();
    let mut judge = Judge::new(&folder).unwrap();
    judge.option("--webhooks", file.to_str().unwrap());
    for (name, value) in options {
        judge.option(name, value);
    }
    judge.start().await.unwrap();
    judge
}

async fn told(receiver: &Receiver, count: usize) -> Vec<(HeaderMap, Value)> {
    wait::until(&format!("{count} calls"), LIMIT, async || {
        let got = receiver.got();
        Ok((got.len() >= count).then_some(got))
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_is_told_again_in_order_and_signed() {
    let (receiver, url) = Receiver::start().await;
    receiver.next(&[Does::Answers(500), Does::Redirects, Does::Answers(200)]);
    let hooks = json!([{"name": "mlflow", "url": url, "secret_file": "secret"}]);
    let judge = judge(&[], &hooks).await;
    judge.create(&alone("told")).await.unwrap();
    judge.act("told", "pause", "let us see").await.unwrap();
    let got = told(&receiver, 4).await;
    let deeds: Vec<&str> = got
        .iter()
        .map(|(_, body)| body["deed"].as_str().unwrap())
        .collect();
    assert_eq!(deeds, ["create", "create", "create", "pause"]);
    let key = |at: usize| got[at].0["idempotency-key"].to_str().unwrap();
    assert!(key(0) == key(1) && key(1) == key(2) && key(2) != key(3));
    let signature = got[3].0["x-serinus-signature"].to_str().unwrap();
    assert!(
        signature.starts_with("sha256=") && signature.len() == 71,
        "{signature}"
    );
    assert_eq!(got[3].1["reasons"], json!(["let us see"]));
    let states = judge
        .call(Method::GET, "/v1/webhooks", None)
        .await
        .unwrap()
        .body;
    assert_eq!(states[0]["problem"], Value::Null, "{states}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_said_where_people_look_and_survives_a_restart() {
    let (receiver, url) = Receiver::start().await;
    receiver.next(&[Does::Redirects, Does::Hangs]);
    let hooks = json!([{"name": "slack", "url": url, "format": "slack", "events": ["abort"]}]);
    let mut judge = judge(&[], &hooks).await;
    judge.create(&alone("kept")).await.unwrap();
    judge.act("kept", "abort", "enough").await.unwrap();
    let notice = wait::until("the failure to be said", LIMIT, async || {
        let status = judge.call(Method::GET, "/v1/rollouts/kept", None).await?;
        let notices = status.body["notices"].to_string();
        Ok(notices.contains("webhook slack").then_some(notices))
    })
    .await
    .unwrap();
    assert!(notice.contains("redirects are not followed"), "{notice}");
    judge.kill().await.unwrap();
    receiver.next.lock().unwrap().clear();
    judge.start().await.unwrap();
    let got = told(&receiver, 2).await;
    let (_, last) = got.last().unwrap();
    let text = last["text"].as_str().unwrap();
    assert!(
        text.contains("*kept*: aborted by a person") && text.contains("enough"),
        "{text}"
    );
    // Only what it asked for, and each deed as the same message.
    assert!(got.iter().all(|(_, body)| body == last), "{got:?}");
}

/// Reasons for which a rollout is held.
async fn held(judge: &Judge, id: &str, words: &str) -> String {
    wait::until(
        &format!("{id} to be held by `{words}`"),
        LIMIT,
        async || {
            let status = judge
                .call(Method::GET, &format!("/v1/rollouts/{id}"), None)
                .await?;
            let reasons = status.body["evaluation"]["reasons"].to_string();
            Ok(reasons.contains(words).then_some(reasons))
        },
    )
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_holds_until_it_says_yes() {
    let (receiver, url) = Receiver::start().await;
    receiver.next(&[Does::Answers(403)]);
    let judge = judge(&[], &json!([])).await;
    let mut spec = alone("gated");
    spec["gates"] = json!({
        "ask": [{"name": "board", "url": url}],
        "windows": [{"from": "00:00", "to": "00:01", "zone": "UTC"}, {"from": "00:01", "zone": "UTC"}],
    });
    judge.create(&spec).await.unwrap();
    let reasons = held(&judge, "gated", "answered 403").await;
    assert!(
        reasons.contains("gate board is closed") && reasons.contains("not on a Friday"),
        "{reasons}"
    );
    assert!(
        !reasons.contains("gate windows"),
        "the two windows are all day: {reasons}"
    );
    assert_eq!(receiver.got()[0].1["rollout"], "gated");
    wait::until("the gate to open", LIMIT, async || {
        let status = judge.call(Method::GET, "/v1/rollouts/gated", None).await?;
        let reasons = status.body["evaluation"]["reasons"].to_string();
        Ok((!reasons.contains("gate board")).then_some(()))
    })
    .await
    .unwrap();
    // A person may go on all the same.
    judge.act("gated", "promote", "by hand").await.unwrap();
    let mut never = alone("never");
    never["gates"] = json!({"windows": [{"days": ["mon"], "from": "00:00", "to": "00:01", "zone": "Pacific/Kiritimati"}]});
    judge.create(&never).await.unwrap();
    // Unless this runs in the one minute of the week.
    let reasons = held(&judge, "never", "has").await;
    assert!(
        reasons.contains("Pacific/Kiritimati") || reasons.contains(CANARY),
        "{reasons}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_without_a_prometheus_hold_and_say_so() {
    let judge = judge(&[], &json!([])).await;
    let mut spec = alone("blind");
    spec["gates"] = json!({"queries": [
        {"name": "cpu", "query": "up", "at_least": 1, "then": "roll_back", "checks": 1, "every_seconds": 1},
    ]});
    judge.create(&spec).await.unwrap();
    held(&judge, "blind", "not told of a Prometheus").await;
    let status = judge.status("blind").await.unwrap();
    assert_eq!(
        status.phase,
        Phase::Running,
        "nothing is taken back on what is not known"
    );
}
