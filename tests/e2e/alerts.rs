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
use serinus_tests::prometheus::Prometheus;
use serinus_tests::wait;
use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt;
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
    /// News of this rollout is refused whenever it comes.
    refuses: Arc<Mutex<Option<&'static str>>>,
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
    let refuses = *receiver.refuses.lock().unwrap();
    let is_refused = refuses.is_some_and(|id| body.contains(&format!("\"rollout\":\"{id}\"")));
    receiver.got.lock().unwrap().push((headers, body));
    if is_refused {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    }
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
    let secret = folder.join("secret");
    std::fs::write(&secret, "s3cret").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
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

/// A hook that wants to know all, and knew nothing before the judge ended.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_told_is_told_after_a_restart() {
    let (receiver, url) = Receiver::start().await;
    receiver.next(&[Does::Answers(500); 100]);
    let hooks = json!([{"name": "mlflow", "url": url}]);
    let mut judge = judge(&[], &hooks).await;
    judge.create(&alone("unheard")).await.unwrap();
    told(&receiver, 1).await;
    judge.kill().await.unwrap();
    receiver.next.lock().unwrap().clear();
    let before = receiver.got().len();
    judge.start().await.unwrap();
    let got = told(&receiver, before + 1).await;
    assert_eq!(got[before].1["deed"], "create");
    assert_eq!(got[before].1["rollout"], "unheard");
}

/// What a receiver does not want of one rollout holds back no other's news.
#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_refused_holds_back_no_other_rollout() {
    let (receiver, url) = Receiver::start().await;
    *receiver.refuses.lock().unwrap() = Some("refused");
    let hooks = json!([{"name": "mlflow", "url": url}]);
    let judge = judge(&[], &hooks).await;
    judge.create(&alone("refused")).await.unwrap();
    told(&receiver, 1).await;
    judge.create(&alone("other")).await.unwrap();
    wait::until("the other's news", LIMIT, async || {
        let got = receiver.got();
        let other = got.iter().any(|(_, body)| body["rollout"] == "other");
        Ok(other.then_some(()))
    })
    .await
    .unwrap();
    let status = judge
        .call(Method::GET, "/v1/rollouts/refused", None)
        .await
        .unwrap();
    let notices = status.body["notices"].to_string();
    assert!(
        notices.contains("webhook mlflow was not told yet of decision 1"),
        "{notices}"
    );
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
    let secrets = tempfile::tempdir().unwrap();
    let secret = secrets.path().join("gate-secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let secret = secret.display().to_string();
    let judge = judge(&[("--gate-secret-file", &secret)], &json!([])).await;
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
    let (headers, body) = receiver.got()[0].clone();
    assert_eq!(body["rollout"], "gated");
    let signed = headers["x-serinus-signature"].to_str().unwrap();
    assert!(
        signed.starts_with("sha256=") && signed.len() == 71,
        "{signed}"
    );
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
    // This may run in the one minute of the week, and waits for its end then.
    held(
        &judge,
        "never",
        "Mon from 00:00 to 00:01 (Pacific/Kiritimati)",
    )
    .await;
}

