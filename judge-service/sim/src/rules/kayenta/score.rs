//! From classifications to a score and its outcome.

use super::classifier::{Classification, Classifier};

/// One metric's.
#[derive(Clone, Debug, PartialEq)]
pub struct Result<'a> {
    pub classification: Classification,
    pub critical: bool,
    pub groups: Vec<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    Marginal,
    Fail,
}

/// The percentage of metrics that pass in each group, weighted. Metrics without data do
/// not count; groups without a weight share what is left of 100; a critical metric that
/// does not pass makes it 0.
#[must_use]
pub fn weighted_sum(results: &[Result<'_>], weights: &[(&str, f64)]) -> f64 {
    let failed =
        |result: &Result<'_>| result.critical && !Classifier::passes(result.classification);
    if results.iter().any(failed) {
        return 0.0;
    }
    let mut groups: Vec<&str> = results
        .iter()
        .flat_map(|result| result.groups.iter().copied())
        .collect();
    groups.sort_unstable();
    groups.dedup();
    let given = |group: &str| {
        weights
            .iter()
            .find(|(name, _)| *name == group)
            .map(|(_, weight)| *weight)
    };
    let without = groups.iter().filter(|group| given(group).is_none()).count() as f64;
    let left = 100.0 - weights.iter().map(|(_, weight)| weight).sum::<f64>();
    let scores = groups.iter().map(|group| {
        let weight = given(group).unwrap_or(left / without);
        let own = results.iter().filter(|result| {
            result.groups.contains(group) && result.classification != Classification::Nodata
        });
        let passed = own
            .clone()
            .filter(|result| Classifier::passes(result.classification))
            .count();
        weight * passed as f64 / own.count().max(1) as f64
    });
    scores.sum()
}

#[must_use]
pub fn outcome(score: f64, pass: f64, marginal: f64) -> Outcome {
    if score >= pass {
        Outcome::Pass
    } else if score >= marginal {
        Outcome::Marginal
    } else {
        Outcome::Fail
    }
}
