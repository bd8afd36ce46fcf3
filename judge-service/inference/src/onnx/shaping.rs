//! Operators that move numbers and compute none.

use candle_core::{DType, Device, Tensor};

use super::tensor;
use super::values::{axis, bounded, broadcast, ints, make, plain, read, spread, words};

pub(super) fn flatten(x: &Tensor, from: i64) -> Result<Tensor, String> {
    let rank = x.rank() as i64;
    let at = if from == rank {
        x.rank()
    } else {
        axis(from, x.rank())?
    };
    let rows: usize = x.dims().iter().take(at).product();
    let columns: usize = x.dims().iter().skip(at).product();
    plain(x)?.reshape((rows, columns)).map_err(words)
}

/// 0 keeps a size, and -1 takes what is left.
pub(super) fn reshape(x: &Tensor, shape: &Tensor, allow_zero: bool) -> Result<Tensor, String> {
    let wanted = ints(shape)?;
    let mut dims = Vec::with_capacity(wanted.len());
    for (at, size) in wanted.iter().enumerate() {
        dims.push(match (size, usize::try_from(*size)) {
            (0, _) if !allow_zero => *x
                .dims()
                .get(at)
                .ok_or_else(|| format!("keeps axis {at} of shape {:?}", x.dims()))?,
            (-1, _) => 1,
            (_, Ok(size)) => size,
            _ => return Err(format!("has shape {wanted:?}")),
        });
    }
    let mut open = wanted.iter().enumerate().filter(|(_, size)| **size == -1);
    let known = bounded(&dims)?;
    if let (Some((at, _)), None) = (open.next(), open.next())
        && let Some(size) = dims.get_mut(at)
    {
        *size = x.elem_count().checked_div(known).unwrap_or(0);
    }
    if bounded(&dims)? != x.elem_count() {
        return Err(format!("cannot make {wanted:?} of {:?}", x.dims()));
    }
    plain(x)?.reshape(dims).map_err(words)
}

pub(super) fn transpose(x: &Tensor, order: Option<&[usize]>) -> Result<Tensor, String> {
    let order = order.map_or_else(|| (0..x.rank()).rev().collect(), <[usize]>::to_vec);
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..x.rank()) {
        return Err(format!(
            "has perm {order:?} for an input of {} axes",
            x.rank()
        ));
    }
    x.permute(order).map_err(words).and_then(|x| plain(&x))
}

pub(super) fn concat(parts: &[&Tensor], along: i64) -> Result<Tensor, String> {
    let first = parts.first().ok_or("has no inputs")?;
    let at = axis(along, first.rank())?;
    let mut total = first.dims().to_vec();
    if let Some(size) = total.get_mut(at) {
        *size = parts
            .iter()
            .map(|part| part.dims().get(at).copied().unwrap_or(0))
            .sum();
    }
    bounded(&total)?;
    // Empty pieces of shapes are legal, and candle does not join them.
    let full = parts.iter().filter(|part| part.elem_count() > 0);
    let parts: Vec<Tensor> = full.map(|part| plain(part)).collect::<Result<_, _>>()?;
    match parts.as_slice() {
        [] => Ok((*first).clone()),
        parts => Tensor::cat(parts, at).map_err(words),
    }
}

pub(super) fn gather(x: &Tensor, at: &Tensor, along: i64) -> Result<Tensor, String> {
    let axis = axis(along, x.rank())?;
    let size = x.dims().get(axis).copied().unwrap_or(0) as i64;
    let places = ints(at)?;
    let mut counted = Vec::with_capacity(places.len());
    for place in places {
        let from_front = if place < 0 { place + size } else { place };
        if !(0..size).contains(&from_front) {
            return Err(format!("takes place {place}, but its axis has {size}"));
        }
        counted.push(from_front);
    }
    let dims: Vec<usize> = [
        x.dims().get(..axis),
        Some(at.dims()),
        x.dims().get(axis + 1..),
    ]
    .into_iter()
    .flatten()
    .flatten()
    .copied()
    .collect();
    bounded(&dims)?;
    let count = counted.len();
    if count == 0 {
        return Err("takes no place".to_owned());
    }
    let picked = plain(x)?
        .index_select(&make(counted, &[count])?, axis)
        .map_err(words)?;
    picked.reshape(dims).map_err(words)
}

