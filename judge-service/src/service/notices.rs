//! What a person should know and no verdict rests on.

use super::delivery::Convergence;
use crate::books::Entry;
use crate::domain::spec::{Expected, RolloutSpec};
use crate::domain::sums::{ArmSums, EpochSums};
use crate::domain::{Millis, Phase, Rollout};
use crate::forecast::segments::Seen;
use crate::forecast::{self, segments};

/// Before that a rate is noise.
const RATE_AFTER_MS: Millis = 60_000;

/// Of an arm's requests, in one of the 256 groups of its users, each of which should
/// have 0.4%.
const SKEWED: f64 = 0.2;
const SKEWED_FROM: u64 = 1_000;

/// Of all users: when as many had an error at a step, there are few left to learn from.
const SATURATED: f64 = 0.5;
const SATURATED_FROM: u64 = 100;

pub(super) fn notices(entry: &Entry, delivery: &Convergence, now: Millis) -> Vec<String> {
    let running = entry.rollout.phase == Phase::Running;
    let refused = (delivery.refused > 0).then(|| {
        format!(
            "{} workers refuse the plan, and go on by the one before: GET /v1/workers says why",
            delivery.refused
        )
    });
    let mut notices: Vec<String> = refused.into_iter().collect();
    if running {
        notices.extend(too_slow(entry, now));
        notices.extend(blind_segments(entry, now));
        notices.extend(skewed(entry));
        notices.extend(saturated(entry));
        notices.extend(thinned(entry));
    }
    if entry.rollout.phase == Phase::Promoted && entry.rollout.spec.holdback_percent <= 0.0 {
        notices.push(
            "nobody is held back, so harm would not be seen any more: `holdback_percent` keeps a control"
                .to_owned(),
        );
    }
    notices
}

/// A report that never came had all arms of its worker, so what is compared is as fair
/// without it; but there is less of it.
pub(super) fn lost(reports: u64) -> Option<String> {
    (reports > 0).then(|| {
        format!(
            "{reports} reports of workers never arrived since the judge started: what they counted is in no sum, in all arms alike"
        )
    })
}

/// The sums of an arm in the current step.
fn of_arm(entry: &Entry, arm: usize) -> impl Iterator<Item = &ArmSums> {
    let first = entry.rollout.step_epochs().next();
    let first = first.map_or(0, |epoch| epoch.epoch);
    let sums = entry.sums().iter().filter(move |sums| sums.epoch >= first);
    sums.filter_map(move |sums| sums.arms.get(arm))
}

/// A step that, at the rate of its traffic so far or of what is expected before that, ends
/// at its deadline undecided.
fn too_slow(entry: &Entry, now: Millis) -> Option<String> {
    let rollout = &entry.rollout;
    let elapsed = rollout.step_lasted_ms(now);
    if elapsed < RATE_AFTER_MS {
        let expected = rollout.spec.expected.as_ref()?;
        return forecast::too_slow(&without_dropped(rollout), rollout.step, expected);
    }
    let all = 0..rollout.spec.arms.len();
    let decided: u64 = all
        .flat_map(|arm| of_arm(entry, arm))
        .map(|sums| sums.exposures.iter().sum::<u64>())
        .sum();
    let Some(error_rate) = error_rate(entry).filter(|_| decided > 0) else {
        let point = rollout.spec.enforced_at.as_ref().map(|point| {
            format!(
                "; only filters whose `enforcement_point` is `{point}` decide them (`enforced_at`)"
            )
        });
        return Some(format!(
            "no request of the rollout was answered in the {} s of this step{}",
            elapsed / 1_000,
            point.unwrap_or_default()
        ));
    };
    // To two digits: what is shown is what is said to be measured.
    let rate = two_digits(decided as f64 / elapsed as f64 * 60_000.0);
    let measured = Expected {
        requests_per_minute: rate,
        error_rate,
        users_per_day: None,
    };
    forecast::too_slow(&without_dropped(rollout), rollout.step, &measured)
}

