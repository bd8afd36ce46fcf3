//! Whether two artefacts answer the same inputs differently, and how far apart they are.

use super::compare::within;
use super::{Answer, Model, Tolerance};

/// What two artefacts answered to one request, of one or more rows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Apart {
    /// Another label in some row; or another number, where not both have labels.
    pub differs: bool,
    /// The row that the rest is of: the first that differs, else the first.
    pub row: usize,
    pub first_label: Option<i64>,
    pub second_label: Option<i64>,
    /// How much larger the second's score is: see [`score`].
    pub shift: Option<f64>,
}

/// Compares the rows of two artefacts. Numbers are only compared where not both have
/// labels: two classifiers are never equally sure.
#[must_use]
pub fn difference(
    (first, first_rows): (&dyn Model, &[Vec<f32>]),
    (second, second_rows): (&dyn Model, &[Vec<f32>]),
    tolerance: Tolerance,
) -> Apart {
    let have_labels = first.labels().is_some() && second.labels().is_some();
    let pairs = || first_rows.iter().zip(second_rows);
    let differ = |(one, other): (&Vec<f32>, &Vec<f32>)| {
        if have_labels {
            first.label_of(one) != second.label_of(other)
        } else {
            one.len() != other.len() || !within(one, other, tolerance)
        }
    };
    let found = pairs().position(differ);
    let row = found.unwrap_or_default();
    let of_row = first_rows.get(row).zip(second_rows.get(row));
    let scores = of_row.and_then(|(one, other)| score(first, one).zip(score(second, other)));
    Apart {
        differs: found.is_some(),
        row,
        first_label: of_row.and_then(|(one, _)| first.label_of(one)),
        second_label: of_row.and_then(|(_, other)| second.label_of(other)),
        shift: scores
            .map(|(one, other)| other - one)
            .filter(|shift| shift.is_finite()),
    }
}

/// Whether two served answers to the same request differ: other labels, or where not both
/// have any, other numbers. Numbers are only compared then: two classifiers are never
/// equally sure.
#[must_use]
pub fn answers_differ(
    (first, one): (&dyn Model, &Answer),
    (second, other): (&dyn Model, &Answer),
    tolerance: Tolerance,
) -> bool {
    if let Some((one, other)) = labels(first, one).zip(labels(second, other)) {
        return one != other;
    }
    let numbers = one.probabilities.as_ref().zip(other.probabilities.as_ref());
    let alike = numbers.is_some_and(|(one, other)| {
        one.len() == other.len()
            && one
                .iter()
                .zip(other)
                .all(|(one, other)| one.len() == other.len() && within(one, other, tolerance))
    });
    !alike
}

/// Those that were served, or that the probabilities mean.
fn labels(model: &dyn Model, answer: &Answer) -> Option<Vec<i64>> {
    if let Some(labels) = &answer.labels {
        return Some(labels.clone());
    }
    let rows = answer.probabilities.as_ref()?;
    rows.iter().map(|row| model.label_of(row)).collect()
}

/// The one number of an answer whose distribution people watch: of two classes the second's
/// probability, of more the largest, and of a model without labels the first value.
#[must_use]
pub fn score(model: &dyn Model, row: &[f32]) -> Option<f64> {
    let score = match (model.labels(), row) {
        (Some(_), [_, second]) => *second,
        (Some(_), numbers) => numbers.iter().copied().reduce(f32::max)?,
        (None, numbers) => *numbers.first()?,
    };
    Some(f64::from(score))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InferenceError, Input};

    struct Rows(Option<Vec<i64>>, Input);

    impl Model for Rows {
        fn name(&self) -> &str {
            "rows"
        }
        fn digest(&self) -> &str {
            ""
        }
        fn file_digest(&self) -> &str {
            ""
        }
        fn input(&self) -> &Input {
            &self.1
        }
        fn output_name(&self) -> &str {
            "rows"
        }
        fn output_len(&self) -> usize {
            2
        }
        fn labels(&self) -> Option<&[i64]> {
            self.0.as_deref()
        }
        fn predict_wide(&self, _: &[Vec<f64>]) -> Result<Vec<Vec<f32>>, InferenceError> {
            Ok(Vec::new())
        }
    }

    fn model(labels: Option<Vec<i64>>) -> Rows {
        let input = Input {
            name: "x".to_owned(),
            shape: vec![1],
            datatype: crate::Datatype::Fp32,
        };
        Rows(labels, input)
    }

    #[test]
    fn classifiers_differ_by_their_labels() {
        let labels = model(Some(vec![10, 20]));
        let before = [vec![0.9, 0.1], vec![0.6, 0.4]];
        let after = [vec![0.7, 0.3], vec![0.4, 0.6]];
        let found = difference((&labels, &before), (&labels, &after), Tolerance::default());
        assert!(found.differs);
        assert_eq!(found.row, 1);
        assert_eq!(
            (found.first_label, found.second_label),
            (Some(10), Some(20))
        );
        assert!((found.shift.unwrap() - 0.2).abs() < 1e-6);
        let same = difference(
            (&labels, &before[..1]),
            (&labels, &after[..1]),
            Tolerance::default(),
        );
        assert!(!same.differs, "less sure, and of the same label");
    }

    #[test]
    fn answers_differ_by_what_they_have() {
        let (labelled, values) = (model(Some(vec![10, 20])), model(None));
        let answer = |labels: Option<Vec<i64>>, row: Option<Vec<f32>>| Answer {
            labels,
            probabilities: row.map(|row| vec![row]),
        };
        let differ = |model: &Rows, one: &Answer, other: &Answer| {
            answers_differ((model, one), (model, other), Tolerance::default())
        };
        let ten = answer(Some(vec![10]), None);
        let likely_ten = answer(None, Some(vec![0.8, 0.2]));
        assert!(!differ(&labelled, &ten, &likely_ten));
        assert!(differ(
            &labelled,
            &answer(Some(vec![20]), None),
            &likely_ten
        ));
        assert!(differ(
            &labelled,
            &answer(Some(vec![10, 10]), None),
            &likely_ten
        ));
        assert!(!differ(&values, &likely_ten, &likely_ten));
        assert!(differ(
            &values,
            &likely_ten,
            &answer(None, Some(vec![0.7, 0.2]))
        ));
        assert!(differ(&values, &likely_ten, &answer(None, None)));
    }

    #[test]
    fn values_differ_beyond_the_tolerance() {
        let values = model(None);
        let tolerance = Tolerance {
            absolute: 0.5,
            relative: 0.0,
            cosine: None,
        };
        let differs = |one: &[f32], other: &[f32]| {
            let (one, other) = ([one.to_vec()], [other.to_vec()]);
            difference((&values, &one), (&values, &other), tolerance).differs
        };
        assert!(!differs(&[1.0, 2.0], &[1.4, 2.0]));
        assert!(differs(&[1.0, 2.0], &[1.0, 2.6]));
        assert!(differs(&[1.0, 2.0], &[1.0]));
        assert!(differs(&[1.0], &[f32::NAN]));
    }
}
