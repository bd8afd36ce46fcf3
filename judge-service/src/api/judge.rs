//! What people and their tools ask about the judge itself.

use super::Judge;
use super::problem::Problem;
use super::query::Query;
use crate::domain::audit::Audited;
use crate::service::{ProxyState, WebhookState};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;

/// At most so many at once; who wants more goes on after the last.
const AUDITED_AT_ONCE: u32 = 1_000;

/// In the place of a rollout's secret: it looks like one, so that the plan is one.
const NO_SECRET: &str = "00000000000000000000000000000000";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    #[serde(default)]
    after: u64,
    limit: Option<u32>,
}

pub async fn audit(
    State(service): Judge,
    Query(After { after, limit }): Query<After>,
) -> Result<Json<Vec<Audited>>, Problem> {
    if limit == Some(0) {
        return Err(Problem::empty_page());
    }
    let limit = limit.unwrap_or(AUDITED_AT_ONCE).min(AUDITED_AT_ONCE);
    Ok(Json(service.audit(after, limit).await?))
}

/// The plan, for whoever computes which arm a user has: without the secrets of the users'
/// pseudonyms, on which that does not depend.
pub async fn public_plan(State(service): Judge) -> Result<Json<Value>, Problem> {
    let published = service.delivery().subscribe().borrow().clone();
    let mut plan: Value = serde_json::from_slice(&published.bytes)
        .map_err(|_| Problem::unavailable("there is no plan yet"))?;
    let rollouts = plan.get_mut("rollouts").and_then(Value::as_array_mut);
    for rollout in rollouts.into_iter().flatten() {
        if let Some(key) = rollout.get_mut("identity_key") {
            *key = Value::String(NO_SECRET.to_owned());
        }
    }
    Ok(Json(plan))
}

pub async fn webhooks(State(service): Judge) -> Json<Vec<WebhookState>> {
    Json(service.webhooks())
}

pub async fn proxies(State(service): Judge) -> Json<Vec<ProxyState>> {
    Json(service.delivery().proxies().states(service.now()))
}

pub async fn counters(State(service): Judge) -> Response {
    Json(service.counters()).into_response()
}
