//! The operators that are known, and how a node says which one it is.
//!
//! <https://onnx.ai/onnx/operators/>. A node is read completely when the model is
//! created: an operator or an attribute that is not known is refused then.

use candle_core::{DType, Tensor};

use super::attributes::Attributes;
use super::conv::Conv;
use super::elementwise::{Binary, Comparison, Unary};
use super::linear::Linear;
use super::message::Node;
use super::padding::Mode;
use super::pool::{Pool, PoolKind};
use super::reduce::Reduction;
use super::tensor;
use super::window::Window;

/// Starts, ends and axes of a slice.
type Bounds = (Vec<i64>, Vec<i64>, Option<Vec<i64>>);

/// An operator with its attributes.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Unary(Unary),
    Binary(Binary),
    Compare(Comparison),
    MatMul,
    Gemm {
        alpha: f32,
        beta: f32,
        left_transposed: bool,
        right_transposed: bool,
    },
    /// Before its weights are known.
    Convolution {
        window: Window,
        groups: usize,
    },
    Pool(Pool),
    GlobalPool(PoolKind),
    BatchNormalization {
        epsilon: f32,
    },
    LayerNormalization {
        axis: i64,
        epsilon: f32,
    },
    Softmax {
        axis: i64,
        log: bool,
        /// Before version 13: over all axes from that one on.
        flat: bool,
    },
    Flatten {
        axis: i64,
    },
    Reshape {
        allow_zero: bool,
    },
    Transpose {
        order: Option<Vec<usize>>,
    },
    Concat {
        axis: i64,
    },
    Gather {
        axis: i64,
    },
    /// Start, end and axes as attributes, before version 10.
    Slice {
        fixed: Option<Bounds>,
    },
    Squeeze {
        axes: Option<Vec<i64>>,
    },
    Unsqueeze {
        axes: Option<Vec<i64>>,
    },
    Reduce {
        kind: Reduction,
        axes: Option<Vec<i64>>,
        keep: bool,
        nothing_if_empty: bool,
    },
    ArgMax {
        axis: i64,
        keep: bool,
    },
    ConstantOfShape {
        value: Tensor,
    },
    Shape {
        start: i64,
        end: Option<i64>,
    },
    Cast {
        to: DType,
    },
    Where,
    Clip {
        low: Option<f32>,
        high: Option<f32>,
    },
    Split {
        axis: i64,
        sizes: Option<Vec<i64>>,
    },
    Expand,
    Range,
    Pad {
        mode: Mode,
        /// Numbers and value as attributes, before version 11.
        fixed: Option<(Vec<i64>, f32)>,
    },
    /// Made by joining nodes: [`Conv`] with its weights.
    Conv(Box<Conv>),
    /// Made by joining nodes: `x W + b`, both constant.
    Linear(Box<Linear>),
    /// Made by joining nodes: images with all their numbers in a row, channels last.
    FlattenLast,
}

/// Reads a node of a known operator.
///
/// # Errors
/// What is not supported, in words that go after the node's name.
pub(super) fn read(node: &Node, version: i64) -> Result<Op, String> {
    let at = Attributes::new(node);
    let op = of_type(node.op_type.as_deref().unwrap_or_default(), &at, version)?;
    at.finish()?;
    Ok(op)
}