/// What a dropped arm would have needed is nobody's wait.
fn without_dropped(rollout: &Rollout) -> RolloutSpec {
    let mut spec = rollout.spec.clone();
    let steps = spec.steps.iter_mut().map(|step| &mut step.weights);
    let segments = spec.segments.iter_mut();
    let segments = segments.filter_map(|segment| segment.weights.as_mut());
    for weights in steps.chain(segments) {
        weights.retain(|arm, _| !rollout.is_dropped(arm));
    }
    spec
}

/// Segments whose traffic is too thin for their part of alpha: as measured, or before
/// that as expected, in equal parts.
fn blind_segments(entry: &Entry, now: Millis) -> Option<String> {
    let rollout = &entry.rollout;
    let spec = &without_dropped(rollout);
    let elapsed = rollout.step_lasted_ms(now);
    let names = spec.segments.iter().map(|segment| segment.name.as_str());
    let (seen, error_rate): (Vec<Seen<'_>>, f64) = if elapsed >= RATE_AFTER_MS {
        let in_step = |name: &str| {
            let own = rollout.step_epochs().map(|epoch| epoch.epoch);
            let first = own.min().unwrap_or_default();
            let sums = entry.sums().iter();
            let sums = sums.filter(move |sums| sums.epoch >= first);
            let sums = sums.filter(|sums| sums.segment.as_deref() == Some(name));
            sums.flat_map(|sums| &sums.arms)
                .map(ArmSums::decided)
                .sum::<u64>()
        };
        let rate = |decided: u64| decided as f64 / elapsed as f64 * 60_000.0;
        let seen = names.map(|name| Seen {
            name,
            requests_per_minute: rate(in_step(name)),
        });
        (seen.collect(), error_rate(entry)?)
    } else {
        let expected = spec.expected.as_ref()?;
        (
            segments::in_equal_parts(spec, expected),
            expected.error_rate,
        )
    };
    let step = spec.steps.get(rollout.step)?;
    segments::blind(spec, step, &seen, error_rate)
}

/// Control's in this step; `None` before it answered.
fn error_rate(entry: &Entry) -> Option<f64> {
    let control = entry.rollout.control_index();
    let sum = |of: fn(&ArmSums) -> &Vec<u64>| -> u64 {
        of_arm(entry, control)
            .map(|sums| of(sums).iter().sum::<u64>())
            .sum()
    };
    let (finished, errors) = (sum(|sums| &sums.finished), sum(|sums| &sums.errors));
    (finished > 0).then(|| two_digits(errors.max(1) as f64 / finished as f64).min(0.5))
}

fn two_digits(value: f64) -> f64 {
    format!("{value:.1e}").parse().unwrap_or(value)
}

/// A user, or a few, that send so much that what is measured is theirs.
fn skewed(entry: &Entry) -> Option<String> {
    let arms = entry.rollout.spec.arms.iter().enumerate();
    arms.filter_map(|(index, arm)| {
        let mut slots = vec![0u64; serinus_core::bucket::SLOTS];
        for sums in of_arm(entry, index) {
            for (slot, exposures) in slots.iter_mut().zip(&sums.exposures) {
                *slot += exposures;
            }
        }
        let all: u64 = slots.iter().sum();
        let most = slots.iter().copied().max().unwrap_or_default();
        let share = most as f64 / all.max(1) as f64;
        (all >= SKEWED_FROM && share > SKEWED).then(|| {
            format!(
                "one user, or a few, send {:.0}% of the requests of {}: its numbers are mostly theirs",
                share * 100.0,
                arm.name
            )
        })
    })
    .next()
}

