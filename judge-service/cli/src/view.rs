//! What commands read of the judge's answers. It says more, and a newer one more still:
//! what is not known here is passed over.

use crate::words;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    pub id: String,
    pub phase: String,
    pub phase_since_ms: u64,
    pub created_ms: u64,
    pub step: usize,
    pub steps: Vec<Step>,
    pub step_since_ms: u64,
    #[serde(default)]
    pub warming_up: bool,
    pub spec: Spec,
    pub arms: Vec<Arm>,
    #[serde(default)]
    pub traffic: Vec<Traffic>,
    #[serde(default)]
    pub evaluation: Option<Evaluation>,
    #[serde(default)]
    pub awaits_approval: bool,
    #[serde(default)]
    pub gates: Vec<Gate>,
    #[serde(default)]
    pub notices: Vec<String>,
    pub delivery: Delivery,
}

/// What was asked for.
#[derive(Debug, Clone, Deserialize)]
pub struct Spec {
    /// The version of before, whatever was promoted since.
    #[serde(default)]
    pub baseline: Option<String>,
    #[serde(default)]
    pub holdback_percent: f64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Gate {
    pub name: String,
    pub open: bool,
    #[serde(default)]
    pub why: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Step {
    #[serde(default)]
    pub weights: BTreeMap<String, f64>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Arm {
    pub name: String,
    #[serde(default)]
    pub version: Option<String>,
    /// Percent of users now.
    pub weight: f64,
    #[serde(default)]
    pub dropped_ms: Option<u64>,
    #[serde(default)]
    pub scale_down: ScaleDown,
}

/// Whether its servers may be taken away.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ScaleDown {
    pub safe: bool,
    pub why: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Traffic {
    pub arm: String,
    pub exposures: u64,
    pub finished: u64,
    pub errors: u64,
    pub p50_us: Option<u64>,
    pub p95_us: Option<u64>,
    pub p99_us: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Evaluation {
    pub action: String,
    #[serde(default)]
    pub reasons: Vec<String>,
    #[serde(default)]
    pub metrics: Vec<Metric>,
    #[serde(default)]
    pub srm: Srm,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Srm {
    pub alarm: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Metric {
    pub metric: String,
    pub arm: String,
    pub segment: Option<String>,
    pub difference: Option<f64>,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
    pub margin: Option<f64>,
    pub margin_words: String,
    pub harm_log_e: Option<f64>,
    pub harm_threshold: Option<f64>,
    pub harmed: bool,
    pub within_margin: Option<bool>,
    pub words: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Delivery {
    pub revision: String,
    pub workers: usize,
    pub converged: usize,
    pub silent: usize,
    pub refused: usize,
    pub decided_to_last_worker_ms: Option<u64>,
}

// === impl Status ===

impl Status {
    /// Nothing is decided any more.
    pub fn is_over(&self) -> bool {
        matches!(
            self.phase.as_str(),
            "finished" | "rolled_back" | "aborted" | "superseded"
        )
    }

    /// Whether there is something to be compared with still.
    pub fn is_judged(&self) -> bool {
        !self.is_over() && (self.phase != "promoted" || self.spec.holdback_percent > 0.0)
    }

    /// `2 of 4`.
    pub fn step_words(&self) -> String {
        format!("{} of {}", self.step + 1, self.steps.len())
    }

    /// `running, step 2 of 4, canary 25%`.
    pub fn stands(&self) -> String {
        format!(
            "{}, step {}, {}",
            words::plain(&self.phase),
            self.step_words(),
            self.users()
        )
    }

    /// What the judge is about, in a word or two, as the page says it.
    pub fn verdict(&self) -> String {
        match self.phase.as_str() {
            "waiting" => "not ready yet".to_owned(),
            "paused" if self.awaits_approval => "asks for approval".to_owned(),
            "paused" => "waits for a person".to_owned(),
            "promoted" if self.is_judged() => "watching".to_owned(),
            "promoted" => "settled".to_owned(),
            _ if self.is_over() => "settled".to_owned(),
            "running" if self.warming_up => "warming up".to_owned(),
            _ => match &self.evaluation {
                None => "not judged yet".to_owned(),
                Some(evaluation) => words::plain(&evaluation.action),
            },
        }
    }

    /// `canary 25%`: the shares of all arms but the version of before, as they are now.
    pub fn users(&self) -> String {
        let before = self.spec.baseline.as_deref();
        let before = before.or(self.arms.first().map(|arm| arm.name.as_str()));
        let arms = self.arms.iter();
        let arms = arms.filter(|arm| Some(arm.name.as_str()) != before);
        let shares: Vec<String> = arms
            .map(|arm| match arm.dropped_ms {
                None => format!("{} {}%", arm.name, arm.weight),
                Some(_) => format!("{} dropped", arm.name),
            })
            .collect();
        shares.join(", ")
    }
}
