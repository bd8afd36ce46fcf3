//! What is tolerated of a new version, and within what it is promoted.

use super::percent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Guardrails {
    /// Requests that fail.
    #[serde(default)]
    pub errors: ErrorGuardrail,
    /// How long requests take.
    #[serde(default)]
    pub latency: LatencyGuardrail,
    /// Judged for arms that name a model.
    #[serde(default)]
    pub agreement: AgreementGuardrail,
    /// How often the versions' own models may answer the same input differently. Without
    /// it the share is shown and decides nothing: a new model should differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<DifferenceGuardrail>,
    /// How far the served answers' distribution may be from control's. Without it drift is
    /// shown and decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftGuardrail>,
    /// Outcomes that are told later (`POST /v1/feedback`). Without it they are shown and
    /// decide nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcomes: Option<OutcomeGuardrail>,
    /// What users were worth (`value` in `POST /v1/feedback`). Without it that is shown and
    /// decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ValueGuardrail>,
    /// Pairs of answers to one request, where the rollout has `pairing` and both arms a
    /// model. Without it they are shown and decide nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<PairGuardrail>,
}

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ErrorGuardrail {
    /// Rolled back only when surely worse than this times control's rate.
    #[serde(default = "default_tolerated_ratio")]
    pub tolerated_ratio: f64,
    /// Rolled back only when worse by this much at least, as a difference of rates since the
    /// evidence began.
    #[serde(default = "default_floor")]
    pub floor: f64,
    /// Promoted when surely below this times control's rate.
    #[serde(default = "default_margin_ratio")]
    pub margin_ratio: f64,
    /// Or promoted when surely below this rate.
    #[serde(default = "percent")]
    pub margin_absolute: f64,
}

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct LatencyGuardrail {
    /// Rolled back only when surely worse than this times control's share of slow requests.
    #[serde(default = "default_tolerated_ratio")]
    pub tolerated_ratio: f64,
    /// Rolled back only when worse by this much at least, as a difference of shares since
    /// the evidence began.
    #[serde(default = "default_floor")]
    pub floor: f64,
    /// Rolled back only when surely slower by more than this: 0.1 is a tenth.
    #[serde(default = "default_tolerated_slowdown")]
    pub tolerated_slowdown: f64,
    /// Promoted when p50 and p95 are each surely slower by less than this: 0.25
    /// is a quarter.
    #[serde(default = "default_slowdown")]
    pub slowdown: f64,
}

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct AgreementGuardrail {
    /// Rolled back only when surely worse than this times control's share of answers that
    /// their own model does not give.
    #[serde(default = "default_tolerated_ratio")]
    pub tolerated_ratio: f64,
    /// Rolled back only when worse by this much at least, as a difference of shares since
    /// the evidence began.
    #[serde(default = "default_floor")]
    pub floor: f64,
    /// Promoted when surely fewer users than this share get an answer that the
    /// arm's own model file does not give.
    #[serde(default = "percent")]
    pub margin_absolute: f64,
    /// How far numbers may be from the model's.
    #[serde(default)]
    pub tolerance: AnswerTolerance,
}

/// `|served - expected| <= absolute + relative * |expected|` for each number; or, for
/// vectors such as embeddings, by their angle.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct AnswerTolerance {
    /// `|served - expected| <= absolute + relative * |expected|`, for each number.
    #[serde(default = "thousandth")]
    pub absolute: f64,
    /// The share of the expected number in that bound.
    #[serde(default = "thousandth")]
    pub relative: f64,
    /// With it numbers are not compared one by one: an answer agrees when the cosine
    /// distance of its row (1 less the cosine, 0 to 2) is at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosine: Option<f64>,
}

/// Users whose sampled input the arm's and control's model files answer differently: other
/// labels, or other numbers where there are no labels.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct DifferenceGuardrail {
    /// Taken back when surely more users than this share differ, promoted when surely
    /// fewer do.
    pub margin: f64,
    /// For models without labels.
    #[serde(default)]
    pub tolerance: AnswerTolerance,
}

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct DriftGuardrail {
    /// Taken back when the distributions surely differ by more than this: the share of
    /// answers that would have to change to make them alike (total variation, 0 to 1).
    #[serde(default = "tenth")]
    pub tolerated: f64,
}

/// Users whose outcome says that they were answered wrongly, against control's.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct OutcomeGuardrail {
    /// Rolled back only when surely worse than this times control's share of wrong
    /// outcomes.
    #[serde(default = "default_tolerated_ratio")]
    pub tolerated_ratio: f64,
    /// Rolled back only when worse by this much at least, as a difference of shares since
    /// the evidence began.
    #[serde(default = "default_floor")]
    pub floor: f64,
    /// No promotion before so many users of each arm have an outcome at this step.
    #[serde(default)]
    pub minimum_users: u64,
}

/// Of the mean of what users were worth; larger is better.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ValueGuardrail {
    /// What one user may be worth at least; less counts as this.
    #[serde(default)]
    pub lowest: f64,
    /// And at most; more counts as this. The nearer the two are, the sooner a loss shows.
    pub highest: f64,
    /// How much less than control's users the arm's may be worth on average.
    #[serde(default)]
    pub tolerated_loss: f64,
    /// No promotion before so many users of each arm have a value at this step.
    #[serde(default)]
    pub minimum_users: u64,
}

/// Of pairs in which one answer is its model's and the other is not, those in which the
/// arm's is not.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct PairGuardrail {
    /// Rolled back only when surely more often wrong than this times as often as control
    /// is.
    #[serde(default = "default_tolerated_ratio")]
    pub tolerated_ratio: f64,
}

// === defaults ===

default_from_fields! {
    AnswerTolerance { absolute: thousandth(), relative: thousandth(), cosine: None }
    ErrorGuardrail {
        tolerated_ratio: default_tolerated_ratio(), floor: default_floor(),
        margin_ratio: default_margin_ratio(), margin_absolute: percent()
    }
    LatencyGuardrail {
        tolerated_ratio: default_tolerated_ratio(), floor: default_floor(),
        tolerated_slowdown: default_tolerated_slowdown(), slowdown: default_slowdown()
    }
    AgreementGuardrail {
        tolerated_ratio: default_tolerated_ratio(), floor: default_floor(),
        margin_absolute: percent(), tolerance: AnswerTolerance::default()
    }
}

fn tenth() -> f64 {
    0.1
}

fn thousandth() -> f64 {
    0.001
}

/// At huge traffic a tolerated ratio of 1 would roll back a true 1.05.
fn default_tolerated_ratio() -> f64 {
    1.1
}

/// A tenth of a percentage point.
fn default_floor() -> f64 {
    0.001
}

fn default_margin_ratio() -> f64 {
    1.5
}

/// A new model is seldom just as fast, and 5% slower at p90 is 20% more answers
/// above control's: without this, good releases would be taken back for it.
fn default_tolerated_slowdown() -> f64 {
    0.1
}

fn default_slowdown() -> f64 {
    0.25
}
