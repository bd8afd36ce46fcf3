//! Do the versions' own model files answer the same inputs differently? No user is moved
//! for it, so a rollout can look before it begins.

use super::view::Comparison;
use super::{alpha, rates, words};
use crate::domain::sums::Outcomes;
use crate::domain::{Bundle, Metric, MetricEvidence};
use serinus_stats::{absolute, restart};
use std::ops::Add;

/// `None` when no input was answered by both, and none has to be.
pub fn evidence(
    bundle: &Bundle,
    comparison: &Comparison<'_>,
    rollback_alpha: f64,
    promotion_alpha: f64,
) -> Option<MetricEvidence> {
    let guardrail = bundle.rollout.spec.guardrails.difference.as_ref();
    let found = compared(bundle, comparison);
    if found.users == 0 && guardrail.is_none() {
        return None;
    }
    let (arm, control) = (comparison.arm_name(), comparison.control_name());
    let units = comparison.units();
    let words = format!(
        "the models of {arm} and {control} answer the inputs of {} of {} sampled {units} differently",
        found.bad, found.users
    );
    let (lower, upper) = match comparison.segment {
        None => rates::interval(found),
        Some(_) => (None, None),
    };
    let rate = found.rate();
    let shown = MetricEvidence {
        difference: rate,
        arm_rate: rate,
        lower,
        upper,
        ..comparison.evidence(Metric::Difference, words)
    };
    let Some(guardrail) = guardrail else {
        return Some(shown);
    };
    let margin = guardrail.margin;
    let against = absolute::lower_log_e(margin, found.users, found.bad);
    let log_e = alpha::of_step(&bundle.rollout.spec, against);
    let threshold = restart::threshold(rollback_alpha);
    let harmed = log_e >= threshold;
    let within =
        absolute::log_e(margin, found.users, found.bad) >= restart::threshold(promotion_alpha);
    let surely = |what: &str| {
        format!(
            "the models of {arm} and {control} surely answer differently for {what} {} of {units}",
            words::percent(margin)
        )
    };
    Some(MetricEvidence {
        margin: Some(margin),
        margin_words: format!("surely under {} of {units}", words::percent(margin)),
        harm_log_e: Some(log_e),
        harm_threshold: Some(threshold),
        harmed,
        within_margin: Some(within),
        words: if harmed {
            format!("{}: {}", surely("more than"), shown.words)
        } else if within {
            surely("under")
        } else {
            shown.words.clone()
        },
        ..shown
    })
}

fn compared(bundle: &Bundle, comparison: &Comparison<'_>) -> Outcomes {
    comparison
        .sums_of_step(bundle)
        .filter_map(|sums| sums.arms.get(comparison.arm))
        .map(|arm| arm.answers.differences)
        .fold(Outcomes::default(), Add::add)
}
