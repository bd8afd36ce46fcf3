//! `serinus simulate`: what a rollout will take, before it starts.

use crate::domain::check::{Unsound, check};
use crate::domain::spec::Expected;
use crate::forecast;
use crate::policy::words;
use crate::reading;
use serde::Serialize;
use serinus_core::json::FieldError;
use serinus_sim::forecast::{Answer, Spread, StepAnswer};
use std::collections::BTreeMap;

/// What is asked beside the spec.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Instead of what the spec expects.
    pub requests_per_minute: Option<f64>,
    pub error_rate: Option<f64>,
    pub users_per_day: Option<f64>,
    /// How many times as often a bad version errs.
    pub ratio: f64,
    pub runs: u32,
    pub seed: u64,
}

/// A spec's steps with their forecasts.
#[derive(Debug, Serialize)]
pub struct Simulated {
    pub rollout: String,
    pub expected: Expected,
    pub ratio: f64,
    pub runs: u32,
    pub seed: u64,
    pub steps: Vec<Step>,
    /// Steps that their deadline ends undecided, and segments that it leaves unseen.
    pub warnings: Vec<String>,
}

/// One step; shares lie between 0 and 1, and what never happened is `null`.
#[derive(Debug, Serialize)]
pub struct Step {
    pub weights: BTreeMap<String, f64>,
    /// `None` where nothing is compared: copies only, or nobody is held back.
    pub forecast: Option<Forecast>,
}

#[derive(Debug, Serialize)]
pub struct Forecast {
    /// Of good versions, before the deadline.
    pub promoted: f64,
    pub promoted_seconds_median: Option<f64>,
    pub promoted_seconds_p90: Option<f64>,
    pub false_rollback: f64,
    pub false_rollback_upper95: f64,
    /// Of bad versions.
    pub caught: f64,
    pub caught_seconds_median: Option<f64>,
    pub caught_seconds_p90: Option<f64>,
    pub caught_requests_median: Option<f64>,
    pub caught_users_median: Option<f64>,
    pub bad_promoted: f64,
}

/// Simulates a spec that a person wrote.
///
/// # Errors
/// A spec or traffic that makes no sense, by field.
pub fn simulate(spec: &[u8], asked: &Asked) -> Result<Simulated, Unsound> {
    let mut spec = reading::spec(spec)?;
    let mut expected = spec.expected.clone().unwrap_or(Expected {
        requests_per_minute: f64::NAN,
        error_rate: 0.01,
        users_per_day: None,
    });
    let instead = |own: &mut f64, asked: Option<f64>| *own = asked.unwrap_or(*own);
    instead(&mut expected.requests_per_minute, asked.requests_per_minute);
    instead(&mut expected.error_rate, asked.error_rate);
    expected.users_per_day = asked.users_per_day.or(expected.users_per_day);
    if expected.requests_per_minute.is_nan() {
        return Err(FieldError::new(
            "expected.requests_per_minute",
            "is missing; give it, or --requests-per-minute",
        )
        .into());
    }
    spec.expected = Some(expected.clone());
    let spec = spec.completed();
    check(&spec)?;
    let mut steps = Vec::new();
    for step in &spec.steps {
        let answer = forecast::ask(&spec, step, &expected, asked.ratio, asked.runs, asked.seed)
            .map_err(|problem| {
                FieldError::new(
                    problem.field,
                    format!("{}; {} is right", problem.wrong, problem.right),
                )
            })?;
        steps.push(Step {
            weights: step.weights.clone(),
            forecast: answer.as_ref().and_then(Forecast::of),
        });
    }
    let mut warnings: Vec<String> = (0..spec.steps.len())
        .filter_map(|index| {
            let too_few = forecast::too_few(&spec, index, &expected);
            too_few.or_else(|| forecast::too_slow(&spec, index, &expected))
        })
        .collect();
    warnings.extend(spec.steps.first().and_then(|step| {
        let seen = forecast::segments::in_equal_parts(&spec, &expected);
        forecast::segments::blind(&spec, step, &seen, expected.error_rate)
    }));
    Ok(Simulated {
        rollout: spec.id,
        expected,
        ratio: asked.ratio,
        runs: asked.runs,
        seed: asked.seed,
        steps,
        warnings,
    })
}

impl Forecast {
    fn of(answer: &Answer) -> Option<Self> {
        let step: &StepAnswer = answer.steps.first().filter(|step| step.tested)?;
        let Spread { median, ninety } = step.seconds;
        Some(Self {
            promoted: step.promoted,
            promoted_seconds_median: median,
            promoted_seconds_p90: ninety,
            false_rollback: answer.false_rollback,
            false_rollback_upper95: answer.false_rollback_upper95,
            caught: step.caught,
            caught_seconds_median: step.caught_seconds.median,
            caught_seconds_p90: step.caught_seconds.ninety,
            caught_requests_median: step.caught_requests.median,
            caught_users_median: step.caught_users.median,
            bad_promoted: step.bad_promoted,
        })
    }
}

// === in words ===

