//! Paired shadow: the same request answered by both arms.
//!
//! Only discordant pairs say anything: exactly one of the two answers is wrong. A user gets
//! one of them, and the other arm is asked again: another request, by another way, which may
//! go wrong where the first did not, whatever the model. So pairs are told apart by which of
//! the two answers is the wrong one. Which arm it is of is then decided by the split: of
//! pairs whose *first* answer alone is wrong the arm has its share rho of users, and of those
//! whose *second* is, 1 - rho. That is [`crate::ratio`], and its guarantee carries over;
//! count each user's first discordant pair only.
//!
//! Where nobody has the arm, all second answers are its own, and there is no telling it from
//! the way: its share is taken for a half, which assumes that both go wrong alike.

use crate::math::is_share;
use crate::ratio::{self, LabelCounts, RatioGrid};

/// Discordant pairs of users that were split by one share, by whose answer is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Discordant {
    /// rho: the arm's of the users whose pair is of it and control. Where control's are
    /// paired with several arms by turns, that is more than its share of users.
    pub share: f64,
    /// The answer that the user got is wrong: the arm's, and control's.
    pub first: [u64; 2],
    /// The answer of the arm that was asked again is wrong: the arm's, and control's.
    pub second: [u64; 2],
}

// === impl Discordant ===

impl Discordant {
    fn labels(self) -> [LabelCounts; 2] {
        let of = |share: f64, [arm, control]: [u64; 2]| LabelCounts {
            share,
            with_event: arm.saturating_add(control),
            in_arm: arm,
        };
        if is_share(self.share) {
            return [
                of(self.share, self.first),
                of(1.0 - self.share, self.second),
            ];
        }
        [of(0.5, self.first), of(0.5, self.second)]
    }
}

/// ln E against "the arm is wrong at most `tolerated` times as often as control".
pub fn log_e(grid: &RatioGrid, pairs: &[Discordant]) -> f64 {
    ratio::log_e(grid, pairs.iter().copied().flat_map(Discordant::labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_split_of_discordance_is_no_evidence() {
        let grid = RatioGrid::rollback(1.0);
        let none = |arm, control| Discordant {
            share: 0.0,
            second: [arm, control],
            ..Discordant::default()
        };
        assert!(log_e(&grid, &[none(30, 30)]) < 0.0);
        assert!(log_e(&grid, &[none(45, 15)]) > 5.0);
        assert_eq!(log_e(&grid, &[none(0, 0)]), 0.0);
    }

    /// A tenth of users have the arm. Whoever is asked again is wrong for one in fifty, and
    /// that is the arm for nine users in ten.
    #[test]
    fn whoever_is_asked_again_is_not_blamed_for_that() {
        let grid = RatioGrid::rollback(1.0);
        let again = Discordant {
            share: 0.1,
            first: [0, 0],
            second: [90, 10],
        };
        assert!(log_e(&grid, &[again]) < 0.0);
        let worse = Discordant {
            first: [40, 60],
            ..again
        };
        assert!(log_e(&grid, &[worse]) > 5.0);
    }
}
