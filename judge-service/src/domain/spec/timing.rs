//! How long things take: what a step lasts at least and at most, how it begins, and how long
//! a promoted version is watched.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a step lasts at least.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Minimum {
    /// Since the step began.
    #[serde(default = "sixty")]
    pub seconds: f64,
    /// Requests decided for each arm.
    #[serde(default = "five_hundred")]
    pub exposures: u64,
}

/// The start of a step, in which latency is learned and not judged.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct WarmUp {
    /// Since the step began.
    #[serde(default = "five")]
    pub seconds: f64,
    /// Answers of control from which the latency thresholds are learned. It takes longer, ten
    /// minutes at most, while more than one in forty of control's requests is under way.
    #[serde(default = "thousand")]
    pub requests: u64,
    /// What is not judged meanwhile: `latency`, or `everything` for versions that fail
    /// while they load. Workers' breakers watch all the same.
    #[serde(default)]
    pub leaves_out: LeavesOut,
}

/// What is not judged while a step warms up, in all arms alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeavesOut {
    #[default]
    Latency,
    /// Errors and answers too: for versions that fail while they load. Workers'
    /// breakers watch all the same.
    Everything,
}

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Deadline {
    /// Of one step; it begins anew when a person resumes the rollout.
    #[serde(default = "three_days")]
    pub seconds: f64,
    /// `pause` waits for a person; `roll_back`; `proceed` takes the next step undecided, but
    /// pauses where users do not arrive as split or one cluster serves both arms, and waits
    /// while workers are silent or refuse the plan.
    #[serde(default)]
    pub then: AtDeadline,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtDeadline {
    #[default]
    Pause,
    RollBack,
    Proceed,
}

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Watch {
    /// After that the holdback ends too, and the rollout is finished: once those held back
    /// showed enough to be compared, or `deadline.seconds` later. Where what is counted
    /// cannot be trusted, or the new version is worse than tolerated though within the
    /// margin, a person is to `finish` it.
    #[serde(default = "day")]
    pub seconds: f64,
}

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct OnStale {
    /// Without an answer of the judge.
    #[serde(default = "thirty")]
    pub after_seconds: f64,
    /// `hold`: the last plan stands, and the breaker watches; `baseline`: everybody gets
    /// the baseline.
    #[serde(default)]
    pub then: AtStale,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtStale {
    /// The last plan stands, and the breaker watches.
    #[default]
    Hold,
    /// Everybody gets the baseline.
    Baseline,
}

// === defaults ===

default_from_fields! {
    Minimum { seconds: sixty(), exposures: five_hundred() }
    WarmUp { seconds: five(), requests: thousand(), leaves_out: LeavesOut::Latency }
    Watch { seconds: day() }
    OnStale { after_seconds: thirty(), then: AtStale::Hold }
    Deadline { seconds: three_days(), then: AtDeadline::Pause }
}

fn thirty() -> f64 {
    30.0
}

fn sixty() -> f64 {
    60.0
}

fn five() -> f64 {
    5.0
}

fn day() -> f64 {
    86_400.0
}

/// At 40 requests a minute a tenth of them has fifty errors of 1% after 21 hours, or a few
/// more.
fn three_days() -> f64 {
    3.0 * day()
}

fn five_hundred() -> u64 {
    500
}

fn thousand() -> u64 {
    1_000
}
