//! How often workers report: as often as the judge was told, and less often when there
//! are so many of them that their reports would take a whole core.

use std::sync::atomic::{AtomicU32, Ordering};

/// Reports a second that workers are asked for at most: half of what a core took where it
/// was measured (`make bench-judge`), since it has verdicts, plans and pages to do as well.
const REPORTS_PER_SECOND: usize = 4_000;

/// No more seldom, unless the judge was told so: what is not reported is not judged.
const LONGEST_MS: u32 = 30_000;

#[derive(Debug)]
pub(super) struct Pace {
    shortest_ms: u32,
    interval_ms: AtomicU32,
    /// What the plan that is out says.
    given_ms: AtomicU32,
}

impl Pace {
    pub fn new(shortest_ms: u32) -> Self {
        Self {
            shortest_ms,
            interval_ms: AtomicU32::new(shortest_ms),
            given_ms: AtomicU32::new(shortest_ms),
        }
    }

    /// What the next plan says.
    pub fn interval_ms(&self) -> u32 {
        self.interval_ms.load(Ordering::Relaxed)
    }

    /// A plan with this interval is out.
    pub fn given(&self, interval_ms: u32) {
        self.given_ms.store(interval_ms, Ordering::Relaxed);
    }

    /// Takes so many workers into account; whether that asks for another plan.
    pub fn heed(&self, workers: usize) -> bool {
        let next = next(self.shortest_ms, self.interval_ms(), workers);
        self.interval_ms.store(next, Ordering::Relaxed);
        next != self.given_ms.load(Ordering::Relaxed)
    }
}

/// Goes by doubling and halving, and halves only well below: each change is a plan for
/// all workers.
fn next(shortest_ms: u32, now_ms: u32, workers: usize) -> u32 {
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
            assert_eq!(next(1_000, 1_000, workers), interval, "{workers}");
        }
    }

    #[test]
    fn and_more_often_again_when_they_are_gone() {
        assert_eq!(
            next(1_000, 4_000, 9_000),
            4_000,
            "not at the first that goes"
        );
        assert_eq!(next(1_000, 4_000, 5_000), 2_000);
        assert_eq!(next(1_000, 30_000, 0), 1_000);
        assert_eq!(next(700, 5_600, 100), 700);
    }

    #[test]
    fn what_the_judge_was_told_is_the_shortest() {
        assert_eq!(next(60_000, 60_000, 0), 60_000);
        assert_eq!(next(60_000, 60_000, 10_000_000), 60_000);
        assert_eq!(next(100, 100, 10), 100);
    }

    #[test]
    fn a_plan_is_asked_for_only_when_it_changes() {
        let pace = Pace::new(1_000);
        assert!(!pace.heed(100));
        assert!(pace.heed(10_000));
        assert!(pace.heed(10_000), "the plan was not given out");
        assert_eq!(pace.interval_ms(), 4_000);
        pace.given(4_000);
        assert!(!pace.heed(10_001));
    }
}
