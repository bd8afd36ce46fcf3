//! What a rollout will take, before it starts: `serinus simulate`.
//!
//! Only the errors guardrail is simulated. Latency has more events (half of all
//! answers are above the median), so it seldom decides later; mismatches depend on how
//! many requests are sampled.

mod check;
mod least;
mod step;

pub use check::Problem;
pub use least::{Least, Way, least};

use crate::draw::Draw;
use crate::summary::Times;
use rayon::prelude::*;
use step::{End, Release};

/// One rollout that somebody thinks of.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub requests_per_second: f64,
    pub users: Users,
    /// Control's share of requests that fail.
    pub base_error_rate: f64,
    pub steps: Vec<Step>,
    /// Promoted when surely below this times control's error rate,
    pub margin_ratio: f64,
    /// or surely below this rate.
    pub margin_absolute: f64,
    /// Not taken back unless surely worse than this times control's rate,
    pub tolerated_ratio: f64,
    /// and by this much at least, as a difference of rates.
    pub floor: f64,
    /// Of the whole rollout, which its guardrails share.
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

/// Who sends the requests. They are taken to be alike: users who differ have fewer
/// first errors, and a forecast for them is too hopeful.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Users {
    /// So many different ones a day, the same every day.
    ADay(f64),
    /// Every request is its own (`unit.kind: request`).
    EveryRequest,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Canary's share of users, above 0 and up to 1.
    pub share: f64,
    pub minimum_seconds: f64,
    /// Requests decided for each arm.
    pub minimum_exposures: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub steps: Vec<StepAnswer>,
    /// The share of good canaries that are taken back at any step, and the upper end of
    /// its 95% interval: no simulation shows a rate to be nothing.
    pub false_rollback: f64,
    pub false_rollback_upper95: f64,
    /// From the first step to the last promotion of a good canary.
    pub seconds: Spread,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StepAnswer {
    pub share: f64,
    /// False at 100%: there is no control to compare with, and nothing below is known.
    pub tested: bool,
    /// The share of good canaries that are promoted before the deadline.
    pub promoted: f64,
    /// Until then, of all good canaries.
    pub seconds: Spread,
    /// The share of bad canaries, bad from the beginning of this step on, that are taken
    /// back in it.
    pub caught: f64,
    /// The share of them that are promoted instead: their errors are within the margin,
    /// or under the absolute bound, and were shown to be before they were shown to be worse.
    pub bad_promoted: f64,
    /// Of those that are caught: the time, all requests, and the canary's users with a
    /// request until then.
    pub caught_seconds: Spread,
    pub caught_requests: Spread,
    pub caught_users: Spread,
}

/// `None` where it does not happen in so many runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    pub median: Option<f64>,
    pub ninety: Option<f64>,
}

