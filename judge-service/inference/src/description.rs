//! The description of a model: a small JSON file beside the weights.
//!
//! ```json
//! {
//!   "name": "digits-v1",
//!   "weights": "digits-v1.safetensors",
//!   "input": {"name": "image", "shape": [64], "datatype": "FP32"},
//!   "preprocess": [{"scale": 0.0625}],
//!   "layers": [{"linear": {"weight": "0.weight", "bias": "0.bias"}}, "softmax"],
//!   "output": {"name": "probabilities", "kind": "probabilities", "labels": [0, 1]}
//! }
//! ```
//!
//! Parsing is strict: a field that is not known is refused with its path, because
//! a preprocessing step that is silently ignored is exactly the fault to be found.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Datatype;
use super::preprocess::Preprocess;

/// The numbers in one row, in or out: 4 MiB as float32, a 1024 x 1024 grey image.
const MAX_ROW: usize = 1024 * 1024;

/// Deeper than any network that is sensibly written by hand.
const MAX_LAYERS: usize = 256;

/// A model, as its JSON file describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    pub name: String,
    /// The file name of the model file in the same folder.
    pub weights: String,
    #[serde(default)]
    pub format: Format,
    pub input: Input,
    /// More inputs, whose columns follow in a row.
    #[serde(default)]
    pub further_inputs: Vec<Input>,
    /// Applied to the raw input, in order.
    #[serde(default)]
    pub preprocess: Vec<Preprocess>,
    /// Applied after preprocessing, in order: the network of a safetensors file.
    #[serde(default)]
    pub layers: Vec<Layer>,
    /// How many boosting rounds of a file of trees are evaluated; all if left out.
    pub iterations: Option<usize>,
    pub output: Output,
}

/// What kind of file the weights are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Tensors by name; `layers` say what is done with them.
    #[default]
    Safetensors,
    /// XGBoost's JSON.
    Xgboost,
    /// LightGBM's text.
    Lightgbm,
    /// An ONNX graph.
    Onnx,
}

/// The input tensor on the wire, without its batch dimension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    pub name: String,
    pub shape: Vec<usize>,
    /// What the server announces. Any datatype whose values fit is accepted.
    pub datatype: Datatype,
}

/// One layer of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Layer {
    Linear(Linear),
    Relu,
    Tanh,
    Sigmoid,
    /// Over the whole row.
    Softmax,
}

/// `x W^T + b`, by the names of the tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Float32 of shape [out, in], as PyTorch writes it.
    pub weight: String,
    /// Float32 of shape [out].
    pub bias: Option<String>,
}

/// The output tensor on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    pub name: String,
    pub kind: OutputKind,
    /// The label of each column; `0, 1, 2, ...` when it is left out.
    pub labels: Option<Vec<i64>>,
}

/// What the numbers of the output mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputKind {
    /// One probability for each label, from a softmax; the label is the largest.
    Probabilities,
    /// Numbers without labels: a score, a regression.
    Values,
}

/// What is wrong with a description, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {reason}")]
pub struct DescriptionError {
    /// The path of the field, such as `layers[2].linear.weight`.
    pub at: String,
    pub reason: String,
}

impl DescriptionError {
    pub(super) fn new(at: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            at: at.into(),
            reason: reason.into(),
        }
    }
}

// === impl Description ===

