//! What a person asks for. Read strictly: an unknown field is refused.
//!
//! Defaults are chosen so that a spec with nothing but two arms does the right
//! thing; their sources are in the documentation of the statistics.

/// Defaults of a whole type, the same as of its fields.
macro_rules! default_from_fields {
    ($($type:ident { $($field:ident: $value:expr),+ })+) => {$(
        impl Default for $type {
            fn default() -> Self {
                Self { $($field: $value),+ }
            }
        }
    )+};
}

mod answers;
mod gates;
mod guardrails;
mod timing;
mod whole;

pub use answers::{BodyProtocol, JsonPointers, Pairing, Privacy, Remember, Serves};
pub use gates::{AskGate, AtBreach, Day, Gates, QueryGate, Window};
pub use guardrails::{
    AgreementGuardrail, AnswerTolerance, DifferenceGuardrail, DriftGuardrail, ErrorGuardrail,
    Guardrails, LatencyGuardrail, OutcomeGuardrail, PairGuardrail, ValueGuardrail,
};
pub use timing::{AtDeadline, AtStale, Deadline, LeavesOut, Minimum, OnStale, WarmUp, Watch};
pub use whole::whole;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serinus_core::plan::wire::{
    Breaker, Condition, Errors, LatencyUntil, Match, Overrides, Sampling, Shadow, UnitSource,
};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct RolloutSpec {
    /// Names it in URLs, statistics and the header that routes match: letters, digits, `-`,
    /// `_` and `.`.
    pub id: String,
    /// Which requests it is about. The first rollout that matches has the request.
    #[serde(rename = "match")]
    pub matches: Match,
    /// The one place on a request's way where it is decided and counted, by the name that
    /// the filters there have as `enforcement_point`, such as `gateway`. Needed where a
    /// request passes filters at several hops; without it each of them would count it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforced_at: Option<String>,
    /// Where a user's key is, the first that is present; or `["each_request"]` where
    /// nobody has one. Then each request's arm is drawn, nobody keeps a version, and
    /// requests are counted where users are otherwise. A rollback stays exact, whoever
    /// sends how many: the draw of one request knows nothing of the others. What
    /// promotes by "surely under" takes requests to fail independently of each other,
    /// which one client with many requests may not. What a version does to a client's
    /// later requests falls on both arms, and is not seen.
    pub unit: Vec<UnitSource>,
    /// Public; the same salt puts the same users first again. Default: the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// The versions, two at least.
    pub arms: Vec<Arm>,
    /// Key splits: the first whose conditions hold has a request; the rest goes by
    /// the steps' weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<Segment>,
    /// The arm that requests without another one get, and that a rollback returns
    /// to. Default: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// The arm that all others are compared with. Default: the baseline. A fresh copy
    /// of the old version is as cold as the new one, and has as few requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare_to: Option<String>,
    /// Default, for one new version: 10, 25, 75, 100%.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What a step lasts at least.
    #[serde(default)]
    pub minimum: Minimum,
    #[serde(default)]
    pub warm_up: WarmUp,
    /// How long a step may stay undecided, and what is done then.
    #[serde(default)]
    pub deadline: Deadline,
    /// What is tolerated of a new version, and within what it is promoted.
    #[serde(default)]
    pub guardrails: Guardrails,
    /// What must be so besides before a step ends.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gates: Gates,
    /// How often a verdict may be wrong.
    #[serde(default)]
    pub alpha: Alpha,
    /// When a worker takes an arm's users back by itself, without the judge; `null` for
    /// never.
    #[serde(default = "default_breaker")]
    pub breaker: Option<Breaker>,
    /// Tokens of testers; none of their requests is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Overrides>,
    /// Which requests and answers are copied to the judge; `null` for none.
    #[serde(default = "default_sampling")]
    pub sampling: Option<Sampling>,
    /// How sampled bodies are read.
    #[serde(default, skip_serializing_if = "is_default")]
    pub protocol: BodyProtocol,
    /// What may be kept of sampled bodies.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privacy: Privacy,
    /// What is remembered for outcomes that come later.
    #[serde(default, skip_serializing_if = "is_default")]
    pub remember: Remember,
    /// Sampled requests are sent to the other arm as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairing: Option<Pairing>,
    /// Arms may be served by one Envoy cluster, which tells them apart by itself (by
    /// subsets, say). Otherwise that means that an arm has no route.
    #[serde(default)]
    pub same_cluster: bool,
    /// Kept on the baseline at the last step, so that there still is a control.
    #[serde(default)]
    pub holdback_percent: f64,
    /// How long a promoted version is watched against those held back.
    #[serde(default)]
    pub watch: Watch,
    /// The rollout of the same `match` that this one replaces, in one move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<String>,
    /// What traffic to expect, so that a plan that cannot be decided is refused before
    /// it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
    /// Rollouts of one layer exclude each other: no user is in two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<InLayer>,
    /// Copies of requests go to another cluster, whose answers nobody sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
    /// What a proxy does that does not reach the judge.
    #[serde(default)]
    pub on_stale: OnStale,
    /// What counts as an error.
    #[serde(default)]
    pub errors: Errors,
    /// Where a request's duration ends.
    #[serde(default)]
    pub latency_until: LatencyUntil,
    /// A longer body is not held for a value in it.
    #[serde(default = "default_held_bytes")]
    pub max_held_body_bytes: u32,
}