/// Starts, ends, axes (all in order if left out) and steps (1 if left out).
pub(super) fn slice(
    x: &Tensor,
    starts: &[i64],
    ends: &[i64],
    axes: Option<&[i64]>,
    steps: Option<&[i64]>,
) -> Result<Tensor, String> {
    let all: Vec<i64> = (0..starts.len() as i64).collect();
    let axes = axes.unwrap_or(&all);
    let ones = vec![1; starts.len()];
    let steps = steps.unwrap_or(&ones);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err("has starts, ends, axes and steps of different lengths".to_owned());
    }
    let mut x = plain(x)?;
    for (((start, end), along), step) in starts.iter().zip(ends).zip(axes).zip(steps) {
        let at = axis(*along, x.rank())?;
        let size = x.dims().get(at).copied().unwrap_or(0) as i64;
        let places = places(*start, *end, *step, size)?;
        let count = places.len();
        if count == 0 {
            return Err(format!("takes nothing of axis {at}, from {start} to {end}"));
        }
        x = x
            .index_select(&make(places, &[count])?, at)
            .map_err(words)?;
    }
    Ok(x)
}

fn places(start: i64, end: i64, step: i64, size: i64) -> Result<Vec<i64>, String> {
    let count = |place: i64| {
        if place < 0 {
            place.saturating_add(size)
        } else {
            place
        }
    };
    Ok(match step {
        0 => return Err("has a step of 0".to_owned()),
        1.. => {
            let (start, end) = (count(start).clamp(0, size), count(end).clamp(0, size));
            let step = usize::try_from(step).unwrap_or(usize::MAX);
            (start..end).step_by(step).collect()
        }
        _ => {
            let (start, end) = (
                count(start).clamp(-1, size - 1),
                count(end).clamp(-1, size - 1),
            );
            let step = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
            (end + 1..=start).rev().step_by(step).collect()
        }
    })
}

pub(super) fn squeeze(x: &Tensor, axes: Option<&[i64]>) -> Result<Tensor, String> {
    let mut gone = Vec::new();
    for named in axes.unwrap_or_default() {
        gone.push(axis(*named, x.rank())?);
    }
    let mut dims = Vec::new();
    for (at, size) in x.dims().iter().enumerate() {
        let goes = gone.contains(&at) || axes.is_none() && *size == 1;
        if goes && *size != 1 {
            return Err(format!("squeezes axis {at} of shape {:?}", x.dims()));
        }
        if !goes {
            dims.push(*size);
        }
    }
    plain(x)?.reshape(dims).map_err(words)
}

pub(super) fn unsqueeze(x: &Tensor, axes: &[i64]) -> Result<Tensor, String> {
    let rank = x.rank() + axes.len();
    let mut is_new = vec![false; rank];
    for named in axes {
        match is_new.get_mut(axis(*named, rank)?) {
            Some(flag) if !*flag => *flag = true,
            _ => return Err(format!("has axes {axes:?}, one of them twice")),
        }
    }
    let mut old = x.dims().iter();
    let dims: Vec<usize> = is_new
        .iter()
        .map(|new| {
            if *new {
                1
            } else {
                old.next().copied().unwrap_or(1)
            }
        })
        .collect();
    plain(x)?.reshape(dims).map_err(words)
}

pub(super) fn expand(x: &Tensor, shape: &Tensor) -> Result<Tensor, String> {
    let (dims, _) = tensor::size(&ints(shape)?)?;
    let dims = broadcast(x.dims(), &dims)?;
    spread(x, &dims)
}

pub(super) fn constant_of_shape(shape: &Tensor, value: &Tensor) -> Result<Tensor, String> {
    let (dims, _) = tensor::size(&ints(shape)?)?;
    if value.elem_count() != 1 {
        return Err("has a value of more than one element".to_owned());
    }
    let value = value.reshape(vec![1; dims.len()]).map_err(words)?;
    spread(&value, &dims)
}