impl Description {
    /// Parses a description and checks everything that needs no weights.
    ///
    /// # Errors
    /// Names the first field that is wrong by its path.
    pub fn parse(json: &[u8]) -> Result<Self, DescriptionError> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let description: Self = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let at = if path == "." {
                "the description".to_owned()
            } else {
                path
            };
            DescriptionError::new(at, error.into_inner().to_string())
        })?;
        reader
            .end()
            .map_err(|error| DescriptionError::new("the description", error.to_string()))?;
        description.check()?;
        Ok(description)
    }

    fn check(&self) -> Result<(), DescriptionError> {
        for (at, text) in [
            ("name", &self.name),
            ("input.name", &self.input.name),
            ("output.name", &self.output.name),
        ] {
            if text.trim().is_empty() {
                return Err(DescriptionError::new(at, "is empty, but must be a name"));
            }
        }
        self.input
            .check()
            .map_err(|reason| DescriptionError::new("input.shape", reason))?;
        self.check_further_inputs()?;
        self.check_format()?;
        self.network_width()?;
        self.output.check()
    }

    /// The numbers in one row as it is sent: all inputs, one after the other.
    #[must_use]
    pub fn width(&self) -> usize {
        self.inputs().map(Input::len).sum()
    }

    /// All inputs in the order of their columns in a row.
    pub fn inputs(&self) -> impl Iterator<Item = &Input> {
        std::iter::once(&self.input).chain(&self.further_inputs)
    }

    /// The numbers in one row after preprocessing.
    ///
    /// # Errors
    /// A preprocessing step that does not fit the row.
    pub fn network_width(&self) -> Result<usize, DescriptionError> {
        let steps = self.preprocess.iter().enumerate();
        steps
            .into_iter()
            .try_fold(self.width(), |width, (index, step)| {
                step.check(width)
                    .map_err(|reason| DescriptionError::new(format!("preprocess[{index}]"), reason))
            })
    }

    fn check_further_inputs(&self) -> Result<(), DescriptionError> {
        let mut names = BTreeSet::from([self.input.name.as_str()]);
        for (index, input) in self.further_inputs.iter().enumerate() {
            let at = |field: &str| format!("further_inputs[{index}].{field}");
            input
                .check()
                .map_err(|reason| DescriptionError::new(at("shape"), reason))?;
            if !names.insert(&input.name) {
                let reason = format!("is `{}`, like an input before it", input.name);
                return Err(DescriptionError::new(at("name"), reason));
            }
        }
        if self.width() > MAX_ROW {
            let reason = format!("must have at most {MAX_ROW} numbers in all inputs together");
            return Err(DescriptionError::new("further_inputs", reason));
        }
        Ok(())
    }

    fn check_format(&self) -> Result<(), DescriptionError> {
        let without = |at: &str, what: &str| {
            let reason = format!("must be left out, because only {what}");
            Err(DescriptionError::new(at, reason))
        };
        let trees = matches!(self.format, Format::Xgboost | Format::Lightgbm);
        if !trees && self.iterations.is_some() {
            return without("iterations", "trees are boosted in rounds");
        }
        let layers = self.layers.len();
        if self.format != Format::Safetensors {
            return match layers {
                0 => Ok(()),
                _ => without("layers", "a safetensors file needs them"),
            };
        }
        if !(1..=MAX_LAYERS).contains(&layers) {
            let reason = format!("has {layers} layers, but must have 1 to {MAX_LAYERS}");
            return Err(DescriptionError::new("layers", reason));
        }
        if self.output.kind == OutputKind::Probabilities
            && self.layers.last() != Some(&Layer::Softmax)
        {
            let reason = "is `probabilities`, so the last layer must be `softmax`; for anything else say `values`";
            return Err(DescriptionError::new("output.kind", reason));
        }
        Ok(())
    }
}

impl Input {
    /// The numbers in one row. 0 for a shape that [`Description::parse`] refuses.
    pub fn len(&self) -> usize {
        self.shape
            .iter()
            .try_fold(1_usize, |product, &size| product.checked_mul(size))
            .unwrap_or(0)
    }

    /// Whether a row has no numbers, which a checked description never has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn check(&self) -> Result<(), String> {
        if self.shape.is_empty() || !(1..=MAX_ROW).contains(&self.len()) {
            return Err(format!(
                "{:?} must have at least one dimension and 1 to {MAX_ROW} numbers in all",
                self.shape
            ));
        }
        Ok(())
    }
}

impl Output {
    fn check(&self) -> Result<(), DescriptionError> {
        if self.kind == OutputKind::Values && self.labels.is_some() {
            let reason = "must be left out, because values have no labels";
            return Err(DescriptionError::new("output.labels", reason));
        }
        let labels = self.labels.as_deref().unwrap_or_default();
        let distinct: BTreeSet<i64> = labels.iter().copied().collect();
        if distinct.len() != labels.len() {
            return Err(DescriptionError::new(
                "output.labels",
                "has a label twice, but each column needs its own",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
