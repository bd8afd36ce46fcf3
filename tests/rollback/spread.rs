//! The middle of some measurements, of which some may never have come.

use serde::Serialize;

/// Seconds; a quantile that never came is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    pub least: Option<f64>,
    pub median: Option<f64>,
    pub most: Option<f64>,
}

impl Spread {
    pub fn of(measured: impl Iterator<Item = Option<f64>>) -> Self {
        // What never came took longer than all that did.
        let mut sorted: Vec<f64> = measured
            .map(|value| value.unwrap_or(f64::INFINITY))
            .collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied();
        let middle = match (at((sorted.len().max(1) - 1) / 2), at(sorted.len() / 2)) {
            (Some(low), Some(high)) => Some((low + high) / 2.0),
            _ => None,
        };
        let came = |value: Option<f64>| {
            let value = value.filter(|value| value.is_finite())?;
            Some((value * 100.0).round() / 100.0)
        };
        Self {
            least: came(at(0)),
            median: came(middle),
            most: came(sorted.last().copied()),
        }
    }

    /// "1.2 (0.9 to 2.0)"
    pub fn in_words(&self) -> String {
        match (self.median, self.least, self.most) {
            (Some(median), Some(least), Some(most)) => {
                format!("{median:.1} ({least:.1} to {most:.1})")
            }
            (Some(median), Some(least), None) => format!("{median:.1} ({least:.1} to never)"),
            _ => "never".to_owned(),
        }
    }
}

#[test]
fn what_never_came_is_the_longest() {
    let spread = |values: &[Option<f64>]| Spread::of(values.iter().copied()).in_words();
    assert_eq!(
        spread(&[Some(3.0), Some(1.0), Some(2.0)]),
        "2.0 (1.0 to 3.0)"
    );
    assert_eq!(spread(&[Some(1.0), Some(2.0)]), "1.5 (1.0 to 2.0)");
    assert_eq!(spread(&[None, Some(1.0), Some(2.0)]), "2.0 (1.0 to never)");
    assert_eq!(spread(&[None, None, Some(2.0)]), "never");
    assert_eq!(spread(&[]), "never");
}
