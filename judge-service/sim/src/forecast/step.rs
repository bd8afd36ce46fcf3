//! One step of one simulated release, look by look.
//!
//! Users are not simulated one by one: those of an arm who erred last in the same epoch
//! are alike, and how many of them err until the next look is binomial. So the work does
//! not grow with the traffic, and no look is too late by more than 3%.

use super::{Question, Step, Users};
use crate::draw::Draw;
use serinus_stats::ratio::most_evidence;
use serinus_stats::ratio::{self, LabelCounts, RatioGrid};
use serinus_stats::sequence::Difference;
use serinus_stats::{absolute, restart};

/// The processes start anew when latency is learned, and after 1, 2, 4, ... minutes more.
const FIRST_RESTART_SECONDS: f64 = 60.0;
/// The judge looks once a second; later looks here are this much further apart.
const GROWTH: f64 = 1.03;
const SLOTS: f64 = 256.0;

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

/// One arm's users and counts.
struct Arm {
    requests_per_second: f64,
    error_rate: f64,
    /// Users by the epoch of their last error, 0 for none; empty where every request is
    /// a user.
    erred_in: Vec<u64>,
    /// Not seen yet at this step.
    unseen: u64,
    /// Requests a second of one user.
    pace: f64,
    requests: u64,
    errors: u64,
    seen: u64,
    /// Of those, whose first request failed.
    bad: u64,
}

pub(super) struct Release<'a> {
    question: &'a Question,
    step: &'a Step,
    canary: Arm,
    control: Arm,
    grid: RatioGrid,
    /// One for each epoch of the step: users with a first error since it began.
    processes: Vec<LabelCounts>,
}

impl Arm {
    fn new(question: &Question, share: f64, error_rate: f64) -> Self {
        let users = match question.users {
            Users::ADay(users) => (users * share).round() as u64,
            Users::EveryRequest => 0,
        };
        let requests_per_second = question.requests_per_second * share;
        Self {
            requests_per_second,
            error_rate,
            erred_in: if question.users == Users::EveryRequest {
                Vec::new()
            } else {
                vec![users]
            },
            unseen: users,
            pace: if users > 0 {
                requests_per_second / users as f64
            } else {
                0.0
            },
            requests: 0,
            errors: 0,
            seen: 0,
            bad: 0,
        }
    }

    /// So many seconds of traffic in an epoch, counted from 1. For each epoch before it:
    /// users with an error whose last one was then.
    fn pass(&mut self, seconds: f64, epoch: usize, draw: &mut Draw) -> Vec<u64> {
        let requests = draw.poisson(self.requests_per_second * seconds);
        self.requests += requests;
        if self.erred_in.is_empty() {
            let errors = draw.binomial(requests, self.error_rate);
            self.errors += errors;
            self.seen += requests;
            self.bad += errors;
            return vec![errors];
        }
        let new = draw.binomial(self.unseen, chance(self.pace * seconds));
        self.unseen -= new;
        self.seen += new;
        self.bad += draw.binomial(new, self.error_rate);
        let erring = chance(self.pace * self.error_rate * seconds);
        let mut expected = 0.0;
        let mut users = Vec::with_capacity(self.erred_in.len());
        for group in &mut self.erred_in {
            expected += *group as f64 * erring;
            let erred = draw.binomial(*group, erring);
            *group -= erred;
            users.push(erred);
        }
        let all: u64 = users.iter().sum();
        self.erred_in.resize(epoch + 1, 0);
        if let Some(now) = self.erred_in.last_mut() {
            *now += all;
        }
        // The same users' further errors.
        let errors = self.requests_per_second * self.error_rate * seconds;
        self.errors = (self.errors + all + draw.poisson(errors - expected)).min(self.requests);
        users
    }

    fn rate(&self) -> f64 {
        self.errors as f64 / self.requests.max(1) as f64
    }

    fn variance(&self) -> f64 {
        self.rate() * (1.0 - self.rate()) / self.requests.max(1) as f64
    }

    /// In how many slots its users with an error fall, as expected.
    fn event_slots(&self) -> u32 {
        let erred: u64 = match self.erred_in.as_slice() {
            [] => self.errors,
            [_, erred @ ..] => erred.iter().sum(),
        };
        let hit = SLOTS * (1.0 - libm::pow(1.0 - 1.0 / SLOTS, erred as f64));
        hit as u32
    }
}

/// Of at least one arrival where so many are expected.
fn chance(expected: f64) -> f64 {
    -libm::expm1(-expected)
}

impl<'a> Release<'a> {
    pub fn new(question: &'a Question, step: &'a Step, ratio: f64) -> Self {
        let base = question.base_error_rate;
        Self {
            question,
            step,
            canary: Arm::new(question, step.share, base * ratio),
            control: Arm::new(question, 1.0 - step.share, base),
            grid: RatioGrid::rollback(question.tolerated_ratio),
            processes: Vec::new(),
        }
    }

    pub fn run(mut self, draw: &mut Draw) -> End {
        let learned = self.question.warm_up_requests / self.control.requests_per_second;
        let warm = learned.max(self.question.warm_up_seconds);
        let (mut now, mut next_start) = (0.0, 0.0);
        while now < self.question.longest_seconds {
            let look = (now * GROWTH).max(now + 1.0);
            // The ends of the minimum and of the deadline are looks of their own.
            let ends = [self.step.minimum_seconds, self.question.longest_seconds];
            let ends = ends.into_iter().filter(|&end| end > now);
            let look = ends.fold(look, f64::min);
            // Epochs begin at looks.
            if now >= next_start {
                self.processes.push(LabelCounts {
                    share: self.step.share,
                    with_event: 0,
                    in_arm: 0,
                });
                let restarts = self.processes.len().saturating_sub(2).min(60) as u32;
                next_start = match self.processes.len() {
                    1 => warm,
                    _ => warm + FIRST_RESTART_SECONDS * (1_u64 << restarts) as f64,
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
        if now < self.step.minimum_seconds || least < self.step.minimum_exposures {
            return false;
        }
        let alpha = q.promotion_alpha / 2.0;
        let clean = absolute::log_e(q.margin_absolute, canary.seen, canary.bad);
        clean >= restart::threshold(alpha)
            || difference(canary, control, q.margin_ratio).promotes(alpha)
    }

    fn caught(&self, seconds: f64) -> Caught {
        Caught {
            seconds,
            requests: (self.canary.requests + self.control.requests) as f64,
            users: self.canary.seen as f64,
        }
    }
}

/// As [`serinus_stats::sequence::difference`] over independent requests.
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
