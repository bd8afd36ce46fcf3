//! What metrics have in common that are shown, and decide only where a spec says so.

use super::view::Comparison;
use crate::domain::sums::Answers;
use crate::domain::{Bundle, Metric, MetricEvidence};

/// What was found about the arm's answers at this step, on requests of whichever arm: for
/// what is found without users on it, which a step may give none.
pub fn answers<'a>(
    bundle: &'a Bundle,
    comparison: &Comparison<'a>,
) -> impl Iterator<Item = &'a Answers> + use<'a> {
    let (arm, segment) = (comparison.arm, comparison.segment);
    let sums = bundle.sums.iter().filter(move |sums| {
        let mut epochs = bundle.rollout.step_epochs();
        epochs.any(|epoch| epoch.epoch == sums.epoch)
            && (segment.is_none() || sums.segment.as_deref() == segment)
    });
    sums.filter_map(move |sums| sums.arms.get(arm))
        .map(|arm| &arm.answers)
}

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
