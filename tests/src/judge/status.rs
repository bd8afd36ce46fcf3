//! What the lab reads of the judge's answers; the judge says more.

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    pub id: String,
    pub phase: Phase,
    pub step: usize,
    pub steps: Vec<Step>,
    #[serde(default)]
    pub warming_up: bool,
    pub arms: Vec<ArmStatus>,
    #[serde(default)]
    pub traffic: Vec<Traffic>,
    #[serde(default)]
    pub evaluation: Option<Evaluation>,
    #[serde(default)]
    pub notices: Vec<String>,
    #[serde(default)]
    pub delivery: Delivery,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Waiting,
    Running,
    Paused,
    Promoted,
    Finished,
    RolledBack,
    Aborted,
    Superseded,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Step {
    pub weights: std::collections::BTreeMap<String, f64>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ArmStatus {
    pub name: String,
    pub weight: f64,
    /// Since when it is off, while the others go on.
    #[serde(default)]
    pub dropped_ms: Option<u64>,
}

/// Sums over the whole rollout.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Traffic {
    pub arm: String,
    #[serde(default)]
    pub exposures: u64,
    #[serde(default)]
    pub finished: u64,
    #[serde(default)]
    pub errors: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Evaluation {
    pub action: String,
    #[serde(default)]
    pub reasons: Vec<String>,
    #[serde(default)]
    pub metrics: Vec<Metric>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Metric {
    pub metric: String,
    pub arm: String,
    #[serde(default)]
    pub arm_rate: Option<f64>,
    #[serde(default)]
    pub difference: Option<f64>,
    #[serde(default)]
    pub lower: Option<f64>,
    #[serde(default)]
    pub upper: Option<f64>,
    #[serde(default)]
    pub harm_log_e: Option<f64>,
    #[serde(default)]
    pub harm_threshold: Option<f64>,
    #[serde(default)]
    pub harmed: bool,
    /// None for a metric that only rolls back.
    pub within_margin: Option<bool>,
    #[serde(default)]
    pub margin_words: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Delivery {
    #[serde(default)]
    pub revision: String,
    #[serde(default)]
    pub workers: u32,
    #[serde(default)]
    pub converged: u32,
    #[serde(default)]
    pub decided_to_last_worker_ms: Option<u64>,
}

/// How a decision reached the workers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Delivered {
    pub workers: u32,
    pub missing: u32,
    pub first_worker_ms: Option<u64>,
    pub last_worker_ms: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Decision {
    #[serde(default)]
    pub delivered: Option<Delivered>,
    pub sequence: u64,
    pub at_ms: u64,
    pub action: String,
    pub by: String,
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// An input on which a server and its model file disagree.
#[derive(Debug, Clone, Deserialize)]
pub struct Example {
    pub arm: String,
    pub input: Vec<f32>,
    pub served_label: Option<i64>,
    pub expected_label: Option<i64>,
}

impl Status {
    /// The share of traffic that an arm gets, in percent.
    #[must_use]
    pub fn weight(&self, arm: &str) -> f64 {
        let found = self.arms.iter().find(|status| status.name == arm);
        found.map_or(0.0, |status| status.weight)
    }

    #[must_use]
    pub fn traffic_of(&self, arm: &str) -> Traffic {
        let found = self.traffic.iter().find(|traffic| traffic.arm == arm);
        found.cloned().unwrap_or_default()
    }

    #[must_use]
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        let metrics = &self.evaluation.as_ref()?.metrics;
        metrics.iter().find(|metric| metric.metric == name)
    }
}
