//! The guardrail on latency: the tail rolls back, median and p95 promote.
//!
//! Both look only at epochs whose thresholds are known, so the warm-up of a step
//! is left out in both arms.

use super::harm::{Bet, Harm, Pending};
use super::labels::Event;
use super::view::{Comparison, Side};
use super::{SHOWN_ALPHA, SHOWN_EVENTS, words};
use crate::domain::rollout::{EdgePair, PromotionEdge};
use crate::domain::{Metric, MetricEvidence};
use serinus_stats::sequence::{Counts, Difference, Influences, Margin, Rates, TUNING_REQUESTS};

/// Of so many answers a share is no chance.
const MANY: u64 = 1_000;

/// Evidence of harm: the strongest of the tail's thresholds, each with its share
/// of alpha (a mean of processes with different filtrations has no guarantee).
pub fn tail(comparison: &Comparison<'_>, rollback_alpha: f64) -> Option<MetricEvidence> {
    let comparison = &comparison.with_thresholds();
    let guardrail = &comparison.rollout.spec.guardrails.latency;
    let thresholds = comparison.epochs.first()?.epoch.thresholds.as_ref()?;
    let alpha = rollback_alpha / thresholds.tail.len().max(1) as f64;
    // Requests that are no users' are not listed when they pass a threshold, but counted
    // when they end: control's may still become slow.
    let pending = if comparison.rollout.spec.each_request() {
        Pending::MayFail
    } else {
        Pending::Known
    };
    let bet = Bet {
        tolerated_ratio: guardrail.tolerated_ratio,
        floor: guardrail.floor,
        alpha,
        pending,
    };
    let strongest = thresholds
        .tail
        .iter()
        .map(|&edges| {
            let harm = Harm::of(
                comparison,
                &bet,
                |side| {
                    Event::Slow(match side {
                        Side::Arm => edges.arm,
                        Side::Control => edges.control,
                    })
                },
                |harm, window| {
                    // Requests under way are in no rate yet, and may be the slowest.
                    let decided = harm.rates(window);
                    let ended = window.rates_slower_than(edges);
                    Some(
                        ended
                            .filter(|ended| ended.gap() > decided.gap())
                            .unwrap_or(decided),
                    )
                },
            );
            (edges, harm)
        })
        .max_by(|left, right| {
            (left.1.harmed, left.1.log_e)
                .partial_cmp(&(right.1.harmed, right.1.log_e))
                .unwrap_or(core::cmp::Ordering::Equal)
        });
    let (edges, harm) = strongest?;
    let rates = comparison.rates_slower_than(edges);
    // A segment has no interval: only its harm decides.
    let shown = match comparison.segment {
        None => difference(comparison, edges, Margin::Absolute(0.0)),
        Some(_) => None,
    };
    let slower_than = |edge: usize| {
        let edge_us = thresholds.edges_us.get(edge).copied();
        words::duration_us(edge_us.unwrap_or_default())
    };
    let event = if edges.arm == edges.control {
        format!("an answer slower than {}", slower_than(edges.control))
    } else {
        format!(
            "an answer slower than {} ({} on {})",
            slower_than(edges.control),
            slower_than(edges.arm),
            comparison.arm_name(),
        )
    };
    let (lower, upper) = interval(shown.as_ref());
    Some(MetricEvidence {
        arm_rate: rates.map(|rates| rates.canary),
        control_rate: rates.map(|rates| rates.control),
        difference: rates.map(Rates::gap),
        lower,
        upper,
        margin_words: format!(
            "no more than {} times as often above any of five thresholds, {} slower being tolerated",
            guardrail.tolerated_ratio,
            words::percent(guardrail.tolerated_slowdown)
        ),
        harm_log_e: Some(harm.log_e),
        harm_threshold: Some(harm.threshold),
        harm_ratio: harm.ratio,
        harmed: harm.harmed,
        ..comparison.evidence(Metric::Latency, harm.words(comparison, &event))
    })
}

