//! Are the arm's answers distributed as control's, at the same time? By the label that each
//! user's first sampled answer of the step had, or by its score where there are no labels.

use super::view::{Comparison, EpochView};
use super::{ENOUGH, SHOWN_ALPHA, alpha, coverage, words};
use crate::domain::sums::Answers;
use crate::domain::{Metric, MetricEvidence};
use serinus_stats::distance::{self, Distance};
use serinus_stats::ratio::LabelCounts;
use serinus_stats::{psi, restart, srm};
use std::collections::BTreeMap;
use std::ops::Add;

/// Ten bins of scores, or a doubling's eight, are one class: each class has its price.
const SCORES_TOGETHER: i64 = 10;
const EIGHTHS_TOGETHER: i64 = 8;

/// Users whose answer is of a class.
#[derive(Debug, Clone, Copy, Default)]
struct Users {
    arm: u64,
    control: u64,
}

impl Add for Users {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            arm: self.arm + more.arm,
            control: self.control + more.control,
        }
    }
}

type Classes = BTreeMap<i64, Users>;

/// `None` where nothing was sampled, and nothing has to be.
pub fn evidence(comparison: &Comparison<'_>, rollback_alpha: f64) -> Option<MetricEvidence> {
    let spec = &comparison.rollout.spec;
    let guardrail = spec.guardrails.drift.as_ref();
    let by_share = by_share(comparison);
    let whole = together(&by_share);
    let totals = whole.values().copied().fold(Users::default(), Add::add);
    if totals.arm == 0 || totals.control == 0 {
        let words = format!(
            "answers of {} users of {} and of {} of {} were sampled: too few to compare",
            totals.arm,
            comparison.arm_name(),
            totals.control,
            comparison.control_name()
        );
        return guardrail.map(|_| MetricEvidence {
            within_margin: Some(false),
            ..comparison.evidence(Metric::Drift, words)
        });
    }
    let counts = by_share.iter().flat_map(|(share, classes)| {
        classes.values().map(|users| LabelCounts {
            share: *share,
            with_event: users.arm + users.control,
            in_arm: users.arm,
        })
    });
    let log_e = alpha::of_step(spec, srm::log_e_two_arms(srm::CONCENTRATION, counts));
    // An arm of which fewer answers are sampled has fewer of every class.
    let coverage = coverage::coverage(comparison, |view, arm| {
        let answers = view.sums.arms.get(arm).map(|arm| &arm.answers);
        let classes = answers.into_iter().flat_map(classes_of);
        classes.map(|(_, users)| users).sum()
    });
    let distance = distance_of(&by_share, &whole);
    let of = |side: fn(&Users) -> u64| whole.values().map(side).collect::<Vec<u64>>();
    let psi = psi::psi(&of(|users| users.control), &of(|users| users.arm));
    let psi = psi.unwrap_or_default();
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
        words::percent(distance.estimate),
        comparison.arm_name(),
        comparison.control_name(),
        totals.arm,
        totals.control,
        comparison.units(),
        words::odds(log_e),
    );
    // A segment has no interval: only its harm decides.
    let is_whole = comparison.segment.is_none();
    let bound =
        |bound: fn(&Distance, f64) -> f64| is_whole.then(|| bound(&distance, SHOWN_ALPHA / 2.0));
    let shown = MetricEvidence {
        difference: Some(distance.estimate),
        lower: bound(Distance::lower_bound),
        upper: bound(Distance::upper_bound),
        harm_log_e: Some(log_e),
        harm_threshold: Some(threshold),
        ..comparison.evidence(Metric::Drift, words)
    };
    let Some(guardrail) = guardrail else {
        return Some(shown);
    };
    let tolerated = guardrail.tolerated;
    // By chance alone few answers are apart: what is seen is no bound of what is true.
    let surely = distance.lower_bound(rollback_alpha * alpha::part_of_step(spec));
    let harmed = log_e >= threshold && surely > tolerated && !coverage.is_unequal();
    let enough = totals.arm.min(totals.control) >= ENOUGH;
    Some(MetricEvidence {
        margin: Some(tolerated),
        margin_words: format!("at most {} of answers", words::percent(tolerated)),
        harmed,
        // As with outcomes: there is no margin beyond what is tolerated.
        within_margin: Some(enough && !coverage.is_unequal() && !harmed),
        words: if harmed {
            format!(
                "{}; surely {} of them, and {} are tolerated",
                shown.words,
                words::percent(surely),
                words::percent(tolerated)
            )
        } else if enough {
            shown.words.clone()
        } else {
            format!("{}; {} of each are needed", shown.words, ENOUGH)
        },
        ..shown
    })
}

/// Users by class for each share of users that the arm had: those who were split alike
/// are one process.
fn by_share(comparison: &Comparison<'_>) -> Vec<(f64, Classes)> {
    let mut by_share: Vec<(f64, Classes)> = Vec::new();
    for view in &comparison.epochs {
        let share = comparison.share(view.weights);
        let classes = classes_at(comparison, view);
        match by_share.iter_mut().find(|(other, _)| *other == share) {
            Some((_, known)) => add(known, &classes),
            None => by_share.push((share, classes)),
        }
    }
    by_share
}

fn classes_at(comparison: &Comparison<'_>, view: &EpochView<'_>) -> Classes {
    let mut classes = Classes::new();
    let of = |arm: usize| view.sums.arms.get(arm).into_iter();
    for (class, users) in of(comparison.arm).flat_map(|arm| classes_of(&arm.answers)) {
        classes.entry(class).or_default().arm += users;
    }
    for (class, users) in of(comparison.control).flat_map(|arm| classes_of(&arm.answers)) {
        classes.entry(class).or_default().control += users;
    }
    classes
}

fn together(by_share: &[(f64, Classes)]) -> Classes {
    let mut whole = Classes::new();
    for (_, classes) in by_share {
        add(&mut whole, classes);
    }
    whole
}

fn add(sums: &mut Classes, more: &Classes) {
    for (&class, &users) in more {
        let sum = sums.entry(class).or_default();
        *sum = *sum + users;
    }
}

/// The share of answers that would have to change to make the two alike; `whole` has all
/// classes that there are.
fn distance_of(by_share: &[(f64, Classes)], whole: &Classes) -> Distance {
    let strata: Vec<[Vec<u64>; 2]> = by_share
        .iter()
        .map(|(_, classes)| {
            let users = |class| classes.get(class).copied().unwrap_or_default();
            let of =
                |side: fn(Users) -> u64| whole.keys().map(|class| side(users(class))).collect();
            [of(|users| users.arm), of(|users| users.control)]
        })
        .collect();
    let strata: Vec<distance::Classes<'_>> = strata
        .iter()
        .map(|[arm, control]| distance::Classes::new(arm, control))
        .collect();
    distance::distance(&strata).unwrap_or_default()
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