fn of_type(name: &str, at: &Attributes<'_>, version: i64) -> Result<Op, String> {
    if let Some(unary) = Unary::read(name, at)? {
        return Ok(Op::Unary(unary));
    }
    if let Some(binary) = Binary::read(name) {
        return Ok(Op::Binary(binary));
    }
    if let Some(comparison) = Comparison::read(name) {
        return Ok(Op::Compare(comparison));
    }
    if let Some(kind) = Reduction::read(name) {
        return Ok(Op::Reduce {
            kind,
            axes: at.ints("axes"),
            keep: at.flag("keepdims", true),
            nothing_if_empty: at.flag("noop_with_empty_axes", false),
        });
    }
    Ok(match name {
        "MatMul" => Op::MatMul,
        "Gemm" => Op::Gemm {
            alpha: at.float("alpha", 1.0),
            beta: at.float("beta", 1.0),
            left_transposed: at.flag("transA", false),
            right_transposed: at.flag("transB", false),
        },
        "Conv" => Op::Convolution {
            window: Window::read(at)?,
            groups: usize::try_from(at.int("group", 1)).unwrap_or(0),
        },
        "MaxPool" => Op::Pool(Pool::read(PoolKind::Max, at)?),
        "AveragePool" => Op::Pool(Pool::read(PoolKind::Average, at)?),
        "GlobalAveragePool" => Op::GlobalPool(PoolKind::Average),
        "GlobalMaxPool" => Op::GlobalPool(PoolKind::Max),
        "BatchNormalization" => {
            Attributes::only("training_mode", at.int("training_mode", 0), 0)?;
            at.float("momentum", 0.9);
            Attributes::only("spatial", at.int("spatial", 1), 1)?;
            Op::BatchNormalization {
                epsilon: at.float("epsilon", 1e-5),
            }
        }
        "LayerNormalization" => {
            Attributes::only("stash_type", at.int("stash_type", 1), 1)?;
            Op::LayerNormalization {
                axis: at.int("axis", -1),
                epsilon: at.float("epsilon", 1e-5),
            }
        }
        "Softmax" | "LogSoftmax" => Op::Softmax {
            axis: at.int("axis", if version < 13 { 1 } else { -1 }),
            log: name == "LogSoftmax",
            flat: version < 13,
        },
        "ArgMax" => {
            Attributes::only("select_last_index", at.int("select_last_index", 0), 0)?;
            Op::ArgMax {
                axis: at.int("axis", 0),
                keep: at.flag("keepdims", true),
            }
        }
        "Clip" => Op::Clip {
            low: at.maybe_float("min"),
            high: at.maybe_float("max"),
        },
        "Where" => Op::Where,
        "Cast" => {
            at.int("saturate", 1);
            let to = i32::try_from(at.int("to", 0)).unwrap_or_default();
            Op::Cast {
                to: tensor::computed_as(to)?,
            }
        }
        _ => return shaping(name, at),
    })
}

/// Operators that move numbers and compute none.
fn shaping(name: &str, at: &Attributes<'_>) -> Result<Op, String> {
    Ok(match name {
        "Flatten" => Op::Flatten {
            axis: at.int("axis", 1),
        },
        "Reshape" => Op::Reshape {
            allow_zero: at.flag("allowzero", false),
        },
        "Transpose" => Op::Transpose {
            order: at.sizes("perm")?,
        },
        "Concat" => Op::Concat {
            axis: at.int("axis", 1),
        },
        "Gather" => Op::Gather {
            axis: at.int("axis", 0),
        },
        "Slice" => Op::Slice {
            fixed: match (at.ints("starts"), at.ints("ends"), at.ints("axes")) {
                (Some(starts), Some(ends), axes) => Some((starts, ends, axes)),
                _ => None,
            },
        },
        "Squeeze" => Op::Squeeze {
            axes: at.ints("axes"),
        },
        "Unsqueeze" => Op::Unsqueeze {
            axes: at.ints("axes"),
        },
        "ConstantOfShape" => Op::ConstantOfShape {
            value: match at.tensor("value") {
                Some(data) => tensor::read(data)?,
                None => Tensor::new(&[0.0_f32], &candle_core::Device::Cpu)
                    .map_err(|error| error.to_string())?,
            },
        },
        "Shape" => Op::Shape {
            start: at.int("start", 0),
            end: at.maybe_int("end"),
        },
        "Split" => {
            at.int("num_outputs", 0);
            Op::Split {
                axis: at.int("axis", 0),
                sizes: at.ints("split"),
            }
        }
        "Expand" => Op::Expand,
        "Range" => Op::Range,
        "Pad" => Op::Pad {
            mode: Mode::read(&at.text("mode", "constant"))?,
            fixed: at.ints("pads").map(|pads| (pads, at.float("value", 0.0))),
        },
        _ => return Err("is an operator that is not supported".to_owned()),
    })
}
