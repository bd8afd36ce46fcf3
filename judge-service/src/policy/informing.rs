//! What metrics have in common that are shown, and decide only where a spec says so.

use super::view::Comparison;
use crate::domain::{Metric, MetricEvidence};

/// Evidence of which nothing is known yet and nothing decided.
pub fn shown(metric: Metric, comparison: &Comparison<'_>, words: String) -> MetricEvidence {
    MetricEvidence {
        metric,
        arm: comparison.arm_name().to_owned(),
        segment: comparison.segment.map(str::to_owned),
        arm_rate: None,
        control_rate: None,
        difference: None,
        lower: None,
        upper: None,
        margin: None,
        margin_words: "shown, and decides nothing".to_owned(),
        harm_log_e: None,
        harm_threshold: None,
        harm_ratio: None,
        harmed: false,
        within_margin: None,
        words,
    }
}
