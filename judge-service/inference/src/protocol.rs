//! From the bytes of a request or a response to rows of numbers.
//!
//! Bodies are other people's traffic. What a decoder does not need is ignored
//! (`parameters`, other tensors); what it needs is checked completely. No bytes
//! can make a decoder panic, or use more memory than a small multiple of
//! [`MAX_BODY_BYTES`].

/// 8 MiB: one row of the largest model (1024 x 1024) at 8 bytes of text a number.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// A way to say inputs and outputs in bytes.
pub trait Protocol: Send + Sync {
    /// The rows of the model's input: at least one, each of the model's length.
    ///
    /// # Errors
    /// A body that is too large, malformed, or without a well-shaped input.
    fn decode_request(&self, body: &[u8]) -> Result<Vec<Vec<f32>>, ProtocolError>;

    /// What a server answered: labels, probabilities, or both.
    ///
    /// # Errors
    /// A body that is too large, malformed, or without an output that is known.
    fn decode_response(&self, body: &[u8]) -> Result<Answer, ProtocolError>;
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
        reason: String,
    },
}
