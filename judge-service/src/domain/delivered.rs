//! How long a decision took to reach the workers: measured, not hoped.

use super::Millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serinus_core::plan::Revision;

/// How the plan of a decision reached the workers that served when it was made.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Delivered {
    /// Of the first plan that has the decision.
    pub revision: Revision,
    /// Workers that have it.
    pub workers: usize,
    /// Workers that had not when the judge stopped waiting for them.
    pub missing: usize,
    /// From the decision to the first worker.
    pub first_worker_ms: Option<Millis>,
    /// From the decision to the last worker of those that have it.
    pub last_worker_ms: Option<Millis>,
}

impl Delivered {
    /// When nobody measured it.
    #[must_use]
    pub fn unknown(revision: Revision) -> Self {
        Self {
            revision,
            workers: 0,
            missing: 0,
            first_worker_ms: None,
            last_worker_ms: None,
        }
    }
}
