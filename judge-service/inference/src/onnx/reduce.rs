//! Operators over whole axes: sums, means, softmax, normalisation, argmax.

use candle_core::{DType, Tensor};

use super::values::{axis, make, plain, read, words};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reduction {
    Mean,
    Sum,
    Max,
    Min,
    /// The root of the sum of squares.
    L2,
}

// === impl Reduction ===

impl Reduction {
    pub(super) fn read(name: &str) -> Option<Self> {
        Some(match name {
            "ReduceMean" => Self::Mean,
            "ReduceSum" => Self::Sum,
            "ReduceMax" => Self::Max,
            "ReduceMin" => Self::Min,
            "ReduceL2" => Self::L2,
            _ => return None,
        })
    }

    fn of(self, row: &[f32]) -> f32 {
        let sum = || row.iter().sum::<f32>();
        match self {
            Self::Sum => sum(),
            Self::Mean => sum() / row.len().max(1) as f32,
            Self::Max => row.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            Self::Min => row.iter().copied().fold(f32::INFINITY, f32::min),
            Self::L2 => row.iter().map(|x| x * x).sum::<f32>().sqrt(),
        }
    }

    /// All axes where none are named.
    pub(super) fn run(
        self,
        x: &Tensor,
        axes: Option<&[i64]>,
        keep: bool,
    ) -> Result<Tensor, String> {
        if x.dtype() != DType::F32 {
            return Err(format!(
                "has an input of type {:?}, but must have float32",
                x.dtype()
            ));
        }
        let rank = x.rank();
        let mut reduced = vec![axes.is_none(); rank];
        for named in axes.unwrap_or_default() {
            if let Some(flag) = reduced.get_mut(axis(*named, rank)?) {
                *flag = true;
            }
        }
        // The axes that go are moved to the end, so that each result is one row's.
        let split = |wanted: bool| {
            let axes = reduced
                .iter()
                .enumerate()
                .filter(move |(_, gone)| **gone == wanted);
            axes.map(|(axis, _)| axis).collect::<Vec<_>>()
        };
        let (stay, gone) = (split(false), split(true));
        let size = |axis: &usize| x.dims().get(*axis).copied().unwrap_or(1);
        let length: usize = gone.iter().map(size).product();
        let order: Vec<usize> = stay.iter().chain(&gone).copied().collect();
        let moved = plain(&x.permute(order).map_err(words)?)?;
        let results = read::<f32, _>(&moved, |numbers| {
            numbers
                .chunks(length.max(1))
                .map(|row| self.of(row))
                .collect::<Vec<_>>()
        })?;
        let dims: Vec<usize> = reduced
            .iter()
            .zip(x.dims())
            .filter(|(gone, _)| keep || !**gone)
            .map(|(gone, size)| if *gone { 1 } else { *size })
            .collect();
        make(results, &dims)
    }
}

/// Along one axis, or over all axes from that one on.
pub(super) fn softmax(x: &Tensor, along: i64, log: bool, flat: bool) -> Result<Tensor, String> {
    let at = axis(along, x.rank())?;
    let last = x.rank() - 1;
    if flat || at == last {
        let length: usize = x.dims().iter().skip(at).product();
        let x = plain(x)?;
        let rows = read::<f32, _>(&x, |numbers| {
            let mut numbers = numbers.to_vec();
            for row in numbers.chunks_mut(length.max(1)) {
                softmax_row(row, log);
            }
            numbers
        })?;
        return make(rows, x.dims());
    }
    let turned = x
        .transpose(at, last)
        .and_then(|x| x.contiguous())
        .map_err(words)?;
    let y = softmax(&turned, -1, log, false)?;
    y.transpose(at, last)
        .and_then(|y| y.contiguous())
        .map_err(words)
}

/// The largest number is taken off first, so that exp cannot overflow.
fn softmax_row(row: &mut [f32], log: bool) {
    let largest = Reduction::Max.of(row);
    if log {
        let total: f32 = row.iter().map(|x| (x - largest).exp()).sum();
        let shift = largest + total.ln();
        row.iter_mut().for_each(|x| *x -= shift);
        return;
    }
    row.iter_mut().for_each(|x| *x = (*x - largest).exp());
    let total: f32 = row.iter().sum();
    row.iter_mut().for_each(|x| *x /= total);
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + shift`, over all axes from one on.
pub(super) fn normalise(
    x: &Tensor,
    from: i64,
    epsilon: f32,
    scale: &Tensor,
    shift: Option<&Tensor>,
) -> Result<Tensor, String> {
    let at = axis(from, x.rank())?;
    let length: usize = x.dims().iter().skip(at).product();
    let shift = match shift {
        Some(shift) => plain(shift)?,
        None => make(vec![0.0; length], &[length])?,
    };
    let (x, scale) = (plain(x)?, plain(scale)?);
    if scale.elem_count() != length || shift.elem_count() != length {
        return Err(format!(
            "has a scale of shape {:?} for rows of {length}",
            scale.dims()
        ));
    }
    let rows = read::<f32, _>(&x, |numbers| {
        read::<f32, _>(&scale, |scale| {
            read::<f32, _>(&shift, |shift| {
                let mut numbers = numbers.to_vec();
                for row in numbers.chunks_mut(length.max(1)) {
                    let mean = Reduction::Mean.of(row);
                    let squares: f32 = row.iter().map(|x| (x - mean) * (x - mean)).sum();
                    let factor = (squares / length as f32 + epsilon).sqrt().recip();
                    for ((x, scale), shift) in row.iter_mut().zip(scale).zip(shift) {
                        *x = (*x - mean) * factor * scale + shift;
                    }
                }
                numbers
            })
        })
    })???;
    make(rows, x.dims())
}

/// The place of the first of the largest numbers.
pub(super) fn arg_max(x: &Tensor, along: i64, keep: bool) -> Result<Tensor, String> {
    let at = axis(along, x.rank())?;
    let last = x.rank() - 1;
    let turned = plain(&x.transpose(at, last).map_err(words)?)?;
    let length = x.dims().get(at).copied().unwrap_or(1);
    let places = read::<f32, _>(&turned, |numbers| {
        let place = |row: &[f32]| {
            let largest = Reduction::Max.of(row);
            row.iter().position(|x| *x == largest).unwrap_or_default() as i64
        };
        numbers.chunks(length.max(1)).map(place).collect::<Vec<_>>()
    })?;
    let mut dims = turned.dims().to_vec();
    dims.pop();
    dims.push(1);
    let places = make(places, &dims)?
        .transpose(at, last)
        .and_then(|places| places.contiguous())
        .map_err(words)?;
    if keep {
        Ok(places)
    } else {
        places.squeeze(at).map_err(words)
    }
}
