//! One step of one simulated release, look by look. No look is too late by more than 3%.

use super::arm::Arm;
use super::crowd::Crowd;
use super::{Question, Step};
use crate::draw::Draw;
use serinus_stats::ratio::most_evidence;
use serinus_stats::ratio::{self, LabelCounts, RatioGrid};
use serinus_stats::sequence::Difference;
use serinus_stats::{absolute, restart};

/// The processes start anew when latency is learned, and after 1, 2, 4, ... minutes more.
/// The judge looks once a second; later looks here are this much further apart.
const GROWTH: f64 = 1.03;

/// How a step ended, if it did before its deadline.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct End {
    /// After so many seconds.
    pub promoted: Option<f64>,
    pub caught: Option<Caught>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Caught {
    pub seconds: f64,
    pub requests: f64,
    /// The canary's, with a request.
    pub users: f64,
}

pub(super) struct Release<'a> {
    question: &'a Question,
    share: f64,
    canary: Arm,
    control: Arm,
    grid: RatioGrid,
    /// One for each epoch of the step: users with a first error since it began.
    processes: Vec<LabelCounts>,
}

impl<'a> Release<'a> {
    /// `None` where nothing is compared.
    pub fn new(question: &'a Question, step: &Step, crowd: &Crowd, ratio: f64) -> Option<Self> {
        if !step.is_tested() {
            return None;
        }
        let base = question.base_error_rate;
        let kinds = crowd.kinds.iter();
        let canary: Vec<(f64, u64)> = kinds
            .clone()
            .map(|kind| ((kind.error_rate * ratio).min(1.0), kind.of_canary(step)))
            .collect();
        let control: Vec<(f64, u64)> = kinds
            .map(|kind| (kind.error_rate, kind.of_control(step)))
            .collect();
        Some(Self {
            question,
            share: step.share(),
            canary: Arm::new(question, step.canary, base * ratio, &canary),
            control: Arm::new(question, step.control, base, &control),
            grid: RatioGrid::rollback(question.tolerated_ratio),
            processes: Vec::new(),
        })
    }

    pub fn run(mut self, draw: &mut Draw) -> End {
        let learned = self.question.warm_up_requests / self.control.requests_per_second;
        let warm = learned.max(self.question.warm_up_seconds);
        let (mut now, mut next_start) = (0.0, 0.0);
        while now < self.question.longest_seconds {
            let look = (now * GROWTH).max(now + 1.0);
            // The ends of the minimum and of the deadline are looks of their own.
            let ends = [self.question.minimum_seconds, self.question.longest_seconds];
            let ends = ends.into_iter().filter(|&end| end > now);
            let look = ends.fold(look, f64::min);
            // Epochs begin at looks.
            if now >= next_start {
                self.processes.push(LabelCounts {
                    share: self.share,
                    with_event: 0,
                    in_arm: 0,
                });
                let restarts = self.processes.len().saturating_sub(2).min(60) as u32;
                next_start = match self.processes.len() {
                    1 => warm,
                    _ => warm + (restart::FIRST_RESTART_SECONDS * (1 << restarts)) as f64,
                };
            }
            self.pass(look - now, draw);
            now = look;
            if self.is_harmed() {
                return End {
                    caught: Some(self.caught(now)),
                    promoted: None,
                };
            }
            if now >= warm && self.is_promoted(now) {
                return End {
                    promoted: Some(now),
                    caught: None,
                };
            }
        }
        End::default()
    }

    fn pass(&mut self, seconds: f64, draw: &mut Draw) {
        let epoch = self.processes.len();
        let canary = self.canary.pass(seconds, epoch, draw);
        let control = self.control.pass(seconds, epoch, draw);
        // A process that began with epoch `start` counts users who erred last before it.
        for (start, labels) in (1..).zip(&mut self.processes) {
            let in_arm: u64 = canary.iter().take(start).sum();
            labels.in_arm += in_arm;
            labels.with_event += in_arm + control.iter().take(start).sum::<u64>();
        }
    }

    /// The floor is compared with the rates of the whole step, as of the judge's processes
    /// that began with it: here a canary is what it is from the start.
    fn is_harmed(&self) -> bool {
        let q = self.question;
        if self.canary.rate() - self.control.rate() <= q.floor {
            return false;
        }
        let enough = restart::threshold(q.rollback_alpha / f64::from(q.guardrails));
        let steps = u32::try_from(q.steps.len()).unwrap_or(u32::MAX);
        (0..).zip(&self.processes).any(|(index, labels)| {
            let log_weight = libm::log(restart::process_weight(steps, index));
            log_weight + most_evidence(labels, q.tolerated_ratio) >= enough
                && log_weight + ratio::log_e(&self.grid, std::iter::once(*labels)) >= enough
        })
    }

    fn is_promoted(&self, now: f64) -> bool {
        let (q, canary, control) = (self.question, &self.canary, &self.control);
        let least = canary.requests.min(control.requests) as f64;
        if now < q.minimum_seconds || least < q.minimum_exposures {
            return false;
        }
        if (canary.seen.min(control.seen) as f64) < q.minimum_users {
            return false;
        }
        let agrees = q.agreement.is_none_or(|agreement| {
            absolute::log_e(agreement.margin_absolute, canary.sampled, 0)
                >= restart::threshold(q.promotion_alpha)
        });
        let alpha = q.promotion_alpha / 2.0;
        let clean = || absolute::log_e(q.margin_absolute, canary.seen, canary.bad);
        agrees
            && (clean() >= restart::threshold(alpha)
                || difference(canary, control, q.margin_ratio).promotes(alpha))
    }

    fn caught(&self, seconds: f64) -> Caught {
        Caught {
            seconds,
            requests: (self.canary.requests + self.control.requests) as f64,
            users: self.canary.seen as f64,
        }
    }
}

/// As [`serinus_stats::sequence::difference`] over users of whom nothing is known but how
/// often each kind errs.
fn difference(canary: &Arm, control: &Arm, margin: f64) -> Difference {
    let n = canary.requests + control.requests;
    Difference {
        estimate: canary.rate() - margin * control.rate(),
        standard_error: (canary.variance() + margin * margin * control.variance()).sqrt(),
        canary_error: canary.variance().sqrt(),
        control_error: control.variance().sqrt(),
        canary_rate: canary.rate(),
        control_rate: control.rate(),
        canary_events: canary.errors,
        control_events: control.errors,
        canary_event_slots: canary.event_slots(),
        control_event_slots: control.event_slots(),
        n,
        share: canary.requests as f64 / n.max(1) as f64,
    }
}