/// A minute is how long a gate may take, and the limit of this test.
#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_hangs_delays_no_other() {
    let (hanging, slow) = Receiver::start().await;
    hanging.next(&[Does::Hangs; 10]);
    let (answering, quick) = Receiver::start().await;
    let judge = judge(&[], &json!([])).await;
    let gated = |id: &str, url: &str| {
        let mut spec = alone(id);
        spec["gates"] = json!({"ask": [{"name": "board", "url": url, "timeout_ms": 60_000}]});
        spec
    };
    judge.create(&gated("slow", &slow)).await.unwrap();
    told(&hanging, 1).await;
    answering.next(&[Does::Answers(403)]);
    judge.create(&gated("quick", &quick)).await.unwrap();
    held(&judge, "quick", "answered 403").await;
    held(&judge, "slow", "it was not asked yet").await;
    assert_eq!(hanging.got().len(), 1, "it is asked once at a time");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_prometheus_holds_or_takes_back() {
    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(folder.path(), &[]).await.unwrap();
    let judge = judge(&[("--prometheus", prometheus.address())], &json!([])).await;
    let query = |name: &str, query: &str| json!({"name": name, "query": query, "at_most": 2, "every_seconds": 1});
    let mut spec = alone("asked");
    spec["gates"] = json!({"queries": [
        query("good", "vector(1)"),
        query("none", "nothing_here"),
        query("nan", "vector(0) / vector(0)"),
        query("two", "vector(1) or label_replace(vector(2), \"a\", \"b\", \"\", \"\")"),
        query("wrong", "sum("),
    ]});
    judge.create(&spec).await.unwrap();
    for words in [
        "has no data",
        "no finite number",
        "has 2 series",
        "parse error",
    ] {
        let reasons = held(&judge, "asked", words).await;
        if words == "parse error" {
            assert!(!reasons.contains("gate good"), "{reasons}");
        }
    }
    let mut hot = alone("hot");
    let mut at_most = query("temperature", "vector(5)");
    (at_most["then"], at_most["checks"]) = (json!("roll_back"), json!(2));
    hot["gates"] = json!({"queries": [at_most]});
    judge.create(&hot).await.unwrap();
    let decided = wait::until("it to be taken back", LIMIT, async || {
        let decisions = judge.decisions("hot").await?;
        let last = decisions.last().map(|last| last.reasons.join(" "));
        Ok(last.filter(|reasons| reasons.contains("temperature")))
    })
    .await
    .unwrap();
    assert!(
        decided.contains("is 5; at most 2 is right, at 2 checks in a row"),
        "{decided}"
    );
    assert_eq!(judge.status("hot").await.unwrap().phase, Phase::RolledBack);
    assert_eq!(judge.status("asked").await.unwrap().phase, Phase::Running);

    // Prometheus goes away: that is no number, and takes nothing back.
    let mut well = alone("well");
    let mut at_most = query("temperature", "vector(1)");
    (at_most["then"], at_most["checks"]) = (json!("roll_back"), json!(2));
    well["gates"] = json!({"queries": [at_most]});
    judge.create(&well).await.unwrap();
    is_open(&judge, "well", true).await;
    drop(prometheus);
    is_open(&judge, "well", false).await;
    let reasons = held(&judge, "well", "gate temperature is closed").await;
    assert!(reasons.contains("Prometheus at "), "{reasons}");
    assert_eq!(judge.status("well").await.unwrap().phase, Phase::Running);
}

/// Waits until the first gate of a rollout is open, or closed.
async fn is_open(judge: &Judge, id: &str, wanted: bool) {
    wait::until("the gate to change", LIMIT, async || {
        let path = format!("/v1/rollouts/{id}");
        let status = judge.call(Method::GET, &path, None).await?;
        Ok((status.body["gates"][0]["open"] == wanted).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_that_hangs_delays_no_verdict_and_no_other_gate() {
    let (hanging, url) = Receiver::start().await;
    hanging.next(&[Does::Hangs; 100]);
    let (_, good) = Receiver::start().await;
    let judge = judge(
        &[("--prometheus", url.trim_end_matches("/hook"))],
        &json!([]),
    )
    .await;
    let mut asked = alone("asked");
    asked["gates"] = json!({"queries": [
        {"name": "cpu", "query": "vector(1)", "at_most": 2, "every_seconds": 1},
    ]});
    judge.create(&asked).await.unwrap();
    wait::until("it to hang", LIMIT, async || {
        Ok((!hanging.got.lock().unwrap().is_empty()).then_some(()))
    })
    .await
    .unwrap();
    let mut other = alone("other");
    other["gates"] = json!({"ask": [{"name": "board", "url": good}]});
    judge.create(&other).await.unwrap();
    is_open(&judge, "other", true).await;
    // Both are judged all the while, and the hanging one says why it waits.
    for id in ["asked", "other"] {
        held(&judge, id, "requests").await;
    }
    held(&judge, "asked", "no answer within 10s").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_is_given_up_and_holds_back_no_other_rollout() {
    let (receiver, url) = Receiver::start().await;
    receiver.next(&[Does::Hangs]);
    let hooks = json!([{"name": "mlflow", "url": url}]);
    let judge = judge(&[], &hooks).await;
    judge.create(&alone("slow")).await.unwrap();
    told(&receiver, 1).await;
    judge.create(&alone("other")).await.unwrap();
    let got = told(&receiver, 2).await;
    assert_eq!(got[1].1["rollout"], "other", "it does not wait");
    wait::until("the wait to be given up", LIMIT, async || {
        let path = "/v1/rollouts/slow";
        let status = judge.call(Method::GET, path, None).await?;
        let notices = status.body["notices"].to_string();
        Ok(notices.contains("no answer within 10s").then_some(()))
    })
    .await
    .unwrap();
    // It is told again, by the same key.
    let got = told(&receiver, 3).await;
    assert_eq!(got[0].1, got[2].1);
}
