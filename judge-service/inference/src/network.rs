//! A feed-forward network on candle.
//!
//! Every width is checked when the network is built, so that a row of the right
//! length cannot fail on shape when it is run.

use std::collections::BTreeSet;

use candle_core::{D, Device, Tensor};

use super::Model;
use super::description::{
    Description, DescriptionError, Input, Layer, Linear, Output, OutputKind, Preprocess,
};
use super::weights::Tensors;

/// Why a description and its weights do not make a network.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Mismatch(#[from] DescriptionError),
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
        found: f32,
    },
    #[error("output row {row} is not finite: the input's numbers are too large for this model")]
    OutputNotFinite { row: usize },
    #[error("the network cannot be computed: {0}")]
    Candle(#[from] candle_core::Error),
}

/// A network that is ready to run.
pub(super) struct Network {
    name: String,
    digest: String,
    input: Input,
    output_name: String,
    output_len: usize,
    labels: Option<Vec<i64>>,
    steps: Vec<Step>,
}

/// One operation on a tensor of shape [rows, width].
enum Step {
    /// `x * factor + term`.
    Affine {
        factor: f64,
        term: f64,
    },
    Clamp {
        low: f32,
        high: f32,
    },
    /// `(x - mean) / deviation`, both of shape [width].
    Standardise {
        mean: Tensor,
        deviation: Tensor,
    },
    /// The weight is transposed once, here: [in, out]. The bias is [out].
    Linear {
        weight: Tensor,
        bias: Option<Tensor>,
    },
    Relu,
    Tanh,
    Sigmoid,
    Softmax,
}

// === impl Network ===

impl Network {
    /// Joins a checked description and its tensors.
    pub(super) fn build(
        description: &Description,
        tensors: &Tensors,
        digest: String,
    ) -> Result<Self, BuildError> {
        let mut steps = Vec::new();
        for preprocess in &description.preprocess {
            steps.push(Step::from_preprocess(preprocess)?);
        }
        let mut width = description.input.len();
        let mut used = BTreeSet::new();
        for (index, layer) in description.layers.iter().enumerate() {
            steps.push(match layer {
                Layer::Linear(linear) => {
                    let at = format!("layers[{index}].linear");
                    let (step, out) = Step::from_linear(&at, linear, width, tensors)?;
                    used.insert(linear.weight.as_str());
                    used.extend(linear.bias.as_deref());
                    width = out;
                    step
                }
                Layer::Relu => Step::Relu,
                Layer::Tanh => Step::Tanh,
                Layer::Sigmoid => Step::Sigmoid,
                Layer::Softmax => Step::Softmax,
            });
        }
        // A tensor that nothing uses means that a layer is missing, or the wrong file.
        if let Some(unused) = tensors.keys().find(|name| !used.contains(name.as_str())) {
            let reason = format!(
                "no layer uses tensor `{unused}`, but all tensors of the weights must be used"
            );
            return Err(DescriptionError::new("layers", reason).into());
        }
        Ok(Self {
            name: description.name.clone(),
            digest,
            input: description.input.clone(),
            output_name: description.output.name.clone(),
            output_len: width,
            labels: labels(&description.output, width)?,
            steps,
        })
    }

    fn check(&self, rows: &[Vec<f32>]) -> Result<(), InferenceError> {
        let expected = self.input.len();
        for (row, numbers) in rows.iter().enumerate() {
            if numbers.len() != expected {
                return Err(InferenceError::Width {
                    row,
                    found: numbers.len(),
                    expected,
                });
            }
            if let Some((column, &found)) = numbers
                .iter()
                .enumerate()
                .find(|(_, number)| !number.is_finite())
            {
                return Err(InferenceError::InputNotFinite { row, column, found });
            }
        }
        Ok(())
    }
}

