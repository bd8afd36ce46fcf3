//! What a rollout will take, before it starts: `serinus simulate`.
//!
//! Only errors are simulated, and how many users have come. Latency has more events (half
//! of all answers are above the median), so it seldom decides later; of answers that
//! models check, none is taken to be wrong.

mod arm;
mod check;
mod crowd;
mod least;
mod step;

pub use check::Problem;
pub use least::{Least, Way, least};

use crate::draw::Draw;
use crate::summary::Times;
use crowd::Crowd;
use rayon::prelude::*;
use step::{Caught, End, Release};

/// One rollout that somebody thinks of.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Of all arms together.
    pub requests_per_second: f64,
    pub users: Users,
    /// Control's share of requests that fail.
    pub base_error_rate: f64,
    pub steps: Vec<Step>,
    /// What a step lasts at least,
    pub minimum_seconds: f64,
    /// and requests decided for each arm.
    pub minimum_exposures: f64,
    /// Users of each arm of whom something was told: here as soon as they come.
    pub minimum_users: f64,
    /// Where models check the answers.
    pub agreement: Option<Agreement>,
    /// Promoted when surely below this times control's error rate,
    pub margin_ratio: f64,
    /// or surely below this rate.
    pub margin_absolute: f64,
    /// Not taken back unless surely worse than this times control's rate,
    pub tolerated_ratio: f64,
    /// and by this much at least, as a difference of rates.
    pub floor: f64,
    /// Of the whole rollout, which its steps and guardrails share.
    pub rollback_alpha: f64,
    pub promotion_alpha: f64,
    /// Guardrails that can roll back: errors and latency at least.
    pub guardrails: u32,
    /// Until then nothing is promoted, and then the processes start anew: after so long,
    pub warm_up_seconds: f64,
    /// and so many answers of control.
    pub warm_up_requests: f64,
    /// How many times as often a bad canary errs.
    pub ratio: f64,
    /// The deadline of a step.
    pub longest_seconds: f64,
    /// Simulated releases of each kind.
    pub runs: u32,
    pub seed: u64,
}

/// Who sends the requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Users {
    /// So many different ones a day, the same every day, who all err equally often: what
    /// is asked of them is the least that is asked of any.
    Alike(f64),
    /// As many, of whom one in twenty has most of the errors
    /// ([`crate::worlds::Crowd`]), as it is with most services.
    Differ(f64),
    /// Every request is its own (`unit.kind: request`).
    EveryRequest,
}

/// Shares of all users, from 0 to 1; nothing is compared where one of them is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub canary: f64,
    pub control: f64,
    /// Whether the canary is promoted by entering it: then it waits for no evidence.
    pub promotes: bool,
}

/// Users whose first sampled answer is the model's show that most are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// Of users.
    pub sampled: f64,
    /// No more samples are taken: of one worker, and here there is one.
    pub per_second: f64,
    pub margin_absolute: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// `None` for one at which nothing is compared.
    pub steps: Vec<Option<StepAnswer>>,
    /// Good canaries that go through all steps by themselves, and until then.
    pub promoted: f64,
    pub seconds: Spread,
    /// Good canaries that are taken back at any step.
    pub false_rollback: Rate,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StepAnswer {
    /// The share of good canaries that are promoted before the deadline.
    pub promoted: f64,
    /// Until then.
    pub seconds: Spread,
    /// Good canaries that are taken back.
    pub false_rollback: Rate,
    /// The share of bad canaries, bad from the beginning of this step on, that are taken
    /// back in it.
    pub caught: f64,
    /// The share of them that are promoted instead: their errors are within the margin,
    /// or under the absolute bound, and were shown to be before they were shown to be worse.
    pub bad_promoted: f64,
    /// Of those that are caught: the time, the requests of both arms, and the canary's
    /// users with a request until then.
    pub caught_seconds: Spread,
    pub caught_requests: Spread,
    pub caught_users: Spread,
}

/// Of those to which it happens; `None` where it does not happen in so many runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    pub median: Option<f64>,
    pub ninety: Option<f64>,
}

/// With the upper end of its 95% interval: no simulation shows a rate to be nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    pub share: f64,
    pub upper95: f64,
}

/// The steps of one simulated release of each kind, as if each were reached.
struct Run {
    good: Vec<Option<End>>,
    bad: Vec<Option<End>>,
}

// === impl Question ===

impl Default for Question {
    /// What a spec has by default.
    fn default() -> Self {
        let step = |canary| Step {
            canary,
            control: 1.0 - canary,
            promotes: canary >= 1.0,
        };
        Self {
            requests_per_second: 10.0,
            users: Users::EveryRequest,
            base_error_rate: 0.01,
            steps: [0.1, 0.25, 0.75, 1.0].map(step).to_vec(),
            minimum_seconds: 60.0,
            minimum_exposures: 500.0,
            minimum_users: 0.0,
            agreement: None,
            margin_ratio: 1.5,
            margin_absolute: 0.01,
            tolerated_ratio: 1.1,
            floor: 0.001,
            rollback_alpha: 0.01,
            promotion_alpha: 0.05,
            guardrails: 2,
            warm_up_seconds: 5.0,
            warm_up_requests: 1_000.0,
            ratio: 2.0,
            longest_seconds: 3.0 * 86_400.0,
            runs: 300,
            seed: 1,
        }
    }
}

