//! When a difference promotes.

use super::{Difference, SLOTS, TUNING_REQUESTS};
use crate::math::{exp, ln, sqrt};

/// Users with an event that control must let expect of a canary that has few: that there
/// are none by chance is one in 22,000.
const EXPECTED_USERS: f64 = 10.0;

/// When the asymptotic bounds may be believed at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Events that the canary must have had.
    pub canary_events: u64,
    /// Users that they must have come from, seen as slots: the gate can open a user or
    /// two late, never early.
    pub canary_users: u32,
}

// === impl Gate ===

impl Gate {
    /// 50 canary events from at least 20 canary users. A tiny canary has a tiny, wrong
    /// variance. A canary with no events never gets there: see [`crate::absolute`].
    pub const PROMOTION: Gate = Gate {
        canary_events: 50,
        canary_users: 20,
    };

    /// Whether the difference's bounds may be used.
    pub fn is_open(&self, difference: &Difference) -> bool {
        difference.canary_events >= self.canary_events
            && difference.canary_event_slots >= self.canary_users
    }
}

// === impl Difference ===

impl Difference {
    /// The same with so many events of the canary more: of requests that did not end yet.
    #[must_use]
    pub fn and_events(&self, more: u64) -> Difference {
        let requests = (self.n as f64 * self.share).max(1.0);
        Difference {
            estimate: self.estimate + more as f64 / requests,
            ..*self
        }
    }

    /// Whether this look promotes at level `alpha`: the one rule for every guardrail that
    /// the sequence judges, in the judge and in its simulations.
    ///
    /// The gate is open, or the canary is so much better than control that few events are
    /// all that it will ever have. Either way its rate is taken to vary at least as much as
    /// control's would with as few users: one whose users by chance hold few of those that
    /// err has a small spread, too, and is no better.
    pub fn promotes(&self, alpha: f64) -> bool {
        let gate = Gate::PROMOTION;
        (gate.is_open(self) || self.lets_expect(&gate))
            && self
                .varying_as_control()
                .upper_bound(alpha, TUNING_REQUESTS)
                < 0.0
    }

    /// How many times as many requests would promote, if all went on as it did and with as
    /// many new users: about, and for people who wait. None where there is no event of the
    /// canary, or where it is not within the margin.
    pub fn times_as_many(&self, alpha: f64) -> Option<f64> {
        let gate = Gate::PROMOTION;
        let events = gate.canary_events as f64 / self.canary_events as f64;
        let users = f64::from(gate.canary_users) / f64::from(self.canary_event_slots);
        // The radius falls with the root of the requests.
        let own = self.varying_as_control();
        let radius = own.upper_bound(alpha, TUNING_REQUESTS) - own.estimate;
        let bound = square(radius / own.estimate);
        let times = events.max(users).max(bound).max(1.0);
        (own.estimate < 0.0 && self.canary_events > 0 && times.is_finite()).then_some(times)
    }

    /// Whether control's events let expect enough of the canary, of enough users.
    fn lets_expect(&self, gate: &Gate) -> bool {
        let odds = self.share / (1.0 - self.share);
        let events = self.n as f64 * self.share * self.control_rate;
        // As many equal users would vary as much, R0^2 / SE^2; they are no more than there are.
        let equal = square(self.control_rate / self.control_error);
        let users = equal.min(users_in(self.control_event_slots)) * odds;
        self.control_events >= gate.canary_events
            && events >= gate.canary_events as f64
            && users >= EXPECTED_USERS
    }

    fn varying_as_control(&self) -> Difference {
        let as_control = square(self.control_error) * (1.0 - self.share) / self.share;
        let lacking = (as_control - square(self.canary_error)).max(0.0);
        Difference {
            standard_error: sqrt(square(self.standard_error) + lacking),
            ..*self
        }
    }
}

/// Users who are so many that they fall in so many of the slots; any number fills all.
fn users_in(slots: u32) -> f64 {
    let all = SLOTS as f64;
    let free = (all - f64::from(slots)).max(0.0);
    -all * ln(free / all)
}

