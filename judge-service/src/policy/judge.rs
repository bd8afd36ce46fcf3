//! The verdict.

use super::removal::{self, Removal};
use super::view::{Comparison, View};
use super::{
    SRM_ALPHA, agreement, alpha, difference, drift, errors, lacking, latency, outcomes, pairs,
    value, watch,
};
use crate::domain::spec::AtDeadline;
use crate::domain::{Action, Bundle, Metric, MetricEvidence, Phase, Rollout, SrmEvidence, Verdict};
use serinus_stats::{restart, srm};

/// What is decided, and why: sentences for people, the decisive one first.
struct Decided {
    action: Action,
    reasons: Vec<String>,
    /// The arms that are taken off.
    drops: Vec<String>,
    asks_for_approval: bool,
}

impl Decided {
    fn new(action: Action, reasons: Vec<String>) -> Self {
        Self {
            action,
            reasons,
            drops: Vec::new(),
            asks_for_approval: false,
        }
    }

    fn because(action: Action, reason: impl Into<String>) -> Self {
        Self::new(action, vec![reason.into()])
    }
}

/// Judges a rollout by its evidence alone.
#[must_use]
pub fn judge(bundle: &Bundle) -> Verdict {
    let rollout = &bundle.rollout;
    let comparisons = View::new(bundle).comparisons();
    let segments: Vec<&str> = rollout
        .epoch()
        .into_iter()
        .flat_map(|epoch| &epoch.segments)
        .map(|split| split.name.as_str())
        .collect();
    let mut metrics: Vec<MetricEvidence> = comparisons
        .iter()
        .flat_map(|comparison| guardrails(bundle, comparison, alpha::of_whole(&rollout.spec)))
        .collect();
    for segment in &segments {
        let part = alpha::of_segment(&rollout.spec);
        let alone = comparisons.iter().map(|whole| whole.in_segment(segment));
        metrics.extend(alone.flat_map(|comparison| harm_in_segment(bundle, &comparison, part)));
    }
    let srm = sample_ratio(bundle);
    let decided = decide(bundle, &comparisons, &metrics, &srm);
    Verdict {
        at_ms: bundle.now_ms,
        action: decided.action,
        drops: decided.drops,
        asks_for_approval: decided.asks_for_approval,
        reasons: decided.reasons,
        metrics,
        srm,
    }
}

/// The guardrails of one arm, which share `part` of the rollout's alpha; nothing is
/// spent on looks.
fn guardrails(bundle: &Bundle, comparison: &Comparison<'_>, part: f64) -> Vec<MetricEvidence> {
    let promotion = comparison.rollout.spec.alpha.promotion;
    let mut metrics = rolling_back(bundle, comparison, part);
    metrics.extend(latency::promotion(comparison, promotion));
    metrics
}

/// The guardrails that can roll back; an equal share of alpha for each.
fn rolling_back(bundle: &Bundle, comparison: &Comparison<'_>, part: f64) -> Vec<MetricEvidence> {
    let spec = &comparison.rollout.spec;
    let promotion = spec.alpha.promotion;
    let each = f64::from(alpha::guardrails(spec, comparison.arm_name()));
    let rollback = spec.alpha.rollback * part / each;
    let mut metrics = vec![errors::evidence(comparison, rollback, promotion)];
    metrics.extend(latency::tail(comparison, rollback));
    metrics.extend(agreement::evidence(comparison, rollback, promotion));
    metrics.extend(difference::evidence(
        bundle, comparison, rollback, promotion,
    ));
    metrics.extend(drift::evidence(comparison, rollback));
    metrics.extend(outcomes::evidence(comparison, rollback));
    metrics.extend(value::evidence(comparison, rollback));
    metrics.extend(pairs::evidence(bundle, comparison, rollback));
    metrics
}

