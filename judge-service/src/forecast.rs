//! What a rollout will take, by its spec and by the traffic that it will see or sees.

pub mod segments;
mod undecided;

pub use undecided::{check, too_slow, warnings};

use crate::domain::check::{holdback_buckets, weights};
use crate::domain::spec::{Expected, RolloutSpec, Step};
use crate::policy::alpha;
use serinus_sim::forecast::{self, Agreement, Question, Users};

/// A spec as a question: at each step the arm with the fewest users against control.
#[must_use]
pub fn question(spec: &RolloutSpec, expected: &Expected, users: Users) -> Question {
    let own = &spec.guardrails;
    let guardrails = spec
        .treatments()
        .map(|arm| alpha::guardrails(spec, &arm.name));
    let told = [
        own.outcomes.as_ref().map(|outcomes| outcomes.minimum_users),
        own.value.as_ref().map(|value| value.minimum_users),
    ];
    Question {
        requests_per_second: expected.requests_per_minute / 60.0,
        users,
        base_error_rate: expected.error_rate,
        steps: spec.steps.iter().map(|step| compared(spec, step)).collect(),
        minimum_seconds: spec.minimum.seconds.max(spec.warm_up.seconds),
        minimum_exposures: spec.minimum.exposures as f64,
        minimum_users: told.into_iter().flatten().max().unwrap_or_default() as f64,
        agreement: agreement(spec),
        margin_ratio: own.errors.margin_ratio,
        margin_absolute: own.errors.margin_absolute,
        tolerated_ratio: own.errors.tolerated_ratio,
        floor: own.errors.floor,
        rollback_alpha: spec.alpha.rollback * alpha::of_whole(spec),
        promotion_alpha: spec.alpha.promotion,
        guardrails: guardrails.max().unwrap_or(1),
        warm_up_seconds: spec.warm_up.seconds,
        warm_up_requests: spec.warm_up.requests as f64,
        longest_seconds: spec.deadline.seconds,
        ..Question::default()
    }
}

/// The users of a spec's traffic, who err equally often: where these are too few, any are.
#[must_use]
pub fn alike(expected: &Expected) -> Users {
    expected
        .users_per_day
        .map_or(Users::EveryRequest, Users::Alike)
}

/// The same, of whom a few have most of the errors.
#[must_use]
pub fn differing(expected: &Expected) -> Users {
    expected
        .users_per_day
        .map_or(Users::EveryRequest, Users::Differ)
}

/// Shares of nobody where the step only looks, or where nobody is held back.
fn compared(spec: &RolloutSpec, step: &Step) -> forecast::Step {
    let [canary, control] = smallest(spec, step).unwrap_or_default();
    forecast::Step {
        canary,
        control,
        promotes: promotes(spec, step),
    }
}

/// Whether a step is the end, as [`crate::domain::Rollout::enter_step`] has it: one new
/// version has all users but those who are held back.
fn promotes(spec: &RolloutSpec, step: &Step) -> bool {
    shares(spec, step).is_some_and(|of| {
        let tried = spec.treatments().filter(|arm| of(&arm.name) > 0.0);
        let rest = (of(spec.baseline()) * 10_000.0).round();
        tried.count() == 1 && rest <= f64::from(holdback_buckets(spec.holdback_percent))
    })
}

/// Each arm's share of users at a step, from 0 to 1, by its name. `None` where the weights
/// make no sense.
fn shares(spec: &RolloutSpec, step: &Step) -> Option<impl Fn(&str) -> f64> {
    let weights = weights(spec, step, spec.holdback_percent).ok()?;
    Some(move |name: &str| {
        let mut arms = spec.arms.iter().zip(&weights);
        let weight = arms.find(|(arm, _)| arm.name == name);
        weight.map_or(0.0, |(_, &weight)| f64::from(weight) / 10_000.0)
    })
}

/// The shares of the arm with the fewest users and of control, from 0 to 1; `None` where
/// nothing is compared.
fn smallest(spec: &RolloutSpec, step: &Step) -> Option<[f64; 2]> {
    let share = shares(spec, step)?;
    let control = share(spec.control());
    let arms = spec.treatments().map(|arm| share(&arm.name));
    let arm = arms.filter(|&weight| weight > 0.0).reduce(f64::min)?;
    (control > 0.0).then_some([arm, control])
}

/// `None` where no arm's answers are checked.
fn agreement(spec: &RolloutSpec) -> Option<Agreement> {
    let sampling = spec.sampling.as_ref()?;
    let mut arms = spec.treatments();
    let is_checked = arms.any(|arm| alpha::has_models(spec, &arm.name));
    (is_checked && sampling.share > 0.0).then(|| Agreement {
        sampled: sampling.share,
        per_second: f64::from(sampling.per_second),
        margin_absolute: spec.guardrails.agreement.margin_absolute,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::tests::{spec, spec_json};
    use serde_json::{Value, json};

    pub(super) fn with(expected: Value, changes: Value) -> RolloutSpec {
        let mut document = spec_json();
        document["expected"] = expected;
        for (key, value) in changes.as_object().unwrap() {
            document[key] = value.clone();
        }
        spec(&document).unwrap()
    }

    #[test]
    fn counts_have_two_digits_and_commas() {
        let texts = [7.4, 123.0, 2_880.0, 1_234_567.0, f64::INFINITY].map(about_count);
        assert_eq!(texts, ["7", "120", "2,900", "1,200,000", "any number of"]);
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
        let asked = question(&spec, &expected, alike(&expected));
        let first = asked.steps[0];
        assert!((asked.requests_per_second * first.both() - 20.0).abs() < 1e-9);
        assert!((first.share() - 0.5).abs() < 1e-9);
        assert!(!compared(&spec, &Step::default()).is_tested(), "a shadow");
    }

    #[test]
    fn what_a_step_waits_for_besides_is_asked_too() {
        let expected = json!({"requests_per_minute": 600});
        let asked = |changes: Value| {
            let spec = with(expected.clone(), changes);
            question(&spec, &spec.expected.clone().unwrap(), Users::EveryRequest)
        };
        let plain = asked(json!({}));
        assert_eq!((plain.agreement, plain.minimum_users), (None, 0.0));
        let arms = json!([{"name": "control", "model": "a"}, {"name": "canary", "model": "b"}]);
        let value = json!({"lowest": 0, "highest": 1, "minimum_users": 900});
        let asked = asked(json!({
            "arms": arms,
            "sampling": {"share": 0.5},
            "guardrails": {"outcomes": {"minimum_users": 500}, "value": value},
        }));
        assert_eq!(asked.minimum_users, 900.0);
        assert_eq!(asked.agreement.unwrap().sampled, 0.5);
        // Errors, latency, agreement, outcomes and value.
        assert_eq!(asked.guardrails, 5);
    }
}
