//! What became of users, told later: was the answer right?

use super::harm::{Harm, Pending};
use super::labels::Event;
use super::view::Comparison;
use super::{informing, words};
use crate::domain::sums::{Firsts, Outcomes};
use crate::domain::{Metric, MetricEvidence};
use std::ops::Add;

/// `None` when nothing was told, and nothing has to be.
pub fn evidence(comparison: &Comparison<'_>, rollback_alpha: f64) -> Option<MetricEvidence> {
    let guardrail = comparison.rollout.spec.guardrails.outcomes.as_ref();
    let (arm, control) = (
        told(comparison, comparison.arm),
        told(comparison, comparison.control),
    );
    if arm.users + control.users == 0 && guardrail.is_none() {
        return None;
    }
    let rate = |told: Outcomes| (told.users > 0).then(|| told.bad as f64 / told.users as f64);
    let gap = rate(arm)
        .zip(rate(control))
        .map(|(arm, control)| arm - control);
    let (name, other) = (comparison.arm_name(), comparison.control_name());
    let units = comparison.units();
    let words = format!(
        "{name} was wrong for {} of {} {units} with an outcome, {other} for {} of {}",
        arm.bad, arm.users, control.bad, control.users
    );
    let shown = MetricEvidence {
        arm_rate: rate(arm),
        control_rate: rate(control),
        difference: gap,
        ..informing::shown(Metric::Outcomes, comparison, words)
    };
    let start = comparison.step_start();
    let coverage = informing::coverage(comparison, |view, arm| {
        let sums = view.sums.arms.get(arm);
        sums.map_or(0, |sums| {
            Firsts::outcomes_since(&sums.answers.told, start).users
        })
    });
    let unequal = coverage.is_unequal();
    let unequal_words = format!(
        "outcomes are told of {name} and {other} in another ratio than their {units} (odds against chance {}), so they cannot be compared: {}",
        words::odds(coverage.log_e),
        shown.words
    );
    let Some(guardrail) = guardrail else {
        return Some(MetricEvidence {
            words: if unequal {
                unequal_words
            } else {
                shown.words.clone()
            },
            ..shown
        });
    };
    let harm = Harm::of(
        comparison,
        guardrail.tolerated_ratio,
        rollback_alpha,
        Pending::Known,
        |_| Event::Wrong,
    );
    let harmed = !unequal && harm.is_proven(gap, guardrail.floor);
    let wanted = guardrail.minimum_users;
    let enough = arm.users >= wanted && control.users >= wanted;
    Some(MetricEvidence {
        margin_words: format!("outcomes of at least {wanted} {units} of each"),
        harm_log_e: Some(harm.log_e),
        harm_threshold: Some(harm.threshold),
        harm_ratio: harm.ratio,
        harmed,
        // There is no margin beyond what is tolerated: harm is never within it.
        within_margin: Some(enough && !unequal && !harmed),
        words: if unequal {
            unequal_words
        } else if harmed {
            harm.words(comparison, "a wrong answer, as was told later,")
        } else if enough {
            shown.words.clone()
        } else {
            format!("{}; {wanted} of each are needed", shown.words)
        },
        ..shown
    })
}

/// First outcomes of the step's users.
fn told(comparison: &Comparison<'_>, arm: usize) -> Outcomes {
    let start = comparison.step_start();
    let arms = comparison.epochs.iter();
    arms.filter_map(|view| view.sums.arms.get(arm))
        .map(|sums| Firsts::outcomes_since(&sums.answers.told, start))
        .fold(Outcomes::default(), Add::add)
}
