//! What was decided of a rollout, and by which evidence.

use super::path::Path;
use super::problem::Problem;
use super::{Judge, rollouts};
use crate::domain::decision::{By, Deed, Sealed};
use crate::domain::{Delivered, Millis};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

/// A decision without its evidence.
#[derive(Debug, JsonSchema, Serialize)]
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

impl DecisionSummary {
    pub fn of(sealed: Sealed, delivered: Option<Delivered>) -> Self {
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

pub async fn list(
    State(service): Judge,
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
    State(service): Judge,
    Path(id): Path<String>,
) -> Result<Json<Vec<Sealed>>, Problem> {
    Ok(Json(service.decisions(&id).await?))
}

/// The evidence bundle: what `serinus replay` reads.
pub async fn one(
    State(service): Judge,
    Path((id, sequence)): Path<(String, String)>,
) -> Result<Json<Sealed>, Problem> {
    rollouts::known(&service, &id).await?;
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
