//! What became of users, told later: was the answer right?

use super::harm::{Bet, Harm, Pending};
use super::labels::Event;
use super::view::Comparison;
use super::{coverage, rates};
use crate::domain::sums::{ArmSums, Firsts};
use crate::domain::{Metric, MetricEvidence};

/// `None` when nothing was told, and nothing has to be.
pub fn evidence(comparison: &Comparison<'_>, rollback_alpha: f64) -> Option<MetricEvidence> {
    let guardrail = comparison.rollout.spec.guardrails.outcomes.as_ref();
    let start = comparison.step_start();
    // First outcomes of the step's users.
    let told = |sums: &ArmSums| Firsts::outcomes_since(&sums.answers.told, start);
    let (arm, control) = (
        comparison.total(comparison.arm, told),
        comparison.total(comparison.control, told),
    );
    if arm.users + control.users == 0 && guardrail.is_none() {
        return None;
    }
    let gap = rates::gap(arm, control);
    let (name, other) = (comparison.arm_name(), comparison.control_name());
    let units = comparison.units();
    let words = format!(
        "{name} was wrong for {} of {} {units} with an outcome, {other} for {} of {}",
        arm.bad, arm.users, control.bad, control.users
    );
    let shown = MetricEvidence {
        arm_rate: arm.rate(),
        control_rate: control.rate(),
        difference: gap,
        ..comparison.evidence(Metric::Outcomes, words)
    };
    let coverage = coverage::coverage(comparison, |view, arm| {
        view.sums.arms.get(arm).map_or(0, |sums| told(sums).users)
    });
    let unequal = coverage.is_unequal();
    let unequal_words = coverage.words(comparison, "outcomes", &shown.words);
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
        &Bet {
            tolerated_ratio: guardrail.tolerated_ratio,
            floor: guardrail.floor,
            alpha: rollback_alpha,
            pending: Pending::Known,
        },
        |_| Event::Wrong,
        |_, window| window.rates_of_users(|sums| &sums.answers.told),
    );
    let harmed = !unequal && harm.harmed;
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
