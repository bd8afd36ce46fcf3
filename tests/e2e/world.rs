//! What all tests need: turns, a plain rollout, requests one by one, and core as
//! an oracle of who belongs where.

use reqwest::Method;
use serde_json::{Value, json};
use serinus_core::allocation::Allocation;
use serinus_core::bucket::{BUCKETS, place};
use serinus_tests::failure::Result;
use serinus_tests::judge::Judge;
use serinus_tests::lab::{CANARY, CONTROL, Lab, VERSIONS};
use serinus_tests::load::{self, Arm, MODEL, USER_HEADER, request_body};
use serinus_tests::wait;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

static TURN: Mutex<()> = Mutex::const_new(());

/// One lab at a time.
pub async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// Longer than anything takes on a machine that compiles at the same time.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A rollout that stays at its first step until somebody moves it, judged by
/// nothing that the tests of routing do.
pub fn steady(id: &str) -> Value {
    json!({
        "id": id,
        "match": {"path_prefix": format!("/v2/models/{MODEL}/")},
        "unit": [{"header": USER_HEADER}],
        "arms": [
            {"name": CONTROL, "version": VERSIONS.control},
            {"name": CANARY, "version": VERSIONS.canary},
        ],
        "minimum": {"seconds": 86_000, "exposures": 500},
    })
}

/// One beside others: of requests that no other has.
pub fn alone(id: &str) -> Value {
    let mut spec = steady(id);
    spec["match"] = json!({ "path_prefix": format!("/{id}/") });
    spec
}

/// Waits until every thread of Envoy, the main one too, has the newest plan.
pub async fn settled(lab: &Lab) -> Result<()> {
    settled_by(&lab.judge).await
}

/// The same, of the one Envoy that a judge has.
pub async fn settled_by(judge: &Judge) -> Result<()> {
    wait::until(
        "every thread of Envoy to have the plan",
        LIMIT,
        async || {
            let workers = judge.call(Method::GET, "/v1/workers", None).await?;
            let plan = judge.call(Method::GET, "/v1/plan", None).await?;
            let newest = plan.body["revision"].clone();
            let states = workers.body.as_array().cloned().unwrap_or_default();
            // Two workers and the main thread.
            let all = states.len() == 3 && states.iter().all(|state| state["state"] == "converged");
            Ok((all && !newest.is_null()).then_some(()))
        },
    )
    .await
}

/// Buckets of the canary after these weights in turn, from nothing.
pub fn canary_after(percents: &[u16]) -> Allocation {
    percents
        .iter()
        .fold(Allocation::whole(0), |allocation, percent| {
            let canary = percent * (BUCKETS / 100);
            allocation.rebalanced(&[BUCKETS - canary, canary]).unwrap()
        })
}

/// The arm that core gives a user.
pub fn arm_of(allocation: &Allocation, key: &str, salt: &str) -> Arm {
    match allocation.arm(place(key.as_bytes(), salt).bucket) {
        Some(1) => Arm::Canary,
        _ => Arm::Control,
    }
}

/// Sends one image with these headers; the version that answered.
pub async fn ask(lab: &Lab, headers: &[(&str, &str)]) -> Result<Arm> {
    ask_at(lab, "", headers).await
}

/// The same, with a query string.
pub async fn ask_at(lab: &Lab, query: &str, headers: &[(&str, &str)]) -> Result<Arm> {
    let url = format!("{}/v2/models/{MODEL}/infer{query}", lab.envoy.address());
    let mut request = reqwest::Client::new()
        .post(url)
        .body(request_body(&lab.images[0]));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await?;
    let status = response.status();
    let text = response.text().await?;
    if !status.is_success() {
        return Err(format!("{status}: {text}").into());
    }
    let answer: Value = serde_json::from_str(&text)?;
    match answer["model_version"].as_str() {
        Some(version) if version == VERSIONS.control => Ok(Arm::Control),
        Some(version) if version == VERSIONS.canary => Ok(Arm::Canary),
        _ => Err(format!("no version in {text}").into()),
    }
}

/// The keys of users 0 to `count` - 1.
pub fn keys(count: u32) -> Vec<String> {
    (0..count).map(load::user_key).collect()
}
