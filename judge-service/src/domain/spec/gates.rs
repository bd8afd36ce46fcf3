//! What must be so besides the evidence before a step ends: other people's word, the time
//! of the week, and what Prometheus says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Gates {
    /// URLs that are asked before each next step: a 2xx lets it begin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ask: Vec<AskGate>,
    /// No step begins outside of these times; without any, all times are right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// Asked of the judge's Prometheus (`serinus serve --prometheus`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queries: Vec<QueryGate>,
}

/// Asked by POST with the rollout, its step and its version, every ten seconds.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct AskGate {
    /// Shown, and said in reasons.
    pub name: String,
    /// Asked by POST with the rollout, its step and its version, every ten seconds.
    pub url: String,
    /// A later answer is a no.
    #[serde(default = "five_thousand")]
    pub timeout_ms: u32,
}

/// A time of the week.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Window {
    /// Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// `HH:MM`, from when on.
    #[serde(default = "midnight")]
    pub from: String,
    /// `HH:MM`, until then, which is not in the window any more; `24:00` is the day's end.
    #[serde(default = "days_end")]
    pub to: String,
    /// Such as `Europe/Zurich`.
    #[serde(default = "utc")]
    pub zone: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A query that gives one number. Without a number nothing is promoted: it says nothing
/// well.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct QueryGate {
    /// Shown, and said in reasons.
    pub name: String,
    /// PromQL that gives one number. Without a number nothing is promoted.
    pub query: String,
    /// The number's lower bound, inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// The number's upper bound, inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// What a number out of bounds does: `hold`, no next step while it lasts, or
    /// `roll_back`.
    #[serde(default)]
    pub then: AtBreach,
    /// For a rollback: out of bounds at so many checks in a row.
    #[serde(default = "three")]
    pub checks: u32,
    /// Between two checks.
    #[serde(default = "fifteen")]
    pub every_seconds: f64,
}

/// What a number out of its bounds does. It is no evidence: nothing says how often it would
/// be there by chance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtBreach {
    /// No next step while it lasts.
    #[default]
    Hold,
    RollBack,
}

fn five_thousand() -> u32 {
    5_000
}

fn midnight() -> String {
    "00:00".to_owned()
}

fn days_end() -> String {
    "24:00".to_owned()
}

fn utc() -> String {
    "UTC".to_owned()
}

fn three() -> u32 {
    3
}

fn fifteen() -> f64 {
    15.0
}
