//! Evidence that an arm is worse than tolerated: the rate-ratio e-process over
//! users' first events, with a process for each epoch of the step.
//!
//! The process is exact in the order in which requests were decided. What is counted
//! comes in the order in which they end, and an arm that fails at once is then judged
//! against a control whose time-outs are still to come: 99.7% of good versions were
//! rolled back in simulations. [`Pending`] repairs that.

use super::labels::{self, Began, Event, Labels, Process};
use super::view::{Comparison, Side};
use super::window::Window;
use super::words;
use serinus_stats::ratio::{self, RatioGrid};
use serinus_stats::restart;
use serinus_stats::sequence::Rates;

pub struct Harm {
    /// ln of the decisive process, weighted; 0 where none says anything against the arm.
    pub log_e: f64,
    pub threshold: f64,
    /// Whether it is proven: evidence, and rates that differ by more than the floor.
    pub harmed: bool,
    /// Whether the process of the whole step, or of what it is since its split changed,
    /// proves it too. If not, that the step is within a margin as a whole is no excuse for
    /// what came late in it.
    pub by_whole_step: bool,
    /// Estimated ratio of rates in the decisive process.
    pub ratio: Option<f64>,
    /// Users with a first event in the decisive process, and of those, in the arm.
    pub with_event: u64,
    pub in_arm: u64,
    /// The arm's share of the users that it and control had, of those with an event.
    share: f64,
    began: Began,
    /// The decisive process began after the first of its split.
    is_late: bool,
}

/// What harm is.
pub struct Bet {
    pub tolerated_ratio: f64,
    /// The least difference of rates.
    pub floor: f64,
    pub alpha: f64,
    pub pending: Pending,
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

/// Standard deviations by which a late process's rates must exceed the floor: of several
/// short windows one or another exceeds it by chance.
const SURELY: f64 = 2.0;

impl Harm {
    /// `event`: what is counted of a side. `rates`: how often it happens, of what was
    /// counted since a process began; what came before is left out, or a regression late in
    /// a long step would have to make up for all that was well.
    pub fn of(
        comparison: &Comparison<'_>,
        bet: &Bet,
        event: impl Fn(Side) -> Event,
        rates: impl Fn(&Self, &Window<'_>) -> Option<Rates>,
    ) -> Self {
        let steps = u32::try_from(comparison.rollout.spec.steps.len()).unwrap_or(u32::MAX);
        let threshold = restart::threshold(bet.alpha);
        let processes = labels::by_process(comparison, event);
        // Made when there is something to bet on, which is seldom.
        let mut grid = None;
        // Where the split changed in the step, what came before is another comparison's.
        let split = processes.last().map(|process| process.began.split);
        let mut all = processes.iter();
        let first = all.position(|process| Some(process.began.split) == split);
        let first = first.unwrap_or_default();
        let mut decisive = Self::counted(processes.first(), threshold);
        let mut by_whole_step = false;
        for (index, process) in processes.iter().enumerate() {
            let counted = process.by_share.iter().map(|labels| match bet.pending {
                Pending::MayFail => labels.with_late(),
                Pending::Known => labels.known,
            });
            let place = u32::try_from(index).unwrap_or(u32::MAX);
            let weight = restart::process_weight(steps, place);
            let most: f64 = counted
                .clone()
                .map(|labels| ratio::most_evidence(&labels, bet.tolerated_ratio))
                .sum();
            let most = most + libm::log(weight);
            // One that proves it counts for more than one whose rates hardly differ.
            if most <= decisive.log_e && (decisive.harmed || most < threshold) {
                continue;
            }
            let grid = grid.get_or_insert_with(|| RatioGrid::rollback(bet.tolerated_ratio));
            let mut found = Self {
                log_e: restart::weighted(weight, ratio::log_e(grid, counted)),
                is_late: index > first,
                ..Self::counted(Some(process), threshold)
            };
            found.harmed = found.log_e >= threshold
                && rates(&found, &Window::new(comparison, found.began))
                    .is_some_and(|rates| found.differ(rates, bet.floor));
            by_whole_step |= !found.is_late && found.harmed;
            if (found.harmed, found.log_e) > (decisive.harmed, decisive.log_e) {
                decisive = found;
            }
        }
        Self {
            by_whole_step,
            ..decisive
        }
    }

    /// What a process counted, before its evidence is worked out.
    fn counted(process: Option<&Process>, threshold: f64) -> Self {
        let labels: &[Labels] = process.map_or(&[], |process| &process.by_share);
        let known = labels.iter().map(|labels| labels.known);
        let with_event = known.clone().map(|labels| labels.with_event).sum();
        let by_chance = known
            .clone()
            .map(|labels| labels.share * labels.with_event as f64);
        Self {
            log_e: 0.0,
            threshold,
            harmed: false,
            by_whole_step: false,
            with_event,
            in_arm: known.clone().map(|labels| labels.in_arm).sum(),
            ratio: ratio::estimate(known),
            share: match (with_event, labels.first()) {
                (0, Some(first)) => first.known.share,
                (events, _) => by_chance.sum::<f64>() / (events as f64).max(1.0),
            },
            began: process.map_or_else(Began::default, |process| process.began),
            is_late: false,
        }
    }

    /// Whether rates differ by more than `floor`. Users with an event say how sure the arm's
    /// rate is: requests of one user are no independent ones.
    fn differ(&self, rates: Rates, floor: f64) -> bool {
        let doubt = match self.is_late {
            true => SURELY * rates.canary / (self.in_arm.max(1) as f64).sqrt(),
            false => 0.0,
        };
        rates.gap() - doubt > floor
    }

    /// Users with an event for each request decided. It needs no request to end, so an arm
    /// that answers nothing has one too.
    pub fn rates(&self, window: &Window<'_>) -> Rates {
        let rate = |users: u64, side: Side| users as f64 / window.decided(side).max(1) as f64;
        Rates {
            canary: rate(self.in_arm, Side::Arm),
            control: rate(self.with_event - self.in_arm, Side::Control),
        }
    }

    /// "41 of 52 users with an error at this step were on canary, which has 10% of
    /// users; odds against chance 3 million to 1"
    pub fn words(&self, comparison: &Comparison<'_>, event: &str) -> String {
        let units = comparison.units();
        let arm = comparison.arm_name();
        let when = match comparison.epoch_in_step(self.began.in_step) {
            Some(epoch) if self.is_late => {
                let ago = comparison.now_ms.saturating_sub(epoch.started_ms);
                format!("in the last {}", words::seconds(ago))
            }
            _ => "at this step".to_owned(),
        };
        // Beside others the two have but a part of the users.
        let whose = if comparison.rollout.spec.arms.len() > 2 {
            format!("the {units} of {} and {arm}", comparison.control_name())
        } else {
            units.to_owned()
        };
        format!(
            "{} of {} {units} with {event} {when} were on {arm}, which has {} of {whose}; odds against chance {}",
            self.in_arm,
            self.with_event,
            words::percent(self.share),
            words::odds(self.log_e),
        )
    }
}
