//! The plan as it travels from judge to filter.

use crate::read_fields;
use core::fmt;
use core::str::FromStr;
#[cfg(feature = "schema")]
use defaults::{all, held_bytes};
use serde::Serialize;

mod requests;
mod watching;

pub use requests::{Condition, IssueCookie, Match, OverrideToken, Overrides, SameSite, UnitSource};
pub use watching::{Breaker, Errors, LatencyUntil, Sampling};

/// The version of this schema. A filter refuses another one.
pub const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Plan {
    pub version: u32,
    pub revision: Revision,
    /// How often a worker reports.
    pub report_interval_ms: u32,
    /// Units that stay out of every rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holdout: Option<Holdout>,
    /// The first rollout that matches a request decides.
    pub rollouts: Vec<RolloutPlan>,
}

read_fields!(Plan {
    version,
    revision,
    report_interval_ms,
    holdout = None,
    rollouts,
});

/// The units whose bucket under this salt is below `buckets`, of 10,000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Holdout {
    pub salt: String,
    pub buckets: u16,
}

read_fields!(Holdout { salt, buckets });

/// (generation, counter), ordered. A restored database starts a new generation,
/// so a revision never goes backwards. Written as `generation.counter` in a URL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Revision {
    pub generation: u64,
    pub counter: u64,
}

read_fields!(Revision {
    generation,
    counter,
});

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.counter)
    }
}

impl FromStr for Revision {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a revision is two numbers with a dot, such as 1.42";
        let (generation, counter) = text.split_once('.').ok_or(WRONG)?;
        Ok(Self {
            generation: generation.parse().map_err(|_| WRONG)?,
            counter: counter.parse().map_err(|_| WRONG)?,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RolloutPlan {
    pub id: String,
    /// +1 at each change of the allocation, of the latency edges, and when the
    /// judge starts its processes anew: what is counted in one epoch was counted
    /// under one set of rules, and a unit's first event is its first in the epoch.
    pub epoch: u64,
    #[serde(rename = "match")]
    pub matches: Match,
    /// The only enforcement point whose filters decide and count this rollout's
    /// requests; without it all do. See `Settings::enforcement_point`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforced_at: Option<String>,
    /// Where a unit is read from; the first source that is present wins.
    pub unit: Vec<UnitSource>,
    /// Public: with it anybody can recompute an assignment.
    pub salt: String,
    /// Secret: 32 hex digits, the key of the pseudonyms in reports.
    pub identity_key: String,
    /// Names of the arms, each the value of the arm header.
    pub arms: Vec<String>,
    /// The arm for whatever is not assigned: no unit, outside the ranges, breaker.
    pub baseline: String,
    /// Of requests that are in none of `segments`.
    pub allocation: Vec<BucketRange>,
    /// The first whose conditions hold has a request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(default))]
    pub segments: Vec<SegmentPlan>,
    /// Durations in microseconds, ascending, at most 12: requests above each are
    /// counted by slot, and a unit's first one is listed.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub latency_edges_us: Vec<u64>,
    /// The share of units whose first events are listed.
    #[cfg_attr(feature = "schema", schemars(default = "all"))]
    pub event_share: f64,
    /// The share of units that are listed when they first appear, with the
    /// outcome of their first request.
    #[cfg_attr(feature = "schema", schemars(default = "all"))]
    pub new_unit_share: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Overrides>,
    pub sampling: Option<Sampling>,
    pub breaker: Option<Breaker>,
    /// The rollout's part of its layer; units outside are for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
    /// A worker that has not heard from the judge for so long serves the baseline;
    /// without it, the last plan stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(feature = "schema", schemars(default))]
    pub errors: Errors,
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(feature = "schema", schemars(default))]
    pub latency_until: LatencyUntil,
    /// A longer body is not held for a value in it.
    #[cfg_attr(feature = "schema", schemars(default = "held_bytes"))]
    pub max_held_body_bytes: u32,
}

read_fields!(RolloutPlan {
    id,
    epoch,
    matches as "match",
    enforced_at = None,
    unit,
    salt,
    identity_key,
    arms,
    baseline,
    allocation,
    segments = Vec::new(),
    latency_edges_us = Vec::new(),
    event_share = ALL,
    new_unit_share = ALL,
    overrides = None,
    sampling = None,
    breaker = None,
    layer = None,
    shadow = None,
    stale_after_ms = None,
    errors = Errors::default(),
    latency_until = LatencyUntil::default(),
    max_held_body_bytes = HELD_BYTES,
});

const HELD_BYTES: u32 = 65_536;

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Rollouts of one layer have its salt and disjoint ranges of buckets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Layer {
    pub salt: String,
    pub from: u16,
    pub to: u16,
}

read_fields!(Layer { salt, from, to });

/// Copies of requests go to an Envoy cluster; nobody sees its answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Shadow {
    /// Envoy's cluster that gets the copies.
    pub cluster: String,
    /// The share of units; of requests without one, the share of requests.
    #[cfg_attr(feature = "schema", schemars(default = "all"))]
    pub share: f64,
    /// Of requests to these arms; none is any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(default))]
    pub arms: Vec<String>,
    /// Of requests in these segments; none is any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(default))]
    pub segments: Vec<String>,
}

read_fields!(Shadow {
    cluster,
    share = ALL,
    arms = Vec::new(),
    segments = Vec::new(),
});

const ALL: f64 = 1.0;

/// A key split's branch: an arm for all its requests, or an allocation of its own.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SegmentPlan {
    pub name: String,
    pub when: Vec<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arm: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(default))]
    pub allocation: Vec<BucketRange>,
}

read_fields!(SegmentPlan {
    name,
    when,
    arm = None,
    allocation = Vec::new(),
});

/// Buckets `from..to`, of 10,000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BucketRange {
    pub from: u16,
    pub to: u16,
    pub arm: String,
}

read_fields!(BucketRange { from, to, arm });

/// What `read_fields!` says, for the schema.
#[cfg(feature = "schema")]
mod defaults {
    use super::{ALL, HELD_BYTES};

    pub fn all() -> f64 {
        ALL
    }

    pub fn held_bytes() -> u32 {
        HELD_BYTES
    }
}