/// Whether median and p95 are each surely slower by less than is tolerated.
pub fn promotion(comparison: &Comparison<'_>, alpha: f64) -> Vec<MetricEvidence> {
    let comparison = &comparison.with_thresholds();
    let thresholds = comparison
        .epochs
        .first()
        .and_then(|view| view.epoch.thresholds.as_ref());
    let slowdown = comparison.rollout.spec.guardrails.latency.slowdown;
    thresholds
        .into_iter()
        .flat_map(|thresholds| &thresholds.promotion)
        .map(|edge| quantile(comparison, edge, slowdown, alpha))
        .collect()
}

fn quantile(
    comparison: &Comparison<'_>,
    edge: &PromotionEdge,
    slowdown: f64,
    alpha: f64,
) -> MetricEvidence {
    let percentile = edge.percentile;
    let judged = difference(comparison, edge.edges, Margin::Ratio(1.0));
    // One that hangs is slower than all.
    let hanging = comparison.may_hang();
    let judged = judged.map(|judged| judged.and_events(hanging));
    let within = judged.is_some_and(|judged| judged.promotes(alpha));
    let at_control = EdgePair {
        arm: edge.edges.control,
        ..edge.edges
    };
    let shown = difference(comparison, at_control, Margin::Absolute(0.0));
    let (lower, upper) = interval(shown.as_ref());
    let arm = comparison.arm_name();
    let words = if within {
        format!(
            "{arm}'s p{percentile} is surely less than {} slower than control's",
            words::percent(slowdown)
        )
    } else {
        format!(
            "not yet sure that {arm}'s p{percentile} is less than {} slower than control's{}{}{}",
            words::percent(slowdown),
            seen(comparison, edge),
            words::hanging(hanging),
            words::awaited(judged, alpha),
        )
    };
    let metric = if percentile == 50 {
        Metric::LatencyP50
    } else {
        Metric::LatencyP95
    };
    MetricEvidence {
        arm_rate: shown.as_ref().map(|shown| shown.canary_rate),
        control_rate: shown.as_ref().map(|shown| shown.control_rate),
        difference: shown.as_ref().map(|shown| shown.estimate),
        lower,
        upper,
        margin_words: format!("slower by at most {}", words::percent(slowdown)),
        within_margin: Some(within),
        ..comparison.evidence(metric, words)
    }
}

/// What is compared, so that one sees why it takes long.
fn seen(comparison: &Comparison<'_>, edge: &PromotionEdge) -> String {
    let (mut arm, mut control) = (Counts::default(), Counts::default());
    for (_, totals) in comparison.slower_than(edge.edges) {
        arm = sum(arm, totals.canary);
        control = sum(control, totals.control);
    }
    let epoch = comparison.epochs.first().map(|view| view.epoch);
    let known = epoch.and_then(|epoch| epoch.thresholds.as_ref());
    let us = |edge: usize| known.and_then(|known| known.edges_us.get(edge)).copied();
    let (Some(arm_us), Some(control_us)) = (us(edge.edges.arm), us(edge.edges.control)) else {
        return String::new();
    };
    let expected = f64::from(100 - edge.percentile) / 100.0;
    let share = control.events as f64 / control.requests.max(1) as f64;
    // It was learned from the first answers of the step.
    let changed = if control.requests >= MANY && share < expected / 4.0 {
        "; control was slower when that was learned, so little can be compared"
    } else {
        ""
    };
    format!(
        " ({} of {} of its answers took longer than {}, and {} of {} of control's longer than {}{changed})",
        arm.events,
        arm.requests,
        words::duration_us(arm_us),
        control.events,
        control.requests,
        words::duration_us(control_us),
    )
}

fn sum(one: Counts, other: Counts) -> Counts {
    Counts {
        requests: one.requests + other.requests,
        events: one.events + other.events,
    }
}

fn difference(comparison: &Comparison<'_>, edges: EdgePair, margin: Margin) -> Option<Difference> {
    Influences::with_totals(&comparison.slower_than(edges))?.at(margin)
}

fn interval(shown: Option<&Difference>) -> (Option<f64>, Option<f64>) {
    shown
        .filter(|shown| shown.canary_events >= SHOWN_EVENTS)
        .map(|shown| shown.interval(SHOWN_ALPHA, TUNING_REQUESTS))
        .unzip()
}
