//! Sample ratio mismatch: do new users arrive in the arms as the split says?
//!
//! # Assumed
//!
//! Each *new* user (counted at the decision, not at completion: a slow canary would
//! raise the alarm) is assigned to arm i with the probability that the epoch's
//! allocation states, independently of the others.
//!
//! # The idea and the guarantee
//!
//! The Dirichlet-multinomial likelihood, centred on the stated shares, over the
//! multinomial one:
//!
//! ```text
//! ln E = sum_e [ ln B(k rho_e + x_e) - ln B(k rho_e) - sum_i x_ei ln rho_ei ]
//! ```
//!
//! with `B` the multivariate beta function and `k` the concentration. Its mean is
//! exactly 1 while the shares are as stated, at every look and over any number of
//! epochs. An alarm blocks promotion and is shown; it never blocks a rollback.
//!
//! The same process within each predicted class (counts of users with that class, by
//! arm; logs summed over classes) measures class drift against the concurrent
//! control.
//!
//! Source: Lindon and Malek, "Anytime-valid inference for multinomial count data"
//! (2022).
//!
//! `lgamma` of counts near 1e12 has an absolute error of about 1e-3: far below what
//! a decision needs.

use crate::math::{is_share, lgamma, ln};
use crate::ratio::LabelCounts;

/// How closely the alternative hugs the stated shares: 1000 looks for deviations of
/// about sqrt(rho (1-rho) / 1000), one percentage point at a 10% split.
pub const CONCENTRATION: f64 = 1000.0;

/// Beyond these `lgamma` keeps too few digits, and at last overflows.
const CONCENTRATIONS: std::ops::RangeInclusive<f64> = 1e-3..=1e9;

/// New users of one epoch, by arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewUsers<'a> {
    /// What the allocation gives each arm, in any unit (buckets will do). An epoch in
    /// which one is not positive and finite, or of another length than `counts`,
    /// contributes nothing.
    pub shares: &'a [f64],
    /// New users in each arm since the epoch began.
    pub counts: &'a [u64],
}

/// ln E for any number of arms. Finite for all counts; 0 (no evidence) for a
/// concentration that is not between 0.001 and 1e9.
pub fn log_e<'a>(concentration: f64, epochs: impl IntoIterator<Item = NewUsers<'a>>) -> f64 {
    epochs
        .into_iter()
        .filter_map(|epoch| {
            let total: f64 = epoch.shares.iter().sum();
            let positive = epoch
                .shares
                .iter()
                .all(|&share| share > 0.0 && share / total > 0.0);
            let usable = positive && total.is_finite() && epoch.shares.len() == epoch.counts.len();
            let arms = epoch.shares.iter().zip(epoch.counts);
            usable.then(|| dirichlet_multinomial(concentration, arms.map(|(s, &x)| (s / total, x))))
        })
        .sum()
}

/// ln E for an arm against control: `share` is the arm's, `with_event` the new users
/// of both (for class drift: those with the class), `in_arm` those in the arm.
/// Epochs (classes) with a share not strictly between 0 and 1 contribute nothing.
pub fn log_e_two_arms(concentration: f64, epochs: impl IntoIterator<Item = LabelCounts>) -> f64 {
    epochs
        .into_iter()
        .filter(|epoch| is_share(epoch.share))
        .map(|epoch| {
            let in_arm = epoch.in_arm.min(epoch.with_event);
            let in_control = epoch.with_event - in_arm;
            let arms = [(epoch.share, in_arm), (1.0 - epoch.share, in_control)];
            dirichlet_multinomial(concentration, arms.into_iter())
        })
        .sum()
}

/// One epoch's term, from each arm's share (summing to 1) and count.
fn dirichlet_multinomial(concentration: f64, arms: impl Iterator<Item = (f64, u64)>) -> f64 {
    if !CONCENTRATIONS.contains(&concentration) {
        return 0.0;
    }
    let mut log_e = 0.0;
    let mut users = 0.0;
    for (share, count) in arms {
        // The gamma function has a pole at 0, where a tiny product may round to.
        let prior = (concentration * share).max(f64::MIN_POSITIVE);
        let count = count as f64;
        users += count;
        log_e += lgamma(prior + count) - lgamma(prior) - count * ln(share);
    }
    log_e + lgamma(concentration) - lgamma(concentration + users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_one_percent_leak_is_noticed_and_a_fair_split_is_not() {
        let arms = |control, canary| {
            let counts = [control, canary];
            let epoch = NewUsers {
                shares: &[9000.0, 1000.0],
                counts: &counts,
            };
            log_e(CONCENTRATION, [epoch])
        };
        assert!(arms(90_000, 10_000) < 0.0);
        assert!(arms(91_000, 9_000) > -ln(0.01));
    }

    #[test]
    fn epochs_that_make_no_sense_say_nothing() {
        let bad: [NewUsers; 4] = [
            NewUsers {
                shares: &[1.0],
                counts: &[5, 5],
            },
            NewUsers {
                shares: &[1.0, 0.0],
                counts: &[5, 5],
            },
            NewUsers {
                shares: &[1.0, f64::NAN],
                counts: &[5, 5],
            },
            NewUsers {
                shares: &[],
                counts: &[],
            },
        ];
        assert_eq!(log_e(CONCENTRATION, bad), 0.0);
        let good = NewUsers {
            shares: &[1.0, 1.0],
            counts: &[5, 50],
        };
        assert_eq!(log_e(0.0, [good]), 0.0);
        assert_eq!(log_e(f64::NAN, [good]), 0.0);
    }
}
