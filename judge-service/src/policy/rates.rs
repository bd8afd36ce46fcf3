//! Shares of users that are bad: how far apart, and how surely.

use super::SHOWN_ALPHA;
use crate::domain::sums::Outcomes;
use serinus_stats::{absolute, restart};

/// How much larger the arm's share of bad ones is than control's.
pub fn gap(arm: Outcomes, control: Outcomes) -> Option<f64> {
    Some(arm.rate()? - control.rate()?)
}

/// A confidence sequence for the arm's own rate: the rates that the two bounded
/// e-processes cannot exclude, each at half of alpha.
pub fn interval(outcomes: Outcomes) -> (Option<f64>, Option<f64>) {
    let Outcomes { users, bad } = outcomes;
    let Some(rate) = outcomes.rate() else {
        return (None, None);
    };
    let threshold = restart::threshold(SHOWN_ALPHA / 2.0);
    let upper = boundary(rate, 1.0, |bound| {
        absolute::log_e(bound, users, bad) < threshold
    });
    let lower = boundary(rate, 0.0, |bound| {
        absolute::lower_log_e(bound, users, bad) < threshold
    });
    (Some(lower), Some(upper))
}

/// Between `inside` (not excluded) and `outside`, where exclusion begins, to about
/// 1e-6: 20 halvings.
fn boundary(inside: f64, outside: f64, allowed: impl Fn(f64) -> bool) -> f64 {
    let (mut inside, mut outside) = (inside, outside);
    for _ in 0..20 {
        let middle = (inside + outside) / 2.0;
        if allowed(middle) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_holds_its_rate_and_narrows() {
        let (lower, upper) = interval(Outcomes { users: 0, bad: 0 });
        assert_eq!((lower, upper), (None, None));
        let mut width = 1.0;
        for users in [100u64, 1_000, 10_000] {
            let (lower, upper) = interval(Outcomes {
                users,
                bad: users / 10,
            });
            let (lower, upper) = (lower.unwrap(), upper.unwrap());
            assert!(lower < 0.1 && 0.1 < upper, "{lower} {upper}");
            assert!(upper - lower < width);
            width = upper - lower;
        }
        let (lower, upper) = interval(Outcomes {
            users: 1_000,
            bad: 0,
        });
        assert!(lower.unwrap() < 1e-5 && upper.unwrap() < 0.01);
    }
}
