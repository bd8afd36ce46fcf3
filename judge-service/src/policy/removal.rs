//! Which arms are taken off: by evidence of harm, or because a worker's breaker did.

use crate::domain::{Bundle, MetricEvidence};

/// Arms that are surely worse than tolerated, in the order of the spec.
pub struct Removal {
    pub arms: Vec<String>,
    /// Why, the decisive ones first.
    pub words: Vec<String>,
}

/// `None` when no arm is to go.
pub fn removal(bundle: &Bundle, metrics: &[MetricEvidence]) -> Option<Removal> {
    let mut removal = Removal {
        arms: Vec::new(),
        words: Vec::new(),
    };
    for arm in bundle.rollout.on_trial() {
        let mut why = trips(bundle, arm);
        if why.is_empty() {
            why = surely_worse(metrics, arm);
        }
        if !why.is_empty() {
            removal.arms.push(arm.to_owned());
            removal.words.append(&mut why);
        }
    }
    (!removal.arms.is_empty()).then_some(removal)
}

/// Surely worse than tolerated, and surely within the margin: both can be true, and then
/// it is a person's choice.
pub fn acceptable(metrics: &[MetricEvidence]) -> Vec<String> {
    let harmed = metrics.iter().filter(|metric| metric.harmed);
    harmed.map(|metric| metric.words.clone()).collect()
}

/// The copy of the old version that the others are compared with was taken off by a
/// worker: its fault is not theirs, but there is nothing to compare them with.
pub fn control_tripped(bundle: &Bundle) -> Vec<String> {
    let rollout = &bundle.rollout;
    trips(bundle, rollout.arm_name(rollout.control_index()))
}

fn surely_worse(metrics: &[MetricEvidence], arm: &str) -> Vec<String> {
    let harmed = || {
        let of_arm = metrics.iter().filter(|metric| metric.arm == arm);
        of_arm.filter(|metric| metric.harmed)
    };
    if harmed().all(|metric| metric.within_margin == Some(true)) {
        return Vec::new();
    }
    harmed().map(|metric| metric.words.clone()).collect()
}

/// The first of them, and how many more: one incident trips each worker of a fleet.
fn trips(bundle: &Bundle, arm: &str) -> Vec<String> {
    let trips = bundle.sums.iter().flat_map(|sums| &sums.trips);
    let mut trips = trips.filter(|trip| trip.arm == arm);
    let Some(first) = trips.next() else {
        return Vec::new();
    };
    let others = match trips.count() {
        0 => String::new(),
        more => format!("; so did {more} more"),
    };
    // Once a version has won, it is the one that others are compared with.
    let rollout = &bundle.rollout;
    let beside = if rollout.baseline == arm {
        rollout.spec.baseline()
    } else {
        &rollout.baseline
    };
    vec![format!(
        "a worker's breaker took {arm}'s users back by itself: {} of the last {} requests on {arm} failed, and not on {beside}{others}",
        first.errors, first.finished,
    )]
}
