//! Looks into candle's tensors, and the two layouts that images are kept in.
//!
//! A convolution leaves its result channels-last: a tensor of shape [n, c, h, w]
//! that lies in memory as [n, h, w, c]. What works number by number keeps that
//! layout; everything else makes it [`plain`] first.

use candle_core::{Device, Storage, Tensor, WithDType};

use super::tensor::MAX_ELEMENTS;

pub(super) fn words(error: candle_core::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

/// A contiguous tensor's numbers.
///
/// # Errors
/// Another type than `T`, or another layout.
pub(super) fn read<T: WithDType, R>(
    tensor: &Tensor,
    look: impl FnOnce(&[T]) -> R,
) -> Result<R, String> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        return Err("is not in memory".to_owned());
    };
    let numbers = storage.as_slice::<T>().map_err(words)?;
    let (start, end) = layout.contiguous_offsets().ok_or("is not contiguous")?;
    Ok(look(numbers.get(start..end).ok_or("is out of bounds")?))
}

pub(super) fn make<T: WithDType>(numbers: Vec<T>, dims: &[usize]) -> Result<Tensor, String> {
    Tensor::from_vec(numbers, dims, &Device::Cpu).map_err(words)
}

/// The whole numbers of a tensor of any rank, such as a shape.
pub(super) fn ints(tensor: &Tensor) -> Result<Vec<i64>, String> {
    read::<i64, _>(&plain(tensor)?, <[i64]>::to_vec)
}

/// Row-major.
pub(super) fn plain(x: &Tensor) -> Result<Tensor, String> {
    if x.is_contiguous() {
        return Ok(x.clone());
    }
    let (Some(last), &[n, c, h, w]) = (channels_last(x), x.dims()) else {
        return x.contiguous().map_err(words);
    };
    let turned = read::<f32, _>(&last, |numbers| turn(numbers, h * w, c));
    match turned {
        Ok(numbers) => make(numbers, &[n, c, h, w]),
        Err(_) => x.contiguous().map_err(words),
    }
}

/// The tensor of shape [n, h, w, c] that a channels-last tensor is in memory.
pub(super) fn channels_last(x: &Tensor) -> Option<Tensor> {
    if x.rank() != 4 {
        return None;
    }
    let last = x.permute((0, 2, 3, 1)).ok()?;
    last.is_contiguous().then_some(last)
}

/// The numbers of an image batch [n, c, h, w] in the order [n, h, w, c].
pub(super) fn to_channels_last(x: &Tensor) -> Result<Tensor, String> {
    if let Some(last) = channels_last(x) {
        return Ok(last);
    }
    let &[n, c, h, w] = x.dims() else {
        return Err(format!(
            "has shape {:?}, but must be [n, channels, height, width]",
            x.dims()
        ));
    };
    let x = x.contiguous().map_err(words)?;
    make(
        read::<f32, _>(&x, |numbers| turn(numbers, c, h * w))?,
        &[n, h, w, c],
    )
}

/// A tensor of shape [n, c, h, w] from numbers in the order [n, h, w, c].
pub(super) fn from_channels_last(
    numbers: Vec<f32>,
    [n, c, h, w]: [usize; 4],
) -> Result<Tensor, String> {
    let last = make(numbers, &[n, h, w, c])?;
    last.permute((0, 3, 1, 2)).map_err(words)
}

/// Each block of `rows` x `columns` numbers becomes `columns` x `rows`.
fn turn(numbers: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut turned = Vec::with_capacity(numbers.len());
    for block in numbers.chunks_exact((rows * columns).max(1)) {
        for column in 0..columns {
            turned.extend(block.iter().skip(column).step_by(columns));
        }
    }
    turned
}

/// An axis counted from the front.
///
/// # Errors
/// One that is out of range.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(counted)
        .ok()
        .filter(|axis| *axis < rank)
        .ok_or_else(|| format!("has axis {axis}, but its input has {rank} axes"))
}

/// The shape that two shapes are broadcast to.
///
/// # Errors
/// Sizes that differ and are not 1.
pub(super) fn broadcast(left: &[usize], right: &[usize]) -> Result<Vec<usize>, String> {
    let rank = left.len().max(right.len());
    let size = |dims: &[usize], at: usize| {
        (at + dims.len())
            .checked_sub(rank)
            .and_then(|at| dims.get(at))
            .copied()
            .unwrap_or(1)
    };
    (0..rank)
        .map(|at| match (size(left, at), size(right, at)) {
            (left, right) if left == right => Ok(left),
            (1, size) | (size, 1) => Ok(size),
            _ => Err(format!("cannot join the shapes {left:?} and {right:?}")),
        })
        .collect()
}

/// The elements of a tensor of that shape.
///
/// # Errors
/// More than a tensor may have.
pub(super) fn bounded(dims: &[usize]) -> Result<usize, String> {
    let total = dims
        .iter()
        .try_fold(1_usize, |total, size| total.checked_mul(*size));
    total.filter(|total| *total <= MAX_ELEMENTS).ok_or_else(|| {
        format!("needs a tensor of shape {dims:?}, which is more than {MAX_ELEMENTS} elements")
    })
}

/// Row-major numbers of a tensor as if it had that shape.
pub(super) fn spread(x: &Tensor, dims: &[usize]) -> Result<Tensor, String> {
    if x.dims() == dims {
        return plain(x);
    }
    bounded(dims)?;
    x.broadcast_as(dims)
        .and_then(|x| x.contiguous())
        .map_err(words)
}
