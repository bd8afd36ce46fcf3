//! The guardrail on answers: does an arm serve what its own model file says?

use super::harm::{Bet, Harm, Pending};
use super::labels::Event;
use super::view::Comparison;
use super::{alpha, rates, words};
use crate::domain::sums::{ArmSums, Firsts};
use crate::domain::{Metric, MetricEvidence};
use serinus_stats::{absolute, restart};

/// When control itself surely disagrees more often, the reference is unusable.
const CONTROL_UNUSABLE: f64 = 0.2;

/// `None` when either arm has no model.
pub fn evidence(
    comparison: &Comparison<'_>,
    rollback_alpha: f64,
    promotion_alpha: f64,
) -> Option<MetricEvidence> {
    let spec = &comparison.rollout.spec;
    if !alpha::has_models(spec, comparison.arm_name()) {
        return None;
    }
    let guardrail = &spec.guardrails.agreement;
    let start = comparison.step_start();
    // How the first sample of each user in this step compared.
    let samples = |arm: usize| {
        let first = |sums: &ArmSums| Firsts::outcomes_since(&sums.firsts.samples, start);
        comparison.total(arm, first)
    };
    let (arm, control) = (samples(comparison.arm), samples(comparison.control));
    let gap = rates::gap(arm, control);
    let harm = Harm::of(
        comparison,
        &Bet {
            tolerated_ratio: guardrail.tolerated_ratio,
            floor: guardrail.floor,
            alpha: rollback_alpha,
            pending: Pending::Known,
        },
        |_| Event::Mismatch,
        |_, window| window.rates_of_users(|sums| &sums.firsts.samples),
    );
    let harmed = harm.harmed;
    let unusable = absolute::lower_log_e(CONTROL_UNUSABLE, control.users, control.bad)
        >= restart::threshold(promotion_alpha);
    let surely = absolute::log_e(guardrail.margin_absolute, arm.users, arm.bad)
        >= restart::threshold(promotion_alpha);
    let within = surely && !unusable && (!harmed || harm.by_whole_step);
    let (name, units) = (comparison.arm_name(), comparison.units());
    let words = if harmed {
        harm.words(
            comparison,
            "an answer that their version's model file does not give",
        )
    } else if unusable {
        format!(
            "control itself disagrees with its model file for {} of {} {units}, so the reference is unusable",
            control.bad, control.users
        )
    } else if within {
        format!(
            "{name} surely disagrees with its model file for under {} of {units}{}",
            words::percent(guardrail.margin_absolute),
            comparison.assumed()
        )
    } else {
        format!(
            "{name} disagreed with its model file for {} of {} sampled {units}",
            arm.bad, arm.users
        )
    };
    // A segment has no interval: only its harm decides.
    let (lower, upper) = match comparison.segment {
        None => rates::interval(arm),
        Some(_) => (None, None),
    };
    Some(MetricEvidence {
        arm_rate: arm.rate(),
        control_rate: control.rate(),
        difference: gap,
        lower,
        upper,
        margin: Some(guardrail.margin_absolute),
        margin_words: format!(
            "surely under {} of {units}",
            words::percent(guardrail.margin_absolute)
        ),
        harm_log_e: Some(harm.log_e),
        harm_threshold: Some(harm.threshold),
        harm_ratio: harm.ratio,
        harmed,
        within_margin: Some(within),
        ..comparison.evidence(Metric::Agreement, words)
    })
}
