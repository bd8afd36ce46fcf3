//! What workers call.

use super::body;
use super::problem::Problem;
use crate::service::{Service, WorkerState};
use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serinus_core::plan::Revision;
use serinus_core::report::{self, Report};
use serinus_core::sample::{self, SampleBatch};
use std::sync::Arc;
use std::time::Duration;

const LONGEST_WAIT: u64 = 30;

/// What a worker says of itself is cut at this length.
const LONGEST_WORD: usize = 512;

/// A generation beyond this was never given out: a poll that claims one lies.
const LAST_GENERATION: u64 = 1 << 40;

#[derive(Debug, Deserialize)]
pub struct Poll {
    revision: Option<String>,
    wait: Option<u64>,
    session: Option<String>,
}

/// Answers at once when the caller has another revision, and else when there is
/// a new one, or with 204 after `wait` seconds.
pub async fn plan(
    State(service): State<Arc<Service>>,
    query: Result<Query<Poll>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(poll) =
        query.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let known: Revision = match poll.revision.as_deref() {
        None => Revision::default(),
        Some(text) => text.parse().map_err(|problem| {
            Problem::new(StatusCode::BAD_REQUEST, format!("revision: {problem}"))
        })?,
    };
    let word = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok())?;
        Some(value.chars().take(LONGEST_WORD).collect::<String>())
    };
    if let Some(session) = poll.session.filter(|session| report::is_session(session)) {
        let node = word("x-serinus-node").unwrap_or_default();
        service.delivery().polled(
            &session,
            &node,
            known,
            word("x-serinus-refused"),
            service.now(),
        );
    }
    // A browser says so with each request, and no browser is a worker: a page that
    // somebody visits must not change what the workers are given.
    let by_browser = headers.contains_key("sec-fetch-site");
    if known > service.delivery().revision() && known.generation < LAST_GENERATION && !by_browser {
        service.overtake(known).await;
    }
    // They lie in the connection's buffer, which would have to be kept while this waits.
    drop(headers);
    let mut plan = service.delivery().subscribe();
    let wait = Duration::from_secs(poll.wait.unwrap_or_default().min(LONGEST_WAIT));
    let news = tokio::time::timeout(wait, plan.wait_for(|plan| plan.revision != known)).await;
    let Ok(Ok(published)) = news else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], published.bytes.clone()).into_response())
}

pub async fn report(State(service): State<Arc<Service>>, body: Body) -> Result<Response, Problem> {
    let bytes = counted(&service, body::bytes(body, report::MAX_BYTES).await)?;
    let place = service.room_for(bytes.len())?;
    let report: Report = counted(&service, body::worker(&bytes))?;
    drop(bytes);
    Ok(Json(service.report(report, place).await?).into_response())
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

pub async fn counters(State(service): State<Arc<Service>>) -> Response {
    Json(service.counters()).into_response()
}

fn counted<T>(service: &Service, read: Result<T, Problem>) -> Result<T, Problem> {
    if read.is_err() {
        service.malformed();
    }
    read
}