impl core::fmt::Display for Simulated {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Expected {
            requests_per_minute,
            error_rate,
            users_per_day,
        } = &self.expected;
        let users = match users_per_day {
            Some(users) => format!("{users} users a day"),
            None => "each request a user's own".to_owned(),
        };
        writeln!(
            out,
            "{}: {requests_per_minute} requests a minute, {} errors, {users}; {} simulated releases\n",
            self.rollout,
            words::percent(*error_rate),
            self.runs
        )?;
        let ratio = self.ratio;
        writeln!(
            out,
            "                     a good version           a version with {ratio} times the errors"
        )?;
        writeln!(
            out,
            "step  users          goes on after  (9 in 10)  is caught  after     in requests  goes on"
        )?;
        for (index, step) in self.steps.iter().enumerate() {
            let weights = in_words(&step.weights);
            write!(out, "{:<6}{weights:<15}", index + 1)?;
            let Some(forecast) = &step.forecast else {
                writeln!(out, "nothing is compared")?;
                continue;
            };
            let time = |seconds: Option<f64>| {
                seconds.map_or("-".to_owned(), |seconds| {
                    words::seconds((seconds * 1_000.0) as u64)
                })
            };
            let count = |count: Option<f64>| count.map_or("-".to_owned(), |n| format!("{n:.0}"));
            writeln!(
                out,
                "{:<15}{:<11}{:<11}{:<10}{:<13}{}",
                time(forecast.promoted_seconds_median),
                time(forecast.promoted_seconds_p90),
                words::percent(forecast.caught),
                time(forecast.caught_seconds_median),
                count(forecast.caught_requests_median),
                words::percent(forecast.bad_promoted),
            )?;
        }
        let compared = self.steps.iter().filter_map(|step| step.forecast.as_ref());
        let (all, upper) = compared.fold((0.0, 0.0f64), |(all, upper), forecast| {
            (
                all + forecast.false_rollback,
                upper.max(forecast.false_rollback_upper95),
            )
        });
        writeln!(
            out,
            "\nA good version was taken back in {} of the releases; by 95% confidence in under {} at each step.",
            words::percent(all.min(1.0)),
            words::percent(upper)
        )?;
        for warning in &self.warnings {
            writeln!(out, "\nWarning: {warning}.")?;
        }
        Ok(())
    }
}

/// Where there are many arms, what they have together.
fn in_words(weights: &BTreeMap<String, f64>) -> String {
    let each: Vec<String> = weights
        .iter()
        .map(|(arm, percent)| format!("{arm} {percent}%"))
        .collect();
    match each.join(", ") {
        none if none.is_empty() => "copies only".to_owned(),
        long if long.len() > 30 && each.len() > 1 => {
            let all: f64 = weights.values().sum();
            format!("{} arms, {}%", each.len(), (all * 100.0).round() / 100.0)
        }
        short => short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::tests::spec_json;

    #[test]
    fn many_arms_are_said_together() {
        let weights = |arms: usize| {
            let arms = (0..arms).map(|arm| (format!("version-{arm}"), 1.5));
            in_words(&arms.collect())
        };
        assert_eq!(weights(0), "copies only");
        assert_eq!(weights(2), "version-0 1.5%, version-1 1.5%");
        assert_eq!(weights(11), "11 arms, 16.5%");
    }

    fn asked() -> Asked {
        Asked {
            requests_per_minute: Some(6_000.0),
            error_rate: None,
            users_per_day: None,
            ratio: 5.0,
            runs: 40,
            seed: 1,
        }
    }

    #[test]
    fn says_what_each_step_takes() {
        let spec = spec_json().to_string();
        let simulated = simulate(spec.as_bytes(), &asked()).unwrap();
        assert_eq!(simulated.steps.len(), 4);
        let first = simulated.steps[0].forecast.as_ref().unwrap();
        assert!(first.caught > 0.9 && first.promoted > 0.9, "{first:?}");
        assert!(first.caught_seconds_median < first.promoted_seconds_median);
        assert!(simulated.steps[3].forecast.is_none(), "nobody is held back");
        let text = simulated.to_string();
        assert!(text.contains("nothing is compared"), "{text}");
        assert!(text.lines().all(|line| line.len() < 120), "{text}");
    }

    #[test]
    fn names_what_is_missing_or_wrong() {
        let spec = spec_json().to_string();
        let nothing = Asked {
            requests_per_minute: None,
            ..asked()
        };
        let error = simulate(spec.as_bytes(), &nothing).unwrap_err();
        assert_eq!(error.first().field, "expected.requests_per_minute");
        let better = Asked {
            ratio: 0.5,
            ..asked()
        };
        let error = simulate(spec.as_bytes(), &better).unwrap_err();
        assert_eq!(error.first().field, "ratio");
        let slow = Asked {
            requests_per_minute: Some(1.0),
            ..asked()
        };
        let simulated = simulate(spec.as_bytes(), &slow).unwrap();
        assert!(!simulated.warnings.is_empty());
    }
}
