//! The same request answered by both arms: whose answer is not its own model's?

use super::view::Comparison;
use super::{informing, words};
use crate::domain::sums::Pairs;
use crate::domain::{Bundle, Metric, MetricEvidence};
use serinus_stats::ratio::RatioGrid;
use serinus_stats::{paired, restart};
use std::ops::Add;

/// `None` when no request was answered by both, and none has to be.
pub fn evidence(
    bundle: &Bundle,
    comparison: &Comparison<'_>,
    rollback_alpha: f64,
) -> Option<MetricEvidence> {
    let guardrail = comparison.rollout.spec.guardrails.pairs.as_ref();
    let found = pairs(bundle, comparison);
    if found.users == 0 {
        let words = format!(
            "no request was answered by both {} and {} yet",
            comparison.arm_name(),
            comparison.control_name()
        );
        return guardrail.map(|_| MetricEvidence {
            within_margin: Some(false),
            ..comparison.evidence(Metric::Pairs, words)
        });
    }
    let (arm, control) = (comparison.arm_name(), comparison.control_name());
    let words = format!(
        "of {} {} whose request both answered, {} got different answers; only {arm}'s was not its model's for {}, only {control}'s for {}",
        found.users,
        comparison.units(),
        found.differing,
        found.only_arm_wrong,
        found.only_control_wrong,
    );
    let rate = found.differing as f64 / found.users as f64;
    let shown = MetricEvidence {
        arm_rate: Some(found.only_arm_wrong as f64 / found.users as f64),
        control_rate: Some(found.only_control_wrong as f64 / found.users as f64),
        difference: Some(rate),
        ..comparison.evidence(Metric::Pairs, words)
    };
    let Some(guardrail) = guardrail else {
        return Some(shown);
    };
    let grid = RatioGrid::rollback(guardrail.tolerated_ratio);
    let against = paired::log_e(&grid, found.only_arm_wrong, found.only_control_wrong);
    let log_e = informing::of_step(comparison, against);
    let threshold = restart::threshold(rollback_alpha);
    let harmed = log_e >= threshold;
    let enough = found.users >= informing::ENOUGH;
    Some(MetricEvidence {
        margin_words: format!(
            "at most {} times as often as {control}",
            guardrail.tolerated_ratio
        ),
        harm_log_e: Some(log_e),
        harm_threshold: Some(threshold),
        harmed,
        // As with outcomes: there is no margin beyond what is tolerated.
        within_margin: Some(enough && !harmed),
        words: if harmed {
            format!(
                "{}; odds against chance {}",
                shown.words,
                words::odds(log_e)
            )
        } else if enough {
            shown.words.clone()
        } else {
            format!("{}; {} are needed", shown.words, informing::ENOUGH)
        },
        ..shown
    })
}

fn pairs(bundle: &Bundle, comparison: &Comparison<'_>) -> Pairs {
    informing::answers(bundle, comparison)
        .map(|answers| answers.pairs)
        .fold(Pairs::default(), Add::add)
}
