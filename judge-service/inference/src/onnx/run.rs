//! One operator on its inputs.

use candle_core::{DType, Tensor};

use super::op::Op;
use super::values::{ints, make, plain, read, to_channels_last};
use super::{padding, pool, product, reduce, shaping};

/// The inputs of a node; one that is left out is `None`.
pub(super) struct Inputs<'a>(pub(super) Vec<Option<&'a Tensor>>);

impl<'a> Inputs<'a> {
    fn maybe(&self, at: usize) -> Option<&'a Tensor> {
        self.0.get(at).copied().flatten()
    }

    fn get(&self, at: usize) -> Result<&'a Tensor, String> {
        self.maybe(at).ok_or_else(|| format!("has no input {at}"))
    }

    fn maybe_ints(&self, at: usize) -> Result<Option<Vec<i64>>, String> {
        self.maybe(at).map(ints).transpose()
    }

    fn maybe_number(&self, at: usize) -> Result<Option<f32>, String> {
        let Some(number) = self.maybe(at) else {
            return Ok(None);
        };
        let number = read::<f32, _>(&plain(number)?, |numbers| numbers.first().copied())?;
        number
            .map(Some)
            .ok_or_else(|| "has an empty limit".to_owned())
    }
}

/// Runs an operator.
///
/// # Errors
/// Inputs that do not fit, in words that go after the node's name.
pub(super) fn run(op: &Op, inputs: &Inputs<'_>, outputs: usize) -> Result<Vec<Tensor>, String> {
    let x = inputs.get(0)?;
    if let Op::Split { axis, sizes } = op {
        let sizes = sizes
            .clone()
            .map_or_else(|| inputs.maybe_ints(1), |sizes| Ok(Some(sizes)))?;
        return shaping::split(x, *axis, sizes.as_deref(), outputs);
    }
    let y = match op {
        Op::Linear(linear) => linear.run(x),
        Op::Conv(conv) => conv.run(x),
        Op::Convolution { .. } => {
            Err("has weights that are no constants, which is not supported".to_owned())
        }
        Op::Unary(unary) => unary.apply(x),
        Op::Binary(binary) => fold(inputs, |left, right| binary.apply(left, right)),
        Op::Compare(comparison) => comparison.apply(x, inputs.get(1)?),
        Op::MatMul => product::matmul(x, inputs.get(1)?),
        Op::Gemm {
            alpha,
            beta,
            left_transposed,
            right_transposed,
        } => {
            let turned = [*left_transposed, *right_transposed];
            product::gemm(x, inputs.get(1)?, inputs.maybe(2), *alpha, *beta, turned)
        }
        Op::Pool(pool) => pool.run(x),
        Op::GlobalPool(kind) => pool::global(*kind, x),
        Op::BatchNormalization { epsilon } => batch_normalise(inputs, *epsilon),
        Op::LayerNormalization { axis, epsilon } => {
            reduce::normalise(x, *axis, *epsilon, inputs.get(1)?, inputs.maybe(2))
        }
        Op::Softmax { axis, log, flat } => reduce::softmax(x, *axis, *log, *flat),
        Op::ArgMax { axis, keep } => reduce::arg_max(x, *axis, *keep),
        Op::Reduce {
            kind,
            axes,
            keep,
            nothing_if_empty,
        } => {
            let axes = axes
                .clone()
                .map_or_else(|| inputs.maybe_ints(1), |axes| Ok(Some(axes)))?;
            match axes.filter(|axes| !axes.is_empty()) {
                None if *nothing_if_empty => Ok(x.clone()),
                axes => kind.run(x, axes.as_deref(), *keep),
            }
        }
        _ => shape(op, x, inputs),
    }?;
    Ok(vec![y])
}

