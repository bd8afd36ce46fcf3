//! What a rollout will take, by its spec and by the traffic that it will see or sees.

pub mod segments;

use crate::domain::check::weights;
use crate::domain::spec::{Expected, RolloutSpec, Step};
use crate::policy::{alpha, words};
use serinus_core::json::FieldError;
use serinus_sim::forecast::{self, Answer, Least, Question, Users, Way};
use serinus_stats::sequence::Gate;

/// A step of a spec as a question: the arm with the fewest users against control.
/// `None` where nothing is compared.
#[must_use]
pub fn question(spec: &RolloutSpec, step: &Step, expected: &Expected) -> Option<Question> {
    let weights = weights(spec, step, spec.holdback_percent).ok()?;
    let weight = |name: &str| {
        let mut arms = spec.arms.iter().zip(&weights);
        arms.find(|(arm, _)| arm.name == name)
            .map_or(0.0, |(_, &weight)| f64::from(weight) / 10_000.0)
    };
    let control = weight(spec.control());
    let arms = spec.treatments().map(|arm| (weight(&arm.name), &arm.name));
    let (arm, name) = arms
        .filter(|&(weight, _)| weight > 0.0)
        .min_by(|(one, _), (other, _)| one.total_cmp(other))?;
    // The two that are compared have a part of all requests.
    let both = arm + control;
    let guardrail = &spec.guardrails.errors;
    Some(Question {
        requests_per_second: expected.requests_per_minute / 60.0 * both,
        users: match expected.users_per_day {
            Some(users) => Users::ADay(users * both),
            None => Users::EveryRequest,
        },
        base_error_rate: expected.error_rate,
        steps: vec![forecast::Step {
            share: arm / both,
            minimum_seconds: spec.minimum.seconds.max(spec.warm_up.seconds),
            minimum_exposures: spec.minimum.exposures as f64,
        }],
        margin_ratio: guardrail.margin_ratio,
        margin_absolute: guardrail.margin_absolute,
        tolerated_ratio: guardrail.tolerated_ratio,
        floor: guardrail.floor,
        // One step is asked about, and each has an equal part.
        rollback_alpha: spec.alpha.rollback * alpha::of_whole(spec) / spec.steps.len() as f64,
        promotion_alpha: spec.alpha.promotion,
        guardrails: alpha::guardrails(spec, name),
        warm_up_seconds: spec.warm_up.seconds,
        warm_up_requests: spec.warm_up.requests as f64,
        longest_seconds: spec.deadline.seconds,
        ..Question::default()
    })
}

fn about(seconds: f64) -> String {
    // The cast saturates.
    words::seconds((seconds * 1_000.0) as u64)
}

