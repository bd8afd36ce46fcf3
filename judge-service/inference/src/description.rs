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

/// The numbers in one row, in or out: 4 MiB as float32, a 1024 x 1024 grey image.
const MAX_ROW: usize = 1024 * 1024;

/// Deeper than any network that is sensibly written by hand.
const MAX_LAYERS: usize = 256;

/// A model, as its JSON file describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    pub name: String,
    /// The file name of the safetensors file in the same folder.
    pub weights: String,
    pub input: Input,
    /// Applied to the raw input, in order.
    #[serde(default)]
    pub preprocess: Vec<Preprocess>,
    /// Applied after preprocessing, in order.
    pub layers: Vec<Layer>,
    pub output: Output,
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

/// What happens to every raw input before the first layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Preprocess {
    /// Multiplies every number.
    Scale(f32),
    /// Adds to every number.
    Offset(f32),
    /// Limits every number to `low..=high`.
    Clip { low: f32, high: f32 },
    /// `(x - mean) / deviation`, with one mean and deviation for each column.
    Standardise { mean: Vec<f32>, deviation: Vec<f32> },
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
        self.input.check()?;
        for (index, step) in self.preprocess.iter().enumerate() {
            step.check(self.input.len())
                .map_err(|reason| DescriptionError::new(format!("preprocess[{index}]"), reason))?;
        }
        if self.layers.is_empty() || self.layers.len() > MAX_LAYERS {
            let reason = format!(
                "has {} layers, but must have 1 to {MAX_LAYERS}",
                self.layers.len()
            );
            return Err(DescriptionError::new("layers", reason));
        }
        self.output.check(self.layers.last())
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

    fn check(&self) -> Result<(), DescriptionError> {
        if self.shape.is_empty() || !(1..=MAX_ROW).contains(&self.len()) {
            let reason = format!(
                "{:?} must have at least one dimension and 1 to {MAX_ROW} numbers in all",
                self.shape
            );
            return Err(DescriptionError::new("input.shape", reason));
        }
        Ok(())
    }
}

impl Preprocess {
    fn check(&self, width: usize) -> Result<(), String> {
        match self {
            Self::Scale(number) | Self::Offset(number) if !number.is_finite() => {
                Err(format!("{number} must be a finite float32"))
            }
            Self::Scale(_) | Self::Offset(_) => Ok(()),
            Self::Clip { low, high } if low.is_finite() && high.is_finite() && low < high => Ok(()),
            Self::Clip { low, high } => Err(format!(
                "clip from {low} to {high} must be finite, with low below high"
            )),
            Self::Standardise { mean, deviation } => {
                if mean.len() != width || deviation.len() != width {
                    let (means, deviations) = (mean.len(), deviation.len());
                    return Err(format!(
                        "has {means} means and {deviations} deviations, but the input has {width} columns"
                    ));
                }
                if !mean.iter().all(|number| number.is_finite()) {
                    return Err("mean must have only finite float32 numbers".to_owned());
                }
                // A subnormal deviation would turn ordinary inputs into infinities.
                if !deviation
                    .iter()
                    .all(|number| number.is_normal() && *number > 0.0)
                {
                    return Err("deviation must have only positive float32 numbers".to_owned());
                }
                Ok(())
            }
        }
    }
}

