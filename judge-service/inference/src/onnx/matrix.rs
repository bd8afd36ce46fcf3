//! The one place where numbers are multiplied: candle's own `gemm` crate, called
//! with the bias already in the destination and without asking for threads.

/// A matrix within a slice: its rows and columns, and the steps between them.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_step: usize,
    pub(super) column_step: usize,
}

impl<'a> View<'a> {
    /// Row-major.
    pub(super) fn rows(numbers: &'a [f32], rows: usize, columns: usize) -> Self {
        Self {
            numbers,
            rows,
            columns,
            row_step: columns,
            column_step: 1,
        }
    }

    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_step: self.column_step,
            column_step: self.row_step,
            ..self
        }
    }

    fn fits(&self) -> bool {
        let last = |count: usize, step: usize| count.checked_sub(1)?.checked_mul(step);
        let end = last(self.rows, self.row_step)
            .zip(last(self.columns, self.column_step))
            .and_then(|(row, column)| row.checked_add(column));
        end.is_none_or(|end| end < self.numbers.len()) && self.numbers.len() < isize::MAX as usize
    }
}

/// `into = left * right`, or `into += left * right`; `into` is row-major.
///
/// # Errors
/// Shapes that do not fit each other or their numbers.
pub(super) fn multiply(
    into: &mut [f32],
    left: View<'_>,
    right: View<'_>,
    add: bool,
) -> Result<(), String> {
    let (rows, columns, depth) = (left.rows, right.columns, left.columns);
    let fits = left.fits() && right.fits() && rows.checked_mul(columns) == Some(into.len());
    if depth != right.rows || !fits {
        return Err(format!(
            "cannot multiply [{rows}, {depth}] by [{}, {columns}]",
            right.rows
        ));
    }
    if into.is_empty() {
        return Ok(());
    }
    if depth == 0 {
        if !add {
            into.fill(0.0);
        }
        return Ok(());
    }
    // SAFETY: `fits` has checked that the last element of each operand lies within
    // its slice, and `into` has exactly `rows * columns` elements and is borrowed
    // mutably, so it overlaps neither.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            into.as_mut_ptr(),
            1,
            columns as isize,
            add,
            left.numbers.as_ptr(),
            left.column_step as isize,
            left.row_step as isize,
            right.numbers.as_ptr(),
            right.column_step as isize,
            right.row_step as isize,
            1.0_f32,
            1.0_f32,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_right_in_any_layout() {
        let left = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let right = [1.0, 0.0, 2.0, 1.0, 0.0, 3.0];
        let (left, right) = (View::rows(&left, 2, 3), View::rows(&right, 3, 2));
        let mut into = [9.0; 4];
        multiply(&mut into, left, right, false).unwrap();
        assert_eq!(into, [5.0, 11.0, 14.0, 23.0]);
        multiply(&mut into, left, right, true).unwrap();
        assert_eq!(into, [10.0, 22.0, 28.0, 46.0]);
        let mut into = [0.0; 9];
        multiply(&mut into, left.transposed(), right.transposed(), false).unwrap();
        assert_eq!(into, [1.0, 6.0, 12.0, 2.0, 9.0, 15.0, 3.0, 12.0, 18.0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let numbers = [1.0; 6];
        let mut into = [0.0; 4];
        let view = View::rows(&numbers, 2, 3);
        assert!(multiply(&mut into, view, view, false).is_err());
        assert!(multiply(&mut into, view, View::rows(&numbers, 3, 3), false).is_err());
        let beyond = View {
            row_step: 100,
            ..view
        };
        assert!(multiply(&mut into, beyond, View::rows(&numbers, 3, 2), false).is_err());
    }
}
