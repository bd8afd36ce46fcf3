//! How a rollout's alpha for rolling back is shared: by what its spec says and not by what
//! was seen, or looking would cost. Steps, restarts and latency's thresholds share what a
//! guardrail has.

use crate::domain::spec::RolloutSpec;
use serinus_stats::restart;

/// The part of it by which an arm is judged over all users. Half of a rollout's alpha is for
/// the whole and half for its segments; without segments the whole has all of it. An arm's
/// part stays what it was when another one is dropped.
#[must_use]
pub fn of_whole(spec: &RolloutSpec) -> f64 {
    let whole = if split_segments(spec) == 0 { 1.0 } else { 0.5 };
    whole / arms(spec)
}

/// The part by which an arm is judged in each segment that is split.
#[must_use]
pub fn of_segment(spec: &RolloutSpec) -> f64 {
    0.5 / (split_segments(spec).max(1) as f64) / arms(spec)
}

/// The part that each step has of what is counted anew at each: equal parts.
pub fn part_of_step(spec: &RolloutSpec) -> f64 {
    1.0 / spec.steps.len().max(1) as f64
}

/// ln of the evidence of something that is counted anew at each step, as a threshold for
/// the whole rollout is compared with it. 0 where nothing speaks against the arm.
pub fn of_step(spec: &RolloutSpec, log_e: f64) -> f64 {
    restart::weighted(part_of_step(spec), log_e).max(0.0)
}

/// Guardrails that can roll an arm back: each has an equal share of such a part.
#[must_use]
pub fn guardrails(spec: &RolloutSpec, arm: &str) -> u32 {
    let own = &spec.guardrails;
    let can = [
        // Errors and latency always.
        true,
        true,
        has_models(spec, arm),
        own.difference.is_some(),
        own.drift.is_some(),
        own.outcomes.is_some(),
        own.value.is_some(),
        own.pairs.is_some(),
    ];
    can.into_iter().map(u32::from).sum()
}

/// Whether both an arm and what it is compared with have a model to ask.
pub fn has_models(spec: &RolloutSpec, arm: &str) -> bool {
    let has_model = |name: &str| {
        let mut arms = spec.arms.iter();
        arms.any(|arm| arm.name == name && arm.model.is_some())
    };
    has_model(arm) && has_model(spec.control())
}

/// A segment that goes to one arm as a whole compares nothing.
pub fn split_segments(spec: &RolloutSpec) -> usize {
    let segments = spec.segments.iter();
    segments.filter(|segment| segment.arm.is_none()).count()
}

fn arms(spec: &RolloutSpec) -> f64 {
    spec.treatments().count().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::tests::{spec, spec_json};
    use serde_json::{Value, json};

    fn with(changes: &[(&str, Value)]) -> RolloutSpec {
        let mut document = spec_json();
        for (field, value) in changes {
            document[*field] = value.clone();
        }
        spec(&document).unwrap()
    }

    /// All that is ever bet with, over arms, segments and guardrails.
    fn spent(spec: &RolloutSpec) -> f64 {
        let segments = split_segments(spec) as f64;
        spec.treatments()
            .map(|arm| {
                let each = f64::from(guardrails(spec, &arm.name));
                let parts = of_whole(spec) + segments * of_segment(spec);
                (0..guardrails(spec, &arm.name))
                    .map(|_| parts / each)
                    .sum::<f64>()
            })
            .sum()
    }

    #[test]
    fn no_more_than_all_of_it_is_spent() {
        let when = json!([{"header": "x"}]);
        let three = json!([{"name": "control"}, {"name": "canary"}, {"name": "third"}]);
        let steps = json!([{"weights": {"canary": 10, "third": 10}}]);
        let steps = ("steps", steps);
        let gold = json!({"name": "gold", "when": when});
        let silver = json!({"name": "silver", "when": when});
        let pinned = json!({"name": "pinned", "when": when, "arm": "canary"});
        for spec in [
            with(&[]),
            with(&[("arms", three.clone()), steps.clone()]),
            with(&[("segments", json!([gold, silver, pinned]))]),
            with(&[("arms", three), steps, ("segments", json!([gold, silver]))]),
            with(&[("segments", json!([pinned]))]),
            with(&[("guardrails", json!({"outcomes": {}}))]),
        ] {
            let spent = spent(&spec);
            assert!((0.999..=1.0 + 1e-12).contains(&spent), "{spent}");
        }
    }

    #[test]
    fn a_guardrail_that_is_named_has_its_share() {
        let count = |guardrails_json: Value| {
            guardrails(&with(&[("guardrails", guardrails_json)]), "canary")
        };
        let without = count(json!({}));
        assert_eq!(count(json!({"outcomes": {}})), without + 1);
        let value = json!({"lowest": 0, "highest": 1});
        assert_eq!(count(json!({"outcomes": {}, "value": value})), without + 2);
    }
}
