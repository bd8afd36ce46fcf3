//! Reference inference: runs a model artefact on sampled inputs, and says whether
//! the answer that a server gave is the answer that the artefact gives.
//!
//! ```text
//! request body  -- protocol --> rows -- Model::predict --> expected
//! response body -- protocol --> Answer ------------------> compare --> Comparison
//! ```
//!
//! A model is a JSON [`Description`] beside the safetensors file that it names;
//! [`load`] checks both completely, so a well-shaped input cannot fail on shape.
//!
//! This crate knows no clock, no network, no store and no rollout: which inputs
//! are sampled and what a disagreement means is decided elsewhere.

mod compare;
mod datatype;
mod description;
mod elements;
mod load;
mod network;
mod open_inference;
mod protocol;
mod weights;

pub use compare::{Comparison, Disagreement, Tolerance, compare};
pub use datatype::Datatype;
pub use description::{
    Description, DescriptionError, Input, Layer, Linear, Output, OutputKind, Preprocess,
};
pub use load::{LoadError, MAX_DESCRIPTION_BYTES, MAX_WEIGHTS_BYTES, load};
pub use network::{BuildError, InferenceError};
pub use open_inference::{LABEL_OUTPUT, OpenInference, Request};
pub use protocol::{Answer, MAX_BODY_BYTES, Protocol, ProtocolError};
pub use weights::WeightsError;

/// A model artefact that is loaded and can be run.
///
/// Everything behind this trait is deterministic up to float32 rounding: the same
/// row gives the same numbers, to about 1e-6, in any batch.
pub trait Model: Send + Sync {
    /// The name that the description gives.
    fn name(&self) -> &str;

    /// SHA-256 over the description's bytes followed by the weights' bytes, in
    /// lowercase hex: what `cat model.json model.safetensors | sha256sum` prints.
    fn digest(&self) -> &str;

    /// The input as it is on the wire, without the batch dimension.
    fn input(&self) -> &Input;

    /// The numbers in one input row: the product of the input's shape.
    fn input_len(&self) -> usize {
        self.input().len()
    }

    /// The output's name on the wire.
    fn output_name(&self) -> &str;

    /// The numbers in one output row.
    fn output_len(&self) -> usize;

    /// The label of each output column, or `None` where the outputs are plain values.
    fn labels(&self) -> Option<&[i64]>;

    /// Runs the model on raw rows (preprocessing is part of the model):
    /// n rows of [`input_len`](Self::input_len) finite numbers give n rows of
    /// [`output_len`](Self::output_len) finite numbers.
    ///
    /// # Errors
    /// A row of the wrong length, an input that is not finite, or a result that
    /// overflowed float32.
    fn predict(&self, rows: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, InferenceError>;

    /// The label with the largest number in an output row (the first, if equal);
    /// `None` where the outputs are plain values.
    fn label_of(&self, output: &[f32]) -> Option<i64> {
        compare::label_of(self.labels()?, output)
    }
}