/// A segment has a voice against the arm and none for it: it would seldom have
/// enough events to promote.
fn harm_in_segment(bundle: &Bundle, comparison: &Comparison<'_>, part: f64) -> Vec<MetricEvidence> {
    let mut metrics = rolling_back(bundle, comparison, part);
    for metric in &mut metrics {
        metric.within_margin = None;
        if let Some(segment) = comparison.segment {
            metric.words = format!("in segment {segment}: {}", metric.words);
        }
    }
    metrics
}

/// Over the arms that had users in an epoch and were not dropped: what happened to the
/// users of one that was is not what the others are judged by.
fn sample_ratio(bundle: &Bundle) -> SrmEvidence {
    let rollout = &bundle.rollout;
    let epochs: Vec<(Vec<f64>, Vec<u64>)> = bundle
        .new_users
        .iter()
        .map(|epoch| {
            let arms = rollout.spec.arms.iter().zip(&epoch.weights);
            let split = arms
                .zip(&epoch.counts)
                .filter(|((arm, weight), _)| **weight > 0 && !rollout.is_dropped(&arm.name));
            split
                .map(|((_, &weight), &count)| (f64::from(weight), count))
                .unzip()
        })
        .collect();
    let new_users = epochs
        .iter()
        .map(|(shares, counts)| srm::NewUsers { shares, counts });
    let log_e = srm::log_e(srm::CONCENTRATION, new_users);
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
) -> Decided {
    let rollout = &bundle.rollout;
    if rollout.phase.is_over() {
        let phase = rollout.phase.words();
        return Decided::because(Action::Hold, format!("the rollout is {phase}"));
    }
    if rollout.phase == Phase::Waiting {
        return start(bundle);
    }
    if let Some(harm) = harm(bundle, metrics) {
        return harm;
    }
    match rollout.phase {
        Phase::Paused => {
            return Decided::because(Action::Hold, "paused: only a rollback is automatic");
        }
        Phase::Promoted => {
            let (action, reasons) = watch::watch(bundle, comparisons, metrics, srm);
            return Decided::new(action, reasons);
        }
        _ => {}
    }
    let lacking = lacking::lacking(bundle, comparisons, metrics, srm);
    if !lacking.is_empty() {
        let unsound = || !lacking::unsound(bundle, comparisons, srm).is_empty();
        return at_deadline(bundle, lacking, unsound);
    }
    let passed = metrics
        .iter()
        .filter(|metric| metric.within_margin.is_some())
        .map(|metric| metric.words.clone());
    let passed: Vec<String> = if rollout.is_only_looking() {
        let looked = if rollout.spec.shadow.is_some() {
            "copies were sent for as long as was asked; nobody saw their answers"
        } else {
            "the models were compared for as long as was asked; nobody had the new version"
        };
        let found = metrics
            .iter()
            .filter(|metric| metric.metric == Metric::Difference && metric.segment.is_none());
        core::iter::once(looked.to_owned())
            .chain(found.map(|metric| metric.words.clone()))
            .collect()
    } else {
        passed.collect()
    };
    if rollout.is_last_step() {
        let done = "every guardrail is within its margin; this is the last step";
        return Decided::because(Action::Hold, done);
    }
    look_or_go_on(rollout, "ready for the next step", passed)
}

/// The first step begins when every arm is ready and no gate is closed.
fn start(bundle: &Bundle) -> Decided {
    let mut waiting = lacking::not_ready(bundle);
    waiting.extend(lacking::closed(bundle));
    if waiting.is_empty() {
        return Decided::because(Action::Start, "every arm is ready");
    }
    Decided::new(Action::Hold, waiting)
}

/// To the next step, unless a person is to look before.
fn look_or_go_on(rollout: &Rollout, why: &str, reasons: Vec<String>) -> Decided {
    if rollout.current_step().is_some_and(|step| step.look_first) {
        let why = format!("{why}, and a person is to look first");
        return Decided {
            asks_for_approval: true,
            ..ask(&why, reasons)
        };
    }
    go_on(rollout, reasons)
}

