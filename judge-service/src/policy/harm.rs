//! Evidence that an arm is worse than tolerated: the rate-ratio e-process over
//! users' first events, with a process for each epoch of the step.

use super::view::{Comparison, Side};
use super::words;
use crate::domain::sums::ArmSums;
use serinus_stats::ratio::{self, LabelCounts, RatioGrid};
use serinus_stats::restart::{self, Process};

pub struct Harm {
    /// ln of the strongest process, weighted.
    pub log_e: f64,
    pub threshold: f64,
    /// Estimated ratio of rates in the strongest process.
    pub ratio: Option<f64>,
    /// Users with a first event in the strongest process, and of those, in the arm.
    pub with_event: u64,
    pub in_arm: u64,
}

impl Harm {
    /// `since(side, sums, start)`: users whose first event since epoch `start` is in
    /// `sums`, which are that side's.
    pub fn of(
        comparison: &Comparison<'_>,
        tolerated: f64,
        alpha: f64,
        since: impl Fn(Side, &ArmSums, u64) -> u64,
    ) -> Self {
        let grid = RatioGrid::rollback(tolerated);
        let steps = u32::try_from(comparison.rollout.spec.steps.len()).unwrap_or(u32::MAX);
        let processes = comparison.labels(since);
        let mut strongest: Option<(f64, &[LabelCounts])> = None;
        for (index, labels) in (0u32..).zip(&processes) {
            let log_e = restart::strongest([Process {
                weight: restart::process_weight(steps, index),
                log_e: ratio::log_e(&grid, labels.iter().copied()),
            }]);
            if strongest.is_none_or(|(best, _)| log_e > best) {
                strongest = Some((log_e, labels));
            }
        }
        let (log_e, labels) = strongest.unwrap_or((0.0, &[]));
        Self {
            log_e,
            threshold: restart::threshold(alpha),
            ratio: ratio::estimate(labels.iter().copied()),
            with_event: labels.iter().map(|label| label.with_event).sum(),
            in_arm: labels.iter().map(|label| label.in_arm).sum(),
        }
    }

    /// Whether it is proven; `difference` of the rates must exceed `floor` too.
    pub fn is_proven(&self, difference: Option<f64>, floor: f64) -> bool {
        self.log_e >= self.threshold && difference.is_some_and(|difference| difference > floor)
    }

    /// Users with an event for each request decided, arm less control. It needs no
    /// request to end, so an arm that answers nothing has one too.
    pub fn gap(&self, comparison: &Comparison<'_>) -> f64 {
        let rate = |users: u64, arm: usize| {
            let decided = comparison.sum(arm, |sums| sums.exposures.iter().sum());
            users as f64 / decided.max(1) as f64
        };
        rate(self.in_arm, comparison.arm) - rate(self.with_event - self.in_arm, comparison.control)
    }

    /// "41 of 52 users with an error at this step were on canary, which has 10% of
    /// users; odds against chance 3 million to 1"
    pub fn words(&self, comparison: &Comparison<'_>, event: &str) -> String {
        format!(
            "{} of {} users with {event} at this step were on {}, which has {} of users; odds against chance {}",
            self.in_arm,
            self.with_event,
            comparison.arm_name(),
            words::percent(comparison.arm_percent() / 100.0),
            words::odds(self.log_e),
        )
    }
}
