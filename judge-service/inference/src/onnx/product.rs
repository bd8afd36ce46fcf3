//! Products of matrices, of any rank and any layout.

use candle_core::Tensor;

use super::matrix::{View, multiply};
use super::values::{bounded, broadcast, make, plain, read, spread, words};

/// `alpha A B + beta C`, A and B transposed or not.
pub(super) fn gemm(
    left: &Tensor,
    right: &Tensor,
    shift: Option<&Tensor>,
    alpha: f32,
    beta: f32,
    turned: [bool; 2],
) -> Result<Tensor, String> {
    let (&[a, b], &[c, d]) = (left.dims(), right.dims()) else {
        return Err(format!(
            "has inputs of shapes {:?} and {:?}, but must have matrices",
            left.dims(),
            right.dims()
        ));
    };
    let (rows, depth) = if turned[0] { (b, a) } else { (a, b) };
    let (taken, columns) = if turned[1] { (d, c) } else { (c, d) };
    if depth != taken {
        return Err(format!(
            "cannot multiply [{rows}, {depth}] by [{taken}, {columns}]"
        ));
    }
    let mut into = vec![0.0; bounded(&[rows, columns])?];
    if let Some(shift) = shift {
        let shift = spread(shift, &[rows, columns])?;
        // The product is scaled at the end, and the shift with it.
        let factor = beta / alpha;
        read::<f32, _>(&shift, |shift| {
            into.iter_mut()
                .zip(shift)
                .for_each(|(x, shift)| *x = shift * factor)
        })?;
    }
    let (left, right) = (plain(left)?, plain(right)?);
    read::<f32, _>(&left, |left| {
        read::<f32, _>(&right, |right| {
            let (left, right) = (View::rows(left, a, b), View::rows(right, c, d));
            let left = if turned[0] { left.transposed() } else { left };
            let right = if turned[1] { right.transposed() } else { right };
            multiply(&mut into, left, right, shift.is_some())
        })
    })???;
    if alpha != 1.0 {
        into.iter_mut().for_each(|x| *x *= alpha);
    }
    make(into, &[rows, columns])
}

/// numpy's matmul: leading axes are broadcast, a vector is a row or a column.
pub(super) fn matmul(left: &Tensor, right: &Tensor) -> Result<Tensor, String> {
    if left.rank() == 0 || right.rank() == 0 {
        return Err("has a number where it needs a matrix".to_owned());
    }
    if left.rank() == 1 {
        let y = matmul(&left.unsqueeze(0).map_err(words)?, right)?;
        return y.squeeze(y.rank() - 2).map_err(words);
    }
    if right.rank() == 1 {
        let y = matmul(left, &right.unsqueeze(1).map_err(words)?)?;
        return y.squeeze(y.rank() - 1).map_err(words);
    }
    let (Some((left_batch, &[rows, depth])), Some((right_batch, &[taken, columns]))) = (
        left.dims().split_last_chunk::<2>(),
        right.dims().split_last_chunk::<2>(),
    ) else {
        return Err("has a number where it needs a matrix".to_owned());
    };
    if depth != taken {
        return Err(format!(
            "cannot multiply {:?} by {:?}",
            left.dims(),
            right.dims()
        ));
    }
    let batch = broadcast(left_batch, right_batch)?;
    let with = |rows: usize, columns: usize| -> Vec<usize> {
        batch.iter().copied().chain([rows, columns]).collect()
    };
    let dims = with(rows, columns);
    let mut into = vec![0.0; bounded(&dims)?];
    let left = spread(left, &with(rows, depth))?;
    let right = spread(right, &with(depth, columns))?;
    read::<f32, _>(&left, |left| {
        read::<f32, _>(&right, |right| {
            let lefts = left.chunks_exact((rows * depth).max(1));
            let rights = right.chunks_exact((depth * columns).max(1));
            let products = into.chunks_exact_mut((rows * columns).max(1));
            for ((left, right), into) in lefts.zip(rights).zip(products) {
                multiply(
                    into,
                    View::rows(left, rows, depth),
                    View::rows(right, depth, columns),
                    false,
                )?;
            }
            Ok::<(), String>(())
        })
    })???;
    make(into, &dims)
}
