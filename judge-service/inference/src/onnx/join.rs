//! Neighbours that become one step: weights into their operator, and biases, batch
//! normalisations and activations into the product before them.

use candle_core::Tensor;

use super::builder::Names;
use super::conv::{Conv, numbers};
use super::elementwise::{Binary, Unary};
use super::linear::Linear;
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
        let (Some(next), Some(step)) = (self.taker(at), self.steps.get(at)) else {
            return false;
        };
        let Some(taker) = self.steps.get(next) else {
            return false;
        };
        let constants: Vec<_> = taker
            .inputs
            .iter()
            .map(|place| self.values.get((*place)?)?.as_ref())
            .collect();
        let Some(op) = joined(step, &taker.op, &constants) else {
            return false;
        };
        let outputs = taker.outputs.clone();
        self.steps.remove(next);
        if let Some(step) = self.steps.get_mut(at) {
            (step.op, step.outputs) = (op, outputs);
        }
        true
    }

    /// The only step that takes what the one at a place gives.
    fn taker(&self, at: usize) -> Option<usize> {
        let &[Some(given)] = self.steps.get(at)?.outputs.as_slice() else {
            return None;
        };
        let steps = self.steps.iter().enumerate();
        let mut takers = steps.filter(|(_, step)| step.inputs.contains(&Some(given)));
        let (Some((next, taker)), None) = (takers.next(), takers.next()) else {
            return None;
        };
        (given != self.output && taker.outputs.len() == 1 && next > at).then_some(next)
    }

    /// Images that a convolution gives, and that become rows for a product, stay as they lie
    /// in memory: the weights are put into their order instead, once.
    pub(super) fn leave_channels_last(&mut self) {
        for at in 0..self.steps.len() {
            let channels = match self.steps.get(at).map(|step| &step.op) {
                Some(Op::Conv(conv)) if !conv.is_flat() => conv.outputs(),
                _ => continue,
            };
            let Some(flatten) = self.taker(at) else {
                continue;
            };
            let Some(linear) = self.taker(flatten) else {
                continue;
            };
            let is_flatten = |step: &Step| matches!(step.op, Op::Flatten { axis: 1 });
            if !self.steps.get(flatten).is_some_and(is_flatten) {
                continue;
            }
            if let Some(Op::Linear(linear)) = self.steps.get_mut(linear).map(|step| &mut step.op)
                && linear.take_channels_last(channels)
                && let Some(flatten) = self.steps.get_mut(flatten)
            {
                flatten.op = Op::FlattenLast;
            }
        }
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
        (Op::MatMul, Some(weight)) => Ok(match Linear::new(weight, None)? {
            Some(linear) => (Op::Linear(Box::new(linear)), first()),
            None => (op, places),
        }),
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
            Ok(match Linear::new(&weight, bias(2)?)? {
                Some(linear) => (Op::Linear(Box::new(linear)), first()),
                None => (op, places),
            })
        }
        _ => Ok((op, places)),
    }
}

/// A step's operator with the one that takes its result; `None` where they stay two.
fn joined(step: &Step, next: &Op, constants: &[Option<&Tensor>]) -> Option<Op> {
    match &step.op {
        Op::Linear(linear) => {
            let mut linear = linear.clone();
            match activation(next, constants) {
                Some(activation) if linear.is_bare() => linear.activate(activation),
                None if matches!(next, Op::Binary(Binary::Add)) && constants.len() == 2 => {
                    let mut biases = constants.iter().flatten();
                    let bias = biases.find(|bias| bias.rank() == 1)?;
                    linear.shift(numbers(bias).ok()?).then_some(())?;
                }
                _ => return None,
            }
            Some(Op::Linear(linear))
        }
        Op::Conv(conv) => {
            let mut conv = conv.clone();
            match (next, activation(next, constants)) {
                (_, Some(activation)) if conv.is_bare() => conv.activate(activation),
                (Op::BatchNormalization { epsilon }, _) if conv.is_bare() => {
                    let inputs = Inputs(constants.to_vec());
                    let (scale, shift) = batch_factors(&inputs, *epsilon).ok()?;
                    (scale.len() == conv.outputs()).then(|| conv.scale(&scale, &shift))?;
                }
                (Op::Pool(pool), _) => conv.pool(pool).then_some(())?,
                _ => return None,
            }
            Some(Op::Conv(conv))
        }
        _ => None,
    }
}

/// An operator that only limits numbers, by constants.
fn activation(op: &Op, constants: &[Option<&Tensor>]) -> Option<Activation> {
    let limit =
        |at: usize| -> Option<f32> { numbers((*constants.get(at)?)?).ok()?.first().copied() };
    match op {
        Op::Unary(Unary::Relu) => Some(Activation::Relu),
        Op::Clip {
            low: Some(low),
            high: Some(high),
        } => Some(Activation::Clip(*low, *high)),
        Op::Clip {
            low: None,
            high: None,
        } => Some(Activation::Clip(limit(1)?, limit(2)?)),
        _ => None,
    }
}
