//! `serinus simulate`: what a rollout will take, before it starts.

use crate::domain::check::{Unsound, check};
use crate::domain::spec::{Expected, RolloutSpec};
use crate::forecast;
use crate::policy::words;
use crate::reading;
use serde::Serialize;
use serinus_core::json::FieldError;
use serinus_sim::forecast::{self as sim, Answer, Question, StepAnswer};
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
    /// Whether one user in twenty has most of the errors: with `users_per_day`. Where each
    /// request is a user's own, it makes no difference.
    pub users_differ: bool,
    pub steps: Vec<Step>,
    /// Good versions that go through all steps by themselves, and until then.
    pub promoted: f64,
    pub promoted_seconds_median: Option<f64>,
    pub promoted_seconds_p90: Option<f64>,
    /// Good versions that are taken back at any step.
    pub false_rollback: f64,
    pub false_rollback_upper95: f64,
    /// Steps that their deadline ends undecided, and segments that it leaves unseen.
    pub warnings: Vec<String>,
}

/// One step; shares lie between 0 and 1, and what never happened is `null`.
#[derive(Debug, Serialize)]
pub struct Step {
    pub weights: BTreeMap<String, f64>,
    /// `None` where nothing is compared: copies only, or nobody is held back.
    pub forecast: Option<Forecast>,
    /// Whether a person is to look before the next one.
    pub look_first: bool,
}

#[derive(Debug, Serialize)]
pub struct Forecast {
    /// The share of good versions that go on by themselves, before the deadline, and until
    /// then.
    pub promoted: f64,
    pub promoted_seconds_median: Option<f64>,
    pub promoted_seconds_p90: Option<f64>,
    pub false_rollback: f64,
    pub false_rollback_upper95: f64,
    /// Of bad versions; until then, in requests of both arms and in users of the bad one.
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
    let answer = ask(&spec, &expected, asked)?;
    let steps = spec.steps.iter().zip(&answer.steps);
    let steps = steps.map(|(step, answer)| Step {
        weights: step.weights.clone(),
        look_first: step.look_first,
        forecast: answer.as_ref().map(Forecast::of),
    });
    let steps = steps.collect();
    let mut warnings = forecast::warnings(&spec, &expected);
    // The first with users on the new version.
    let mut trying = spec.steps.iter().filter(|step| !spec.is_look_step(step));
    warnings.extend(trying.next().and_then(|step| {
        let seen = forecast::segments::in_equal_parts(&spec, &expected);
        forecast::segments::blind(&spec, step, &seen, expected.error_rate)
    }));
    let users_differ = expected.users_per_day.is_some();
    Ok(Simulated {
        rollout: spec.id,
        expected,
        ratio: asked.ratio,
        runs: asked.runs,
        seed: asked.seed,
        users_differ,
        steps,
        promoted: answer.promoted,
        promoted_seconds_median: answer.seconds.median,
        promoted_seconds_p90: answer.seconds.ninety,
        false_rollback: answer.false_rollback.share,
        false_rollback_upper95: answer.false_rollback.upper95,
        warnings,
    })
}

fn ask(spec: &RolloutSpec, expected: &Expected, asked: &Asked) -> Result<Answer, FieldError> {
    let question = Question {
        ratio: asked.ratio,
        runs: asked.runs,
        seed: asked.seed,
        ..forecast::question(spec, expected, forecast::differing(expected))
    };
    sim::ask(&question).map_err(|problem| {
        FieldError::new(
            problem.field,
            format!("{}; {} is right", problem.wrong, problem.right),
        )
    })
}

impl Forecast {
    fn of(step: &StepAnswer) -> Self {
        Self {
            promoted: step.promoted,
            promoted_seconds_median: step.seconds.median,
            promoted_seconds_p90: step.seconds.ninety,
            false_rollback: step.false_rollback.share,
            false_rollback_upper95: step.false_rollback.upper95,
            caught: step.caught,
            caught_seconds_median: step.caught_seconds.median,
            caught_seconds_p90: step.caught_seconds.ninety,
            caught_requests_median: step.caught_requests.median,
            caught_users_median: step.caught_users.median,
            bad_promoted: step.bad_promoted,
        }
    }
}

// === in words ===

