//! The verdict.

use super::view::Comparison;
use super::{SRM_ALPHA, agreement, errors, lacking, latency, watch};
use crate::domain::spec::AtDeadline;
use crate::domain::{Action, Bundle, MetricEvidence, Phase, SrmEvidence, Verdict};
use serinus_stats::{restart, srm};

/// Judges a rollout by its evidence alone.
#[must_use]
pub fn judge(bundle: &Bundle) -> Verdict {
    let rollout = &bundle.rollout;
    let comparisons: Vec<Comparison<'_>> = (0..rollout.spec.arms.len())
        .filter(|&arm| rollout.is_treatment(arm))
        .map(|arm| Comparison::new(bundle, arm))
        .collect();
    let segments: Vec<&str> = rollout
        .epoch()
        .into_iter()
        .flat_map(|epoch| &epoch.segments)
        .map(|split| split.name.as_str())
        .collect();
    // Half of a rollout's alpha is for the whole and half for its segments; without
    // segments the whole has all of it.
    let whole = if segments.is_empty() { 1.0 } else { 0.5 };
    let mut metrics: Vec<MetricEvidence> = comparisons
        .iter()
        .flat_map(|comparison| guardrails(comparison, whole / comparisons.len() as f64))
        .collect();
    for segment in &segments {
        let part = (1.0 - whole) / segments.len() as f64 / comparisons.len() as f64;
        let alone = comparisons.iter().map(|whole| whole.in_segment(segment));
        metrics.extend(alone.flat_map(|comparison| harm_in_segment(&comparison, part)));
    }
    let srm = sample_ratio(bundle);
    let (action, reasons) = decide(bundle, &comparisons, &metrics, &srm);
    Verdict {
        at_ms: bundle.now_ms,
        action,
        reasons,
        metrics,
        srm,
    }
}

/// The guardrails of one arm, which share `part` of the rollout's alpha; nothing is
/// spent on looks.
fn guardrails(comparison: &Comparison<'_>, part: f64) -> Vec<MetricEvidence> {
    let promotion = comparison.rollout.spec.alpha.promotion;
    let mut metrics = rolling_back(comparison, part);
    metrics.extend(latency::promotion(comparison, promotion));
    metrics
}

/// The guardrails that can roll back; an equal share of alpha for each.
fn rolling_back(comparison: &Comparison<'_>, part: f64) -> Vec<MetricEvidence> {
    let alpha = &comparison.rollout.spec.alpha;
    let judged = if agreement::is_judged(comparison) {
        3.0
    } else {
        2.0
    };
    let rollback = alpha.rollback * part / judged;
    let mut metrics = vec![errors::evidence(comparison, rollback, alpha.promotion)];
    metrics.extend(latency::tail(comparison, rollback));
    metrics.extend(agreement::evidence(comparison, rollback, alpha.promotion));
    metrics
}

/// A segment has a voice against the arm and none for it: it would seldom have
/// enough events to promote.
fn harm_in_segment(comparison: &Comparison<'_>, part: f64) -> Vec<MetricEvidence> {
    let mut metrics = rolling_back(comparison, part);
    for metric in &mut metrics {
        metric.within_margin = None;
        if let Some(segment) = comparison.segment {
            metric.words = format!("in segment {segment}: {}", metric.words);
        }
    }
    metrics
}

fn sample_ratio(bundle: &Bundle) -> SrmEvidence {
    let shares: Vec<Vec<f64>> = bundle
        .new_users
        .iter()
        .map(|epoch| {
            epoch
                .weights
                .iter()
                .map(|&weight| f64::from(weight))
                .collect()
        })
        .collect();
    let epochs = bundle
        .new_users
        .iter()
        .zip(&shares)
        .map(|(epoch, shares)| srm::NewUsers {
            shares,
            counts: &epoch.counts,
        });
    let log_e = srm::log_e(srm::CONCENTRATION, epochs);
    let threshold = restart::threshold(SRM_ALPHA);
    SrmEvidence {
        log_e,
        threshold,
        alarm: log_e >= threshold,
    }
}