impl Output {
    fn check(&self, last: Option<&Layer>) -> Result<(), DescriptionError> {
        match self.kind {
            OutputKind::Probabilities if last != Some(&Layer::Softmax) => {
                let reason = "is `probabilities`, so the last layer must be `softmax`; for anything else say `values`";
                return Err(DescriptionError::new("output.kind", reason));
            }
            OutputKind::Values if self.labels.is_some() => {
                let reason = "must be left out, because values have no labels";
                return Err(DescriptionError::new("output.labels", reason));
            }
            OutputKind::Probabilities | OutputKind::Values => {}
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
mod tests {
    use super::*;

    const GOOD: &str = r#"{
        "name": "tiny", "weights": "tiny.safetensors",
        "input": {"name": "x", "shape": [2], "datatype": "FP32"},
        "preprocess": [{"scale": 0.5}, {"offset": -1}, {"clip": {"low": -1, "high": 1}},
                       {"standardise": {"mean": [0, 1], "deviation": [1, 2]}}],
        "layers": [{"linear": {"weight": "w", "bias": "b"}}, "tanh", "softmax"],
        "output": {"name": "p", "kind": "probabilities", "labels": [3, 4]}
    }"#;

    #[test]
    fn a_description_survives_a_round_trip() {
        let description = Description::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(description.input.len(), 2);
        let again = Description::parse(&serde_json::to_vec(&description).unwrap()).unwrap();
        assert_eq!(again, description);
    }

    /// Replaces a part of the good description and returns what `parse` says.
    fn refused(part: &str, by: &str) -> String {
        assert!(
            GOOD.contains(part),
            "`{part}` is not in the good description"
        );
        Description::parse(GOOD.replace(part, by).as_bytes())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn every_error_names_its_field() {
        let cases = [
            (
                r#""kind""#,
                r#""knd": 1, "kind""#,
                "output.knd: unknown field `knd`",
            ),
            (
                r#""bias""#,
                r#""bais""#,
                "layers[0].linear.bais: unknown field `bais`",
            ),
            (
                r#""low": -1"#,
                r#""lo": -1"#,
                "preprocess[2].clip.lo: unknown field `lo`",
            ),
            (
                r#"{"scale": 0.5}"#,
                r#"{"scal": 0.5}"#,
                "preprocess[0]: unknown variant `scal`",
            ),
            (
                r#""tanh""#,
                r#""tahn""#,
                "layers[1]: unknown variant `tahn`",
            ),
            (
                r#""FP32""#,
                r#""FLOAT""#,
                "input.datatype: unknown variant `FLOAT`",
            ),
            (
                r#"[2]"#,
                r#"[-2]"#,
                "input.shape[0]: invalid value: integer `-2`",
            ),
            (
                r#"[2]"#,
                r#"[]"#,
                "input.shape: [] must have at least one dimension",
            ),
            (r#"[2]"#, r#"[0]"#, "input.shape: [0] must have"),
            (
                r#"[2]"#,
                r#"[4294967296, 4294967296]"#,
                "input.shape: [4294967296, 4294967296] must have",
            ),
            // Refused by serde_json or here, as its `float_roundtrip` feature decides.
            (r#"0.5"#, r#"1e60"#, "preprocess[0]"),
            (
                r#""high": 1"#,
                r#""high": -1"#,
                "preprocess[2]: clip from -1 to -1",
            ),
            (
                r#"[0, 1]"#,
                r#"[0]"#,
                "preprocess[3]: has 1 means and 2 deviations, but the input has 2 columns",
            ),
            (
                r#"[1, 2]"#,
                r#"[1, 0]"#,
                "preprocess[3]: deviation must have only positive",
            ),
            (
                r#", "softmax""#,
                "",
                "output.kind: is `probabilities`, so the last layer must be `softmax`",
            ),
            (
                r#""probabilities""#,
                r#""values""#,
                "output.labels: must be left out",
            ),
            (r#"[3, 4]"#, r#"[3, 3]"#, "output.labels: has a label twice"),
            (r#""tiny","#, r#"" ","#, "name: is empty"),
            (
                r#""name": "tiny","#,
                "",
                "the description: missing field `name`",
            ),
        ];
        for (part, by, expected) in cases {
            let found = refused(part, by);
            assert!(
                found.contains(expected),
                "{by}: expected `{expected}`, found `{found}`"
            );
        }
    }

    #[test]
    fn text_after_the_description_is_refused() {
        let error = Description::parse(format!("{GOOD} {{}}").as_bytes()).unwrap_err();
        assert!(error.to_string().contains("trailing characters"), "{error}");
    }

    #[test]
    fn a_network_without_layers_is_refused() {
        let error = Description::parse(
            GOOD.replace(
                r#"[{"linear": {"weight": "w", "bias": "b"}}, "tanh", "softmax"]"#,
                "[]",
            )
            .as_bytes(),
        );
        assert_eq!(error.unwrap_err().at, "layers");
    }
}
