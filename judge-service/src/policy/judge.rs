//! The verdict.

use super::view::Comparison;
use super::{SRM_ALPHA, agreement, errors, latency, words};
use crate::domain::spec::AtDeadline;
use crate::domain::{Action, Bundle, Metric, MetricEvidence, Phase, Rollout, SrmEvidence, Verdict};
use serinus_stats::{restart, srm};

/// Judges a rollout by its evidence alone.
#[must_use]
pub fn judge(bundle: &Bundle) -> Verdict {
    let rollout = &bundle.rollout;
    let control = rollout.control_index();
    let comparisons: Vec<Comparison<'_>> = (0..rollout.spec.arms.len())
        .filter(|&arm| arm != control)
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
    if matches!(rollout.phase, Phase::RolledBack | Phase::Aborted) {
        return (
            Action::Hold,
            vec![format!(
                "the rollout is {}",
                rollout.phase.name().replace('_', " ")
            )],
        );
    }
    let tripped = trips(bundle);
    if rollout.phase.is_live() && !tripped.is_empty() {
        return (Action::RollBack, tripped);
    }
    let harmed: Vec<&MetricEvidence> = metrics.iter().filter(|metric| metric.harmed).collect();
    if !harmed.is_empty() {
        // Surely worse than tolerated, and surely within the margin: both can be
        // true, and then it is a person's choice.
        let acceptable = harmed
            .iter()
            .all(|metric| metric.within_margin == Some(true));
        let words = harmed.iter().map(|metric| metric.words.clone());
        if !acceptable {
            return (Action::RollBack, words.collect());
        }
        if rollout.phase == Phase::Running {
            let ask =
                "worse than tolerated, yet within the margin: acceptable, ask a person".to_owned();
            return (Action::Pause, core::iter::once(ask).chain(words).collect());
        }
    }
    match rollout.phase {
        Phase::Paused => {
            return (
                Action::Hold,
                vec!["paused: only a rollback is automatic".to_owned()],
            );
        }
        Phase::Promoted => return (Action::Hold, vec![promoted_words(rollout)]),
        _ => {}
    }
    let lacking = lacking(bundle, comparisons, metrics, srm);
    if lacking.is_empty() {
        if rollout.is_last_step() {
            let done = "every guardrail is within its margin; this is the last step".to_owned();
            return (Action::Hold, vec![done]);
        }
        let passed = metrics
            .iter()
            .filter(|metric| metric.within_margin.is_some());
        return (
            Action::Promote,
            passed.map(|metric| metric.words.clone()).collect(),
        );
    }
    at_deadline(bundle, lacking)
}

fn promoted_words(rollout: &Rollout) -> String {
    if rollout.spec.holdback_percent > 0.0 {
        format!(
            "promoted; watching against the {}% held back",
            rollout.spec.holdback_percent
        )
    } else {
        "promoted; with nobody held back there is no control, so harm is not testable any more"
            .to_owned()
    }
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

/// Why it is too early for the next step, in words; empty when it is not.
fn lacking(
    bundle: &Bundle,
    comparisons: &[Comparison<'_>],
    metrics: &[MetricEvidence],
    srm: &SrmEvidence,
) -> Vec<String> {
    let rollout = &bundle.rollout;
    let mut lacking = Vec::new();
    if srm.alarm {
        lacking.push(format!(
            "users do not arrive in the planned ratio (odds against chance {}): something loses or moves users, so no promotion",
            words::odds(srm.log_e)
        ));
    }
    if rollout
        .epoch()
        .is_some_and(|epoch| epoch.thresholds.is_none())
    {
        lacking.push("warming up: latency thresholds are being learned from control".to_owned());
    }
    let elapsed = bundle.now_ms.saturating_sub(rollout.step_since_ms);
    if (elapsed as f64) < rollout.spec.minimum.seconds * 1_000.0 {
        lacking.push(format!(
            "{} of at least {} s have passed",
            words::seconds(elapsed),
            rollout.spec.minimum.seconds
        ));
    }
    for comparison in comparisons {
        if !rollout.spec.same_cluster
            && let Some(cluster) = shared_cluster(comparison)
        {
            lacking.push(format!(
                "{} and {} are both served by Envoy's cluster `{cluster}`: a route that matches the arm header is missing (or set same_cluster, if the cluster tells them apart)",
                rollout.spec.baseline(),
                comparison.arm_name(),
            ));
        }
        for arm in [comparison.control, comparison.arm] {
            let exposures = comparison.sum(arm, |sums| sums.exposures.iter().sum());
            let wanted = rollout.spec.minimum.exposures;
            let name = rollout
                .spec
                .arms
                .get(arm)
                .map_or("", |arm| arm.name.as_str());
            let words = format!("{name} had {exposures} of at least {wanted} requests");
            if exposures < wanted && !lacking.contains(&words) {
                lacking.push(words);
            }
        }
        let learned = |wanted: Metric| {
            metrics
                .iter()
                .any(|metric| metric.metric == wanted && metric.arm == comparison.arm_name())
        };
        if !(learned(Metric::LatencyP50) && learned(Metric::LatencyP95))
            && rollout
                .epoch()
                .is_some_and(|epoch| epoch.thresholds.is_some())
        {
            lacking.push("no latency was judged yet".to_owned());
        }
    }
    lacking.extend(
        metrics
            .iter()
            .filter(|metric| metric.within_margin == Some(false))
            .map(|metric| metric.words.clone()),
    );
    lacking
}

/// A cluster that serves both arms.
fn shared_cluster<'a>(comparison: &Comparison<'a>) -> Option<&'a str> {
    let clusters = |arm: usize| {
        let sums = comparison.epochs.iter().map(move |view| view.sums);
        let arms = sums.filter_map(move |sums| sums.arms.get(arm));
        arms.flat_map(|sums| &sums.clusters)
    };
    let found = clusters(comparison.arm)
        .find(|cluster| clusters(comparison.control).any(|other| other == *cluster));
    found.map(String::as_str)
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
        AtDeadline::Proceed => Action::Promote,
    };
    let words = format!("the step's deadline of {} s has passed", deadline.seconds);
    (action, core::iter::once(words).chain(lacking).collect())
}
