//! What workers call.

use super::body;
use super::poll::{self, Asked};
use super::problem::Problem;
use crate::service::{ProxyState, Service, WebhookState, WorkerState};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serinus_core::report;
use serinus_core::sample::{self, SampleBatch};
use std::sync::Arc;

/// Answers at once when the caller has another revision, and else when there is
/// a new one, or with 204 after `wait` seconds. Who only says which one it has, since
/// its plan comes another way, gets no plan.
pub async fn plan(
    State(service): State<Arc<Service>>,
    query: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = poll::read(query, &headers)?;
    // They lie in the connection's buffer, which would have to be kept while this waits.
    drop(headers);
    if let Some(poll) = &asked.by_worker {
        service.delivery().polled(poll, service.now());
    }
    // Only a worker can have been given a plan.
    let may_overtake = asked.by_worker.is_some() && asked.may_overtake;
    if may_overtake && asked.known > service.delivery().revision() {
        service.overtake(asked.known).await.map_err(|wait| {
            let seconds = wait.as_secs_f64().ceil() as u32;
            let detail = format!(
                "plan {} is later than this judge's, and it started new generations too often lately",
                asked.known
            );
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry(seconds.max(1))
        })?;
    }
    if asked.by_config {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(poll::answer(service.delivery(), &asked, |plan, known| plan != known).await)
}

pub async fn report(State(service): State<Arc<Service>>, body: Body) -> Result<Response, Problem> {
    let bytes = counted(&service, body::bytes(body, report::MAX_BYTES).await)?;
    Ok(Json(service.report(bytes).await?).into_response())
}

pub async fn samples(State(service): State<Arc<Service>>, body: Body) -> Result<Response, Problem> {
    let batch: SampleBatch = counted(
        &service,
        body::tolerant(body, sample::MAX_BATCH_BYTES).await,
    )?;
    Ok(Json(service.sample(batch).await?).into_response())
}

pub async fn workers(State(service): State<Arc<Service>>) -> Json<Vec<WorkerState>> {
    Json(service.delivery().workers(service.now()))
}

pub async fn webhooks(State(service): State<Arc<Service>>) -> Json<Vec<WebhookState>> {
    Json(service.webhooks())
}

pub async fn proxies(State(service): State<Arc<Service>>) -> Json<Vec<ProxyState>> {
    Json(service.delivery().proxies().states(service.now()))
}

pub async fn counters(State(service): State<Arc<Service>>) -> Response {
    Json(service.counters()).into_response()
}

fn counted<T>(service: &Service, read: Result<T, Problem>) -> Result<T, Problem> {
    if read.is_err() {
        service.malformed();
    }
    read
}