/// To the next step, if it has anything to try.
fn go_on(rollout: &Rollout, reasons: Vec<String>) -> Decided {
    if rollout.can_go_on() {
        return Decided::new(Action::Promote, reasons);
    }
    ask(
        "ready for the next step, which gives users only to arms that were dropped: a person is to decide",
        reasons,
    )
}

fn ask(why: &str, reasons: Vec<String>) -> Decided {
    let why = core::iter::once(why.to_owned());
    Decided::new(Action::Pause, why.chain(reasons).collect())
}

/// What makes an arm be dropped, the rollout be taken back, or a person be asked.
fn harm(bundle: &Bundle, metrics: &[MetricEvidence]) -> Option<Decided> {
    let rollout = &bundle.rollout;
    if !bundle.breached.is_empty() {
        let breached = bundle.breached.iter();
        let words = breached.map(|(gate, why)| {
            format!("gate {gate} takes it back: {why}; this is no evidence, but what was asked for")
        });
        return Some(Decided::new(Action::RollBack, words.collect()));
    }
    if let Some(Removal { arms, mut words }) = removal::removal(bundle, metrics) {
        // With nothing else on trial it is the end.
        if !rollout.goes_on_without(&arms) {
            return Some(Decided::new(Action::RollBack, words));
        }
        let others = rollout.on_trial();
        let others: Vec<&str> = others
            .filter(|name| !arms.iter().any(|arm| arm == name))
            .collect();
        words.push(format!(
            "{} gets the users of {}; {} goes on",
            rollout.spec.baseline(),
            arms.join(" and "),
            others.join(" and "),
        ));
        return Some(Decided {
            drops: arms,
            ..Decided::new(Action::Drop, words)
        });
    }
    let tripped = removal::control_tripped(bundle);
    if !tripped.is_empty() && rollout.phase == Phase::Running {
        let why = "what the others are compared with is broken: a person is to decide";
        return Some(ask(why, tripped));
    }
    let acceptable = removal::acceptable(metrics);
    (!acceptable.is_empty() && rollout.phase == Phase::Running).then(|| {
        let why = "worse than tolerated, yet within the margin: acceptable, ask a person";
        ask(why, acceptable)
    })
}

fn at_deadline(bundle: &Bundle, lacking: Vec<String>, unsound: impl FnOnce() -> bool) -> Decided {
    let rollout = &bundle.rollout;
    let deadline = &rollout.spec.deadline;
    let now = bundle.now_ms;
    // Who resumes it gives it as much time again.
    let elapsed = rollout
        .step_lasted_ms(now)
        .min(rollout.phase_lasted_ms(now));
    if (elapsed as f64) < deadline.seconds * 1_000.0 {
        return Decided::new(Action::Hold, lacking);
    }
    let words = format!("the step's deadline of {} s has passed", deadline.seconds);
    let reasons = core::iter::once(words).chain(lacking).collect();
    match deadline.then {
        AtDeadline::Pause => Decided::new(Action::Pause, reasons),
        AtDeadline::RollBack => Decided::new(Action::RollBack, reasons),
        AtDeadline::Proceed if rollout.is_last_step() => Decided::new(Action::Hold, reasons),
        // An arm that cannot serve gets no users, whatever time it is.
        AtDeadline::Proceed if !bundle.not_ready.is_empty() => Decided::new(Action::Pause, reasons),
        // Who was asked to say no has the last word.
        AtDeadline::Proceed if !bundle.closed.is_empty() => Decided::new(Action::Hold, reasons),
        // Nor is anything concluded while nobody is heard, and what cannot be trusted is no
        // reason to go on, whatever time it is.
        AtDeadline::Proceed if !lacking::unheard(bundle).is_empty() => {
            Decided::new(Action::Hold, reasons)
        }
        AtDeadline::Proceed if unsound() => Decided::new(Action::Pause, reasons),
        AtDeadline::Proceed => look_or_go_on(rollout, "undecided at its deadline", reasons),
    }
}
