//! What users were worth, told later: is the arm's mean below control's by more than is
//! tolerated?

use super::view::Comparison;
use super::{alpha, coverage, words};
use crate::domain::sums::{ArmSums, Values};
use crate::domain::{Metric, MetricEvidence};
use serinus_stats::restart;

/// `None` when nothing was told, and nothing has to be.
pub fn evidence(comparison: &Comparison<'_>, rollback_alpha: f64) -> Option<MetricEvidence> {
    let spec = &comparison.rollout.spec;
    let guardrail = spec.guardrails.value.as_ref();
    // First values of the step's users.
    let told = |sums: &ArmSums| sums.answers.values;
    let (arm, control) = (
        comparison.total(comparison.arm, told),
        comparison.total(comparison.control, told),
    );
    if arm.users + control.users == 0 && guardrail.is_none() {
        return None;
    }
    let (name, other) = (comparison.arm_name(), comparison.control_name());
    let units = comparison.units();
    let of = |values: Values| {
        let mean = values.mean();
        mean.map_or_else(|| "nothing yet".to_owned(), |mean| format!("{mean:.4}"))
    };
    let words = format!(
        "{name}'s {units} were worth {} on average, {other}'s {} (of {} and {} that were told)",
        of(arm),
        of(control),
        arm.users,
        control.users
    );
    // Neither is a rate: what is shown of rates is left out.
    let shown = comparison.evidence(Metric::Value, words);
    let Some(guardrail) = guardrail else {
        return Some(shown);
    };
    let coverage = coverage::coverage(comparison, |view, arm| {
        let sums = view.sums.arms.get(arm);
        sums.map_or(0, |sums| sums.answers.values.users)
    });
    let wealth = comparison.epochs.iter().map(|view| {
        let sums = view.sums.arms.get(comparison.arm);
        sums.map_or(0.0, |sums| sums.answers.bet.log_wealth)
    });
    // Each user is in one epoch and segment, so the bets on all of them are one after the
    // other.
    let log_e = alpha::of_step(spec, wealth.sum());
    let threshold = restart::threshold(rollback_alpha);
    let harmed = log_e >= threshold && !coverage.is_unequal();
    let wanted = guardrail.minimum_users;
    let enough = arm.users >= wanted && control.users >= wanted;
    Some(MetricEvidence {
        margin_words: format!(
            "at most {} less than {other}'s; values of at least {wanted} {units} of each",
            guardrail.tolerated_loss
        ),
        harm_log_e: Some(log_e),
        harm_threshold: Some(threshold),
        harmed,
        // As with outcomes: harm is never within it.
        within_margin: Some(enough && !coverage.is_unequal() && !harmed),
        words: if coverage.is_unequal() {
            coverage.words(comparison, "values", &shown.words)
        } else if harmed {
            format!(
                "{}; {} less is tolerated; odds against chance {}",
                shown.words,
                guardrail.tolerated_loss,
                words::odds(log_e)
            )
        } else if enough {
            shown.words.clone()
        } else {
            format!("{}; {wanted} of each are needed", shown.words)
        },
        ..shown
    })
}
