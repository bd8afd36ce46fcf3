//! Reference inference: runs a model artefact on sampled inputs, and says whether
//! the answer that a server gave is the answer that the artefact gives.
//!
//! ```text
//! request body  -- protocol --> rows -- Model::predict --> expected
//! response body -- protocol --> Answer ------------------> compare --> Comparison
//! ```
//!
//! A model is a JSON [`Description`] beside the file that it names (tensors, a graph, or trees);
//! [`load`] checks both completely, so a well-shaped input cannot fail on shape.
//!
//! This crate knows no clock, no network, no store and no rollout: which inputs
//! are sampled and what a disagreement means is decided elsewhere.

mod body;
mod compare;
mod datatype;
mod description;
mod difference;
mod elements;
mod error;
mod instances;
mod kind;
mod load;
mod loaded;
mod network;
mod onnx;
mod open_inference;
mod pointers;
mod preprocess;
mod protocol;
mod tabular;
mod tensor;
mod trees;
mod weights;
mod write;

pub use body::Message;
pub use compare::{Comparison, Disagreement, Tolerance, compare};
pub use datatype::Datatype;
pub use description::{
    Description, DescriptionError, Format, Input, Layer, Linear, Output, OutputKind,
};
pub use difference::{Apart, answers_differ, difference, score};
pub use error::{BuildError, InferenceError};
pub use instances::Instances;
pub use kind::OtherFile;
pub use load::{LoadError, MAX_DESCRIPTION_BYTES, MAX_WEIGHTS_BYTES, load};
pub use onnx::OnnxError;
pub use open_inference::{OpenInference, Request};
pub use pointers::{PlainJson, Pointers, PointersError};
pub use preprocess::Preprocess;
pub use protocol::{
    Answer, Cause, LABEL_OUTPUT, MAX_BODY_BYTES, Protocol, ProtocolError, Renamed, Tensors,
};
pub use trees::TreesError;
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

    /// SHA-256 of the weights' file alone, in lowercase hex, as a registry has it: what
    /// `sha256sum model.safetensors` prints.
    fn file_digest(&self) -> &str;

    /// The first input as it is on the wire, without the batch dimension.
    fn input(&self) -> &Input;

    /// All inputs. A row is all of them, one after the other.
    fn inputs(&self) -> &[Input] {
        std::slice::from_ref(self.input())
    }

    /// The numbers in one input row: the product of each input's shape, added up.
    fn input_len(&self) -> usize {
        self.inputs().iter().map(Input::len).sum()
    }

    /// Whether NaN in a row is a missing value, as for trees, and not an error.
    fn takes_missing(&self) -> bool {
        false
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
    /// A row of the wrong length, an input that is not finite (or missing, where
    /// that [is taken](Self::takes_missing)), or a result that overflowed float32.
    fn predict_wide(&self, rows: &[Vec<f64>]) -> Result<Vec<Vec<f32>>, InferenceError>;

    /// [`predict_wide`](Self::predict_wide) for float32 rows.
    ///
    /// # Errors
    /// The same.
    fn predict(&self, rows: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, InferenceError> {
        let wide = |row: &Vec<f32>| row.iter().copied().map(f64::from).collect();
        self.predict_wide(&rows.iter().map(wide).collect::<Vec<_>>())
    }

    /// The label with the largest number in an output row (the first, if equal);
    /// `None` where the outputs are plain values.
    fn label_of(&self, output: &[f32]) -> Option<i64> {
        compare::label_of(self.labels()?, output)
    }
}
