//! The same request answered by both arms: whose answer is not its own model's?

use super::view::Comparison;
use super::{ENOUGH, alpha, words};
use crate::domain::sums::Pairs;
use crate::domain::{Bundle, Metric, MetricEvidence};
use serinus_stats::paired::{self, Discordant};
use serinus_stats::ratio::RatioGrid;
use serinus_stats::restart;
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
    let against = paired::log_e(&grid, &discordant(bundle, comparison));
    let log_e = alpha::of_step(&bundle.rollout.spec, against);
    let threshold = restart::threshold(rollback_alpha);
    let harmed = log_e >= threshold;
    let enough = found.users >= ENOUGH;
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
            format!("{}; {} are needed", shown.words, ENOUGH)
        },
        ..shown
    })
}

fn pairs(bundle: &Bundle, comparison: &Comparison<'_>) -> Pairs {
    comparison
        .sums_of_step(bundle)
        .filter_map(|sums| sums.arms.get(comparison.arm))
        .map(|arm| arm.answers.pairs)
        .fold(Pairs::default(), Add::add)
}

/// For each epoch and segment, with the share of users that the arm had.
fn discordant(bundle: &Bundle, comparison: &Comparison<'_>) -> Vec<Discordant> {
    let epoch = |number: u64| {
        let mut epochs = bundle.rollout.step_epochs();
        epochs.find(|epoch| epoch.epoch == number)
    };
    comparison
        .sums_of_step(bundle)
        .filter_map(|sums| {
            let weights = epoch(sums.epoch)?.weights_of(sums.segment.as_deref())?;
            let found = sums.arms.get(comparison.arm)?.answers.pairs;
            let first = [found.only_arm_wrong_live, found.only_control_wrong_live];
            let all = [found.only_arm_wrong, found.only_control_wrong];
            let [arm, control] = [0, 1].map(|side| {
                let of = |counts: [u64; 2]| counts.get(side).copied().unwrap_or_default();
                of(all).saturating_sub(of(first))
            });
            Some(Discordant {
                share: share_of_pairs(comparison, weights),
                first,
                second: [arm, control],
            })
        })
        .collect()
}

/// The arm's share of pairs in which it is first. One that is another arm's is always paired
/// with control; one of control's with one of the others that have a model, each as often
/// (`service/models.rs`).
fn share_of_pairs(comparison: &Comparison<'_>, weights: &[u16]) -> f64 {
    let arms = comparison.rollout.spec.arms.iter().enumerate();
    let others = arms.filter(|(index, arm)| *index != comparison.control && arm.model.is_some());
    let others = others.count().max(1) as f64;
    let weight = |arm: usize| f64::from(weights.get(arm).copied().unwrap_or_default());
    let (arm, control) = (weight(comparison.arm), weight(comparison.control) / others);
    if arm + control > 0.0 {
        arm / (arm + control)
    } else {
        0.0
    }
}