const NOT_SIMULATED: &str = "Simulated are errors and how many users come. What is not: latency (nor how long it takes to be learned, beyond `warm_up`), what is answered, segments, and what is told of users later.";

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
            "{}: {requests_per_minute} requests a minute, {} errors, {users}; {} simulated releases",
            self.rollout,
            words::percent(*error_rate),
            self.runs
        )?;
        if self.users_differ {
            writeln!(
                out,
                "One user in twenty has most of the errors; where all have as many, steps end sooner."
            )?;
        }
        let ratio = self.ratio;
        writeln!(
            out,
            "\n                     a good version                  a version with {ratio} times the errors"
        )?;
        writeln!(
            out,
            "step  users          goes on  after    (9 in 10)    is caught  after    in requests  its users  goes on"
        )?;
        for (index, step) in self.steps.iter().enumerate() {
            let weights = in_words(&step.weights);
            write!(out, "{:<6}{weights:<15}", index + 1)?;
            match &step.forecast {
                None => writeln!(out, "nothing is compared")?,
                Some(forecast) => writeln!(out, "{forecast}")?,
            }
        }
        let through = words::percent(self.promoted);
        let after = match (self.promoted_seconds_median, self.promoted_seconds_p90) {
            (Some(median), Some(ninety)) => format!(
                ", after {} (9 in 10 of them: {})",
                time(Some(median)),
                time(Some(ninety))
            ),
            _ => String::new(),
        };
        writeln!(
            out,
            "\nOf good versions {through} go through all steps by themselves{after}; the others wait for a deadline or are taken back.\n{} were taken back; by 95% confidence under {}.\n\n{NOT_SIMULATED}",
            words::percent(self.false_rollback),
            words::percent(self.false_rollback_upper95)
        )?;
        let asked = self
            .steps
            .iter()
            .zip(1..)
            .filter(|(step, _)| step.look_first);
        let asked: Vec<String> = asked.map(|(_, number)| number.to_string()).collect();
        if !asked.is_empty() {
            writeln!(
                out,
                "A person is asked after step {} (`look_first`), which takes what it takes.",
                asked.join(" and ")
            )?;
        }
        for warning in &self.warnings {
            writeln!(out, "\nWarning: {warning}.")?;
        }
        Ok(())
    }
}

/// Its part of the step's line.
impl core::fmt::Display for Forecast {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let count = |count: Option<f64>| count.map_or("-".to_owned(), |n| format!("{n:.0}"));
        write!(
            out,
            "{:<9}{:<9}{:<13}{:<11}{:<9}{:<13}{:<11}{}",
            words::percent(self.promoted),
            time(self.promoted_seconds_median),
            time(self.promoted_seconds_p90),
            words::percent(self.caught),
            time(self.caught_seconds_median),
            count(self.caught_requests_median),
            count(self.caught_users_median),
            words::percent(self.bad_promoted),
        )
    }
}

fn time(seconds: Option<f64>) -> String {
    seconds.map_or("-".to_owned(), |seconds| {
        words::seconds((seconds * 1_000.0) as u64)
    })
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
        let table = text
            .lines()
            .filter(|line| line.starts_with([' ', 's', '1', '2']));
        assert!(table.into_iter().all(|line| line.len() < 120), "{text}");
        assert!(
            text.contains("% go through all steps by themselves, after "),
            "{text}"
        );
        assert!(text.contains("What is not: latency"), "{text}");
        assert!(!text.contains("One user in twenty"), "{text}");
    }

    /// 25% of the whole judge's releases with these users are promoted (5 of 20), and not
    /// before 30 h.
    #[test]
    fn few_users_who_differ_are_seldom_enough() {
        let few = Asked {
            requests_per_minute: Some(40.0),
            error_rate: Some(0.01),
            users_per_day: Some(5_000.0),
            runs: 200,
            ..asked()
        };
        let simulated = simulate(spec_json().to_string().as_bytes(), &few).unwrap();
        let promoted = simulated.promoted;
        assert!((0.06..0.56).contains(&promoted), "{promoted}");
        assert!(simulated.promoted_seconds_median.unwrap() > 30.0 * 3_600.0);
        let least = simulated.steps.iter().flat_map(|step| &step.forecast);
        assert!(least.into_iter().all(|step| step.promoted >= promoted));
        assert!(simulated.to_string().contains("One user in twenty"));
    }

    #[test]
    fn segments_are_looked_at_where_somebody_has_the_new_version() {
        let mut document = spec_json();
        document["shadow"] = serde_json::json!({"cluster": "shadow"});
        document["steps"] = serde_json::json!([{}, {"weights": {"canary": 10}}]);
        let when = serde_json::json!([{"header": "x"}]);
        document["segments"] = serde_json::json!([{"name": "gold", "when": when}]);
        let slow = Asked {
            requests_per_minute: Some(2.0),
            ..asked()
        };
        let simulated = simulate(document.to_string().as_bytes(), &slow).unwrap();
        let mut warnings = simulated.warnings.iter();
        assert!(warnings.any(|warning| warning.contains("segment gold")));
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