fn decide(
    bundle: &Bundle,
    comparisons: &[Comparison<'_>],
    metrics: &[MetricEvidence],
    srm: &SrmEvidence,
) -> (Action, Vec<String>) {
    let rollout = &bundle.rollout;
    if rollout.phase.is_over() {
        let phase = rollout.phase.name().replace('_', " ");
        return (Action::Hold, vec![format!("the rollout is {phase}")]);
    }
    if rollout.phase == Phase::Waiting {
        return start(bundle);
    }
    if let Some(harm) = harm(bundle, metrics) {
        return harm;
    }
    match rollout.phase {
        Phase::Paused => {
            let words = "paused: only a rollback is automatic".to_owned();
            return (Action::Hold, vec![words]);
        }
        Phase::Promoted => return watch::watch(bundle, srm),
        _ => {}
    }
    let lacking = lacking::lacking(bundle, comparisons, metrics, srm);
    if !lacking.is_empty() {
        return at_deadline(bundle, lacking);
    }
    let passed = metrics
        .iter()
        .filter(|metric| metric.within_margin.is_some())
        .map(|metric| metric.words.clone());
    let passed: Vec<String> = if rollout.is_in_shadow() {
        vec!["copies were sent for as long as was asked; nobody saw their answers".to_owned()]
    } else {
        passed.collect()
    };
    if rollout.is_last_step() {
        let done = "every guardrail is within its margin; this is the last step".to_owned();
        return (Action::Hold, vec![done]);
    }
    if rollout.current_step().is_some_and(|step| step.look_first) {
        let ask = "ready for the next step, and a person is to look first".to_owned();
        return (Action::Pause, core::iter::once(ask).chain(passed).collect());
    }
    (Action::Promote, passed)
}

/// The first step begins when every arm is ready.
fn start(bundle: &Bundle) -> (Action, Vec<String>) {
    let waiting = lacking::not_ready(bundle);
    if waiting.is_empty() {
        return (Action::Start, vec!["every arm is ready".to_owned()]);
    }
    (Action::Hold, waiting)
}

/// What makes the rollout be taken back, or a person be asked.
fn harm(bundle: &Bundle, metrics: &[MetricEvidence]) -> Option<(Action, Vec<String>)> {
    let tripped = trips(bundle);
    if !tripped.is_empty() {
        return Some((Action::RollBack, tripped));
    }
    let harmed: Vec<&MetricEvidence> = metrics.iter().filter(|metric| metric.harmed).collect();
    if harmed.is_empty() {
        return None;
    }
    // Surely worse than tolerated, and surely within the margin: both can be true, and
    // then it is a person's choice.
    let acceptable = harmed
        .iter()
        .all(|metric| metric.within_margin == Some(true));
    let words = harmed.iter().map(|metric| metric.words.clone());
    if !acceptable {
        return Some((Action::RollBack, words.collect()));
    }
    (bundle.rollout.phase == Phase::Running).then(|| {
        let ask = "worse than tolerated, yet within the margin: acceptable, ask a person";
        let reasons = core::iter::once(ask.to_owned()).chain(words).collect();
        (Action::Pause, reasons)
    })
}

fn trips(bundle: &Bundle) -> Vec<String> {
    bundle
        .sums
        .iter()
        .flat_map(|sums| &sums.trips)
        .map(|trip| {
            format!(
                "a worker's breaker took {}'s users back by itself: {} of the last {} requests on {} failed, and not on {}",
                trip.arm,
                trip.errors,
                trip.finished,
                trip.arm,
                bundle.rollout.spec.baseline(),
            )
        })
        .collect()
}

fn at_deadline(bundle: &Bundle, lacking: Vec<String>) -> (Action, Vec<String>) {
    let deadline = &bundle.rollout.spec.deadline;
    let elapsed = bundle.now_ms.saturating_sub(bundle.rollout.step_since_ms);
    if (elapsed as f64) < deadline.seconds * 1_000.0 {
        return (Action::Hold, lacking);
    }
    let action = match deadline.then {
        AtDeadline::Pause => Action::Pause,
        AtDeadline::RollBack => Action::RollBack,
        AtDeadline::Proceed if bundle.rollout.is_last_step() => Action::Hold,
        // An arm that cannot serve gets no users, whatever time it is.
        AtDeadline::Proceed if !bundle.not_ready.is_empty() => Action::Pause,
        AtDeadline::Proceed => Action::Promote,
    };
    let words = format!("the step's deadline of {} s has passed", deadline.seconds);
    (action, core::iter::once(words).chain(lacking).collect())
}
