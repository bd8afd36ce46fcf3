//! `Pad`: numbers around a tensor.

use candle_core::{DType, Tensor};

use super::values::{axis, bounded, make, plain, words};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Constant,
    /// The first and the last go on.
    Edge,
    /// Mirrored, the first and the last not twice.
    Reflect,
}

// === impl Mode ===

impl Mode {
    pub(super) fn read(name: &str) -> Result<Self, String> {
        Ok(match name {
            "constant" => Self::Constant,
            "edge" => Self::Edge,
            "reflect" => Self::Reflect,
            _ => return Err(format!("has the mode {name:?}, which is not supported")),
        })
    }

    /// Which of `size` numbers stands at a place beside them; `None` for the constant.
    fn source(self, place: i64, size: i64) -> Option<i64> {
        match self {
            _ if (0..size).contains(&place) => Some(place),
            Self::Constant => None,
            Self::Edge => Some(place.clamp(0, size - 1)),
            Self::Reflect => Some(if place < 0 {
                -place
            } else {
                2 * (size - 1) - place
            }),
        }
    }
}

/// `pads` has the numbers before each axis and then those after each; a negative one takes
/// some away.
pub(super) fn pad(
    x: &Tensor,
    mode: Mode,
    pads: &[i64],
    axes: Option<&[i64]>,
    value: f32,
) -> Result<Tensor, String> {
    if x.dtype() != DType::F32 {
        return Err(format!(
            "has an input of type {:?}, but must have float32",
            x.dtype()
        ));
    }
    let axes = match axes {
        Some(axes) => axes.to_vec(),
        None => (0..x.rank() as i64).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(format!("has pads {pads:?} for {} axes", axes.len()));
    }
    let (before, after) = pads.split_at(axes.len());
    let mut padded = plain(x)?;
    for ((named, before), after) in axes.iter().zip(before).zip(after) {
        let along = axis(*named, x.rank())?;
        padded = pad_axis(&padded, along, mode, (*before, *after), value)?;
    }
    Ok(padded)
}

fn pad_axis(
    x: &Tensor,
    along: usize,
    mode: Mode,
    (before, after): (i64, i64),
    value: f32,
) -> Result<Tensor, String> {
    if (before, after) == (0, 0) {
        return Ok(x.clone());
    }
    let size = x.dims().get(along).map_or(0, |size| *size as i64);
    let end = size.checked_add(after);
    let start = before.checked_neg();
    let (Some(start), Some(end)) = (start, end) else {
        return Err(format!("has pads of {before} and {after}"));
    };
    let mut dims = x.dims().to_vec();
    if let Some(wanted) = dims.get_mut(along) {
        let length = end.checked_sub(start).map(usize::try_from);
        *wanted = match length {
            Some(Ok(length)) => length,
            _ => return Err(format!("takes more from axis {along} than its {size}")),
        };
    }
    bounded(&dims)?;
    // Rows of the numbers behind the axis are moved as they are.
    let inner: usize = dims.iter().skip(along + 1).product();
    let numbers = plain(x)?
        .flatten_all()
        .and_then(|x| x.to_vec1::<f32>())
        .map_err(words)?;
    let mut made = Vec::with_capacity(bounded(&dims)?);
    for block in numbers.chunks((size as usize * inner).max(1)) {
        for place in start..end {
            let Some(source) = mode.source(place, size) else {
                made.extend(std::iter::repeat_n(value, inner));
                continue;
            };
            let row = usize::try_from(source)
                .ok()
                .and_then(|at| block.get(at * inner..(at + 1) * inner));
            made.extend_from_slice(
                row.ok_or_else(|| format!("mirrors more of axis {along} than its {size}"))?,
            );
        }
    }
    make(made, &dims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn padded(mode: Mode, pads: &[i64]) -> Result<Vec<Vec<f32>>, String> {
        let x = Tensor::new(&[[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &Device::Cpu).unwrap();
        let y = pad(&x, mode, pads, None, 9.0)?;
        Ok(y.to_vec2().unwrap())
    }

    #[test]
    fn as_onnx_has_it() {
        assert_eq!(
            padded(Mode::Constant, &[0, 1, 1, 0]).unwrap(),
            [
                [9.0, 1.0, 2.0, 3.0],
                [9.0, 4.0, 5.0, 6.0],
                [9.0, 9.0, 9.0, 9.0]
            ]
        );
        assert_eq!(
            padded(Mode::Edge, &[1, 0, 0, 2]).unwrap(),
            [
                [1.0, 2.0, 3.0, 3.0, 3.0],
                [1.0, 2.0, 3.0, 3.0, 3.0],
                [4.0, 5.0, 6.0, 6.0, 6.0]
            ]
        );
        assert_eq!(
            padded(Mode::Reflect, &[0, 2, 0, 1]).unwrap(),
            [
                [3.0, 2.0, 1.0, 2.0, 3.0, 2.0],
                [6.0, 5.0, 4.0, 5.0, 6.0, 5.0]
            ]
        );
        assert_eq!(
            padded(Mode::Constant, &[0, -1, 0, -1]).unwrap(),
            [[2.0], [5.0]]
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for pads in [
            &[0, 1][..],
            &[0, -2, 0, -2],
            &[0, i64::MAX, 0, i64::MAX],
            &[i64::MIN, 0, 0, 0],
        ] {
            assert!(padded(Mode::Constant, pads).is_err(), "{pads:?}");
        }
        assert!(padded(Mode::Reflect, &[0, 3, 0, 0]).is_err());
    }
}