fn shape(op: &Op, x: &Tensor, inputs: &Inputs<'_>) -> Result<Tensor, String> {
    let axes_of = |axes: &Option<Vec<i64>>| {
        axes.clone()
            .map_or_else(|| inputs.maybe_ints(1), |axes| Ok(Some(axes)))
    };
    match op {
        Op::FlattenLast => shaping::flatten(&to_channels_last(x)?, 1),
        Op::Flatten { axis } => shaping::flatten(x, *axis),
        Op::Reshape { allow_zero } => shaping::reshape(x, inputs.get(1)?, *allow_zero),
        Op::Transpose { order } => shaping::transpose(x, order.as_deref()),
        Op::Concat { axis } => {
            let parts: Option<Vec<&Tensor>> = inputs.0.iter().copied().collect();
            shaping::concat(&parts.ok_or("has an input that is left out")?, *axis)
        }
        Op::Gather { axis } => shaping::gather(x, inputs.get(1)?, *axis),
        Op::Slice {
            fixed: Some((starts, ends, axes)),
        } => shaping::slice(x, starts, ends, axes.as_deref(), None),
        Op::Slice { fixed: None } => {
            let (starts, ends) = (ints(inputs.get(1)?)?, ints(inputs.get(2)?)?);
            let (axes, steps) = (inputs.maybe_ints(3)?, inputs.maybe_ints(4)?);
            shaping::slice(x, &starts, &ends, axes.as_deref(), steps.as_deref())
        }
        Op::Squeeze { axes } => shaping::squeeze(x, axes_of(axes)?.as_deref()),
        Op::Unsqueeze { axes } => shaping::unsqueeze(x, &axes_of(axes)?.ok_or("has no axes")?),
        Op::ConstantOfShape { value } => shaping::constant_of_shape(x, value),
        Op::Shape { start, end } => shaping::shape_of(x, *start, *end),
        Op::Cast { to } => shaping::cast(x, *to),
        Op::Where => shaping::choose(x, inputs.get(1)?, inputs.get(2)?),
        Op::Expand => shaping::expand(x, inputs.get(1)?),
        Op::Range => shaping::range(x, inputs.get(1)?, inputs.get(2)?),
        Op::Pad {
            mode,
            fixed: Some((pads, value)),
        } => padding::pad(x, *mode, pads, None, *value),
        Op::Pad { mode, fixed: None } => {
            let (pads, axes) = (ints(inputs.get(1)?)?, inputs.maybe_ints(3)?);
            let value = inputs.maybe_number(2)?.unwrap_or_default();
            padding::pad(x, *mode, &pads, axes.as_deref(), value)
        }
        Op::Clip { low, high } => {
            let low = low.map_or_else(|| inputs.maybe_number(1), |low| Ok(Some(low)))?;
            let high = high.map_or_else(|| inputs.maybe_number(2), |high| Ok(Some(high)))?;
            shaping::clip(x, low, high)
        }
        _ => Err("is an operator that is not supported".to_owned()),
    }
}

/// Min and Max take any number of inputs, the others two.
fn fold(
    inputs: &Inputs<'_>,
    join: impl Fn(&Tensor, &Tensor) -> Result<Tensor, String>,
) -> Result<Tensor, String> {
    let mut joined = join(inputs.get(0)?, inputs.get(1).or_else(|_| inputs.get(0))?)?;
    for at in 2..inputs.0.len() {
        joined = join(&joined, inputs.get(at)?)?;
    }
    Ok(joined)
}

/// `x * scale + shift` along the channels that a batch normalisation is.
pub(super) fn batch_factors(
    inputs: &Inputs<'_>,
    epsilon: f32,
) -> Result<(Vec<f32>, Vec<f32>), String> {
    let of = |at: usize| -> Result<Vec<f32>, String> {
        read::<f32, _>(&plain(inputs.get(at)?)?, <[f32]>::to_vec)
    };
    let (scale, shift, mean, variance) = (of(1)?, of(2)?, of(3)?, of(4)?);
    let factors = scale
        .iter()
        .zip(&variance)
        .map(|(scale, variance)| scale / (variance + epsilon).sqrt());
    let factors: Vec<f32> = factors.collect();
    let shifts = factors
        .iter()
        .zip(&mean)
        .zip(&shift)
        .map(|((factor, mean), shift)| shift - mean * factor);
    let shifts: Vec<f32> = shifts.collect();
    if shifts.len() != scale.len() || factors.len() != scale.len() {
        return Err("has scale, bias, mean and variance of different lengths".to_owned());
    }
    Ok((factors, shifts))
}

fn batch_normalise(inputs: &Inputs<'_>, epsilon: f32) -> Result<Tensor, String> {
    let x = plain(inputs.get(0)?)?;
    let (factors, shifts) = batch_factors(inputs, epsilon)?;
    let channels = x.dims().get(1).copied().unwrap_or(0);
    if channels != factors.len() || x.dtype() != DType::F32 {
        return Err(format!(
            "has {} channels for an input of shape {:?}",
            factors.len(),
            x.dims()
        ));
    }
    let pixels: usize = x.dims().iter().skip(2).product();
    let scaled = read::<f32, _>(&x, |numbers| {
        let mut numbers = numbers.to_vec();
        let planes = numbers.chunks_mut(pixels.max(1));
        for (plane, (factor, shift)) in planes.zip(factors.iter().zip(&shifts).cycle()) {
            plane.iter_mut().for_each(|x| *x = *x * factor + shift);
        }
        numbers
    })?;
    make(scaled, x.dims())
}