/// Each user counts once: where most had an error, evidence of harm hardly grows.
fn saturated(entry: &Entry) -> Option<String> {
    if entry.rollout.spec.each_request() {
        return None;
    }
    let first = entry.rollout.step_epochs().next()?.epoch;
    let (erred, users) = erred_and_users(entry.sums(), first);
    let share = erred as f64 / users.max(1) as f64;
    (users >= SATURATED_FROM && share > SATURATED).then(|| {
        format!(
            "{:.0}% of all users had an error at this step, and each counts once, so evidence of harm grows little more: the interval of the difference counts every request",
            share.min(1.0) * 100.0
        )
    })
}

/// There are more users than are remembered.
fn thinned(entry: &Entry) -> Option<String> {
    let share = entry.counted_share();
    (share < 1.0).then(|| {
        format!(
            "more users came than are remembered: first events are counted of {:.3}% of them, in all arms alike",
            share * 100.0
        )
    })
}

/// Users with a first error since the epoch `first`, and all that were ever seen.
fn erred_and_users(sums: &[EpochSums], first: u64) -> (u64, u64) {
    let arms = sums.iter().flat_map(|sums| {
        let in_step = sums.epoch >= first;
        sums.arms.iter().map(move |arm| (in_step, &arm.firsts))
    });
    arms.fold((0, 0), |(erred, users), (in_step, firsts)| {
        let own: u64 = firsts.errors.range(..first).map(|(_, users)| users).sum();
        (
            erred + if in_step { own } else { 0 },
            users + firsts.new_users,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::tests::{spec, spec_json};
    use serde_json::json;
    use std::collections::BTreeMap;

    #[test]
    fn a_user_who_erred_twice_at_a_step_is_one() {
        let mut before = EpochSums::new(1, 2);
        before.arms[0].firsts.new_users = 100;
        before.arms[0].firsts.errors.insert(0, 40);
        let mut step = EpochSums::new(2, 2);
        step.arms[1].firsts.new_users = 20;
        // 30 of those who erred before, 10 for the first time.
        step.arms[1].firsts.errors.extend([(0, 10), (1, 30)]);
        let mut later = EpochSums::new(3, 2);
        later.arms[0].firsts.errors.extend([(0, 5), (2, 25)]);
        let sums = [before, step, later];
        assert_eq!(erred_and_users(&sums, 2), (45, 120));
        assert_eq!(erred_and_users(&sums, 1), (55, 120));
    }

    #[test]
    fn two_digits_are_enough() {
        assert_eq!(two_digits(40.4), 40.0);
        assert_eq!(two_digits(0.012_34), 0.012);
        assert_eq!(two_digits(123_456.0), 120_000.0);
        assert_eq!(two_digits(0.304), 0.3);
        // What is rare is not never.
        assert_eq!(two_digits(1.0 / 3_000_000.0), 3.3e-7);
        assert_eq!(two_digits(1.43e-6), 1.4e-6);
        assert_eq!(two_digits(0.0), 0.0);
    }

    #[test]
    fn nobody_waits_for_an_arm_that_was_dropped() {
        let mut document = spec_json();
        document["arms"] = json!([{"name": "control"}, {"name": "a"}, {"name": "b"}]);
        document["steps"] = json!([{"weights": {"a": 10, "b": 10}}]);
        let when = json!([{"header": "x"}]);
        document["segments"] = json!([{"name": "s", "when": when, "weights": {"a": 1, "b": 50}}]);
        let spec = spec(&document).unwrap();
        let mut rollout = Rollout::start(spec, BTreeMap::new(), 1, 0).unwrap();
        rollout.drop_arms(&["a".to_owned()], 1);
        let left = without_dropped(&rollout);
        let arms = |weights: &BTreeMap<String, f64>| weights.keys().cloned().collect::<Vec<_>>();
        assert_eq!(arms(&left.steps[0].weights), ["b"]);
        assert_eq!(arms(left.segments[0].weights.as_ref().unwrap()), ["b"]);
        // An arm's part of alpha stays what it was.
        assert_eq!(left.arms, rollout.spec.arms);
    }
}
