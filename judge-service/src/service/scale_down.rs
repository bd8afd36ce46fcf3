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

/// For so long after its start a judge does not know who is there: each worker's poll ends
/// within ten seconds, and one that found no judge asks again within half a minute.
const HEARS_ALL_MS: Millis = 60_000;

/// `since_ms` is when this judge began to hear of workers.
pub(super) fn of_arm(
    entry: &Entry,
    arm: usize,
    delivery: &Convergence,
    (since_ms, now): (Millis, Millis),
) -> ScaleDown {
    let unheard = || {
        (now.saturating_sub(since_ms) < HEARS_ALL_MS).then(|| {
            "this judge began less than a minute ago, and may not have heard of every worker"
                .to_owned()
        })
    };
    let why = in_use(entry, arm)
        .or_else(|| reached(entry, arm, delivery, now))
        .or_else(unheard);
    match why {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::tests::books;

    fn reached_by(workers: usize, converged: usize, silent: usize) -> Convergence {
        Convergence {
            revision: "1.2".to_owned(),
            workers,
            converged,
            silent,
            refused: 0,
            idle: 0,
            decided_to_last_worker_ms: None,
        }
    }

    #[test]
    fn servers_go_when_every_worker_is_known_to_have_left_them() {
        let mut books = books();
        let entry = books.entry_mut("digits").unwrap();
        entry.rollout.take_back(Phase::Aborted, 0);
        let late = HEARS_ALL_MS;
        for (delivery, now, arm, safe, words) in [
            (
                reached_by(4, 4, 0),
                late,
                1,
                true,
                "every worker has that plan",
            ),
            (
                reached_by(4, 3, 0),
                late,
                1,
                false,
                "1 workers have not taken",
            ),
            (reached_by(4, 4, 1), late, 1, false, "1 workers are silent"),
            (
                reached_by(4, 4, 0),
                late,
                0,
                false,
                "requests without an arm",
            ),
            // A judge that was started anew has heard of nobody.
            (
                reached_by(0, 0, 0),
                late - 1,
                1,
                false,
                "less than a minute ago",
            ),
            (
                reached_by(0, 0, 0),
                late,
                1,
                true,
                "every worker has that plan",
            ),
        ] {
            let found = of_arm(entry, arm, &delivery, (0, now));
            assert_eq!(found.safe, safe, "{delivery:?} at {now}: {}", found.why);
            assert!(found.why.contains(words), "{words}: {}", found.why);
        }
    }
}
