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
}

impl Counts {
    fn share(self) -> f64 {
        f64::from(self.errors) / f64::from(self.finished.max(1))
    }
}

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

    /// Counts a finished request; returns the trip when this one opens the breaker.
    pub fn finished(
        &mut self,
        settings: &Settings,
        baseline: usize,
        arm: usize,
        error: bool,
        now_us: u64,
    ) -> Option<Trip> {
        if self.tripped.is_some() {
            return None;
        }
        if now_us.saturating_sub(self.window_started_us) > settings.window_us {
            self.window_started_us = now_us;
            self.arms.fill(Counts::default());
        }
        if self.arms.len() <= arm {
            self.arms.resize(arm + 1, Counts::default());
        }
        let counts = self.arms.get_mut(arm)?;
        counts.finished = counts.finished.saturating_add(1);
        counts.errors = counts.errors.saturating_add(u32::from(error));
        let counts = *counts;
        if arm == baseline
            || counts.finished < settings.minimum_requests
            || counts.share() < settings.error_share
        {
            return None;
        }
        // When the baseline fails too, sending it more users helps nobody.
        let baseline = self.arms.get(baseline).copied().unwrap_or_default();
        if baseline.share() > counts.share() / 2.0 {
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

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        minimum_requests: 10,
        error_share: 0.3,
        window_us: 1_000,
    };

    #[test]
    fn trips_on_a_broken_arm_only() {
        let mut breaker = Breaker::default();
        for i in 0..100 {
            assert_eq!(
                breaker.finished(&SETTINGS, 0, 0, true, i),
                None,
                "never the baseline"
            );
        }
        let mut breaker = Breaker::default();
        for i in 0..9 {
            assert_eq!(breaker.finished(&SETTINGS, 0, 1, true, i), None, "too few");
        }
        let trip = Trip {
            arm: 1,
            finished: 10,
            errors: 10,
        };
        assert_eq!(breaker.finished(&SETTINGS, 0, 1, true, 9), Some(trip));
        assert_eq!(
            breaker.finished(&SETTINGS, 0, 1, true, 10),
            None,
            "only once"
        );
        assert_eq!(breaker.tripped(), Some(trip));
    }

    #[test]
    fn does_not_trip_when_all_arms_fail() {
        let mut breaker = Breaker::default();
        for i in 0..100 {
            assert_eq!(breaker.finished(&SETTINGS, 0, 0, i % 2 == 0, i), None);
            assert_eq!(breaker.finished(&SETTINGS, 0, 1, i % 2 == 0, i), None);
        }
    }

    #[test]
    fn a_window_forgets() {
        let mut breaker = Breaker::default();
        for i in 0..100 {
            // Nine errors a window, never ten.
            assert_eq!(
                breaker.finished(&SETTINGS, 0, 1, true, i / 9 * 1_001 + 1),
                None
            );
        }
    }

    #[test]
    fn a_clock_that_goes_backwards_does_not_panic() {
        let mut breaker = Breaker::default();
        breaker.finished(&SETTINGS, 0, 1, true, 1_000_000);
        breaker.finished(&SETTINGS, 0, 1, true, 0);
    }
}
