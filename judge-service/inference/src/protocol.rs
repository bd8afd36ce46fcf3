//! From the bytes of a request or a response to rows of numbers.
//!
//! Bodies are other people's traffic. What a decoder does not need is ignored
//! (`parameters`, other tensors); what it needs is checked completely. No bytes
//! can make a decoder panic, or use more memory than a small multiple of
//! [`MAX_BODY_BYTES`].

use std::collections::BTreeMap;

use super::body::Message;
use super::{Input, Model};

/// 8 MiB: one row of the largest model (1024 x 1024) at 8 bytes of text a number.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// The output that carries the predicted label, unless a protocol is told another.
pub const LABEL_OUTPUT: &str = "label";

/// A way to say inputs and outputs in bytes.
pub trait Protocol: Send + Sync {
    /// The rows of the model's inputs: at least one, each of the model's length.
    /// NaN is a missing value, for a model that takes them.
    ///
    /// # Errors
    /// A body that is too large, malformed, or without well-shaped inputs.
    fn request(&self, message: &Message<'_>) -> Result<Vec<Vec<f64>>, ProtocolError>;

    /// What a server answered: labels, probabilities, or both.
    ///
    /// # Errors
    /// A body that is too large, malformed, or without an output that is known.
    fn response(&self, message: &Message<'_>) -> Result<Answer, ProtocolError>;

    /// Rows as a client would send them, in JSON: what [`request`](Self::request) reads.
    fn write_request(&self, rows: &[Vec<f64>]) -> Vec<u8>;

    /// An answer as a server would give it, in JSON: what
    /// [`response`](Self::response) reads.
    fn write_response(&self, answer: &Answer) -> Vec<u8>;

    /// [`request`](Self::request) without headers, in float32.
    ///
    /// # Errors
    /// The same, and a number beyond float32.
    fn decode_request(&self, body: &[u8]) -> Result<Vec<Vec<f32>>, ProtocolError> {
        let rows = self.request(&Message::new(body))?;
        let narrow = |row: Vec<f64>| row.into_iter().map(|number| number as f32).collect();
        Ok(rows.into_iter().map(narrow).collect())
    }

    /// [`response`](Self::response) without headers.
    ///
    /// # Errors
    /// The same.
    fn decode_response(&self, body: &[u8]) -> Result<Answer, ProtocolError> {
        self.response(&Message::new(body))
    }
}

/// What a protocol has to know of a model and of the names that its server uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensors {
    /// The inputs by their names on the wire, in the order of a row.
    pub inputs: Vec<Input>,
    /// Whether a null or a NaN is a missing value.
    pub takes_missing: bool,
    /// The output of shape [n] that carries labels.
    pub label_output: String,
    /// The output of shape [n, columns] that carries probabilities or values.
    pub probabilities_output: String,
    /// The labels of names, where a server answers with names.
    pub label_names: BTreeMap<String, i64>,
    /// Whether a single number is a label rather than a value.
    pub has_labels: bool,
}

/// Other names on the wire than the model's: a version whose server renamed them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renamed {
    /// By the model's own name of an input.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    pub label: Option<String>,
    pub probabilities: Option<String>,
    /// The labels of names.
    #[serde(default)]
    pub label_names: BTreeMap<String, i64>,
}

// === impl Tensors ===

impl Tensors {
    /// The names that the model's description has, but for those that are renamed.
    #[must_use]
    pub fn for_model(model: &dyn Model, renamed: &Renamed) -> Self {
        let input = |input: &Input| Input {
            name: renamed
                .inputs
                .get(&input.name)
                .unwrap_or(&input.name)
                .clone(),
            ..input.clone()
        };
        let or = |name: &Option<String>, own: &str| name.clone().unwrap_or_else(|| own.to_owned());
        Self {
            inputs: model.inputs().iter().map(input).collect(),
            takes_missing: model.takes_missing(),
            label_output: or(&renamed.label, LABEL_OUTPUT),
            probabilities_output: or(&renamed.probabilities, model.output_name()),
            label_names: renamed.label_names.clone(),
            has_labels: model.labels().is_some(),
        }
    }
}

/// What a server answered, row by row. At least one of the two is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// One label for each row.
    pub labels: Option<Vec<i64>>,
    /// One row of numbers for each row: the probabilities, or the values of a
    /// model without labels.
    pub probabilities: Option<Vec<Vec<f32>>>,
}

/// Why a body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    #[error("the body has {bytes} bytes, but may have at most {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error("the body cannot be decompressed: {reason}")]
    Encoding { cause: Cause, reason: String },
    #[error("the body is not an inference message: {0}")]
    Malformed(String),
    #[error("{list} has no tensor {wanted}, only {found}")]
    Missing {
        list: &'static str,
        wanted: String,
        found: String,
    },
    #[error("{list} `{name}`: {reason}")]
    Tensor {
        list: &'static str,
        name: String,
        cause: Cause,
        reason: String,
    },
}

/// The kinds of bodies that cannot be read, for counters: names never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    TooLarge,
    UnknownEncoding,
    BrokenEncoding,
    Bomb,
    Malformed,
    Missing,
    Shape,
    Datatype,
    NotFinite,
    Range,
}

// === impl Cause ===

impl Cause {
    pub const ALL: [Self; 10] = [
        Self::TooLarge,
        Self::UnknownEncoding,
        Self::BrokenEncoding,
        Self::Bomb,
        Self::Malformed,
        Self::Missing,
        Self::Shape,
        Self::Datatype,
        Self::NotFinite,
        Self::Range,
    ];

    /// The name of a counter.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::UnknownEncoding => "unknown_encoding",
            Self::BrokenEncoding => "broken_encoding",
            Self::Bomb => "bomb",
            Self::Malformed => "malformed",
            Self::Missing => "missing",
            Self::Shape => "shape",
            Self::Datatype => "datatype",
            Self::NotFinite => "not_finite",
            Self::Range => "range",
        }
    }
}

// === impl ProtocolError ===

impl ProtocolError {
    /// The kind of the error.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::TooLarge { .. } => Cause::TooLarge,
            Self::Malformed(_) => Cause::Malformed,
            Self::Missing { .. } => Cause::Missing,
            Self::Encoding { cause, .. } | Self::Tensor { cause, .. } => *cause,
        }
    }
}