/// A rollout's part of its layer, kept for it until it is deleted.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct InLayer {
    /// The layer; rollouts that name the same one share its users out.
    pub name: String,
    /// Of the layer's users: the others are for other rollouts.
    #[serde(default = "hundred")]
    pub percent: f64,
}

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Arm {
    /// Also the value of the arm header, which routes match.
    pub name: String,
    /// What people call it; shown, and told to webhooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where a registry has this version, such as `models:/fraud/8`: shown, and told to
    /// webhooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_uri: Option<String>,
    /// SHA-256 of the version's model file, as `sha256sum fraud-8.onnx` prints it: shown, and
    /// told to webhooks. Where the arm has a `model` whose file is another, the rollout is
    /// refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Path of the model's description, below the judge's models folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where its server uses other names than the model's description.
    #[serde(default, skip_serializing_if = "is_default")]
    pub serves: Serves,
    /// A URL of the version that answers 2xx when it can serve, such as
    /// `http://fraud-v2:8080/v2/health/ready`: no step begins before it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
}

/// Requests that go to one arm, or by weights of their own through all steps; with
/// neither they go by the steps' weights, and are judged by themselves too.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Segment {
    /// Shown, and judged by itself.
    pub name: String,
    /// All must hold.
    pub when: Vec<Condition>,
    /// All its requests, while the rollout is not taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<String>,
    /// Percent of its users for each arm, through all steps; the baseline has the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<BTreeMap<String, f64>>,
}

/// Percent of users for each arm but the baseline, which has the rest. Where the
/// rollout has a shadow, or every arm a model, a step may give nobody anything: it only
/// looks then, at copies or at what the models answer to sampled inputs.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Step {
    /// Percent of users for each arm; the baseline has the rest.
    #[serde(default)]
    pub weights: BTreeMap<String, f64>,
    /// A person looks before the next step: the judge pauses where it would promote.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub look_first: bool,
}

/// What a person knows of the traffic that the rollout will see.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Expected {
    /// Of all arms together.
    pub requests_per_minute: f64,
    /// Of control.
    #[serde(default = "percent")]
    pub error_rate: f64,
    /// Distinct units a day; default: each request is a unit's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users_per_day: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Alpha {
    /// The chance that a rollout whose arm is within tolerance is ever rolled back.
    #[serde(default = "percent")]
    pub rollback: f64,
    /// The chance that a guardrail passes an arm that is at its margin.
    #[serde(default = "twentieth")]
    pub promotion: f64,
}

