//! What a spec says of models' answers: how bodies are read, what may be kept of them, and
//! which requests are asked a second time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How requests and answers are written. Compressed bodies are read in each.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyProtocol {
    /// The Open Inference Protocol, version 2, with its binary tensors: KServe, MLServer,
    /// Triton, Seldon.
    #[default]
    OpenInference,
    /// KServe's version 1 and TensorFlow Serving: `instances` or `inputs`.
    KserveV1,
    /// Plain JSON, whose numbers are found by pointers.
    Json(JsonPointers),
}

/// JSON pointers (RFC 6901) into a plain body.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct JsonPointers {
    /// Into a request: one for each input of the model, or for each column of its only one.
    pub inputs: Vec<String>,
    /// Into an answer: the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Into an answer: the probabilities, or the values of a model without labels. One of
    /// the two is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probabilities: Option<String>,
}

/// Names on the wire that differ from those in the model's description: a version whose
/// server renamed them.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Serves {
    /// By the description's name of an input.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    /// The output with the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The output with the probabilities or values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probabilities: Option<String>,
    /// The labels of names, where a server answers with names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub label_names: BTreeMap<String, i64>,
}

/// What may be kept of sampled bodies. Nothing of them is ever logged or written to the
/// store, but for the label that was answered and its probability ([`Remember`]); examples
/// are in the judge's memory.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Privacy {
    /// JSON pointers into requests and answers: what they lead to is taken out before
    /// anything is kept. An input that cannot be read without it is not shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redact: Vec<String>,
    /// How long an example is kept.
    #[serde(default = "day")]
    pub keep_seconds: f64,
    /// How many bytes of examples are kept at most; 0 keeps none.
    #[serde(default = "mebibyte")]
    pub keep_bytes: u64,
}

/// What is remembered of sampled answers in the store, for outcomes that come later: which
/// version answered, the label and its probability, by hashes of user and request.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Remember {
    /// For how long, and of about a million users and requests at most; 0 remembers nothing.
    #[serde(default = "week")]
    pub seconds: f64,
    /// The header with the id by which an outcome may name a request (`request_id`); Envoy
    /// gives every request one.
    #[serde(default = "request_id")]
    pub request_header: String,
}

/// Sampled requests are sent to the other arm's server as well, by the judge, and the two
/// answers judged as a pair. Users do not wait for it.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Pairing {
    /// Where each arm's server is asked, by arm: `http://fraud-v2:8080`. The request's own
    /// path and query are appended.
    pub endpoints: BTreeMap<String, String>,
    /// At most so many second requests a second.
    #[serde(default = "five")]
    pub per_second: f64,
    /// Methods that may be asked twice. A POST is one only if you say so: a model's server
    /// only computes, but what stands before it may do more.
    #[serde(default = "idempotent")]
    pub methods: Vec<String>,
    /// Request headers that are sent again; all others are dropped, `authorization` too.
    #[serde(default = "harmless")]
    pub headers: Vec<String>,
    /// A later second answer is none.
    #[serde(default = "two_thousand")]
    pub timeout_ms: u32,
}

impl Default for Privacy {
    fn default() -> Self {
        Self {
            redact: Vec::new(),
            keep_seconds: day(),
            keep_bytes: mebibyte(),
        }
    }
}

impl Default for Remember {
    fn default() -> Self {
        Self {
            seconds: week(),
            request_header: request_id(),
        }
    }
}

impl Remember {
    /// For how long, in milliseconds.
    #[must_use]
    pub fn ms(&self) -> u64 {
        // Checked to be a year at most.
        (self.seconds * 1_000.0) as u64
    }
}

impl Privacy {
    /// How long an example is kept, in milliseconds.
    #[must_use]
    pub fn keep_ms(&self) -> u64 {
        // Checked to be a year at most.
        (self.keep_seconds * 1_000.0) as u64
    }
}

fn week() -> f64 {
    604_800.0
}

fn request_id() -> String {
    "x-request-id".to_owned()
}

fn day() -> f64 {
    86_400.0
}

fn mebibyte() -> u64 {
    1024 * 1024
}

fn five() -> f64 {
    5.0
}

fn two_thousand() -> u32 {
    2_000
}

fn idempotent() -> Vec<String> {
    ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]
        .map(str::to_owned)
        .into()
}

fn harmless() -> Vec<String> {
    [
        "accept",
        "content-encoding",
        "content-type",
        "inference-header-content-length",
    ]
    .map(str::to_owned)
    .into()
}