/// From one number on, by steps, up to another one.
pub(super) fn range(from: &Tensor, to: &Tensor, by: &Tensor) -> Result<Tensor, String> {
    let inputs = [from, to, by];
    if inputs.iter().any(|input| input.elem_count() != 1) {
        return Err("has an input of more than one number".to_owned());
    }
    let all = |dtype: DType| inputs.iter().all(|input| input.dtype() == dtype);
    if all(DType::I64) {
        let mut one = inputs.iter().map(|input| ints(input));
        let mut next = || one.next().and_then(|found| found.ok()?.first().copied());
        let (Some(from), Some(to), Some(by)) = (next(), next(), next()) else {
            return Err("has no whole number".to_owned());
        };
        let count = count_of((from as f64, to as f64, by as f64))?;
        let number = |at: usize| from.wrapping_add(by.wrapping_mul(at as i64));
        return make((0..count).map(number).collect(), &[count]);
    }
    if !all(DType::F32) {
        return Err("has inputs that are neither all int64 nor all float32".to_owned());
    }
    let number = |input: &Tensor| {
        read::<f32, _>(&plain(input)?, |numbers| {
            numbers.first().copied().unwrap_or_default()
        })
    };
    let (from, to, by) = (number(from)?, number(to)?, number(by)?);
    let count = count_of((from.into(), to.into(), by.into()))?;
    let number = |at: usize| from + by * at as f32;
    make((0..count).map(number).collect(), &[count])
}

fn count_of((from, to, by): (f64, f64, f64)) -> Result<usize, String> {
    let count = ((to - from) / by).ceil();
    if !count.is_finite() {
        return Err(format!("goes from {from} to {to} by {by}"));
    }
    // What is negative is no number at all, and what is too much is refused.
    bounded(&[count.max(0.0) as usize])
}

pub(super) fn shape_of(x: &Tensor, start: i64, end: Option<i64>) -> Result<Tensor, String> {
    let sizes: Vec<i64> = x.dims().iter().map(|size| *size as i64).collect();
    let rank = sizes.len() as i64;
    let count = |place: i64| {
        (if place < 0 {
            place.saturating_add(rank)
        } else {
            place
        })
        .clamp(0, rank) as usize
    };
    let part = sizes
        .get(count(start)..count(end.unwrap_or(rank)))
        .unwrap_or_default();
    make(part.to_vec(), &[part.len()])
}

pub(super) fn cast(x: &Tensor, to: DType) -> Result<Tensor, String> {
    let x = plain(x)?;
    if to == DType::U8 && x.dtype() != DType::U8 {
        let zero = Tensor::zeros(x.dims(), x.dtype(), &Device::Cpu).map_err(words)?;
        return x.ne(&zero).map_err(words);
    }
    x.to_dtype(to).map_err(words)
}

pub(super) fn choose(condition: &Tensor, yes: &Tensor, no: &Tensor) -> Result<Tensor, String> {
    if condition.dtype() != DType::U8 || yes.dtype() != no.dtype() {
        return Err("has inputs whose types do not fit".to_owned());
    }
    let dims = broadcast(condition.dims(), &broadcast(yes.dims(), no.dims())?)?;
    let condition = spread(condition, &dims)?;
    condition
        .where_cond(&spread(yes, &dims)?, &spread(no, &dims)?)
        .map_err(words)
}

/// Equal parts (the last may be smaller) where no sizes are said.
pub(super) fn split(
    x: &Tensor,
    along: i64,
    sizes: Option<&[i64]>,
    count: usize,
) -> Result<Vec<Tensor>, String> {
    let at = axis(along, x.rank())?;
    let total = x.dims().get(at).copied().unwrap_or(0);
    let sizes: Vec<usize> = match sizes {
        Some(sizes) => sizes
            .iter()
            .map(|size| usize::try_from(*size).unwrap_or(0))
            .collect(),
        None => {
            let each = total.div_ceil(count.max(1));
            (0..count)
                .map(|part| total.saturating_sub(part * each).min(each))
                .collect()
        }
    };
    if sizes.len() != count || sizes.iter().sum::<usize>() != total || sizes.contains(&0) {
        return Err(format!("cannot cut {total} into parts of {sizes:?}"));
    }
    let mut start = 0;
    let mut parts = Vec::with_capacity(count);
    for size in sizes {
        let part = x.narrow(at, start, size).map_err(words)?;
        parts.push(plain(&part)?);
        start += size;
    }
    Ok(parts)
}

/// Limits that are not there do not limit.
pub(super) fn clip(x: &Tensor, low: Option<f32>, high: Option<f32>) -> Result<Tensor, String> {
    let (low, high) = (
        low.unwrap_or(f32::NEG_INFINITY),
        high.unwrap_or(f32::INFINITY),
    );
    let x = plain(x)?;
    let clipped = read::<f32, _>(&x, |numbers| {
        numbers.iter().map(|x| x.max(low).min(high)).collect()
    })?;
    make::<f32>(clipped, x.dims())
}
