//! The guardrail on answers: does an arm serve what its own model file says?

use super::harm::{Harm, Pending};
use super::labels::Event;
use super::view::Comparison;
use super::{SHOWN_ALPHA, alpha, words};
use crate::domain::sums::{ArmSums, Firsts, Outcomes};
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
    let gap = gap(arm, control);
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

/// How much larger the arm's share of bad ones is than control's.
pub fn gap(arm: Outcomes, control: Outcomes) -> Option<f64> {
    Some(arm.rate()? - control.rate()?)
}

/// A confidence sequence for the arm's own rate: the rates that the two bounded
/// e-processes cannot exclude, each at half of alpha.
pub fn interval(outcomes: Outcomes) -> (Option<f64>, Option<f64>) {
    let Outcomes { users, bad } = outcomes;
    let Some(rate) = outcomes.rate() else {
        return (None, None);
    };
    let threshold = restart::threshold(SHOWN_ALPHA / 2.0);
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
