//! What people and their tools call.

use super::body;
use super::path::Path;
use super::problem::Problem;
use crate::domain::Delivered;
use crate::domain::decision::{By, Deed, Sealed};
use crate::domain::{Millis, RolloutSpec};
use crate::service::status::Status;
use crate::service::{Example, Point, Service};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const LONGEST_SPEC: usize = 256 * 1024;
const LONGEST_REASON: usize = 4 * 1024;

type Service_ = State<Arc<Service>>;

#[derive(Debug, Default, Deserialize)]
struct Reason {
    #[serde(default)]
    reason: Option<String>,
}

/// A decision without its evidence.
#[derive(Debug, Serialize)]
pub struct DecisionSummary {
    sequence: u64,
    at_ms: Millis,
    action: Deed,
    by: By,
    from_step: usize,
    to_step: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    drops: Vec<String>,
    reasons: Vec<String>,
    hash: String,
    previous_hash: String,
    has_evidence: bool,
    /// How long it took to reach the workers; not while it is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered: Option<Delivered>,
}

pub async fn list(State(service): Service_) -> Result<Json<Vec<Status>>, Problem> {
    Ok(Json(service.statuses().await?))
}

pub async fn create(State(service): Service_, body: Body) -> Result<Response, Problem> {
    let spec: RolloutSpec = body::strict(body, LONGEST_SPEC).await?;
    let status = service.create(spec).await?;
    // The id was checked to be letters, digits, `-`, `_` and `.`.
    let location = HeaderValue::from_str(&format!("/v1/rollouts/{}", status.id));
    let mut response = (StatusCode::CREATED, Json(status)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

pub async fn read(
    State(service): Service_,
    Path(id): Path<String>,
) -> Result<Json<Status>, Problem> {
    Ok(Json(service.status(&id).await?))
}

pub async fn delete(
    State(service): Service_,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    service.delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn promote(
    service: Service_,
    id: Path<String>,
    body: Body,
) -> Result<Json<Status>, Problem> {
    act(service, id, body, Deed::Promote).await
}

pub async fn pause(
    service: Service_,
    id: Path<String>,
    body: Body,
) -> Result<Json<Status>, Problem> {
    act(service, id, body, Deed::Pause).await
}

pub async fn resume(
    service: Service_,
    id: Path<String>,
    body: Body,
) -> Result<Json<Status>, Problem> {
    act(service, id, body, Deed::Resume).await
}

pub async fn abort(
    service: Service_,
    id: Path<String>,
    body: Body,
) -> Result<Json<Status>, Problem> {
    act(service, id, body, Deed::Abort).await
}

pub async fn finish(
    service: Service_,
    id: Path<String>,
    body: Body,
) -> Result<Json<Status>, Problem> {
    act(service, id, body, Deed::Finish).await
}

async fn act(
    State(service): Service_,
    Path(id): Path<String>,
    body: Body,
    deed: Deed,
) -> Result<Json<Status>, Problem> {
    let reason = reason(body).await?;
    Ok(Json(service.act(&id, deed, reason).await?))
}

pub async fn drop_arm(
    State(service): Service_,
    Path((id, arm)): Path<(String, String)>,
    body: Body,
) -> Result<Json<Status>, Problem> {
    let reason = reason(body).await?;
    Ok(Json(service.drop_arm(&id, &arm, reason).await?))
}

async fn reason(body: Body) -> Result<Option<String>, Problem> {
    let bytes = body::bytes(body, LONGEST_REASON).await?;
    let given: Reason = if bytes.is_empty() {
        Reason::default()
    } else {
        serinus_core::json::read_strict(&bytes)?
    };
    Ok(given.reason)
}

pub async fn series(
    State(service): Service_,
    Path(id): Path<String>,
) -> Result<Json<Vec<Point>>, Problem> {
    known(&service, &id).await?;
    Ok(Json(service.series(&id)))
}

pub async fn examples(
    State(service): Service_,
    Path(id): Path<String>,
) -> Result<Json<Vec<Example>>, Problem> {
    known(&service, &id).await?;
    Ok(Json(service.examples(&id)))
}

pub async fn decisions(
    State(service): Service_,
    Path(id): Path<String>,
) -> Result<Json<Vec<DecisionSummary>>, Problem> {
    let sealed = service.decisions(&id).await?;
    let mut delivered = service.delivered(&id).await?;
    let summary = |sealed: Sealed| {
        let delivered = delivered.remove(&sealed.decision.sequence);
        DecisionSummary::of(sealed, delivered)
    };
    Ok(Json(sealed.into_iter().map(summary).collect()))
}

/// All decisions with their evidence: what `serinus replay` checks from end to end.
pub async fn chain(
    State(service): Service_,
    Path(id): Path<String>,
) -> Result<Json<Vec<Sealed>>, Problem> {
    Ok(Json(service.decisions(&id).await?))
}

/// The evidence bundle: what `serinus replay` reads.
pub async fn decision(
    State(service): Service_,
    Path((id, sequence)): Path<(String, String)>,
) -> Result<Json<Sealed>, Problem> {
    known(&service, &id).await?;
    let missing = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            format!("rollout `{id}` has no decision `{sequence}`"),
        )
    };
    let number: u64 = sequence.parse().map_err(|_| missing())?;
    service
        .decision(&id, number)
        .await?
        .map(Json)
        .ok_or_else(missing)
}

async fn known(service: &Service, id: &str) -> Result<(), Problem> {
    service.status(id).await?;
    Ok(())
}

impl DecisionSummary {
    fn of(sealed: Sealed, delivered: Option<Delivered>) -> Self {
        let Sealed { hash, decision } = sealed;
        Self {
            sequence: decision.sequence,
            at_ms: decision.at_ms,
            action: decision.deed,
            by: decision.by,
            from_step: decision.from_step,
            to_step: decision.to_step,
            drops: decision.drops,
            reasons: decision.reasons,
            hash,
            previous_hash: decision.previous_hash,
            has_evidence: decision.evidence.is_some(),
            delivered,
        }
    }
}