/// In how many slots so many users fall, as expected: several share one, where there are
/// many.
pub fn slots_hit_by(users: f64) -> f64 {
    let all = SLOTS as f64;
    all * (1.0 - exp(users * ln(1.0 - 1.0 / all)))
}

fn square(x: f64) -> f64 {
    x * x
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NONE, every_fourth, stratum};
    use super::super::{Margin, difference};
    use super::*;

    /// Control has so many events in the first so many slots, and nine times the requests.
    fn canary_without_events(events: u64, slots: usize) -> Difference {
        let (few, many) = ([100; SLOTS], [900; SLOTS]);
        let control: [u64; SLOTS] =
            std::array::from_fn(|slot| if slot < slots { events } else { 0 });
        let strata = [stratum([&few, &NONE], [&many, &control])];
        difference(&strata, Margin::Ratio(1.5)).unwrap()
    }

    #[test]
    fn a_canary_without_events_may_be_promoted_where_control_has_many() {
        assert!(canary_without_events(9, 200).promotes(0.025));
        // Fewer than 50 are to be expected of it.
        assert!(!canary_without_events(2, 200).promotes(0.025));
        // Thousands, of a few dozen users: a canary of ten times fewer may have none of them.
        assert!(!canary_without_events(400, 50).promotes(0.025));
    }

    #[test]
    fn one_that_waits_is_told_for_how_long() {
        // A tenth of the users, and as many errors as control has.
        let after = |users: u64| {
            let (few, many) = ([users; SLOTS], [9 * users; SLOTS]);
            let canary: [u64; SLOTS] =
                std::array::from_fn(|slot| users / 25 * u64::from(slot % 4 == 0));
            let control = [9 * users / 100; SLOTS];
            let strata = [stratum([&few, &canary], [&many, &control])];
            difference(&strata, Margin::Ratio(1.5)).unwrap()
        };
        let early = after(100);
        let times = early.times_as_many(0.025);
        assert_eq!(times, Some(1.0), "{early:?}");
        assert!(early.promotes(0.025));
        let worse = Difference {
            estimate: 0.001,
            ..early
        };
        assert_eq!(worse.times_as_many(0.025), None);
        let spread = Difference {
            standard_error: early.standard_error * 10.0,
            ..early
        };
        let times = spread.times_as_many(0.025).unwrap();
        assert!(times > 1.0 && !spread.promotes(0.025), "{times}");
        let enough = Difference {
            standard_error: spread.standard_error / times.sqrt() * 0.999,
            ..spread
        };
        assert!(enough.promotes(0.025));
        let few = Difference {
            canary_events: 5,
            ..early
        };
        assert_eq!(few.times_as_many(0.025), Some(10.0));
    }

    #[test]
    fn slots_are_hit_by_more_users_than_they_are() {
        assert_eq!(users_in(0), 0.0);
        assert!((users_in(10) - 10.2).abs() < 0.01);
        assert_eq!(users_in(256), f64::INFINITY);
        assert_eq!(slots_hit_by(0.0), 0.0);
        assert!((slots_hit_by(1.0) - 1.0).abs() < 1e-9);
        assert!((slots_hit_by(1e9) - 256.0).abs() < 1e-9);
        // One is the other's inverse, but for one in 256.
        assert!((slots_hit_by(users_in(100)) - 100.0).abs() < 0.5);
    }

    #[test]
    fn the_gate_wants_events_from_many_users() {
        let some = [100; SLOTS];
        let many = every_fourth(1);
        let few: [u64; SLOTS] = std::array::from_fn(|slot| u64::from(slot < 10) * 50);
        let open = |events: &[u64]| {
            let strata = [stratum([&some, events], [&some, &many])];
            Gate::PROMOTION.is_open(&difference(&strata, Margin::Ratio(1.5)).unwrap())
        };
        assert!(open(&many));
        assert!(!open(&few));
        assert!(!open(&NONE));
    }
}