/// To two digits, with commas.
fn about_count(count: f64) -> String {
    if !count.is_finite() {
        return "any number of".to_owned();
    }
    let size = 10f64.powi((count.max(1.0).log10().floor() as i32 - 1).max(0));
    let rounded = ((count / size).round() * size) as u64;
    let digits = rounded.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What a step takes at least; `None` where nothing is compared or the traffic makes no
/// sense.
#[must_use]
pub fn least(spec: &RolloutSpec, step: &Step, expected: &Expected) -> Option<Least> {
    let question = question(spec, step, expected)?;
    forecast::least(&question).ok()?.into_iter().next()
}

/// A step that no time decides, for want of users, in words.
#[must_use]
pub fn too_few(spec: &RolloutSpec, index: usize, expected: &Expected) -> Option<String> {
    let step = spec.steps.get(index)?;
    let users = expected.users_per_day?;
    let is_decided = least(spec, step, expected)?.seconds.is_some();
    let question = question(spec, step, expected)?;
    let share = question.steps.first()?.share;
    let Users::ADay(compared) = question.users else {
        return None;
    };
    (!is_decided).then(|| {
        format!(
            "{} of {users} users a day have the new version at step {}, and it takes {} with an error of their own to compare (or more who have none): a larger share, or units of which there are more, can be decided",
            about_count(compared * share),
            index + 1,
            Gate::PROMOTION.canary_users,
        )
    })
}

/// A step that its deadline ends before the evidence can be in, in words.
#[must_use]
pub fn too_slow(spec: &RolloutSpec, index: usize, expected: &Expected) -> Option<String> {
    let step = spec.steps.get(index)?;
    let least = least(spec, step, expected)?;
    let deadline = spec.deadline.seconds;
    if least.way != Way::Untested
        && let Some(problem) = never_warm(spec, index, expected)
    {
        return Some(problem);
    }
    let needs = least.seconds?;
    if least.way == Way::Untested || needs <= deadline {
        return None;
    }
    let why = match least.way {
        Way::Ratio => "until enough errors have come to compare",
        Way::Absolute => "until enough of its users came without an error",
        Way::Minimum | Way::Untested => "until its minimum is reached",
    };
    Some(format!(
        "at {} requests a minute and {}% errors, step {} needs about {} {why}; the deadline is {}",
        expected.requests_per_minute,
        expected.error_rate * 100.0,
        index + 1,
        about(needs),
        about(deadline),
    ))
}

/// A step that its deadline ends before latency is learned from control.
fn never_warm(spec: &RolloutSpec, index: usize, expected: &Expected) -> Option<String> {
    let weights = weights(spec, spec.steps.get(index)?, spec.holdback_percent).ok()?;
    let mut arms = spec.arms.iter().zip(&weights);
    let (_, &weight) = arms.find(|(arm, _)| arm.name == spec.control())?;
    let rate = expected.requests_per_minute / 60.0 * f64::from(weight) / 10_000.0;
    let wanted = spec.warm_up.requests;
    let needed = wanted as f64 / rate;
    let deadline = spec.deadline.seconds;
    (needed > deadline).then(|| {
        format!(
            "at {} requests a minute, step {} needs about {} until control has given the {wanted} answers of `warm_up.requests`; the deadline is {}",
            expected.requests_per_minute,
            index + 1,
            about(needed),
            about(deadline),
        )
    })
}

/// Whether every step can be decided with the traffic that the spec expects.
///
/// # Errors
/// Traffic that makes no sense, or a step that its deadline would end undecided.
pub fn check(spec: &RolloutSpec) -> Result<(), FieldError> {
    let Some(expected) = &spec.expected else {
        return Ok(());
    };
    for index in 0..spec.steps.len() {
        if let Some(problem) = too_few(spec, index, expected) {
            let problem = format!("are too few: {problem}");
            return Err(FieldError::new("expected.users_per_day", problem));
        }
        if let Some(problem) = too_slow(spec, index, expected) {
            return Err(FieldError::new(
                "deadline.seconds",
                format!("is too short: {problem}"),
            ));
        }
    }
    Ok(())
}

/// A step's forecast by simulation; `None` where nothing is compared.
///
/// # Errors
/// Traffic that makes no sense, with the field that is wrong.
pub fn ask(
    spec: &RolloutSpec,
    step: &Step,
    expected: &Expected,
    ratio: f64,
    runs: u32,
    seed: u64,
) -> Result<Option<Answer>, forecast::Problem> {
    let Some(question) = question(spec, step, expected) else {
        return Ok(None);
    };
    let question = Question {
        ratio,
        runs,
        seed,
        ..question
    };
    forecast::ask(&question).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::tests::{spec, spec_json};
    use serde_json::{Value, json};

    fn with(expected: Value, changes: Value) -> RolloutSpec {
        let mut document = spec_json();
        document["expected"] = expected;
        for (key, value) in changes.as_object().unwrap() {
            document[key] = value.clone();
        }
        spec(&document).unwrap()
    }

    #[test]
    fn a_deadline_that_evidence_cannot_meet_is_refused_with_the_number() {
        let slow = json!({"requests_per_minute": 40, "error_rate": 0.01});
        let hour = json!({"deadline": {"seconds": 3600}});
        let error = check(&with(slow.clone(), hour)).unwrap_err();
        assert_eq!(error.field, "deadline.seconds");
        let problem = &error.problem;
        assert!(
            problem.contains("at 40 requests a minute and 1% errors, step 1 needs about 2"),
            "{problem}"
        );
        assert!(
            problem.contains("until enough errors have come to compare; the deadline is 60 min"),
            "{problem}"
        );
        let week = json!({"deadline": {"seconds": 604_800}});
        check(&with(slow, week)).unwrap();
        // A thousand a second is decided within minutes.
        let fast = json!({"requests_per_minute": 60_000});
        let hour = json!({"deadline": {"seconds": 3600}});
        check(&with(fast, hour)).unwrap();
    }

    #[test]
    fn a_warm_up_that_nobody_can_reach_is_refused_with_the_number() {
        let expected = json!({"requests_per_minute": 600});
        let changes = json!({"warm_up": {"requests": 1_000_000}, "deadline": {"seconds": 86_400}});
        let error = check(&with(expected, changes)).unwrap_err();
        // 540 a minute: 1,852 minutes.
        assert!(
            error
                .problem
                .contains("step 1 needs about 30 h until control has given the 1000000"),
            "{error}"
        );
    }

    #[test]
    fn counts_have_two_digits_and_commas() {
        let texts = [7.4, 123.0, 2_880.0, 1_234_567.0, f64::INFINITY].map(about_count);
        assert_eq!(texts, ["7", "120", "2,900", "1,200,000", "any number of"]);
    }

    #[test]
    fn twenty_tenants_are_two_units() {
        let few = json!({
            "requests_per_minute": 6000, "users_per_day": 20, "error_rate": 0.000_001});
        let error = check(&with(few, json!({}))).unwrap_err();
        assert_eq!(error.field, "expected.users_per_day");
        assert!(
            error
                .problem
                .contains("2 of 20 users a day have the new version at step 1"),
            "{error}"
        );
    }

    #[test]
    fn an_arm_and_its_copy_have_a_part_of_the_requests() {
        let spec = with(
            json!({"requests_per_minute": 6000}),
            json!({
                "arms": [{"name": "control"}, {"name": "canary"}, {"name": "copy"}],
                "compare_to": "copy",
            }),
        );
        let expected = spec.expected.clone().unwrap();
        let asked = question(&spec, &spec.steps[0], &expected).unwrap();
        assert!((asked.requests_per_second - 20.0).abs() < 1e-9);
        assert!((asked.steps[0].share - 0.5).abs() < 1e-9);
        let shadow = Step::default();
        assert_eq!(question(&spec, &shadow, &expected), None);
    }
}