// === impl Users ===

impl Users {
    fn a_day(self) -> Option<f64> {
        match self {
            Self::Alike(users) | Self::Differ(users) => Some(users),
            Self::EveryRequest => None,
        }
    }
}

// === impl Step ===

impl Step {
    #[must_use]
    pub fn is_tested(&self) -> bool {
        self.canary > 0.0 && self.control > 0.0
    }

    /// What is compared, as a share of all.
    #[must_use]
    pub fn both(&self) -> f64 {
        self.canary + self.control
    }

    /// The canary's, of what is compared.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.canary / self.both()
    }
}

// === impl Agreement ===

impl Agreement {
    /// The share of sampled users' requests that the limit lets through.
    fn admitted(&self, requests_per_second: f64) -> f64 {
        (self.per_second / (requests_per_second * self.sampled)).min(1.0)
    }
}

// === impl Run ===

impl Run {
    fn new(question: &Question, run: u64) -> Self {
        let crowd = Crowd::new(question, run);
        let releases = |kind: &str, ratio| {
            let steps = question.steps.iter().enumerate();
            steps
                .map(|(index, step)| {
                    let release = Release::new(question, step, &crowd, ratio)?;
                    let name = format!("forecast {kind} {index}");
                    Some(release.run(&mut Draw::new(question.seed, &name, run)))
                })
                .collect()
        };
        Self {
            good: releases("good", 1.0),
            bad: releases("bad", question.ratio),
        }
    }
}

/// Simulates the rollout.
///
/// # Errors
/// A question that makes no sense.
pub fn ask(question: &Question) -> Result<Answer, Problem> {
    check::check(question)?;
    let runs = (0..u64::from(question.runs)).into_par_iter();
    let runs: Vec<Run> = runs.map(|run| Run::new(question, run)).collect();
    let steps = (0..question.steps.len()).map(|index| StepAnswer::of(&runs, index));
    // A step that compares nothing takes its minimum, and at one that promotes all are there.
    let lasted = |run: &Run| -> Option<f64> {
        let ends = question.steps.iter().zip(&run.good);
        let mut waited_for = ends.filter(|(step, _)| !step.promotes);
        waited_for.try_fold(0.0, |before, (_, end)| match end {
            None => Some(before + question.minimum_seconds),
            Some(end) => Some(before + end.promoted?),
        })
    };
    let lasted = Times::of(runs.iter().map(lasted));
    let is_taken_back = |run: &Run| {
        let mut ends = run.good.iter().flatten();
        ends.any(|end| end.caught.is_some()).then_some(0.0)
    };
    Ok(Answer {
        steps: steps.collect(),
        promoted: lasted.rate(),
        seconds: Spread::of(&lasted),
        false_rollback: Rate::of(&Times::of(runs.iter().map(is_taken_back))),
    })
}

/// The share of good canaries that one step promotes before its deadline; `None` where
/// nothing is compared.
///
/// # Errors
/// A question that makes no sense.
pub fn chance(question: &Question, index: usize) -> Result<Option<f64>, Problem> {
    check::check(question)?;
    let runs = (0..u64::from(question.runs)).into_par_iter();
    let ends = runs.map(|run| {
        let step = question.steps.get(index)?;
        let release = Release::new(question, step, &Crowd::new(question, run), 1.0)?;
        Some(release.run(&mut Draw::new(question.seed, "forecast chance", run)))
    });
    let ends: Option<Vec<End>> = ends.collect();
    Ok(ends.map(|ends| Times::of(ends.iter().map(|end| end.promoted)).rate()))
}

// === impl StepAnswer ===

impl StepAnswer {
    fn of(runs: &[Run], index: usize) -> Option<Self> {
        let good: Option<Vec<&End>> = runs
            .iter()
            .map(|run| run.good.get(index)?.as_ref())
            .collect();
        let bad: Option<Vec<&End>> = runs
            .iter()
            .map(|run| run.bad.get(index)?.as_ref())
            .collect();
        let (good, bad) = (good?, bad?);
        let promoted = |ends: &[&End]| Times::of(ends.iter().map(|end| end.promoted));
        let caught = |ends: &[&End], of: fn(&Caught) -> f64| {
            Times::of(ends.iter().map(|end| end.caught.as_ref().map(of)))
        };
        let goes_on = promoted(&good);
        let caught_seconds = caught(&bad, |caught| caught.seconds);
        Some(Self {
            promoted: goes_on.rate(),
            seconds: Spread::of(&goes_on),
            false_rollback: Rate::of(&caught(&good, |caught| caught.seconds)),
            caught: caught_seconds.rate(),
            bad_promoted: promoted(&bad).rate(),
            caught_seconds: Spread::of(&caught_seconds),
            caught_requests: Spread::of(&caught(&bad, |caught| caught.requests)),
            caught_users: Spread::of(&caught(&bad, |caught| caught.users)),
        })
    }
}

// === impl Spread, Rate ===

impl Spread {
    fn of(times: &Times) -> Self {
        Self {
            median: times.quantile_of_hits(0.5),
            ninety: times.quantile_of_hits(0.9),
        }
    }
}

impl Rate {
    fn of(times: &Times) -> Self {
        Self {
            share: times.rate(),
            upper95: times.upper95(),
        }
    }
}

#[cfg(test)]
mod tests;
