//! Requests that did not end yet, and what they may still become.
//!
//! Arms that answer alike have as many under way as they have users, give or take chance. An
//! arm that has more has requests that hang there, and may fail. Nothing is known of single
//! requests: those that hang hide among those that end soon, so chance is given its due.

/// Requests under way, of the arm that is asked about and of the one beside it.
#[derive(Clone, Copy)]
pub struct Open {
    pub own: u64,
    pub other: u64,
    /// Users of the one for each user of the other.
    pub odds: f64,
}

/// Standard deviations that chance is given where an exact process rests on it: it looks
/// some thousand times.
pub const EXACT: f64 = 4.0;
/// Where a bound does that is asymptotic anyway.
pub const LIKELY: f64 = 2.0;

/// How many of the own ones may hang, at most: all beyond the other's for their share, and
/// so many standard deviations more. `other * odds` varies by twofold chance: that of the
/// other's and that of those it stands for.
pub fn may_hang(open: impl IntoIterator<Item = Open>, deviations: f64) -> u64 {
    let (mut own, mut expected, mut variance, mut one_more) = (0, 0.0, 0.0, 0.0_f64);
    for open in open {
        let for_each = open.odds * (1.0 + open.odds);
        own += open.own;
        expected += open.other as f64 * open.odds;
        variance += open.other as f64 * for_each;
        // None of the other's under way is no proof that there never are.
        one_more = one_more.max(for_each);
    }
    let beyond = own as f64 - expected + deviations * (variance + one_more).sqrt();
    own.min(beyond.max(0.0).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(own: u64, other: u64, odds: f64) -> u64 {
        may_hang([Open { own, other, odds }], EXACT)
    }

    #[test]
    fn what_chance_explains_may_hang_too() {
        // Control has nine times the users, and 1,800 requests under way beside 200.
        let by_chance = of(1_800, 200, 9.0);
        assert!((500..600).contains(&by_chance), "{by_chance}");
        // 400 more than that hang.
        assert_eq!(of(2_200, 200, 9.0), by_chance + 400);
        // None of the arm's is under way: all of control's may hang.
        assert_eq!(of(30, 0, 9.0), 30);
        assert_eq!(of(0, 50, 9.0), 0);
    }

    #[test]
    fn what_the_other_has_more_of_hangs_there() {
        assert_eq!(of(100, 400, 1.0), 0);
    }

    #[test]
    fn epochs_add_up() {
        let half = Open {
            own: 900,
            other: 100,
            odds: 9.0,
        };
        let whole = of(1_800, 200, 9.0);
        assert!(may_hang([half, half], EXACT).abs_diff(whole) <= 10);
    }
}
