//! Whether a served answer is the artefact's own answer.
//!
//! An answer agrees when it has the expected rows and columns, every number is
//! within the tolerance of the artefact's, and every label is the artefact's. A
//! label may differ only in a near-tie: when the artefact itself gives both
//! labels numbers so close that rounding within the tolerance can swap them. So a
//! server that maps columns to the wrong labels is found although its
//! probabilities are right.

use super::{Answer, Model};

/// How far a served number may be from the expected one:
/// `|served - expected| <= absolute + relative * |expected|`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    pub absolute: f32,
    pub relative: f32,
    /// With it a row agrees when its cosine distance (1 less the cosine of the angle) is
    /// at most this, whatever its single numbers: for embeddings.
    pub cosine: Option<f32>,
}

impl Default for Tolerance {
    /// Other float32 kernels differ by about 1e-6 in a probability: this allows a
    /// hundred times that. Weights rounded to float16 (relative error up to
    /// 2^-11 = 5e-4 each) are usually found.
    fn default() -> Self {
        Self {
            absolute: 1e-4,
            relative: 1e-3,
            cosine: None,
        }
    }
}

impl Tolerance {
    fn around(self, expected: f32) -> f32 {
        self.absolute + self.relative * expected.abs()
    }
}

/// The first way in which an answer differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disagreement {
    /// Another number of rows than the request had.
    Rows,
    /// No output that can be compared: only labels, where the model has plain values.
    Missing,
    /// Another number of columns than the model has.
    Columns,
    /// Another label, and not in a near-tie.
    Label,
    /// A number outside the tolerance.
    Number,
}

/// What comparing one answer, of one or more rows, found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    pub agrees: bool,
    /// Why it does not agree; labels are looked at before numbers.
    pub disagreement: Option<Disagreement>,
    /// The row that the labels are from: the first that disagrees, else the first.
    pub row: usize,
    /// The label that was served, or the one that the served probabilities mean.
    pub served_label: Option<i64>,
    /// The artefact's label; `None` for a model whose outputs are plain values.
    pub expected_label: Option<i64>,
    /// The largest absolute difference between two numbers of all rows; `None`
    /// where no numbers were served, or not as many as expected.
    pub largest_difference: Option<f32>,
}

/// Compares a served answer with the artefact's own output for the same rows.
pub fn compare(
    model: &dyn Model,
    expected: &[Vec<f32>],
    served: &Answer,
    tolerance: Tolerance,
) -> Comparison {
    let numbers = served.probabilities.as_deref();
    let disagreement = shape_disagreement(model, expected, served)
        .map(|disagreement| (0, disagreement))
        .or_else(|| {
            expected.iter().enumerate().find_map(|(row, expected)| {
                let label = served
                    .labels
                    .as_ref()
                    .and_then(|labels| labels.get(row).copied());
                let numbers = numbers.and_then(|rows| rows.get(row));
                row_disagreement(
                    model,
                    expected,
                    label,
                    numbers.map(Vec::as_slice),
                    tolerance,
                )
                .map(|why| (row, why))
            })
        });
    let row = disagreement.map_or(0, |(row, _)| row);
    let label = |rows: &[Vec<f32>]| rows.get(row).and_then(|numbers| model.label_of(numbers));
    Comparison {
        agrees: disagreement.is_none(),
        disagreement: disagreement.map(|(_, why)| why),
        row,
        served_label: match &served.labels {
            Some(labels) => labels.get(row).copied(),
            None => numbers.and_then(label),
        },
        expected_label: label(expected),
        largest_difference: numbers.and_then(|numbers| largest_difference(expected, numbers)),
    }
}

/// The label of the first of the largest numbers.
pub(super) fn label_of(labels: &[i64], numbers: &[f32]) -> Option<i64> {
    let mut best: Option<(i64, f32)> = None;
    for (&label, &number) in labels.iter().zip(numbers) {
        if best.is_none_or(|(_, largest)| number > largest) {
            best = Some((label, number));
        }
    }
    best.map(|(label, _)| label)
}

fn shape_disagreement(
    model: &dyn Model,
    expected: &[Vec<f32>],
    served: &Answer,
) -> Option<Disagreement> {
    if served.probabilities.is_none() && (served.labels.is_none() || model.labels().is_none()) {
        return Some(Disagreement::Missing);
    }
    let labels = served.labels.as_ref().map_or(expected.len(), Vec::len);
    let rows = served
        .probabilities
        .as_ref()
        .map_or(expected.len(), Vec::len);
    if labels != expected.len() || rows != expected.len() {
        return Some(Disagreement::Rows);
    }
    let mut pairs = served.probabilities.iter().flatten().zip(expected);
    pairs
        .any(|(served, expected)| served.len() != expected.len())
        .then_some(Disagreement::Columns)
}

