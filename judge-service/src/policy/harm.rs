//! Evidence that an arm is worse than tolerated: the rate-ratio e-process over
//! users' first events, with a process for each epoch of the step.
//!
//! The process is exact in the order in which requests were decided. What is counted
//! comes in the order in which they end, and an arm that fails at once is then judged
//! against a control whose time-outs are still to come: 99.7% of good versions were
//! rolled back in simulations. [`Pending`] repairs that.

use super::labels::{self, Event, Labels};
use super::view::{Comparison, Side};
use super::words;
use serinus_stats::ratio::{self, RatioGrid};
use serinus_stats::restart::{self, Process};

pub struct Harm {
    /// ln of the strongest process, weighted; 0 where none says anything against the arm.
    pub log_e: f64,
    pub threshold: f64,
    /// Estimated ratio of rates in the strongest process.
    pub ratio: Option<f64>,
    /// Users with a first event in the strongest process, and of those, in the arm.
    pub with_event: u64,
    pub in_arm: u64,
}

/// What requests under way may still become.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    /// Control's requests under way that may hang count as events of control
    /// ([`super::under_way`]). Each event that the arm is ahead by belongs to one of them,
    /// and an event of control only ever weakens the evidence, so it stays below that of
    /// the exact process.
    MayFail,
    /// The event is listed while the request is under way, or after all of them ended
    /// alike.
    Known,
}

impl Harm {
    /// `event`: what is counted of a side.
    pub fn of(
        comparison: &Comparison<'_>,
        tolerated: f64,
        alpha: f64,
        pending: Pending,
        event: impl Fn(Side) -> Event,
    ) -> Self {
        let steps = u32::try_from(comparison.rollout.spec.steps.len()).unwrap_or(u32::MAX);
        let processes = labels::by_process(comparison, event);
        // Made when there is something to bet on, which is seldom.
        let mut grid = None;
        let whole_step: &[Labels] = processes.first().map_or(&[], Vec::as_slice);
        let mut strongest = (0.0, whole_step);
        for (index, labels) in (0u32..).zip(&processes) {
            let counted = labels.iter().map(|labels| match pending {
                Pending::MayFail => labels.with_late(),
                Pending::Known => labels.known,
            });
            let weight = restart::process_weight(steps, index);
            let most: f64 = counted
                .clone()
                .map(|labels| ratio::most_evidence(&labels, tolerated))
                .sum();
            if most + libm::log(weight) <= strongest.0 {
                continue;
            }
            let grid = grid.get_or_insert_with(|| RatioGrid::rollback(tolerated));
            let log_e = restart::strongest([Process {
                weight,
                log_e: ratio::log_e(grid, counted),
            }]);
            if log_e > strongest.0 {
                strongest = (log_e, labels);
            }
        }
        let (log_e, labels) = strongest;
        let known = labels.iter().map(|labels| labels.known);
        Self {
            log_e,
            threshold: restart::threshold(alpha),
            with_event: known.clone().map(|labels| labels.with_event).sum(),
            in_arm: known.clone().map(|labels| labels.in_arm).sum(),
            ratio: ratio::estimate(known),
        }
    }

    /// Whether it is proven; `difference` of the rates must exceed `floor` too.
    pub fn is_proven(&self, difference: Option<f64>, floor: f64) -> bool {
        self.log_e >= self.threshold && difference.is_some_and(|difference| difference > floor)
    }

    /// Users with an event for each request decided, arm less control. It needs no
    /// request to end, so an arm that answers nothing has one too.
    pub fn gap(&self, comparison: &Comparison<'_>) -> f64 {
        let rate = |users: u64, side: Side| users as f64 / comparison.decided(side).max(1) as f64;
        rate(self.in_arm, Side::Arm) - rate(self.with_event - self.in_arm, Side::Control)
    }

    /// "41 of 52 users with an error at this step were on canary, which has 10% of
    /// users; odds against chance 3 million to 1"
    pub fn words(&self, comparison: &Comparison<'_>, event: &str) -> String {
        let units = comparison.units();
        format!(
            "{} of {} {units} with {event} at this step were on {}, which has {} of {units}; odds against chance {}",
            self.in_arm,
            self.with_event,
            comparison.arm_name(),
            words::percent(comparison.arm_percent() / 100.0),
            words::odds(self.log_e),
        )
    }
}
