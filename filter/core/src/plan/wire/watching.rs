//! What a worker watches of requests that were answered: what is an error, how long it
//! took, what is copied to the judge, and when an arm's users are taken back.

use crate::read_fields;
use serde::{Deserialize, Serialize};

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
    /// baseline's in the same window: else moving its users would not help them. As
    /// large a share of its users must have errors, and five of them; or all, and three.
    pub error_share: f64,
    /// How far back it looks.
    pub window_ms: u32,
}

read_fields!(Breaker {
    minimum_requests,
    error_share,
    window_ms,
    ..Breaker::default()
});

impl Default for Sampling {
    /// All users, at a rate that one core's inference keeps up with: where few requests
    /// come, few of them say nothing.
    fn default() -> Self {
        Self {
            share: 1.0,
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
