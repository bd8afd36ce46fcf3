//! The guardrail on answers: does an arm serve what its own model file says?

use super::harm::{Harm, Pending};
use super::labels::Event;
use super::view::Comparison;
use super::{SHOWN_ALPHA, words};
use crate::domain::sums::{Firsts, Outcomes};
use crate::domain::{Metric, MetricEvidence};
use serinus_stats::{absolute, restart};
use std::ops::Add;

/// When control itself surely disagrees more often, the reference is unusable.
const CONTROL_UNUSABLE: f64 = 0.2;

/// Whether both arms have a model to ask.
pub fn is_judged(comparison: &Comparison<'_>) -> bool {
    let arms = &comparison.rollout.spec.arms;
    let has_model = |arm: usize| arms.get(arm).is_some_and(|arm| arm.model.is_some());
    has_model(comparison.arm) && has_model(comparison.control)
}

/// `None` when either arm has no model.
pub fn evidence(
    comparison: &Comparison<'_>,
    rollback_alpha: f64,
    promotion_alpha: f64,
) -> Option<MetricEvidence> {
    if !is_judged(comparison) {
        return None;
    }
    let guardrail = &comparison.rollout.spec.guardrails.agreement;
    let arm = samples(comparison, comparison.arm);
    let control = samples(comparison, comparison.control);
    let rate = |outcomes: Outcomes| {
        (outcomes.users > 0).then(|| outcomes.bad as f64 / outcomes.users as f64)
    };
    let gap = rate(arm)
        .zip(rate(control))
        .map(|(arm, control)| arm - control);
    let harm = Harm::of(
        comparison,
        guardrail.tolerated_ratio,
        rollback_alpha,
        Pending::Known,
        |_| Event::Mismatch,
    );
    let harmed = harm.is_proven(gap, guardrail.floor);
    let unusable = absolute::lower_log_e(CONTROL_UNUSABLE, control.users, control.bad)
        >= restart::threshold(promotion_alpha);
    let surely = absolute::log_e(guardrail.margin_absolute, arm.users, arm.bad)
        >= restart::threshold(promotion_alpha);
    let within = surely && !unusable;
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
        None => interval(arm),
        Some(_) => (None, None),
    };
    Some(MetricEvidence {
        metric: Metric::Agreement,
        arm: name.to_owned(),
        segment: comparison.segment.map(str::to_owned),
        arm_rate: rate(arm),
        control_rate: rate(control),
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
        words,
    })
}

/// How the first sample of each user in this step compared.
fn samples(comparison: &Comparison<'_>, arm: usize) -> Outcomes {
    let start = comparison.step_start();
    comparison
        .epochs
        .iter()
        .filter_map(|view| view.sums.arms.get(arm))
        .map(|sums| Firsts::outcomes_since(&sums.firsts.samples, start))
        .fold(Outcomes::default(), Add::add)
}

/// A confidence sequence for the arm's own rate: the rates that the two bounded
/// e-processes cannot exclude, each at half of alpha.
pub fn interval(outcomes: Outcomes) -> (Option<f64>, Option<f64>) {
    let Outcomes { users, bad } = outcomes;
    if users == 0 {
        return (None, None);
    }
    let threshold = restart::threshold(SHOWN_ALPHA / 2.0);
    let rate = bad as f64 / users as f64;
    let upper = boundary(rate, 1.0, |bound| {
        absolute::log_e(bound, users, bad) < threshold
    });
    let lower = boundary(rate, 0.0, |bound| {
        absolute::lower_log_e(bound, users, bad) < threshold
    });
    (Some(lower), Some(upper))
}

/// Between `inside` (not excluded) and `outside`, where exclusion begins, to about
/// 1e-6: 20 halvings.
fn boundary(inside: f64, outside: f64, allowed: impl Fn(f64) -> bool) -> f64 {
    let (mut inside, mut outside) = (inside, outside);
    for _ in 0..20 {
        let middle = (inside + outside) / 2.0;
        if allowed(middle) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_holds_its_rate_and_narrows() {
        let (lower, upper) = interval(Outcomes { users: 0, bad: 0 });
        assert_eq!((lower, upper), (None, None));
        let mut width = 1.0;
        for users in [100u64, 1_000, 10_000] {
            let (lower, upper) = interval(Outcomes {
                users,
                bad: users / 10,
            });
            let (lower, upper) = (lower.unwrap(), upper.unwrap());
            assert!(lower < 0.1 && 0.1 < upper, "{lower} {upper}");
            assert!(upper - lower < width);
            width = upper - lower;
        }
        let (lower, upper) = interval(Outcomes {
            users: 1_000,
            bad: 0,
        });
        assert!(lower.unwrap() < 1e-5 && upper.unwrap() < 0.01);
    }
}
