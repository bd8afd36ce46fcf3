//! Paired shadow: the same request answered by both arms.
//!
//! Only discordant pairs say anything: exactly one of the two answers is wrong. If
//! the arm is `r` times as likely to be the wrong one, a discordant pair falls on it
//! with probability `r / (1 + r)`, which is [`crate::ratio`] with rho = 1/2. Its
//! guarantee carries over; count each user's first discordant pair only.

use crate::ratio::{self, LabelCounts, RatioGrid};

/// ln E against "the arm is wrong at most `tolerated` times as often as control",
/// from pairs in which only the arm, or only control, was wrong.
pub fn log_e(grid: &RatioGrid, only_arm_wrong: u64, only_control_wrong: u64) -> f64 {
    let discordant = LabelCounts {
        share: 0.5,
        with_event: only_arm_wrong.saturating_add(only_control_wrong),
        in_arm: only_arm_wrong,
    };
    ratio::log_e(grid, std::iter::once(discordant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_split_of_discordance_is_no_evidence() {
        let grid = RatioGrid::rollback(1.0);
        assert!(log_e(&grid, 30, 30) < 0.0);
        assert!(log_e(&grid, 45, 15) > 5.0);
        assert_eq!(log_e(&grid, 0, 0), 0.0);
    }
}
