//! What workers call.

use super::poll::{self, PlanQuery};
use super::problem::Problem;
use super::query::Query;
use super::{Judge, body};
use crate::service::Service;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serinus_core::report;
use serinus_core::sample::{self, SampleBatch};

/// Answers at once when the caller has another revision, and else when there is
/// a new one, or with 204 after `wait` seconds. Who only says which one it has, since
/// its plan comes another way, gets no plan.
pub async fn plan(
    State(service): Judge,
    Query(asked): Query<PlanQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = poll::read(asked, &headers)?;
    // They lie in the connection's buffer, which would have to be kept while this waits.
    drop(headers);
    if let Some(poll) = &asked.by_worker {
        service.delivery().polled(poll, service.now());
    }
    // Only a worker can have been given a plan.
    let may_overtake = asked.by_worker.is_some() && asked.may_overtake;
    if may_overtake && asked.known > service.delivery().revision() {
        service.overtake(asked.known).await.map_err(|wait| {
            let detail = format!(
                "plan {} is later than this judge's, and it started new generations too often lately",
                asked.known
            );
            Problem::unavailable(detail).retry_in(wait)
        })?;
    }
    if asked.by_config {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(poll::answer(service.delivery(), &asked, |plan, known| plan != known).await)
}

pub async fn report(State(service): Judge, body: Body) -> Result<Response, Problem> {
    let bytes = counted(&service, body::bytes(body, report::MAX_BYTES).await)?;
    Ok(Json(service.report(bytes).await?).into_response())
}

pub async fn samples(State(service): Judge, body: Body) -> Result<Response, Problem> {
    let batch: SampleBatch = counted(
        &service,
        body::tolerant(body, sample::MAX_BATCH_BYTES).await,
    )?;
    Ok(Json(service.sample(batch).await?).into_response())
}

fn counted<T>(service: &Service, read: Result<T, Problem>) -> Result<T, Problem> {
    if read.is_err() {
        service.malformed();
    }
    read
}
