//! Rules on the difference of two error rates, at every look.

use super::Rule;
use crate::worlds::{LOOK, Look, Run, World};
use serinus_stats::sequence::{Sides, rho2, z_two_sided};

/// Both arms' requests and errors so far.
#[derive(Clone, Copy, Default)]
struct Sums {
    n1: f64,
    x1: f64,
    n0: f64,
    x0: f64,
}

/// The first look whose sums satisfy a rule.
fn first(looks: &[Look], mut rule: impl FnMut(&Sums) -> bool) -> Option<u64> {
    let mut sums = Sums::default();
    (1..).zip(looks).find_map(|(number, look)| {
        sums.n1 += f64::from(look.canary_requests);
        sums.x1 += f64::from(look.canary_errors);
        sums.n0 += f64::from(look.control_requests);
        sums.x0 += f64::from(look.control_errors);
        (sums.n1 > 0.0 && sums.n0 > 0.0 && rule(&sums)).then_some(number * LOOK)
    })
}

/// The textbook's test of two shares (pooled variance), one-sided at 5%, at every look.
pub struct NaiveZ;

/// The 95% quantile of the normal distribution.
const Z_95: f64 = 1.644_853_626_951_472_2;

impl Rule for NaiveZ {
    fn names(&self) -> Vec<String> {
        vec!["naive z at each look".to_owned()]
    }

    fn counts_requests(&self) -> bool {
        true
    }

    fn run(&self, _: &World, _: &Run, looks: &[Look]) -> Vec<Option<u64>> {
        vec![first(looks, |sums| {
            let pooled = (sums.x1 + sums.x0) / (sums.n1 + sums.n0);
            let variance = pooled * (1.0 - pooled) * (1.0 / sums.n1 + 1.0 / sums.n0);
            let difference = sums.x1 / sums.n1 - sums.x0 / sums.n0;
            variance > 0.0 && difference >= Z_95 * variance.sqrt()
        })]
    }
}

/// The two-sided asymptotic sequence with unpooled variance at 5%, over all requests
/// since the start: over a ramp it pools what must not be pooled.
pub struct Asymptotic {
    /// Whether "canary is better" counts too: with no effect it is just as wrong.
    pub either: bool,
}

/// GrowthBook's default of where the sequence is tightest.
const TUNING: f64 = 5_000.0;

impl Rule for Asymptotic {
    fn names(&self) -> Vec<String> {
        let either = if self.either {
            "asymptotic sequence, wrong either way"
        } else {
            "asymptotic sequence"
        };
        vec![either.to_owned()]
    }

    fn counts_requests(&self) -> bool {
        true
    }

    fn run(&self, _: &World, _: &Run, looks: &[Look]) -> Vec<Option<u64>> {
        const ALPHA: f64 = 0.05;
        let rho2 = rho2(ALPHA, TUNING, Sides::Two);
        vec![first(looks, |sums| {
            let (r1, r0) = (sums.x1 / sums.n1, sums.x0 / sums.n0);
            let variance = r1 * (1.0 - r1) / sums.n1 + r0 * (1.0 - r0) / sums.n0;
            let difference = if self.either {
                (r1 - r0).abs()
            } else {
                r1 - r0
            };
            let tau = (sums.n1 + sums.n0) * rho2;
            // Two standard errors at the least, before the logarithms.
            variance > 0.0
                && difference >= 2.0 * variance.sqrt()
                && difference >= z_two_sided(tau, ALPHA) * variance.sqrt()
        })]
    }
}
