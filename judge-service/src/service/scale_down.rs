//! When an arm's servers may be taken away: never before the last worker has stopped
//! sending them requests.

use super::delivery::Convergence;
use crate::books::Entry;
use crate::domain::sums::ArmSums;
use crate::domain::{Millis, Phase};
use schemars::JsonSchema;
use serde::Serialize;

/// Requests that an Envoy took with it into the grave stay "under way" for ever; after
/// so long there are no others.
const DRAINED_MS: Millis = 300_000;

#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ScaleDown {
    pub safe: bool,
    pub why: String,
}

pub(super) fn of_arm(entry: &Entry, arm: usize, delivery: &Convergence, now: Millis) -> ScaleDown {
    match in_use(entry, arm).or_else(|| reached(entry, arm, delivery, now)) {
        Some(why) => ScaleDown { safe: false, why },
        None => ScaleDown {
            safe: true,
            why: "no plan sends it anybody, and every worker has that plan".to_owned(),
        },
    }
}

/// What the plan, or one that may come without a person, needs it for.
fn in_use(entry: &Entry, arm: usize) -> Option<String> {
    let rollout = &entry.rollout;
    let name = rollout.spec.arms.get(arm).map(|arm| arm.name.as_str())?;
    // Its requests go by the plan of the rollout that took its place.
    if rollout.phase == Phase::Superseded {
        return Some("the rollout that took this one's place knows".to_owned());
    }
    if rollout.baseline == name {
        return Some("it is what requests without an arm get".to_owned());
    }
    let epoch = rollout.epoch()?;
    let percent = |weights: &[u16]| f64::from(weights.get(arm).copied().unwrap_or(0)) / 100.0;
    if percent(&epoch.weights) > 0.0 {
        return Some(format!("it has {}% of users", percent(&epoch.weights)));
    }
    let mut splits = epoch.segments.iter();
    if let Some(split) = splits.find(|split| percent(&split.weights) > 0.0) {
        return Some(format!("it has users of the segment {}", split.name));
    }
    let mut segments = rollout.spec.segments.iter();
    if let Some(segment) = segments.find(|segment| segment.arm.as_deref() == Some(name))
        && !rollout.phase.is_taken_back()
        && !rollout.is_dropped(name)
    {
        return Some(format!("it has the segment {}", segment.name));
    }
    if !rollout.phase.is_over() && !rollout.is_dropped(name) {
        return Some(if arm == rollout.home_index() {
            "a rollback returns everybody to it: `finish` makes the new version permanent"
                .to_owned()
        } else {
            "a later step gives it users".to_owned()
        });
    }
    None
}

/// Whether requests may still reach it.
fn reached(entry: &Entry, arm: usize, delivery: &Convergence, now: Millis) -> Option<String> {
    let behind = delivery.workers - delivery.converged;
    if behind > 0 {
        return Some(format!("{behind} workers have not taken the plan yet"));
    }
    if delivery.silent > 0 {
        return Some(format!(
            "{} workers are silent, and may still send it requests",
            delivery.silent
        ));
    }
    let sums = entry.sums().iter().filter_map(|sums| sums.arms.get(arm));
    let under_way: u64 = sums.map(ArmSums::under_way).sum();
    let last_change = entry.rollout.epoch().map_or(0, |epoch| epoch.started_ms);
    (under_way > 0 && now.saturating_sub(last_change) < DRAINED_MS)
        .then(|| format!("{under_way} of its requests have not ended, as far as is known"))
}
