//! What happens to a row between the wire and the model, as data.
//!
//! Computed in float64 and rounded once, when the model takes the numbers.

use serde::{Deserialize, Serialize};

use super::InferenceError;

/// The most columns that a row may have after preprocessing: as many as before.
const MAX_WIDTH: usize = 1024 * 1024;

/// What happens to every raw input before the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Preprocess {
    /// Multiplies every number.
    Scale(f32),
    /// Adds to every number.
    Offset(f32),
    /// Limits every number to `low..=high`.
    Clip { low: f32, high: f32 },
    /// `(x - mean) / deviation`, with one mean and deviation for each column.
    Standardise { mean: Vec<f32>, deviation: Vec<f32> },
    /// Puts one column for each category in the place of a column: 1 where the
    /// number is that category, else 0. Another number gives zeros only.
    OneHot { column: usize, categories: Vec<f32> },
    /// Every number must be the id of a token that the client made: whole, and
    /// below the size of the vocabulary.
    TokenIds { vocabulary: u32 },
}

// === impl Preprocess ===

impl Preprocess {
    /// Checks the step for rows of `width` numbers, and says their width after it.
    pub(super) fn check(&self, width: usize) -> Result<usize, String> {
        match self {
            Self::Scale(number) | Self::Offset(number) if !number.is_finite() => {
                Err(format!("{number} must be a finite float32"))
            }
            Self::Scale(_) | Self::Offset(_) => Ok(width),
            Self::Clip { low, high } if low.is_finite() && high.is_finite() && low < high => {
                Ok(width)
            }
            Self::Clip { low, high } => Err(format!(
                "clip from {low} to {high} must be finite, with low below high"
            )),
            Self::Standardise { mean, deviation } => {
                check_standardise(mean, deviation, width).map(|()| width)
            }
            Self::OneHot { column, categories } => check_one_hot(*column, categories, width),
            Self::TokenIds { vocabulary: 0 } => {
                Err("vocabulary must have at least one token".to_owned())
            }
            Self::TokenIds { .. } => Ok(width),
        }
    }

    /// Does the step to rows of `width` numbers each, whose width it changes.
    ///
    /// # Errors
    /// A number that is no token's id.
    pub(super) fn apply(
        &self,
        mut rows: Vec<f64>,
        width: usize,
    ) -> Result<Vec<f64>, InferenceError> {
        match self {
            Self::Scale(factor) => rows.iter_mut().for_each(|x| *x *= f64::from(*factor)),
            Self::Offset(term) => rows.iter_mut().for_each(|x| *x += f64::from(*term)),
            Self::Clip { low, high } => rows
                .iter_mut()
                .for_each(|x| *x = x.clamp(f64::from(*low), f64::from(*high))),
            Self::Standardise { mean, deviation } => {
                for row in rows.chunks_mut(width.max(1)) {
                    for ((x, mean), deviation) in row.iter_mut().zip(mean).zip(deviation) {
                        *x = (*x - f64::from(*mean)) / f64::from(*deviation);
                    }
                }
            }
            Self::OneHot { column, categories } => {
                return Ok(one_hot(&rows, width, *column, categories));
            }
            Self::TokenIds { vocabulary } => {
                let is_id = |x: &f64| x.fract() == 0.0 && (0.0..f64::from(*vocabulary)).contains(x);
                if let Some(at) = rows.iter().position(|x| !is_id(x)) {
                    return Err(InferenceError::TokenId {
                        row: at / width.max(1),
                        column: at % width.max(1),
                        found: rows.get(at).copied().unwrap_or_default(),
                        vocabulary: *vocabulary,
                    });
                }
            }
        }
        Ok(rows)
    }
}

fn check_standardise(mean: &[f32], deviation: &[f32], width: usize) -> Result<(), String> {
    if mean.len() != width || deviation.len() != width {
        let (means, deviations) = (mean.len(), deviation.len());
        return Err(format!(
            "has {means} means and {deviations} deviations, but the input has {width} columns"
        ));
    }
    if !mean.iter().all(|number| number.is_finite()) {
        return Err("mean must have only finite float32 numbers".to_owned());
    }
    // A subnormal deviation would turn ordinary inputs into infinities.
    if !deviation
        .iter()
        .all(|number| number.is_normal() && *number > 0.0)
    {
        return Err("deviation must have only positive float32 numbers".to_owned());
    }
    Ok(())
}

fn check_one_hot(column: usize, categories: &[f32], width: usize) -> Result<usize, String> {
    if column >= width {
        return Err(format!(
            "column is {column}, but the row has {width} columns here, counted from 0"
        ));
    }
    let mut sorted = categories.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted.dedup();
    let plain = categories.iter().all(|category| category.is_finite());
    if !plain || categories.is_empty() || sorted.len() != categories.len() {
        return Err("categories must be finite numbers, at least one and each once".to_owned());
    }
    let after = width - 1 + categories.len();
    if after > MAX_WIDTH {
        return Err(format!(
            "makes rows of {after} numbers, but they may have at most {MAX_WIDTH}"
        ));
    }
    Ok(after)
}

fn one_hot(rows: &[f64], width: usize, column: usize, categories: &[f32]) -> Vec<f64> {
    let mut wider = Vec::with_capacity(rows.len() / width.max(1) * (width + categories.len()));
    for row in rows.chunks(width.max(1)) {
        for (at, &x) in row.iter().enumerate() {
            if at == column {
                let is = |category: &f32| f64::from(u8::from(f64::from(*category) == x));
                wider.extend(categories.iter().map(is));
            } else {
                wider.push(x);
            }
        }
    }
    wider
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(step: &Preprocess, rows: &[f64], width: usize) -> Vec<f64> {
        step.apply(rows.to_vec(), width).unwrap()
    }

    #[test]
    fn a_column_becomes_one_for_each_category() {
        let step = Preprocess::OneHot {
            column: 1,
            categories: vec![3.0, 5.0],
        };
        assert_eq!(step.check(3), Ok(4));
        assert_eq!(
            apply(&step, &[1.0, 5.0, 2.0, 1.0, 4.0, 2.0], 3),
            [1.0, 0.0, 1.0, 2.0, 1.0, 0.0, 0.0, 2.0]
        );
    }

    #[test]
    fn a_number_that_is_no_token_is_named() {
        let step = Preprocess::TokenIds { vocabulary: 100 };
        assert_eq!(apply(&step, &[0.0, 99.0], 2), [0.0, 99.0]);
        for id in [100.0, -1.0, 0.5, f64::NAN] {
            let error = step.apply(vec![1.0, 2.0, 3.0, id], 2).unwrap_err();
            let text = error.to_string();
            assert!(
                text.starts_with("input row 1 has") && text.contains("in column 1"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_step_that_does_not_fit_is_refused() {
        let hot = |column, categories| Preprocess::OneHot { column, categories };
        let cases = [
            (hot(2, vec![1.0]), "column is 2, but the row has 2"),
            (hot(0, vec![]), "at least one and each once"),
            (hot(0, vec![1.0, 1.0]), "at least one and each once"),
            (hot(0, vec![f32::NAN]), "must be finite numbers"),
            (Preprocess::TokenIds { vocabulary: 0 }, "at least one token"),
            (Preprocess::Scale(f32::INFINITY), "must be a finite float32"),
        ];
        for (step, expected) in cases {
            let error = step.check(2).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