impl Model for Network {
    fn name(&self) -> &str {
        &self.name
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn input(&self) -> &Input {
        &self.input
    }

    fn output_name(&self) -> &str {
        &self.output_name
    }

    fn output_len(&self) -> usize {
        self.output_len
    }

    fn labels(&self) -> Option<&[i64]> {
        self.labels.as_deref()
    }

    fn predict(&self, rows: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, InferenceError> {
        self.check(rows)?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut tensor =
            Tensor::from_vec(rows.concat(), (rows.len(), self.input.len()), &Device::Cpu)?;
        for step in &self.steps {
            tensor = step.apply(&tensor)?;
        }
        let outputs = tensor.to_vec2::<f32>()?;
        match outputs
            .iter()
            .position(|row| row.iter().any(|number| !number.is_finite()))
        {
            Some(row) => Err(InferenceError::OutputNotFinite { row }),
            None => Ok(outputs),
        }
    }
}

/// The label of each of `width` columns.
fn labels(output: &Output, width: usize) -> Result<Option<Vec<i64>>, DescriptionError> {
    match (output.kind, &output.labels) {
        (OutputKind::Values, _) => Ok(None),
        (OutputKind::Probabilities, None) => Ok(Some((0_i64..).take(width).collect())),
        (OutputKind::Probabilities, Some(labels)) if labels.len() == width => {
            Ok(Some(labels.clone()))
        }
        (OutputKind::Probabilities, Some(labels)) => {
            let reason = format!(
                "has {} labels, but the network has {width} outputs",
                labels.len()
            );
            Err(DescriptionError::new("output.labels", reason))
        }
    }
}

// === impl Step ===

impl Step {
    fn from_preprocess(preprocess: &Preprocess) -> Result<Self, candle_core::Error> {
        Ok(match preprocess {
            Preprocess::Scale(factor) => Self::Affine {
                factor: f64::from(*factor),
                term: 0.0,
            },
            Preprocess::Offset(term) => Self::Affine {
                factor: 1.0,
                term: f64::from(*term),
            },
            Preprocess::Clip { low, high } => Self::Clamp {
                low: *low,
                high: *high,
            },
            Preprocess::Standardise { mean, deviation } => Self::Standardise {
                mean: Tensor::new(mean.as_slice(), &Device::Cpu)?,
                deviation: Tensor::new(deviation.as_slice(), &Device::Cpu)?,
            },
        })
    }

    /// A linear layer for rows of `width` numbers, and the width that comes out.
    fn from_linear(
        at: &str,
        linear: &Linear,
        width: usize,
        tensors: &Tensors,
    ) -> Result<(Self, usize), BuildError> {
        let find = |field: &str, name: &str| {
            tensors.get(name).ok_or_else(|| {
                let known: Vec<_> = tensors
                    .keys()
                    .take(20)
                    .map(|name| format!("`{name}`"))
                    .collect();
                let reason = format!(
                    "tensor `{name}` is not in the weights, which have {}",
                    known.join(", ")
                );
                DescriptionError::new(format!("{at}.{field}"), reason)
            })
        };
        let wrong = |field: &str, name: &str, tensor: &Tensor, right: String| {
            let reason = format!("`{name}` has shape {:?}, but must {right}", tensor.dims());
            DescriptionError::new(format!("{at}.{field}"), reason)
        };
        let weight = find("weight", &linear.weight)?;
        let out = match *weight.dims() {
            [out, taken] if taken == width && out > 0 => out,
            [_, _] => {
                let right = format!("take the {width} numbers that come before it: [out, {width}]");
                return Err(wrong("weight", &linear.weight, weight, right).into());
            }
            _ => {
                return Err(
                    wrong("weight", &linear.weight, weight, "be [out, in]".to_owned()).into(),
                );
            }
        };
        let bias = match &linear.bias {
            None => None,
            Some(name) => {
                let bias = find("bias", name)?;
                if bias.dims() != [out] {
                    return Err(wrong("bias", name, bias, format!("be [{out}]")).into());
                }
                Some(bias.clone())
            }
        };
        Ok((
            Self::Linear {
                weight: weight.t()?.contiguous()?,
                bias,
            },
            out,
        ))
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor, candle_core::Error> {
        match self {
            Self::Affine { factor, term } => x.affine(*factor, *term),
            Self::Clamp { low, high } => x.clamp(*low, *high),
            Self::Standardise { mean, deviation } => {
                x.broadcast_sub(mean)?.broadcast_div(deviation)
            }
            Self::Linear { weight, bias: None } => x.matmul(weight),
            Self::Linear {
                weight,
                bias: Some(bias),
            } => x.matmul(weight)?.broadcast_add(bias),
            Self::Relu => x.relu(),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => (x.neg()?.exp()? + 1.0)?.recip(),
            Self::Softmax => {
                // The largest number is taken off first, so that exp cannot overflow.
                let powers = x.broadcast_sub(&x.max_keepdim(D::Minus1)?)?.exp()?;
                powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;
    use std::collections::BTreeMap;
    use std::path::Path;

    const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/models");

    #[derive(Deserialize)]
    struct Expected {
        inputs: Vec<Vec<f32>>,
        probabilities: BTreeMap<String, Vec<Vec<f32>>>,
    }

    /// Source: scikit-learn 1.9.1's own predict_proba in float32, written by
    /// tests/models/train.py. Tolerance 1e-5: the same float32 products, summed in
    /// another order over at most 64 terms.
    #[test]
    fn the_answers_are_those_of_scikit_learn() {
        let text = std::fs::read(Path::new(MODELS).join("expected.json")).unwrap();
        let expected: Expected = serde_json::from_slice(&text).unwrap();
        assert_eq!(expected.probabilities.len(), 2);
        for (name, rows) in &expected.probabilities {
            let model = crate::load(&Path::new(MODELS).join(format!("{name}.json"))).unwrap();
            let together = model.predict(&expected.inputs).unwrap();
            assert_eq!(together.len(), rows.len());
            for ((input, row), found) in expected.inputs.iter().zip(rows).zip(&together) {
                let alone = model.predict(std::slice::from_ref(input)).unwrap();
                for (column, (&right, &batched)) in row.iter().zip(found).enumerate() {
                    assert!(
                        (right - batched).abs() <= 1e-5,
                        "{name}, column {column}: {batched} is not {right}"
                    );
                    assert!(
                        (right - alone[0][column]).abs() <= 1e-5,
                        "{name}, column {column}, alone"
                    );
                }
            }
        }
    }

    /// A network of one column from its preprocessing and layers, without weights.
    fn plain(preprocess: serde_json::Value, layers: serde_json::Value, width: usize) -> Network {
        let text = json!({
            "name": "plain", "weights": "none", "preprocess": preprocess, "layers": layers,
            "input": {"name": "x", "shape": [width], "datatype": "FP32"},
            "output": {"name": "y", "kind": "values"},
        });
        let description = Description::parse(text.to_string().as_bytes()).unwrap();
        Network::build(&description, &Tensors::new(), String::new()).unwrap()
    }

    #[test]
    fn every_operation_does_what_its_name_says() {
        // (preprocess, layer, input, output): by hand, tanh(0.5) and sigmoid(0.5) from Python's math.
        let cases = [
            (
                json!([{"scale": 0.5}]),
                json!("relu"),
                [3.0, -3.0],
                [1.5, 0.0],
            ),
            (
                json!([{"offset": 1}]),
                json!("relu"),
                [3.0, -0.5],
                [4.0, 0.5],
            ),
            (
                json!([{"clip": {"low": 0, "high": 1}}]),
                json!("relu"),
                [3.0, 0.25],
                [1.0, 0.25],
            ),
            (
                json!([{"standardise": {"mean": [1, 2], "deviation": [2, 4]}}]),
                json!("relu"),
                [3.0, 6.0],
                [1.0, 1.0],
            ),
            (
                json!([{"scale": 2}, {"offset": 1}]),
                json!("relu"),
                [1.0, 2.0],
                [3.0, 5.0],
            ),
            (json!([]), json!("tanh"), [0.5, 0.0], [0.462_117_16, 0.0]),
            (
                json!([]),
                json!("sigmoid"),
                [0.5, -200.0],
                [0.622_459_35, 0.0],
            ),
            (json!([]), json!("softmax"), [1000.0, 1000.0], [0.5, 0.5]),
        ];
        for (preprocess, layer, input, output) in cases {
            let found = plain(preprocess.clone(), json!([layer]), 2)
                .predict(&[input.to_vec()])
                .unwrap();
            for (found, right) in found[0].iter().zip(output) {
                assert!(
                    (found - right).abs() < 1e-6,
                    "{preprocess} {layer}: {found} is not {right}"
                );
            }
        }
    }

    #[test]
    fn values_have_no_label() {
        let network = plain(json!([]), json!(["relu"]), 2);
        assert_eq!(network.label_of(&[1.0, 2.0]), None);
    }

    #[test]
    fn a_row_that_cannot_be_computed_is_named() {
        let network = plain(json!([{"scale": 10}]), json!(["relu"]), 2);
        let refused = |rows: &[Vec<f32>]| network.predict(rows).unwrap_err().to_string();
        assert_eq!(
            refused(&[vec![1.0, 2.0], vec![1.0]]),
            "input row 1 has 1 numbers, but must have 2"
        );
        assert!(refused(&[vec![1.0, f32::NAN]]).starts_with("input row 0 has NaN in column 1"));
        assert!(refused(&[vec![1.0, 1e38]]).starts_with("output row 0 is not finite"));
        assert!(network.predict(&[]).unwrap().is_empty());
    }
}