fn row_disagreement(
    model: &dyn Model,
    expected: &[f32],
    label: Option<i64>,
    numbers: Option<&[f32]>,
    tolerance: Tolerance,
) -> Option<Disagreement> {
    if let Some(label) = label
        && let Some(labels) = model.labels()
        && !label_is_right(labels, expected, label, tolerance)
    {
        return Some(Disagreement::Label);
    }
    let within = numbers.is_none_or(|served| within(expected, served, tolerance));
    (!within).then_some(Disagreement::Number)
}

/// Whether two rows of one length are as near to each other as is tolerated. A number that
/// is none is near to nothing.
pub(super) fn within(expected: &[f32], served: &[f32], tolerance: Tolerance) -> bool {
    if let Some(most) = tolerance.cosine {
        return cosine_distance(expected, served) <= f64::from(most);
    }
    let mut pairs = expected.iter().zip(served);
    pairs.all(|(&expected, &served)| (served - expected).abs() <= tolerance.around(expected))
}

/// 1 less the cosine of the angle between two vectors: 0 for the same direction, 2 for the
/// opposite one. Of two zeros 0, and of one zero beside something else 1.
fn cosine_distance(one: &[f32], other: &[f32]) -> f64 {
    let product = |one: &[f32], other: &[f32]| -> f64 {
        let pairs = one.iter().zip(other);
        pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    let lengths = [product(one, one), product(other, other)];
    match lengths {
        [0.0, 0.0] => 0.0,
        [0.0, _] | [_, 0.0] => 1.0,
        [a, b] => 1.0 - product(one, other) / (a.sqrt() * b.sqrt()),
    }
}

/// Whether a label is the artefact's, or as good as that within the tolerance.
fn label_is_right(labels: &[i64], expected: &[f32], label: i64, tolerance: Tolerance) -> bool {
    let number_of = |wanted: i64| {
        labels
            .iter()
            .zip(expected)
            .find(|(label, _)| **label == wanted)
            .map(|(_, number)| *number)
    };
    let best = label_of(labels, expected).and_then(number_of);
    match (best, number_of(label)) {
        // Each of the two may be off by its own tolerance. For the same label the gap is zero.
        (Some(best), Some(number)) => {
            best - number <= tolerance.around(best) + tolerance.around(number)
        }
        _ => false,
    }
}

fn largest_difference(expected: &[Vec<f32>], served: &[Vec<f32>]) -> Option<f32> {
    let same = expected.len() == served.len()
        && expected.iter().zip(served).all(|(a, b)| a.len() == b.len());
    let pairs = expected.iter().flatten().zip(served.iter().flatten());
    same.then(|| {
        pairs
            .map(|(expected, served)| (served - expected).abs())
            .fold(0.0, f32::max)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Datatype, InferenceError, Input};

    /// A model of three columns whose answers the tests write down themselves.
    struct Labelled {
        input: Input,
        labels: Option<Vec<i64>>,
    }

    impl Model for Labelled {
        fn name(&self) -> &str {
            "labelled"
        }
        fn digest(&self) -> &str {
            ""
        }
        fn file_digest(&self) -> &str {
            ""
        }
        fn input(&self) -> &Input {
            &self.input
        }
        fn output_name(&self) -> &str {
            "probabilities"
        }
        fn output_len(&self) -> usize {
            3
        }
        fn labels(&self) -> Option<&[i64]> {
            self.labels.as_deref()
        }
        fn predict_wide(&self, _: &[Vec<f64>]) -> Result<Vec<Vec<f32>>, InferenceError> {
            Ok(Vec::new())
        }
    }

    fn model(labels: Option<Vec<i64>>) -> Labelled {
        Labelled {
            input: Input {
                name: "x".to_owned(),
                shape: vec![1],
                datatype: Datatype::Fp32,
            },
            labels,
        }
    }

    const TOLERANCE: Tolerance = Tolerance {
        absolute: 0.01,
        relative: 0.0,
        cosine: None,
    };
    const EXPECTED: [f32; 3] = [0.1, 0.7, 0.2];

    /// Compares one row of a model with the labels 10, 20 and 30.
    fn one(expected: [f32; 3], label: Option<i64>, numbers: Option<&[f32]>) -> Comparison {
        let served = Answer {
            labels: label.map(|label| vec![label]),
            probabilities: numbers.map(|row| vec![row.to_vec()]),
        };
        compare(
            &model(Some(vec![10, 20, 30])),
            &[expected.to_vec()],
            &served,
            TOLERANCE,
        )
    }

    #[test]
    fn the_same_answer_agrees() {
        let found = one(EXPECTED, Some(20), Some(&EXPECTED));
        assert!(found.agrees && found.disagreement.is_none());
        assert_eq!(
            (found.served_label, found.expected_label),
            (Some(20), Some(20))
        );
        assert_eq!(found.largest_difference, Some(0.0));
    }

    #[test]
    fn either_output_alone_is_compared() {
        let labels_only = one(EXPECTED, Some(20), None);
        assert!(labels_only.agrees);
        assert_eq!(labels_only.largest_difference, None);
        let numbers_only = one(EXPECTED, None, Some(&EXPECTED));
        assert!(numbers_only.agrees);
        assert_eq!(numbers_only.served_label, Some(20));
    }

    #[test]
    fn a_number_outside_the_tolerance_disagrees() {
        assert!(one(EXPECTED, Some(20), Some(&[0.1, 0.695, 0.205])).agrees);
        let found = one(EXPECTED, Some(20), Some(&[0.1, 0.65, 0.25]));
        assert_eq!(found.disagreement, Some(Disagreement::Number));
        assert!((found.largest_difference.unwrap() - 0.05).abs() < 1e-6);
    }

    #[test]
    fn the_tolerance_has_a_relative_part() {
        let tolerance = Tolerance {
            absolute: 1.0,
            relative: 0.1,
            cosine: None,
        };
        let at = |served: f32| {
            let served = Answer {
                labels: None,
                probabilities: Some(vec![vec![served]]),
            };
            compare(&model(None), &[vec![-100.0]], &served, tolerance).agrees
        };
        assert!(at(-110.9) && at(-89.1) && !at(-111.1) && !at(-88.9));
    }

    #[test]
    fn a_wrong_label_disagrees_even_with_the_right_numbers() {
        let found = one(EXPECTED, Some(10), Some(&EXPECTED));
        assert_eq!(found.disagreement, Some(Disagreement::Label));
        assert_eq!(
            (found.served_label, found.expected_label),
            (Some(10), Some(20))
        );
        assert_eq!(
            one(EXPECTED, Some(99), None).disagreement,
            Some(Disagreement::Label)
        );
    }

    #[test]
    fn a_near_tie_may_fall_either_way() {
        let tie = [0.495, 0.5, 0.005];
        assert!(one(tie, Some(10), Some(&[0.498, 0.497, 0.005])).agrees);
        assert!(one(tie, Some(10), None).agrees);
        assert!(!one(tie, Some(30), Some(&tie)).agrees);
    }

    #[test]
    fn another_shape_disagrees() {
        let found = one(EXPECTED, Some(20), Some(&[0.1, 0.9]));
        assert_eq!(
            (found.disagreement, found.largest_difference),
            (Some(Disagreement::Columns), None)
        );
        let served = Answer {
            labels: Some(vec![20, 20]),
            probabilities: None,
        };
        let found = compare(
            &model(Some(vec![10, 20, 30])),
            &[EXPECTED.to_vec()],
            &served,
            TOLERANCE,
        );
        assert_eq!(found.disagreement, Some(Disagreement::Rows));
    }

    #[test]
    fn the_first_row_that_disagrees_is_named() {
        let expected = [EXPECTED.to_vec(), EXPECTED.to_vec(), EXPECTED.to_vec()];
        let served = Answer {
            labels: Some(vec![20, 30, 10]),
            probabilities: None,
        };
        let found = compare(
            &model(Some(vec![10, 20, 30])),
            &expected,
            &served,
            TOLERANCE,
        );
        assert_eq!(
            (found.row, found.served_label, found.disagreement),
            (1, Some(30), Some(Disagreement::Label))
        );
    }

    #[test]
    fn values_are_compared_without_labels() {
        let served = Answer {
            labels: Some(vec![1]),
            probabilities: Some(vec![EXPECTED.to_vec()]),
        };
        let found = compare(&model(None), &[EXPECTED.to_vec()], &served, TOLERANCE);
        assert!(found.agrees);
        assert_eq!(found.expected_label, None);
        let nothing = compare(
            &model(None),
            &[EXPECTED.to_vec()],
            &Answer {
                labels: Some(vec![1]),
                probabilities: None,
            },
            TOLERANCE,
        );
        assert_eq!(nothing.disagreement, Some(Disagreement::Missing));
    }

    #[test]
    fn embeddings_are_compared_by_their_angle() {
        let tolerance = Tolerance {
            cosine: Some(0.01),
            ..Tolerance::default()
        };
        assert!(within(&[1.0, 2.0], &[10.0, 20.0], tolerance), "longer");
        assert!(within(&[1.0, 2.0], &[1.1, 2.0], tolerance));
        assert!(!within(&[1.0, 2.0], &[2.0, 1.0], tolerance));
        assert!(!within(&[1.0, 2.0], &[-1.0, -2.0], tolerance));
        assert!(!within(&[1.0, 2.0], &[0.0, 0.0], tolerance));
        assert!(within(&[0.0, 0.0], &[0.0, 0.0], tolerance));
        assert!(!within(&[1.0, 2.0], &[f32::NAN, 2.0], tolerance));
    }
}
