//! Neighbours that become one step: weights into their operator, and biases, batch
//! normalisations and activations into the product before them.

use candle_core::Tensor;

use super::builder::Names;
use super::conv::{Conv, numbers};
use super::elementwise::{Binary, Unary};
use super::op::Op;
use super::plan::{Plan, Step};
use super::run::{Inputs, batch_factors};
use super::values::words;
use super::window::Activation;

// === impl Plan ===

impl Plan {
    /// Joins a step with the only one that takes what it gives: biases, batch
    /// normalisations and activations cost nothing then.
    pub(super) fn join(&mut self) {
        let mut at = 0;
        while at + 1 < self.steps.len() {
            if !self.join_next(at) {
                at += 1;
            }
        }
    }

    /// Joins the step at a place with a later one; whether it could.
    fn join_next(&mut self, at: usize) -> bool {
        let Some(&[Some(given)]) = self.steps.get(at).map(|step| step.outputs.as_slice()) else {
            return false;
        };
        let takers = || {
            self.steps
                .iter()
                .enumerate()
                .filter(move |(_, step)| step.inputs.contains(&Some(given)))
        };
        let (Some((next, taker)), 1) = (takers().next(), takers().count()) else {
            return false;
        };
        if given == self.output || taker.outputs.len() != 1 || next <= at {
            return false;
        }
        let constants: Vec<_> = taker
            .inputs
            .iter()
            .map(|place| self.values.get((*place)?)?.as_ref())
            .collect();
        let Some(step) = self.steps.get(at) else {
            return false;
        };
        let Some((op, activation)) = joined(step, &taker.op, &constants) else {
            return false;
        };
        let outputs = taker.outputs.clone();
        self.steps.remove(next);
        if let Some(step) = self.steps.get_mut(at) {
            (step.op, step.activation, step.outputs) = (op, activation, outputs);
        }
        true
    }
}

/// Puts constant weights into the operator, turned as they are needed.
pub(super) fn with_weights(
    op: Op,
    places: Vec<Option<usize>>,
    names: &Names,
) -> Result<(Op, Vec<Option<usize>>), String> {
    let at = |index: usize| names.constant(places.get(index).copied().flatten());
    let has = |index: usize| places.get(index).copied().flatten().is_some();
    let first = || places.first().copied().into_iter().collect();
    let bias = |index: usize| at(index).map(numbers).transpose();
    match (&op, at(1)) {
        (Op::Convolution { window, groups }, Some(weight)) => {
            if has(2) && at(2).is_none() {
                return Err("has a bias that is no constant, which is not supported".to_owned());
            }
            let conv = Conv::new(window, *groups, weight, bias(2)?)?;
            Ok((Op::Conv(Box::new(conv)), first()))
        }
        (Op::Convolution { .. }, None) => {
            Err("has weights that are no constants, which is not supported".to_owned())
        }
        (Op::MatMul, Some(weight)) if weight.rank() == 2 => Ok((linear(weight, None)?, first())),
        (
            Op::Gemm {
                alpha: 1.0,
                beta: 1.0,
                left_transposed: false,
                right_transposed,
            },
            Some(weight),
        ) if weight.rank() == 2 && (!has(2) || at(2).is_some_and(|bias| bias.rank() == 1)) => {
            let weight = if *right_transposed {
                weight.t().map_err(words)?
            } else {
                weight.clone()
            };
            let gives = weight.dims().last().copied().unwrap_or(0);
            match bias(2)? {
                Some(bias) if bias.len() != gives => Ok((op, places)),
                bias => Ok((linear(&weight, bias)?, first())),
            }
        }
        _ => Ok((op, places)),
    }
}

fn linear(weight: &Tensor, bias: Option<Vec<f32>>) -> Result<Op, String> {
    let &[takes, gives] = weight.dims() else {
        return Err("has weights that are no matrix".to_owned());
    };
    Ok(Op::Linear {
        weight: numbers(weight)?,
        bias,
        takes,
        gives,
    })
}

/// A step with the operator that takes its result; `None` where they stay two.
fn joined(
    step: &Step,
    next: &Op,
    constants: &[Option<&Tensor>],
) -> Option<(Op, Option<Activation>)> {
    let activation = match next {
        Op::Unary(Unary::Relu) => Some(Activation::Relu),
        Op::Clip {
            low: Some(low),
            high: Some(high),
        } => Some(Activation::Clip(*low, *high)),
        Op::Clip {
            low: None,
            high: None,
        } => {
            let limit = |at: usize| -> Option<f32> {
                numbers((*constants.get(at)?)?).ok()?.first().copied()
            };
            Some(Activation::Clip(limit(1)?, limit(2)?))
        }
        _ => None,
    };
    match (&step.op, activation) {
        (Op::Linear { .. }, Some(activation)) if step.activation.is_none() => {
            Some((step.op.clone(), Some(activation)))
        }
        (Op::Conv(conv), Some(activation)) if conv.is_bare() => {
            let mut conv = conv.clone();
            conv.activate(activation);
            Some((Op::Conv(conv), None))
        }
        (Op::Conv(conv), None) => {
            if let Op::Pool(pool) = next {
                let mut conv = conv.clone();
                return conv.pool(pool).then_some((Op::Conv(conv), None));
            }
            let Op::BatchNormalization { epsilon } = next else {
                return None;
            };
            let (scale, shift) = batch_factors(&Inputs(constants.to_vec()), *epsilon).ok()?;
            let fits = conv.is_bare() && scale.len() == conv.outputs();
            let mut conv = fits.then(|| conv.clone())?;
            conv.scale(&scale, &shift);
            Some((Op::Conv(conv), None))
        }
        (
            Op::Linear {
                weight,
                bias: None,
                takes,
                gives,
            },
            None,
        ) if step.activation.is_none() => {
            let bias = constants
                .iter()
                .flatten()
                .find(|bias| bias.rank() == 1 && bias.elem_count() == *gives);
            let (Op::Binary(Binary::Add), 2, Some(bias)) = (next, constants.len(), bias) else {
                return None;
            };
            let bias = Some(numbers(bias).ok()?);
            Some((
                Op::Linear {
                    weight: weight.clone(),
                    bias,
                    takes: *takes,
                    gives: *gives,
                },
                None,
            ))
        }
        _ => None,
    }
}
