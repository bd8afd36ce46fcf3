//! What people and their tools ask about the judge itself.

use super::Judge;
use super::problem::Problem;
use super::query::Query;
use crate::domain::audit::Audited;
use crate::service::{ProxyState, WebhookState, WorkerState};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

/// At most so many at once; who wants more goes on after the last.
const AUDITED_AT_ONCE: u32 = 1_000;

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

pub async fn workers(State(service): Judge) -> Json<Vec<WorkerState>> {
    Json(service.delivery().workers(service.now()))
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
