//! The plan as it travels from judge to filter.

use crate::read_fields;
use core::fmt;
use core::str::FromStr;
#[cfg(feature = "schema")]
use defaults::{all, held_bytes, override_header, root, year, yes};
use serde::{Deserialize, Serialize};

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

/// What counts as an error of an arm, beside answers that never came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(default))]
pub struct Errors {
    /// Statuses such as `422`, and classes such as `5xx`.
    pub statuses: Vec<String>,
    /// gRPC statuses by number; default: all but 0, OK.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_statuses: Option<Vec<u32>>,
    /// Whether an answer that took more than one attempt is an error.
    pub retried: bool,
}

read_fields!(Errors {
    statuses,
    grpc_statuses,
    retried,
    ..Errors::default()
});

impl Default for Errors {
    fn default() -> Self {
        Self {
            statuses: vec!["5xx".to_owned()],
            grpc_statuses: None,
            retried: false,
        }
    }
}

/// The end of a request's duration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LatencyUntil {
    #[default]
    LastByte,
    /// For answers that are streamed, whose length is not slowness.
    FirstByte,
}

const ALL: f64 = 1.0;

/// All that is named must hold; an empty one matches every request.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(default))]
pub struct Match {
    /// The `:authority`, in any case, without regard to a port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// Matches the whole path, without its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_regex: Option<String>,
    /// None is any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
}

read_fields!(Match {
    host,
    path_prefix,
    path_regex,
    methods,
    when,
    ..Match::default()
});

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum UnitSource {
    /// The value of this request header.
    Header(String),
    Cookie(String),
    /// A parameter of the query string, decoded.
    Query(String),
    /// A claim of the bearer token's payload, which is not verified here.
    JwtClaim(String),
    /// A JSON pointer into the body, such as `/user/id`: the request is held until
    /// its body is there.
    Body(String),
    /// A cookie that the filter itself gives to who has none; the last source.
    IssueCookie(IssueCookie),
    /// Each request is a unit of its own, and its arm is drawn: for services whose
    /// callers have no key. It stands alone.
    EachRequest,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IssueCookie {
    pub name: String,
    /// Default: a year. Browsers cap it at about 400 days.
    #[cfg_attr(feature = "schema", schemars(default = "year"))]
    pub max_age_seconds: u32,
    #[cfg_attr(feature = "schema", schemars(default = "root"))]
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    #[cfg_attr(feature = "schema", schemars(default))]
    pub secure: bool,
    #[cfg_attr(feature = "schema", schemars(default = "yes"))]
    pub http_only: bool,
    #[cfg_attr(feature = "schema", schemars(default))]
    pub same_site: SameSite,
}

read_fields!(IssueCookie {
    name,
    max_age_seconds = YEAR,
    path = "/".to_owned(),
    domain = None,
    secure = false,
    http_only = true,
    same_site = SameSite::default(),
});

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SameSite {
    Strict,
    #[default]
    Lax,
    /// Browsers take it only with `secure`.
    None,
}

const YEAR: u32 = 365 * 24 * 60 * 60;

/// One attribute, by exactly one of the first five, and at most one question; with
/// none it must be present.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(default))]
pub struct Condition {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_claim: Option<String>,
    /// A JSON pointer into the body; not in a rollout's `match`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub is_in: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Matches the whole value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// A number, inclusive; with `at_most` a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
}

read_fields!(Condition {
    header,
    cookie,
    query,
    jwt_claim,
    body,
    is_in as "in",
    prefix,
    regex,
    at_least,
    at_most,
    ..Condition::default()
});

/// Lets testers into an arm, whatever rules and weights say. The plan has only
/// hashes of their tokens, so that nobody learns a token from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Overrides {
    /// The header in which a tester sends the token.
    #[cfg_attr(feature = "schema", schemars(default = "override_header"))]
    pub header: String,
    pub tokens: Vec<OverrideToken>,
}

read_fields!(Overrides {
    header = OVERRIDE_HEADER.to_owned(),
    tokens,
});

const OVERRIDE_HEADER: &str = "x-serinus-override";

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OverrideToken {
    /// 64 hex digits: `printf %s TOKEN | sha256sum`.
    pub sha256: String,
    pub arm: String,
}

read_fields!(OverrideToken { sha256, arm });

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

/// Which requests and answers a worker copies to the judge.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(default))]
pub struct Sampling {
    /// The share of units, chosen by their pseudonym before the arm is known.
    pub share: f64,
    /// At most this many samples a second from one worker.
    pub per_second: u32,
    /// A larger request or answer is not sampled.
    pub max_body_bytes: u32,
    /// The headers that are copied with the bodies of request and answer, by their names
    /// in lower case; `:path` and `:method` are headers too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
}

read_fields!(Sampling {
    share,
    per_second,
    max_body_bytes,
    headers,
    ..Sampling::default()
});

/// When a worker takes an arm's users back by itself, though no judge says so.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(default))]
pub struct Breaker {
    /// Finished requests of the arm in the window before it may trip.
    pub minimum_requests: u32,
    /// It trips at this share of errors, if that is surely more than twice the
    /// baseline's in the same window: else moving its users would not help them.
    pub error_share: f64,
    pub window_ms: u32,
}

read_fields!(Breaker {
    minimum_requests,
    error_share,
    window_ms,
    ..Breaker::default()
});

impl Default for Sampling {
    /// A tenth of the users, at a rate that one core's inference keeps up with.
    fn default() -> Self {
        Self {
            share: 0.1,
            per_second: 50,
            max_body_bytes: 65_536,
            headers: Vec::new(),
        }
    }
}

impl Default for Breaker {
    /// An arm that fails every tenth request is plainly broken: 50 requests in
    /// ten seconds show it well enough to act without the judge.
    fn default() -> Self {
        Self {
            minimum_requests: 50,
            error_share: 0.1,
            window_ms: 10_000,
        }
    }
}

/// What `read_fields!` says, for the schema.
#[cfg(feature = "schema")]
mod defaults {
    use super::{ALL, HELD_BYTES, OVERRIDE_HEADER, YEAR};

    pub fn all() -> f64 {
        ALL
    }

    pub fn held_bytes() -> u32 {
        HELD_BYTES
    }

    pub fn year() -> u32 {
        YEAR
    }

    pub fn root() -> String {
        "/".to_owned()
    }

    pub fn yes() -> bool {
        true
    }

    pub fn override_header() -> String {
        OVERRIDE_HEADER.to_owned()
    }
}