impl Default for Question {
    /// What a spec has by default.
    fn default() -> Self {
        let step = |share| Step {
            share,
            minimum_seconds: 60.0,
            minimum_exposures: 500.0,
        };
        Self {
            requests_per_second: 10.0,
            users: Users::EveryRequest,
            base_error_rate: 0.01,
            steps: [0.1, 0.25, 0.75, 1.0].map(step).to_vec(),
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

/// Simulates the rollout.
///
/// # Errors
/// A question that makes no sense.
pub fn ask(question: &Question) -> Result<Answer, Problem> {
    check::check(question)?;
    let runs = u64::from(question.runs);
    let mut taken_back = vec![false; question.runs as usize];
    let mut lasted: Vec<Option<f64>> = vec![Some(0.0); question.runs as usize];
    let mut steps = Vec::new();
    for (index, step) in question.steps.iter().enumerate() {
        let tested = step.share < 1.0;
        let releases = |kind: &str, ratio: f64| -> Vec<End> {
            let name = format!("forecast {kind} {index}");
            let runs = (0..if tested { runs } else { 0 }).into_par_iter();
            runs.map(|run| {
                Release::new(question, step, ratio).run(&mut Draw::new(question.seed, &name, run))
            })
            .collect()
        };
        let good = releases("good", 1.0);
        let bad = releases("bad", question.ratio);
        for ((taken_back, lasted), end) in taken_back.iter_mut().zip(&mut lasted).zip(&good) {
            *taken_back |= end.caught.is_some();
            *lasted = lasted.zip(end.promoted).map(|(before, own)| before + own);
        }
        let promoted = Times::of(good.iter().map(|end| end.promoted));
        let caught = |of: fn(&step::Caught) -> f64| {
            Times::of(bad.iter().map(|end| end.caught.as_ref().map(of)))
        };
        let of_hits = |times: &Times| Spread {
            median: times.quantile_of_hits(0.5),
            ninety: times.quantile_of_hits(0.9),
        };
        let caught_seconds = caught(|caught| caught.seconds);
        steps.push(StepAnswer {
            share: step.share,
            tested,
            promoted: promoted.rate(),
            seconds: of_all(&promoted),
            caught: caught_seconds.rate(),
            bad_promoted: Times::of(bad.iter().map(|end| end.promoted)).rate(),
            caught_seconds: of_hits(&caught_seconds),
            caught_requests: of_hits(&caught(|caught| caught.requests)),
            caught_users: of_hits(&caught(|caught| caught.users)),
        });
    }
    let false_rollbacks = Times::of(
        taken_back
            .iter()
            .map(|&taken_back| taken_back.then_some(0.0)),
    );
    Ok(Answer {
        steps,
        false_rollback: false_rollbacks.rate(),
        false_rollback_upper95: false_rollbacks.upper95(),
        seconds: of_all(&Times::of(lasted)),
    })
}

fn of_all(times: &Times) -> Spread {
    Spread {
        median: times.quantile(0.5),
        ninety: times.quantile(0.9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick(question: Question) -> Answer {
        ask(&Question {
            runs: 60,
            ..question
        })
        .unwrap()
    }

    #[test]
    fn a_good_canary_takes_as_long_as_its_gate() {
        let answer = quick(Question::default());
        let first = &answer.steps[0];
        // 50 canary events are 50,000 requests at 10%: 5,000 s at 10 a second; or, if it
        // is sooner, as many as control lets expect.
        let median = first.seconds.median.unwrap();
        assert!((4_000.0..9_000.0).contains(&median), "{median}");
        assert!(first.promoted > 0.8);
        assert!(answer.steps[1].seconds.median.unwrap() < median);
        assert!(!answer.steps[3].tested);
        assert!(answer.false_rollback < 0.05);
        let total: f64 = answer
            .steps
            .iter()
            .filter_map(|step| step.seconds.median)
            .sum();
        assert!((answer.seconds.median.unwrap() / total - 1.0).abs() < 0.5);
    }

    #[test]
    fn a_bad_canary_is_caught_about_when_statistics_says() {
        // Alpha 0.001 with nothing tolerated, as in the table: x5 in 2,175 requests; the
        // weight of the first process and the floor come on top.
        let answer = quick(Question {
            ratio: 5.0,
            rollback_alpha: 0.001,
            guardrails: 1,
            tolerated_ratio: 1.0,
            ..Question::default()
        });
        let first = &answer.steps[0];
        let requests = first.caught_requests.median.unwrap();
        assert!((1_700.0..3_700.0).contains(&requests), "{requests}");
        assert!(first.caught > 0.95);
        let users = first.caught_users.median.unwrap();
        assert!((users / requests - 0.1).abs() < 0.03);
    }

    #[test]
    fn a_clean_service_is_promoted_by_the_absolute_bound() {
        let answer = quick(Question {
            base_error_rate: 0.0001,
            ..Question::default()
        });
        // 445 clean users of the canary at 1 a second, at alpha 0.025.
        let median = answer.steps[0].seconds.median.unwrap();
        assert!((430.0..700.0).contains(&median), "{median}");
    }

    #[test]
    fn a_canary_under_the_absolute_bound_is_promoted_though_it_is_worse() {
        let answer = quick(Question {
            base_error_rate: 0.0005,
            ratio: 10.0,
            ..Question::default()
        });
        let first = &answer.steps[0];
        assert!(first.bad_promoted > 0.1);
        assert!(first.caught + first.bad_promoted > 0.95);
    }

    #[test]
    fn a_few_users_cannot_show_much() {
        let crowd = |users| {
            quick(Question {
                users: Users::ADay(users),
                ..Question::default()
            })
        };
        let caught = |answer: &Answer| answer.steps[0].caught;
        assert!(caught(&crowd(50.0)) < 0.5);
        assert!(caught(&crowd(50_000.0)) > 0.9);
    }

    #[test]
    fn an_answer_repeats() {
        assert_eq!(quick(Question::default()), quick(Question::default()));
    }
}
