//! A feed-forward network on candle.
//!
//! Every width is checked when the network is built, so that a row of the right
//! length cannot fail on shape when it is run.

use std::collections::BTreeSet;

use candle_core::{D, Device, Tensor};

use super::description::{Description, DescriptionError, Layer, Linear};
use super::error::{BuildError, InferenceError};
use super::loaded::Engine;
use super::weights::Tensors;

/// A network that is ready to run.
pub(super) struct Network {
    width: usize,
    outputs: usize,
    steps: Vec<Step>,
}

/// One operation on a tensor of shape [rows, width].
enum Step {
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
    pub(super) fn build(description: &Description, tensors: &Tensors) -> Result<Self, BuildError> {
        let mut steps = Vec::new();
        let mut width = description.network_width()?;
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
            width: description.network_width()?,
            outputs: width,
            steps,
        })
    }
}

impl Engine for Network {
    fn outputs(&self) -> usize {
        self.outputs
    }

    fn run(&self, rows: &[f64], count: usize) -> Result<Vec<f32>, InferenceError> {
        let rows: Vec<f32> = rows.iter().map(|number| *number as f32).collect();
        let mut tensor = Tensor::from_vec(rows, (count, self.width), &Device::Cpu)?;
        for step in &self.steps {
            tensor = step.apply(&tensor)?;
        }
        Ok(tensor.flatten_all()?.to_vec1()?)
    }
}

// === impl Step ===

impl Step {
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