// === impl RolloutSpec ===

impl RolloutSpec {
    /// Puts in what depends on other fields, so that what is stored and shown
    /// is what applies.
    #[must_use]
    pub fn completed(mut self) -> Self {
        if self.salt.is_none() {
            self.salt = Some(self.id.clone());
        }
        if self.baseline.is_none() {
            self.baseline = self.arms.first().map(|arm| arm.name.clone());
        }
        let canary = {
            let mut treatments = self.treatments();
            match (treatments.next(), treatments.next()) {
                (Some(only), None) => Some(only.name.clone()),
                _ => None,
            }
        };
        if self.steps.is_empty()
            && let Some(canary) = canary
        {
            self.steps = [10.0, 25.0, 75.0, 100.0]
                .into_iter()
                .map(|percent| Step {
                    weights: BTreeMap::from([(canary.clone(), percent)]),
                    ..Step::default()
                })
                .collect();
        }
        self.give_control_users();
        self
    }

    /// Where a copy of the old version is the control and a step says nothing of it,
    /// it has as many users as the largest other arm, as far as they reach.
    fn give_control_users(&mut self) {
        let Some(control) = self.compare_to.clone() else {
            return;
        };
        if control == self.baseline() {
            return;
        }
        for step in &mut self.steps {
            if step.weights.contains_key(&control) {
                continue;
            }
            let largest = step.weights.values().copied().fold(0.0, f64::max);
            let left = 100.0 - step.weights.values().sum::<f64>();
            if largest > 0.0 && left > 0.0 {
                step.weights.insert(control.clone(), largest.min(left));
            }
        }
    }

    #[must_use]
    pub fn arm_index(&self, name: &str) -> Option<usize> {
        self.arms.iter().position(|arm| arm.name == name)
    }

    #[must_use]
    pub fn baseline(&self) -> &str {
        self.baseline.as_deref().unwrap_or_default()
    }

    /// The arm that all others are compared with.
    #[must_use]
    pub fn control(&self) -> &str {
        self.compare_to.as_deref().unwrap_or(self.baseline())
    }

    /// Whether nobody gets the new version yet: requests are copied to the shadow, or the
    /// versions' model files are compared on sampled inputs.
    #[must_use]
    pub fn is_look_step(&self, step: &Step) -> bool {
        let looks = self.shadow.is_some() || self.compares_models();
        looks && step.weights.values().all(|&percent| percent == 0.0)
    }

    /// Whether sampled inputs are answered by each version's model file.
    #[must_use]
    pub fn compares_models(&self) -> bool {
        self.sampling.is_some() && self.arms.iter().all(|arm| arm.model.is_some())
    }

    /// Whether each request is a unit of its own.
    #[must_use]
    pub fn each_request(&self) -> bool {
        self.unit == [UnitSource::EachRequest]
    }

    #[must_use]
    pub fn is_in_layer(&self, name: &str) -> bool {
        self.layer.as_ref().is_some_and(|layer| layer.name == name)
    }

    /// The arms that are on trial: neither the baseline nor a copy of it.
    pub fn treatments(&self) -> impl Iterator<Item = &Arm> {
        let known = [self.baseline(), self.control()];
        self.arms
            .iter()
            .filter(move |arm| !known.contains(&arm.name.as_str()))
    }
}

// === defaults ===

default_from_fields! {
    Alpha { rollback: percent(), promotion: twentieth() }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
fn hundred() -> f64 {
    100.0
}
fn default_held_bytes() -> u32 {
    65_536
}
fn percent() -> f64 {
    0.01
}
fn twentieth() -> f64 {
    0.05
}
#[allow(clippy::unnecessary_wraps)]
fn default_breaker() -> Option<Breaker> {
    Some(Breaker::default())
}
#[allow(clippy::unnecessary_wraps)]
fn default_sampling() -> Option<Sampling> {
    Some(Sampling::default())
}
