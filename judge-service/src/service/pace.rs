//! How often workers report, and how much they sample: as the judge was told, and less
//! when there are so many of them that all of it would take a whole core.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Reports a second that workers are asked for at most: half of what a core took where it
/// was measured (`make bench-judge`), since it has verdicts, plans and pages to do as well.
const REPORTS_PER_SECOND: usize = 4_000;

/// Samples a second that all of them are asked for at most, for each rollout: a tenth of
/// the thread that compares them, where models are small. What comes on top it sheds.
const SAMPLES_PER_SECOND: usize = 2_000;

/// While each worker could send so many, none is bound by anything but its rollouts.
const FREE: u32 = 64;

/// No bound.
const UNBOUNDED: u32 = u32::MAX;

/// No more seldom, unless the judge was told so: what is not reported is not judged.
const LONGEST_MS: u32 = 30_000;

#[derive(Debug)]
pub(super) struct Pace {
    shortest_ms: u32,
    next: Mutex<Given>,
    /// What the plan that is out says.
    given: Mutex<Given>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Given {
    pub report_interval_ms: u32,
    /// Of each worker, a second.
    pub most_samples: u32,
}

impl Pace {
    pub fn new(shortest_ms: u32) -> Self {
        let first = Given {
            report_interval_ms: shortest_ms,
            most_samples: UNBOUNDED,
        };
        Self {
            shortest_ms,
            next: Mutex::new(first),
            given: Mutex::new(first),
        }
    }

    /// What the next plan says.
    pub fn next(&self) -> Given {
        *locked(&self.next)
    }

    /// A plan that says so is out.
    pub fn given(&self, given: Given) {
        *locked(&self.given) = given;
    }

    /// Takes so many workers into account; whether that asks for another plan.
    pub fn heed(&self, workers: usize) -> bool {
        let mut next = locked(&self.next);
        *next = Given {
            report_interval_ms: interval(self.shortest_ms, next.report_interval_ms, workers),
            most_samples: most_samples(next.most_samples, workers),
        };
        *next != *locked(&self.given)
    }
}

fn locked(given: &Mutex<Given>) -> MutexGuard<'_, Given> {
    given.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Goes by doubling and halving, and halves only well below: each change is a plan for
/// all workers.
fn interval(shortest_ms: u32, now_ms: u32, workers: usize) -> u32 {
    let longest_ms = LONGEST_MS.max(shortest_ms);
    let wanted = workers.saturating_mul(1_000) / REPORTS_PER_SECOND;
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
    let mut interval = now_ms;
    while interval < wanted && interval < longest_ms {
        interval = interval.saturating_mul(2).min(longest_ms);
    }
    while interval > shortest_ms && interval / 2 >= wanted.saturating_add(wanted / 2) {
        interval = (interval / 2).max(shortest_ms);
    }
    interval
}

/// Goes as [`interval`] does; one a second is the least that a worker can be asked for.
fn most_samples(now: u32, workers: usize) -> u32 {
    let all = |most: u32| workers.saturating_mul(most as usize);
    let mut most = now.min(FREE);
    while most > 1 && all(most) > SAMPLES_PER_SECOND {
        most /= 2;
    }
    while most < FREE && all(most * 2) <= SAMPLES_PER_SECOND * 2 / 3 {
        most *= 2;
    }
    if most == FREE { UNBOUNDED } else { most }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_multiply_report_less_often() {
        for (workers, interval) in [
            (0, 1_000),
            (4_000, 1_000),
            (4_100, 2_000),
            (10_000, 4_000),
            (60_000, 16_000),
            (10_000_000, 30_000),
            (usize::MAX, 30_000),
        ] {
            assert_eq!(
                super::interval(1_000, 1_000, workers),
                interval,
                "{workers}"
            );
        }
    }

    #[test]
    fn and_more_often_again_when_they_are_gone() {
        assert_eq!(
            super::interval(1_000, 4_000, 9_000),
            4_000,
            "not at the first that goes"
        );
        assert_eq!(super::interval(1_000, 4_000, 5_000), 2_000);
        assert_eq!(super::interval(1_000, 30_000, 0), 1_000);
        assert_eq!(super::interval(700, 5_600, 100), 700);
    }

    #[test]
    fn what_the_judge_was_told_is_the_shortest() {
        assert_eq!(super::interval(60_000, 60_000, 0), 60_000);
        assert_eq!(super::interval(60_000, 60_000, 10_000_000), 60_000);
        assert_eq!(super::interval(100, 100, 10), 100);
    }

    #[test]
    fn workers_that_multiply_sample_less() {
        for (now, workers, most) in [
            (UNBOUNDED, 0, UNBOUNDED),
            (UNBOUNDED, 31, UNBOUNDED),
            (UNBOUNDED, 40, 32),
            (UNBOUNDED, 10_000, 1),
            (UNBOUNDED, usize::MAX, 1),
            // Not at the first that goes.
            (32, 30, 32),
            (32, 20, UNBOUNDED),
            (1, 100, 8),
            (1, 0, UNBOUNDED),
        ] {
            assert_eq!(most_samples(now, workers), most, "{workers} at {now}");
        }
    }

    #[test]
    fn a_plan_is_asked_for_only_when_it_changes() {
        let pace = Pace::new(1_000);
        assert!(!pace.heed(0));
        assert!(pace.heed(10_000));
        assert!(pace.heed(10_000), "the plan was not given out");
        let next = Given {
            report_interval_ms: 4_000,
            most_samples: 1,
        };
        assert_eq!(pace.next(), next);
        pace.given(next);
        assert!(!pace.heed(10_001));
    }
}
