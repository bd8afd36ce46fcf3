//! The guardrail on errors.

use super::harm::{Bet, Harm, Pending};
use super::labels::Event;
use super::view::{Comparison, Side};
use super::{SHOWN_ALPHA, SHOWN_EVENTS, words};
use crate::domain::sums::{Firsts, Outcomes};
use crate::domain::{Metric, MetricEvidence};
use serinus_stats::absolute;
use serinus_stats::restart;
use serinus_stats::sequence::{Influences, Margin, Rates, TUNING_REQUESTS};

pub fn evidence(
    comparison: &Comparison<'_>,
    rollback_alpha: f64,
    promotion_alpha: f64,
) -> MetricEvidence {
    let guardrail = &comparison.rollout.spec.guardrails.errors;
    let rates = comparison.rates_of_errors();
    let gap = rates.map(Rates::gap);
    // A segment has no voice for promotion, and no interval: only its harm decides.
    let influences = match comparison.segment {
        None => Influences::with_totals(&comparison.errors()),
        Some(_) => None,
    };
    let at = |margin| influences.as_ref().and_then(|own| own.at(margin));
    let harm = Harm::of(
        comparison,
        &Bet {
            tolerated_ratio: guardrail.tolerated_ratio,
            floor: guardrail.floor,
            alpha: rollback_alpha,
            pending: Pending::MayFail,
        },
        |_| Event::Error,
        |_, window| window.rates_of_errors(),
    );
    let harmed = harm.harmed;
    // Two ways to pass, so each has half of alpha.
    let alpha = promotion_alpha / 2.0;
    // One that hangs is no error yet.
    let hanging = comparison.may_hang();
    let at_margin = at(Margin::Ratio(guardrail.margin_ratio));
    let at_margin = at_margin.map(|difference| difference.and_events(hanging));
    let by_ratio = at_margin.is_some_and(|difference| difference.promotes(alpha));
    let start = comparison.step_start();
    // How the first request of each listed user in this step ended.
    let Outcomes { users, bad } = comparison.total(comparison.arm, |sums| {
        Firsts::outcomes_since(&sums.firsts.outcomes, start)
    });
    // Of the users that are listed, as many as of all requests.
    let decided = comparison.decided(Side::Arm).max(1) as f64;
    let may_fail = (hanging as f64 * users as f64 / decided).ceil() as u64;
    let clean = absolute::log_e(guardrail.margin_absolute, users + may_fail, bad + may_fail);
    let by_bound = clean >= restart::threshold(alpha);
    let within = (by_ratio || by_bound) && (!harmed || harm.by_whole_step);
    let (lower, upper) = at(Margin::Absolute(0.0))
        .filter(|shown| shown.canary_events >= SHOWN_EVENTS)
        .map(|shown| shown.interval(SHOWN_ALPHA, TUNING_REQUESTS))
        .unzip();
    let words = if harmed || harm.log_e > 0.0 && !within {
        harm.words(comparison, "an error")
    } else if within {
        let how = if by_bound {
            format!(
                "surely under {}{}",
                words::percent(guardrail.margin_absolute),
                comparison.assumed()
            )
        } else {
            format!("surely below {} times control's", guardrail.margin_ratio)
        };
        format!("{}'s error rate is {how}", comparison.arm_name())
    } else {
        format!(
            "{}'s error rate is not yet surely within its margin ({bad} of {users} {} had an error first{}{})",
            comparison.arm_name(),
            comparison.units(),
            words::hanging(hanging),
            words::awaited(at_margin, alpha),
        )
    };
    MetricEvidence {
        arm_rate: rates.map(|rates| rates.canary),
        control_rate: rates.map(|rates| rates.control),
        difference: gap,
        lower,
        upper,
        margin: rates.map(|rates| {
            let by_ratio = (guardrail.margin_ratio - 1.0) * rates.control;
            by_ratio.max(guardrail.margin_absolute - rates.control)
        }),
        margin_words: format!(
            "at most {} times control's rate, or surely under {}",
            guardrail.margin_ratio,
            words::percent(guardrail.margin_absolute)
        ),
        harm_log_e: Some(harm.log_e),
        harm_threshold: Some(harm.threshold),
        harm_ratio: harm.ratio,
        harmed,
        within_margin: Some(within),
        ..comparison.evidence(Metric::Errors, words)
    }
}
