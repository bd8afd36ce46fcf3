//! Steps that their traffic does not decide before their deadline.

use super::{about_count, alike, question};
use crate::domain::spec::{AtDeadline, Expected, RolloutSpec};
use crate::policy::words;
use serinus_core::json::FieldError;
use serinus_sim::forecast::{self, Least, Question, Step, Way};
use serinus_stats::sequence::Gate;

/// Simulated releases of a step that is in doubt: some 30 ms.
const RUNS: u32 = 200;
/// A step that fewer good versions pass is refused. Where errors are as many as the absolute
/// bound, one in forty is let through by that alone (half of `alpha.promotion`), as it may.
const HOPELESS: f64 = 0.05;

/// What speaks against a step.
struct Doubt {
    field: &'static str,
    short: &'static str,
    words: String,
}

/// Whether every step can be decided with the traffic that the spec expects.
///
/// # Errors
/// A step that its deadline would end undecided, whatever luck a good version has.
pub fn check(spec: &RolloutSpec) -> Result<(), FieldError> {
    let Some(expected) = &spec.expected else {
        return Ok(());
    };
    // Who goes on undecided has asked for that.
    if spec.deadline.then == AtDeadline::Proceed {
        return Ok(());
    }
    for index in 0..spec.steps.len() {
        let Some(doubt) = doubt(spec, index, expected) else {
            continue;
        };
        if chance(spec, index, expected) < HOPELESS {
            let problem = format!("{}: {}", doubt.short, doubt.words);
            return Err(FieldError::new(doubt.field, problem));
        }
    }
    Ok(())
}

/// Steps that their deadline is expected to end undecided, in words.
#[must_use]
pub fn warnings(spec: &RolloutSpec, expected: &Expected) -> Vec<String> {
    let steps = 0..spec.steps.len();
    let warnings = steps.filter_map(|index| {
        let words = doubt(spec, index, expected)?.words;
        let chance = chance(spec, index, expected);
        let share = words::percent(chance);
        Some(if chance < HOPELESS {
            words
        } else {
            format!("{words}; at best {share} of good versions go on before the deadline")
        })
    });
    warnings.collect()
}

/// A step that its deadline ends before the evidence can be in, in words: without chance,
/// and so at once.
#[must_use]
pub fn too_slow(spec: &RolloutSpec, index: usize, expected: &Expected) -> Option<String> {
    Some(doubt(spec, index, expected)?.words)
}

/// The share of good versions that a step promotes in time, where users are alike: if they
/// differ, fewer.
fn chance(spec: &RolloutSpec, index: usize, expected: &Expected) -> f64 {
    let question = Question {
        runs: RUNS,
        ..question(spec, expected, alike(expected))
    };
    let chance = forecast::chance(&question, index);
    // Nothing is said of traffic that makes no sense.
    chance.ok().flatten().unwrap_or(1.0)
}

fn doubt(spec: &RolloutSpec, index: usize, expected: &Expected) -> Option<Doubt> {
    // A version that is promoted is watched, and waits for no evidence.
    if super::promotes(spec, spec.steps.get(index)?) {
        return None;
    }
    let question = question(spec, expected, alike(expected));
    let least = forecast::least(&question, index).ok()??;
    let step = question.steps.get(index)?;
    too_few(spec, index, expected, &least, step)
        .map(|words| Doubt {
            field: "expected.users_per_day",
            short: "are too few",
            words,
        })
        .or_else(|| {
            let words = never_warm(spec, index, expected);
            let words = words.or_else(|| too_late(spec, index, expected, &least))?;
            Some(Doubt {
                field: "deadline.seconds",
                short: "is too short",
                words,
            })
        })
}

/// A step that no time decides, for want of users.
fn too_few(
    spec: &RolloutSpec,
    index: usize,
    expected: &Expected,
    least: &Least,
    step: &Step,
) -> Option<String> {
    let users = expected.users_per_day?;
    if least.seconds.is_some() {
        return None;
    }
    let (mut share, mut have) = (step.canary, "have the new version");
    let takes = match least.way {
        Way::Agreement(wanted) => {
            share *= spec.sampling.as_ref().map_or(1.0, |own| own.share);
            have = "have the new version and are sampled";
            format!(
                "{wanted} whose answers are their model's to be surely within `guardrails.agreement.margin_absolute`: a larger share, a wider margin"
            )
        }
        Way::Told(wanted) => {
            if step.control < step.canary {
                (share, have) = (step.control, "keep the old version");
            }
            format!(
                "{wanted} of each arm of whom something is told (`minimum_users` of `guardrails.outcomes` or `guardrails.value`): a larger share, a smaller minimum"
            )
        }
        Way::Ratio | Way::Absolute | Way::Minimum => format!(
            "{} with an error of their own to compare (or more who have none): a larger share",
            Gate::PROMOTION.canary_users
        ),
    };
    Some(format!(
        "{} of {users} users a day {have} at step {}, and it takes {takes}, or units of which there are more, can be decided",
        about_count(users * share),
        index + 1,
    ))
}

/// A step that its deadline ends before the evidence is in.
fn too_late(
    spec: &RolloutSpec,
    index: usize,
    expected: &Expected,
    least: &Least,
) -> Option<String> {
    let needs = least.seconds?;
    let deadline = spec.deadline.seconds;
    if needs <= deadline {
        return None;
    }
    let why = match least.way {
        Way::Ratio => "until enough errors have come to compare".to_owned(),
        Way::Absolute => "until enough of its users came without an error".to_owned(),
        Way::Agreement(users) => {
            format!("until {users} of its sampled users had an answer that is their model's")
        }
        Way::Told(users) => format!("until {users} users of each arm came (`minimum_users`)"),
        Way::Minimum => "until its minimum is reached".to_owned(),
    };
    Some(format!(
        "at {} requests a minute and {} errors, step {} needs about {} {why}; the deadline is {}",
        expected.requests_per_minute,
        words::percent(expected.error_rate),
        index + 1,
        about(needs),
        about(deadline),
    ))
}

