//! Latency thresholds, learned from control at the start of each step.

use crate::domain::rollout::{EdgePair, PromotionEdge, Thresholds};
use crate::domain::spec::RolloutSpec;
use crate::domain::sums::dense;
use crate::domain::{Epoch, Millis};
use serinus_core::histogram;
use serinus_core::plan::compiled::MAX_EDGES;
use std::collections::BTreeMap;

/// The quantiles of control whose crossing is evidence of harm.
const TAIL: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];

/// The percentiles that promote.
const PROMOTION: [u32; 2] = [50, 95];

/// One in so many may be under way when thresholds are learned.
const SETTLED_IN: u64 = 40;
const SETTLED_AFTER_MS: Millis = 600_000;

/// Whether the step's thresholds are to be learned from what is answered from now on.
#[must_use]
pub fn is_warm(spec: &RolloutSpec, epoch: &Epoch, now: Millis) -> bool {
    let lasted = now.saturating_sub(epoch.started_ms) as f64;
    epoch.thresholds.is_none() && lasted >= spec.warm_up.seconds * 1_000.0
}

/// Whether so many of control's requests ended that those that did not are not its slowest
/// answers: else what is learned for its p95 is what two thirds take less than. A service
/// some of whose requests last for hours is not waited for.
#[must_use]
pub fn is_settled(epoch: &Epoch, now: Millis, decided: u64, under_way: u64) -> bool {
    let lasted = now.saturating_sub(epoch.started_ms);
    under_way.saturating_mul(SETTLED_IN) <= decided || lasted >= SETTLED_AFTER_MS
}

/// The thresholds, when control has answered often enough since it was warm: its answers
/// of all segments, by bucket of duration. Those of before are slow, of connections that
/// are made and caches that are filled: a threshold that nobody passes later tells the arms
/// apart no more.
#[must_use]
pub fn learn(spec: &RolloutSpec, control_answers: &BTreeMap<u16, u64>) -> Option<Thresholds> {
    let answers: u64 = control_answers.values().sum();
    if answers < spec.warm_up.requests {
        return None;
    }
    let counts = dense(control_answers);
    let at = |quantile: f64| {
        histogram::quantile(&counts, quantile)
            .unwrap_or_default()
            .max(1)
    };
    let guardrail = &spec.guardrails.latency;
    let slower = |edge: u64, slowdown: f64| (edge as f64 * (1.0 + slowdown)) as u64;
    let pair = |quantile: f64, slowdown: f64| (at(quantile), slower(at(quantile), slowdown));
    let tail = TAIL.map(|quantile| pair(quantile, guardrail.tolerated_slowdown));
    let promotion =
        PROMOTION.map(|percentile| pair(f64::from(percentile) / 100.0, guardrail.slowdown));
    let mut edges_us: Vec<u64> = tail
        .iter()
        .chain(&promotion)
        .flat_map(|&(control, arm)| [control, arm])
        .collect();
    edges_us.sort_unstable();
    edges_us.dedup();
    debug_assert!(edges_us.len() <= MAX_EDGES);
    let index = |edge: u64| {
        edges_us
            .iter()
            .position(|&other| other == edge)
            .unwrap_or_default()
    };
    let indices = |(control, arm): (u64, u64)| EdgePair {
        control: index(control),
        arm: index(arm),
    };
    let mut tail: Vec<EdgePair> = tail.into_iter().map(indices).collect();
    tail.dedup();
    let promotion = PROMOTION
        .into_iter()
        .zip(promotion)
        .map(|(percentile, edges)| PromotionEdge {
            percentile,
            edges: indices(edges),
        })
        .collect();
    Some(Thresholds {
        edges_us,
        tail,
        promotion,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollout::tests::rollout;

    #[test]
    fn learns_when_control_is_warm() {
        let mut rollout = rollout();
        let mut answers = BTreeMap::new();
        let spec = rollout.spec.clone();
        assert_eq!(learn(&spec, &answers), None, "nothing counted");
        for micros in 1..=1_000u64 {
            let bucket = histogram::bucket_of(micros * 10) as u16;
            *answers.entry(bucket).or_default() += 1;
        }
        assert!(
            !is_warm(&spec, rollout.epoch().unwrap(), 5_999),
            "too early"
        );
        assert!(is_warm(&spec, rollout.epoch().unwrap(), 6_000));
        let epoch = rollout.epoch().unwrap();
        assert!(is_settled(epoch, 6_000, 1_000, 25));
        assert!(
            !is_settled(epoch, 6_000, 1_000, 26),
            "the slowest are not known yet"
        );
        assert!(
            is_settled(epoch, 601_000, 1_000, 500),
            "some last for hours"
        );
        let thresholds = learn(&spec, &answers).unwrap();
        assert!(thresholds.edges_us.is_sorted() && thresholds.edges_us.len() <= MAX_EDGES);
        let edge = |index: usize| thresholds.edges_us[index];
        let p50 = &thresholds.promotion[0];
        assert!((5_000..5_700).contains(&edge(p50.edges.control)));
        assert_eq!(
            edge(p50.edges.arm),
            (edge(p50.edges.control) as f64 * 1.25) as u64
        );
        let tolerated = thresholds.tail[1];
        assert_eq!(
            edge(tolerated.arm),
            (edge(tolerated.control) as f64 * 1.1) as u64
        );
        rollout.learned(thresholds, 6_000);
        assert!(
            !is_warm(&spec, rollout.epoch().unwrap(), 99_000),
            "once a step"
        );
    }
}
