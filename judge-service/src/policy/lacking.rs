//! Why it is too early for the next step, or nothing is to be concluded at all, in words.

use super::view::{Comparison, Side};
use super::words;
use crate::domain::sums::ArmSums;
use crate::domain::{Bundle, Metric, MetricEvidence, SrmEvidence};
use std::collections::BTreeSet;

/// One silent worker in so many is no reason to wait.
const SILENT_IN: usize = 10;

/// Empty when it is not too early.
pub fn lacking(
    bundle: &Bundle,
    comparisons: &[Comparison<'_>],
    metrics: &[MetricEvidence],
    srm: &SrmEvidence,
) -> Vec<String> {
    let mut lacking = not_ready(bundle);
    lacking.extend(closed(bundle));
    lacking.extend(too_soon(bundle));
    lacking.extend(unheard(bundle));
    lacking.extend(unsound(bundle, comparisons, srm));
    lacking.extend(lagging(bundle));
    if bundle.rollout.is_only_looking() {
        lacking.extend(too_few_copies(bundle));
        lacking.extend(too_few_inputs(bundle));
        // What is found without users on the new version.
        let looked_at = [Metric::Difference, Metric::Pairs];
        let open = metrics.iter().filter(|metric| {
            looked_at.contains(&metric.metric) && metric.within_margin == Some(false)
        });
        lacking.extend(open.map(|metric| metric.words.clone()));
        return lacking;
    }
    lacking.extend(unseen(bundle, comparisons));
    let warming_up = is_warming_up(bundle);
    for comparison in comparisons.iter().filter(|arm| arm.has_users()) {
        let learned = |wanted: Metric| {
            let mut metrics = metrics.iter();
            metrics.any(|metric| metric.metric == wanted && metric.arm == comparison.arm_name())
        };
        if !(warming_up || learned(Metric::LatencyP50) && learned(Metric::LatencyP95)) {
            lacking.push("no latency was judged yet".to_owned());
        }
    }
    let tested = |metric: &&MetricEvidence| {
        let mut tested = comparisons.iter().filter(|arm| arm.has_users());
        tested.any(|comparison| comparison.arm_name() == metric.arm)
    };
    let open = metrics
        .iter()
        .filter(tested)
        .filter(|metric| metric.within_margin == Some(false));
    lacking.extend(open.map(|metric| metric.words.clone()));
    lacking
}

/// Why nothing that was counted is to be trusted, however much it is: no time makes up for
/// that, and a person is to look.
pub fn unsound(bundle: &Bundle, comparisons: &[Comparison<'_>], srm: &SrmEvidence) -> Vec<String> {
    let mut unsound = Vec::new();
    if bundle.rollout.is_only_looking() {
        return unsound;
    }
    if srm.alarm {
        unsound.push(format!(
            "users do not arrive in the planned ratio (odds against chance {}): something loses or moves users",
            words::odds(srm.log_e)
        ));
    }
    let compared = comparisons.iter().filter(|arm| arm.has_users());
    unsound.extend(compared.filter_map(unrouted));
    unsound
}

/// What was not seen of the arms yet, whatever it would show.
pub fn unseen(bundle: &Bundle, comparisons: &[Comparison<'_>]) -> Vec<String> {
    let mut unseen = Vec::new();
    if is_warming_up(bundle) {
        unseen.push("warming up: latency thresholds are being learned from control".to_owned());
    }
    let compared = comparisons.iter().filter(|arm| arm.has_users());
    for words in compared.flat_map(too_few_requests) {
        if !unseen.contains(&words) {
            unseen.push(words);
        }
    }
    unseen
}

fn is_warming_up(bundle: &Bundle) -> bool {
    let epoch = bundle.rollout.epoch();
    epoch.is_some_and(|epoch| epoch.thresholds.is_none())
}

/// Gates that say no, or nothing yet.
pub fn closed(bundle: &Bundle) -> impl Iterator<Item = String> {
    let closed = bundle.closed.iter();
    closed.map(|(gate, why)| format!("gate {gate} is closed: {why}"))
}

/// Arms that cannot serve what a step would give them.
pub fn not_ready(bundle: &Bundle) -> Vec<String> {
    let arms = bundle.not_ready.iter();
    arms.map(|(arm, found)| format!("{arm} is not ready: {found}"))
        .collect()
}

fn too_soon(bundle: &Bundle) -> Option<String> {
    let rollout = &bundle.rollout;
    let elapsed = rollout.step_lasted_ms(bundle.now_ms);
    let wanted = rollout.spec.minimum.seconds;
    ((elapsed as f64) < wanted * 1_000.0).then(|| {
        format!(
            "{} of at least {wanted} s have passed",
            words::seconds(elapsed)
        )
    })
}

/// What a worker counts that nobody hears of is missing in every sum, and what one
/// routes by an older plan is in no epoch of the step. Both may pass.
pub fn unheard(bundle: &Bundle) -> Vec<String> {
    let workers = &bundle.workers;
    let counted = || arms_of_step(bundle).any(|arm| arm.decided() > 0);
    if workers.serving == 0 && counted() {
        return vec!["no worker is heard of any more".to_owned()];
    }
    // In a large fleet one or another proxy is always on its way out.
    let missed = workers.silent * SILENT_IN > workers.serving;
    let silent = told(
        bundle,
        if missed { workers.silent } else { 0 },
        "are silent: what they count is not known",
    );
    let refused = told(
        bundle,
        workers.refused,
        "refuse the plan, and route by an older one: GET /v1/workers says why",
    );
    silent.into_iter().chain(refused).collect()
}

fn lagging(bundle: &Bundle) -> Option<String> {
    let lagging = bundle.workers.lagging;
    told(bundle, lagging, "have not taken the plan yet")
}

fn told(bundle: &Bundle, count: usize, what: &str) -> Option<String> {
    let serving = bundle.workers.serving;
    (count > 0).then(|| format!("{count} of {serving} workers {what}"))
}

fn too_few_copies(bundle: &Bundle) -> Option<String> {
    let spec = &bundle.rollout.spec;
    let shadow = spec.shadow.as_ref()?;
    let decided: u64 = arms_of_step(bundle).map(ArmSums::decided).sum();
    let copied = (decided as f64 * shadow.share) as u64;
    let wanted = spec.minimum.exposures;
    (copied < wanted)
        .then(|| format!("about {copied} of at least {wanted} requests were copied to the shadow"))
}

/// Where no copies are sent, the models are compared on sampled inputs.
fn too_few_inputs(bundle: &Bundle) -> Option<String> {
    let spec = &bundle.rollout.spec;
    if spec.shadow.is_some() {
        return None;
    }
    let compared = arms_of_step(bundle).map(|arm| arm.answers.differences.users);
    let compared = compared.max().unwrap_or_default();
    let wanted = spec.minimum.exposures;
    (compared < wanted).then(|| {
        format!("{compared} of at least {wanted} sampled users' inputs were answered by the models")
    })
}

fn arms_of_step(bundle: &Bundle) -> impl Iterator<Item = &ArmSums> {
    let epochs: Vec<u64> = bundle.rollout.step_epochs().map(|own| own.epoch).collect();
    let sums = bundle.sums.iter();
    sums.filter(move |sums| epochs.contains(&sums.epoch))
        .flat_map(|sums| &sums.arms)
}

/// An arm that Envoy serves by the default route looks just like control, because it is.
fn unrouted(comparison: &Comparison<'_>) -> Option<String> {
    if comparison.rollout.spec.same_cluster {
        return None;
    }
    let clusters = |arm: usize| -> BTreeSet<&String> {
        let sums = comparison.epochs.iter().map(move |view| view.sums);
        let arms = sums.filter_map(move |sums| sums.arms.get(arm));
        arms.flat_map(|sums| &sums.clusters).collect()
    };
    let control = clusters(comparison.control);
    let arm = clusters(comparison.arm);
    let shared = arm.intersection(&control).next()?;
    Some(format!(
        "{} and {} are both served by Envoy's cluster `{shared}`: a route that matches the arm header is missing (or set same_cluster, if the cluster tells them apart)",
        comparison.control_name(),
        comparison.arm_name(),
    ))
}

fn too_few_requests<'a>(comparison: &Comparison<'a>) -> impl Iterator<Item = String> + use<'a> {
    let wanted = comparison.rollout.spec.minimum.exposures;
    let arms = [
        (comparison.control_name(), comparison.decided(Side::Control)),
        (comparison.arm_name(), comparison.decided(Side::Arm)),
    ];
    arms.into_iter()
        .filter(move |&(_, exposures)| exposures < wanted)
        .map(move |(name, exposures)| {
            format!("{name} had {exposures} of at least {wanted} requests")
        })
}
