//! Are the arm's answers distributed as control's, at the same time? By the label that each
//! user's first sampled answer of the step had, or by its score where there are no labels.

use super::view::{Comparison, EpochView};
use super::{informing, words};
use crate::domain::sums::Answers;
use crate::domain::{Metric, MetricEvidence};
use serinus_stats::ratio::LabelCounts;
use serinus_stats::{psi, restart, srm};
use std::collections::BTreeMap;

/// Ten bins of scores, or a doubling's eight, are one class: each class has its price.
const SCORES_TOGETHER: i64 = 10;
const EIGHTHS_TOGETHER: i64 = 8;

/// Users by class, of the arm and of control.
type Classes = BTreeMap<i64, [u64; 2]>;

/// `None` where nothing was sampled.
pub fn evidence(comparison: &Comparison<'_>, rollback_alpha: f64) -> Option<MetricEvidence> {
    let guardrail = comparison.rollout.spec.guardrails.drift.as_ref();
    // Users who were split alike are one process.
    let mut by_share: Vec<(f64, Classes)> = Vec::new();
    for view in &comparison.epochs {
        let share = comparison.share(view.weights);
        let known = by_share.iter().position(|(other, _)| *other == share);
        let index = known.unwrap_or(by_share.len());
        if known.is_none() {
            by_share.push((share, Classes::new()));
        }
        if let Some((_, classes)) = by_share.get_mut(index) {
            count(classes, comparison, view);
        }
    }
    let mut whole = Classes::new();
    for (&class, users) in by_share.iter().flat_map(|(_, classes)| classes) {
        let sum = whole.entry(class).or_default();
        *sum = [sum[0] + users[0], sum[1] + users[1]];
    }
    let totals = whole.values().fold([0, 0], |sum: [u64; 2], next| {
        [sum[0] + next[0], sum[1] + next[1]]
    });
    if totals.contains(&0) {
        return None;
    }
    let counts = by_share.iter().flat_map(|(share, classes)| {
        classes.values().map(|users| LabelCounts {
            share: *share,
            with_event: users[0] + users[1],
            in_arm: users[0],
        })
    });
    let log_e = informing::of_step(comparison, srm::log_e_two_arms(srm::CONCENTRATION, counts));
    // An arm of which fewer answers are sampled has fewer of every class.
    let coverage = informing::coverage(comparison, |view, arm| {
        let answers = view.sums.arms.get(arm).map(|arm| &arm.answers);
        let classes = answers.into_iter().flat_map(classes_of);
        classes.map(|(_, users)| users).sum()
    });
    let distance = 0.5
        * whole
            .values()
            .map(|users| {
                (users[0] as f64 / totals[0] as f64 - users[1] as f64 / totals[1] as f64).abs()
            })
            .sum::<f64>();
    let [arm, control]: [Vec<u64>; 2] = [0, 1].map(|side: usize| {
        whole
            .values()
            .filter_map(|users| users.get(side).copied())
            .collect()
    });
    let psi = psi::psi(&control, &arm).unwrap_or_default();
    let threshold = restart::threshold(rollback_alpha);
    let unequal = if coverage.is_unequal() {
        format!(
            "; answers are sampled in another ratio than users were split (odds against chance {}), so this is not judged",
            words::odds(coverage.log_e)
        )
    } else {
        String::new()
    };
    let words = format!(
        "{} of {}'s answers would have to change to be distributed as {}'s (PSI {psi:.3}, of {} and {} sampled {}); odds against chance {}{unequal}",
        words::percent(distance),
        comparison.arm_name(),
        comparison.control_name(),
        totals[0],
        totals[1],
        comparison.units(),
        words::odds(log_e),
    );
    let shown = MetricEvidence {
        difference: Some(distance),
        harm_log_e: Some(log_e),
        harm_threshold: Some(threshold),
        ..informing::shown(Metric::Drift, comparison, words)
    };
    let Some(guardrail) = guardrail else {
        return Some(shown);
    };
    let tolerated = guardrail.tolerated;
    let harmed = log_e >= threshold && distance > tolerated && !coverage.is_unequal();
    Some(MetricEvidence {
        margin: Some(tolerated),
        margin_words: format!("at most {} of answers", words::percent(tolerated)),
        harmed,
        words: if harmed {
            format!(
                "{}; {} are tolerated",
                shown.words,
                words::percent(tolerated)
            )
        } else {
            shown.words.clone()
        },
        ..shown
    })
}

fn count(classes: &mut Classes, comparison: &Comparison<'_>, view: &EpochView<'_>) {
    for (side, arm) in [comparison.arm, comparison.control].into_iter().enumerate() {
        let answers = view.sums.arms.get(arm).map(|arm| &arm.answers);
        for (class, users) in answers.into_iter().flat_map(classes_of) {
            if let Some(sum) = classes.entry(class).or_default().get_mut(side) {
                *sum += users;
            }
        }
    }
}

/// Labels; or scores, coarsely.
fn classes_of(answers: &Answers) -> impl Iterator<Item = (i64, u64)> {
    let by_label = !answers.labels.is_empty();
    let labels = answers.labels.iter().map(|(&label, &users)| (label, users));
    let scores = answers.scores.iter().filter(move |_| !by_label);
    labels.chain(scores.map(|(&bin, &users)| (coarse(bin), users)))
}

/// In the order of the bins.
fn coarse(bin: i64) -> i64 {
    match bin {
        ..0 => bin.div_euclid(EIGHTHS_TOGETHER),
        0..100 => bin / SCORES_TOGETHER,
        _ => 10 + (bin - 100) / EIGHTHS_TOGETHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_classes_are_in_the_order_of_the_bins() {
        let classes: Vec<i64> = (-50..200).map(coarse).collect();
        assert!(classes.is_sorted());
        assert!(classes.contains(&-1) && classes.contains(&10));
    }
}
