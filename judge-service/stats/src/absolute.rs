//! Bernoulli bounds: what a canary with (almost) no events is promoted by.
//!
//! # Assumed
//!
//! One outcome per user and window, for example that of the first request of
//! hash-sampled users: the users' outcomes are independent with share p.
//!
//! # The idea and the guarantee
//!
//! For the null "p is at least m", bet on smaller values:
//!
//! ```text
//! E = sum_j w_j prod (p_j/m)^x ((1-p_j)/(1-m))^(1-x),   every p_j < m
//! ```
//!
//! Under p = m each term has mean 1, and under a larger p a smaller mean. So `E`
//! ever reaches `1/alpha` with probability at most alpha, at every look.
//! [`lower_log_e`] is the mirror image.
//!
//! Source: likelihood-ratio mixtures for a Bernoulli share, as in Howard, Ramdas,
//! McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence
//! sequences" (2021).

use crate::math::{LogSum, is_share, ln};

/// The values bet on, as fractions of the bound. Zero is for the clean canary: at
/// alpha 0.05 it is under 5% after 72 users, under 2% after 183, under 1% after 367
/// and under 0.5% after 736. Against the test that knows the truth, a true share of
/// a quarter of the bound takes 1.09 times as long, and of half the bound 1.13 times
/// (simulated, alpha 0.025).
const FRACTIONS_BELOW: [f64; 5] = [0.0, 0.1, 0.2, 0.4, 0.6];

/// The values bet on above the bound, as multiples of its odds: odds never leave
/// (0, 1) as shares, whatever the bound.
const ODDS_ABOVE: [f64; 5] = [1.25, 1.5, 2.0, 4.0, 16.0];

/// ln E against "the share of users with the event is at least `bound`". Large
/// values show that it is below. Always finite; 0 (no evidence) for a bound that is
/// not strictly between 0 and 1. `events` above `users` counts as `users`.
pub fn log_e(bound: f64, users: u64, events: u64) -> f64 {
    let below = FRACTIONS_BELOW.map(|f| f * bound);
    mixture(below.map(|p| (p, 1.0 - p)), bound, users, events)
}

/// [`log_e`] with equal weights on a grid of one's own. A value not in `[0, bound)`
/// places no bet: its term stays 1. Minus infinity (the null is certain) only if
/// every value is 0 and there is an event; 0 for an empty grid.
pub fn log_e_on(grid: &[f64], bound: f64, users: u64, events: u64) -> f64 {
    let below = |p: f64| if (0.0..bound).contains(&p) { p } else { bound };
    let values = grid.iter().map(|&p| below(p));
    mixture(values.map(|p| (p, 1.0 - p)), bound, users, events)
}

/// ln E against "the share is at most `bound`". Large values show that it is above:
/// control's own mismatch share above 20% for sure makes the reference unusable.
/// Always finite; 0 (no evidence) for a bound that is not strictly between 0 and 1.
pub fn lower_log_e(bound: f64, users: u64, events: u64) -> f64 {
    let odds = bound / (1.0 - bound);
    let above = ODDS_ABOVE.map(|multiple| multiple * odds);
    // 1 - p is computed as such: for a bound close to 1 it would round to 0.
    let shares = above.map(|odds| (odds / (1.0 + odds), 1.0 / (1.0 + odds)));
    mixture(shares, bound, users, events)
}

/// The mixture over pairs (p, 1 - p), with equal weights.
fn mixture(grid: impl IntoIterator<Item = (f64, f64)>, bound: f64, users: u64, events: u64) -> f64 {
    let events = events.min(users);
    let clean = (users - events) as f64;
    let mut sum = LogSum::EMPTY;
    let mut size = 0_u32;
    for (p, rest) in grid {
        sum.add(log_power(p, bound, events as f64) + log_power(rest, 1.0 - bound, clean));
        size = size.saturating_add(1);
    }
    if size == 0 || !is_share(bound) {
        return 0.0;
    }
    sum.ln() - ln(f64::from(size))
}

/// `count * ln(p / bound)`, with 0 for no observations even where p is 0 or 1.
fn log_power(p: f64, bound: f64, count: f64) -> f64 {
    if count == 0.0 {
        return 0.0;
    }
    count * ln(p / bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of STATISTICS.md hold at alpha 0.05. At 0.025, which is what a
    /// promotion by "ratio or absolute" leaves for each, they are 87, 222, 445, 893.
    #[test]
    fn clean_users_that_show_a_bound() {
        let needed = |bound, alpha| {
            (1..2000)
                .find(|&users| log_e(bound, users, 0) >= -ln(alpha))
                .unwrap()
        };
        let bounds = [0.05, 0.02, 0.01, 0.005];
        assert_eq!(bounds.map(|b| needed(b, 0.05)), [72, 183, 367, 736]);
        assert_eq!(bounds.map(|b| needed(b, 0.025)), [87, 222, 445, 893]);
    }

    #[test]
    fn a_reference_that_control_itself_misses_is_shown_unusable() {
        assert!(lower_log_e(0.2, 300, 60) < 0.0);
        assert!(lower_log_e(0.2, 300, 120) > -ln(0.001));
        assert!(lower_log_e(0.2, 10, 10) > -ln(0.001));
    }

    #[test]
    fn a_bound_that_makes_no_sense_shows_nothing() {
        for bound in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(log_e(bound, 1000, 0), 0.0);
            assert_eq!(lower_log_e(bound, 1000, 1000), 0.0);
        }
    }

    #[test]
    fn a_value_at_or_above_the_bound_places_no_bet() {
        assert_eq!(log_e_on(&[0.01, 0.5, f64::NAN], 0.01, 100, 3), 0.0);
        assert_eq!(log_e_on(&[], 0.01, 100, 3), 0.0);
    }
}
