//! Why a model cannot be built, or gives no answer.

use super::description::DescriptionError;
use super::onnx::OnnxError;

/// Why a description and its weights do not make a network.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Mismatch(#[from] DescriptionError),
    #[error(transparent)]
    Graph(#[from] OnnxError),
    #[error("the tensors cannot be prepared: {0}")]
    Candle(#[from] candle_core::Error),
}

/// Why a network gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    #[error("input row {row} has {found} numbers, but must have {expected}")]
    Width {
        row: usize,
        found: usize,
        expected: usize,
    },
    #[error("input row {row} has {found} in column {column}, but must have finite numbers")]
    InputNotFinite {
        row: usize,
        column: usize,
        found: f64,
    },
    #[error(
        "input row {row} has {found} in column {column}, but must have token ids: whole numbers below {vocabulary}"
    )]
    TokenId {
        row: usize,
        column: usize,
        found: f64,
        vocabulary: u32,
    },
    #[error("output row {row} is not finite: the input's numbers are too large for this model")]
    OutputNotFinite { row: usize },
    #[error("the graph cannot be computed: {0}")]
    Graph(#[from] OnnxError),
    #[error("the network cannot be computed: {0}")]
    Candle(#[from] candle_core::Error),
}
