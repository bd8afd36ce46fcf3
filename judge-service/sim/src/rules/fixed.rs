//! One look, at a number of requests that was fixed beforehand.

use super::Rule;
use crate::worlds::{BASE, LOOK, Look, Run, World};

const Z_95: f64 = 1.644_853_626_951_472_2;
const Z_80: f64 = 0.841_621_233_572_914_3;

/// Requests of both arms with which a test at 5%, one-sided, sees a ratio with 80%.
#[must_use]
pub fn needed(base: f64, ratio: f64, share: f64) -> f64 {
    let spread = |rate: f64, share: f64| rate * (1.0 - rate) / share;
    let variance = spread(base * ratio, share) + spread(base, 1.0 - share);
    let difference = base * (ratio - 1.0);
    (Z_95 + Z_80) * (Z_95 + Z_80) * variance / (difference * difference)
}

/// A test of two shares (unpooled variance) after as many requests as it needs to see
/// twice the errors.
pub struct FixedHorizon;

impl Rule for FixedHorizon {
    fn names(&self) -> Vec<String> {
        vec!["fixed horizon, one look".to_owned()]
    }

    fn counts_requests(&self) -> bool {
        true
    }

    fn run(&self, world: &World, _: &Run, looks: &[Look]) -> Vec<Option<u64>> {
        let end = (needed(BASE, 2.0, world.share(0)) / LOOK as f64).ceil() as usize;
        let sum = |of: fn(&Look) -> u32| {
            looks
                .iter()
                .take(end)
                .map(|look| f64::from(of(look)))
                .sum::<f64>()
        };
        let (n1, n0) = (
            sum(|look| look.canary_requests),
            sum(|look| look.control_requests),
        );
        let r1 = sum(|look| look.canary_errors) / n1;
        let r0 = sum(|look| look.control_errors) / n0;
        let variance = r1 * (1.0 - r1) / n1 + r0 * (1.0 - r0) / n0;
        let caught = r1 - r0 > Z_95 * variance.sqrt();
        vec![caught.then_some(end as u64 * LOOK)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_gives_the_table_of_statistics() {
        let found = [5.0, 2.0, 1.5].map(|ratio| needed(0.01, ratio, 0.1).round());
        assert_eq!(found, [1_878.0, 12_798.0, 39_259.0]);
    }
}
