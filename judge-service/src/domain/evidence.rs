//! What a verdict is made from, and the verdict.

use super::sums::EpochSums;
use super::{Millis, Rollout};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Raised when a bundle of before would be judged otherwise. 3: a harmed arm is dropped
/// while others are on trial, and slots are summed in another order, which shows in the
/// last bits. 4: what models answer is in it. 5: how far that is apart is bounded, a user is
/// first in each segment, and what is under way may hang. 6: a floor is compared with what
/// was counted since the process began, and a deadline is counted from a resume.
pub const VERSION: u32 = 6;

/// Everything that [`crate::policy::judge`] looks at: the same bundle gives the
/// same verdict, on any machine.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Bundle {
    pub version: u32,
    pub now_ms: Millis,
    pub rollout: Rollout,
    /// Of the current step's epochs and their segments.
    pub sums: Vec<EpochSums>,
    /// New users of every epoch since the start, for the sample ratio.
    pub new_users: Vec<NewUsers>,
    /// Arms that are not ready to serve, with what was found instead.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_ready: BTreeMap<String, String>,
    #[serde(default)]
    pub workers: Workers,
    /// Gates that are closed, and why: no next step begins.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub closed: BTreeMap<String, String>,
    /// Gates that take the rollout back, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub breached: BTreeMap<String, String>,
}

/// The proxies that serve the rollout, as far as they call.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Workers {
    /// Those that serve traffic, silent ones too.
    pub serving: usize,
    /// Not heard of for too long: what they count is not known.
    pub silent: usize,
    /// They could not read the plan, and route by one of before.
    pub refused: usize,
    /// They route by a plan of before, and poll.
    pub lagging: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct NewUsers {
    pub epoch: u64,
    #[serde(default)]
    pub segment: Option<String>,
    /// Buckets of each arm.
    pub weights: Vec<u16>,
    pub counts: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Verdict {
    pub at_ms: Millis,
    pub action: Action,
    /// The arms that an [`Action::Drop`] takes off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drops: Vec<String>,
    /// With an [`Action::Pause`]: the next step could begin, and a person is to say so.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub asks_for_approval: bool,
    /// Sentences for people, the decisive one first.
    pub reasons: Vec<String>,
    pub metrics: Vec<MetricEvidence>,
    pub srm: SrmEvidence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Hold,
    /// The versions are ready: the first step begins.
    Start,
    Promote,
    RollBack,
    /// Arms are taken off, and the others go on.
    Drop,
    Pause,
    /// The watch is over: the holdback ends.
    Finish,
}

impl Action {
    /// As JSON has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Start => "start",
            Self::Promote => "promote",
            Self::RollBack => "roll_back",
            Self::Drop => "drop",
            Self::Pause => "pause",
            Self::Finish => "finish",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    Errors,
    /// The tail, at five thresholds: what rolls back.
    Latency,
    /// Median and 95th percentile: what promotes.
    LatencyP50,
    LatencyP95,
    Agreement,
    /// The versions' own models, on the same inputs.
    Difference,
    /// The distribution of the answers served.
    Drift,
    /// What was told of the answers later.
    Outcomes,
    /// What users were worth, as was told later.
    Value,
    /// Requests that both arms answered.
    Pairs,
}

/// One guardrail for one arm against control. What is not finite or not known is
/// `None`, since JSON has no infinity.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct MetricEvidence {
    pub metric: Metric,
    pub arm: String,
    /// Evidence of one segment alone; it only rolls back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    pub arm_rate: Option<f64>,
    pub control_rate: Option<f64>,
    /// Of the rates, arm less control.
    pub difference: Option<f64>,
    /// A confidence sequence, valid at every look: of the difference, or for
    /// agreement of the arm's own rate. `None` until there are enough events, and for a
    /// segment, where only harm decides.
    pub lower: Option<f64>,
    pub upper: Option<f64>,
    /// What promotion tolerates, on the scale of the interval; `None` where the
    /// margin is not one number on it.
    pub margin: Option<f64>,
    pub margin_words: String,
    /// ln of the evidence that the arm is worse than tolerated.
    pub harm_log_e: Option<f64>,
    /// What it must reach for a rollback.
    pub harm_threshold: Option<f64>,
    /// Estimated ratio of the arm's rate to control's.
    pub harm_ratio: Option<f64>,
    pub harmed: bool,
    /// `None` where the metric only rolls back.
    pub within_margin: Option<bool>,
    pub words: String,
}

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct SrmEvidence {
    pub log_e: f64,
    pub threshold: f64,
    pub alarm: bool,
}