/// A step that its deadline ends before latency is learned from control.
fn never_warm(spec: &RolloutSpec, index: usize, expected: &Expected) -> Option<String> {
    let share = super::shares(spec, spec.steps.get(index)?)?(spec.control());
    let rate = expected.requests_per_minute / 60.0 * share;
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

fn about(seconds: f64) -> String {
    // The cast saturates.
    words::seconds((seconds * 1_000.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::super::tests::with;
    use super::*;
    use serde_json::{Value, json};

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
        // Chance lets one in a hundred through here.
        let error = check(&with(
            json!({"requests_per_minute": 4, "error_rate": 0.01}),
            json!({}),
        ));
        assert_eq!(error.unwrap_err().field, "deadline.seconds");
        // A thousand a second is decided within minutes.
        let fast = json!({"requests_per_minute": 60_000});
        let hour = json!({"deadline": {"seconds": 3600}});
        check(&with(fast, hour)).unwrap();
    }

    #[test]
    fn a_version_that_is_promoted_waits_for_no_evidence() {
        let expected =
            json!({"requests_per_minute": 60, "error_rate": 0.01, "users_per_day": 300_000});
        let mut spec = with(expected, json!({"holdback_percent": 1}));
        check(&spec).unwrap();
        assert_eq!(warnings(&spec, spec.expected.as_ref().unwrap()), [""; 0]);
        // The same share, of which nobody is held back.
        let steps = json!([{"weights": {"canary": 99}}, {"weights": {"canary": 100}}]);
        spec.holdback_percent = 0.0;
        spec.steps = serde_json::from_value(steps).unwrap();
        assert_eq!(check(&spec).unwrap_err().field, "deadline.seconds");
    }

    #[test]
    fn who_goes_on_undecided_is_warned_and_not_refused() {
        let slow = json!({"requests_per_minute": 1, "error_rate": 0.07});
        let hour = json!({
            "deadline": {"seconds": 3_600, "then": "proceed"},
            "warm_up": {"requests": 20},
        });
        let spec = with(slow, hour);
        check(&spec).unwrap();
        let warnings = warnings(&spec, spec.expected.as_ref().unwrap());
        assert!(
            warnings[0].contains("and 7% errors, step 1"),
            "{warnings:?}"
        );
    }

    #[test]
    fn a_step_that_luck_may_pass_is_no_reason_to_refuse() {
        // Half a failure is expected of the canary's 500 users, and 445 without one do.
        let rare = json!({"requests_per_minute": 40, "error_rate": 0.001, "users_per_day": 5000});
        let spec = with(rare, json!({}));
        check(&spec).unwrap();
        assert_eq!(warnings(&spec, spec.expected.as_ref().unwrap()), [""; 0]);
        // One failure of 445 is to be expected, and then it takes more users than there are.
        let often = json!({"requests_per_minute": 40, "error_rate": 0.0025, "users_per_day": 5000});
        let spec = with(often, json!({}));
        check(&spec).unwrap();
        let warnings = warnings(&spec, spec.expected.as_ref().unwrap());
        assert!(warnings[0].contains("step 1"), "{warnings:?}");
        assert!(
            warnings[0].contains("; at best ") && warnings[0].ends_with("before the deadline"),
            "{warnings:?}"
        );
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

    fn refused(expected: Value, changes: Value) -> String {
        let error = check(&with(expected, changes)).unwrap_err();
        assert_eq!(error.field, "expected.users_per_day");
        error.problem
    }

    #[test]
    fn users_who_are_too_few_for_another_guardrail_are_refused_too() {
        let users = json!({"requests_per_minute": 600, "error_rate": 0.02, "users_per_day": 3000});
        let arms = json!([{"name": "control", "model": "a"}, {"name": "canary", "model": "b"}]);
        let problem = refused(users.clone(), json!({"arms": arms}));
        assert!(
            problem.contains("300 of 3000 users") && problem.contains("it takes 367 whose"),
            "{problem}"
        );
        check(&with(users.clone(), json!({}))).unwrap();
        let many = json!({"requests_per_minute": 600, "error_rate": 0.02, "users_per_day": 9000});
        check(&with(many, json!({"arms": arms}))).unwrap();
        let value = json!({"lowest": 0, "highest": 1, "minimum_users": 1_000_000_000_000_u64});
        for guardrail in [
            json!({"outcomes": {"minimum_users": 1_000_000_000_000_u64}}),
            json!({"value": value}),
        ] {
            let problem = refused(users.clone(), json!({"guardrails": guardrail}));
            assert!(
                problem.contains("it takes 1000000000000 of each"),
                "{problem}"
            );
        }
    }

    #[test]
    fn requests_that_never_are_so_many_users_are_too_slow() {
        let expected = json!({"requests_per_minute": 600});
        let wanted = json!({"guardrails": {"outcomes": {"minimum_users": 10_000_000}}});
        let error = check(&with(expected, wanted)).unwrap_err();
        assert_eq!(error.field, "deadline.seconds");
        assert!(
            error
                .problem
                .contains("until 10000000 users of each arm came"),
            "{error}"
        );
    }
}
