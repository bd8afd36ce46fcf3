//! Which arms are on trial, and what becomes of the rollout when one is dropped.

use super::Millis;
use super::rollout::{Phase, Rollout};
use super::spec::Step;
use serinus_core::allocation::Allocation;
use serinus_core::json::FieldError;

impl Rollout {
    /// Whether an arm is a new version: neither the baseline nor a copy of it.
    #[must_use]
    pub fn is_treatment(&self, arm: usize) -> bool {
        let mut treatments = self.spec.treatments();
        self.spec
            .arms
            .get(arm)
            .is_some_and(|arm| treatments.any(|known| known.name == arm.name))
    }

    /// Whether an arm is a new version that was not dropped.
    #[must_use]
    pub fn is_on_trial(&self, arm: usize) -> bool {
        self.is_treatment(arm) && !self.is_dropped(self.arm_name(arm))
    }

    #[must_use]
    pub fn is_dropped(&self, arm: &str) -> bool {
        self.dropped.contains_key(arm)
    }

    /// The names of the arms that are on trial.
    pub fn on_trial(&self) -> impl Iterator<Item = &str> {
        let arms = self.spec.treatments().map(|arm| arm.name.as_str());
        arms.filter(|arm| !self.is_dropped(arm))
    }

    /// Whether an arm has users now, in any segment that is split.
    #[must_use]
    pub fn has_users(&self, arm: usize) -> bool {
        self.epoch().is_some_and(|epoch| {
            let segments = epoch.segments.iter().map(|split| &split.weights);
            let all = segments.chain([&epoch.weights]);
            all.into_iter()
                .any(|weights| weights.get(arm).is_some_and(|&weight| weight > 0))
        })
    }

    /// Whether anything is still tried once these arms are dropped too: another one that
    /// has users, or that a later step gives some. A version that won and is taken off
    /// is the end, whatever else a segment may have.
    #[must_use]
    pub fn goes_on_without(&self, arms: &[String]) -> bool {
        let is_winner = |name: &String| {
            let weights = self.epoch().map(|epoch| epoch.weights.as_slice());
            let weight = weights.and_then(|weights| weights.get(self.arm_index(name)?));
            self.phase == Phase::Promoted && weight.is_some_and(|&weight| weight > 0)
        };
        let mut others = self
            .on_trial()
            .filter(|name| !arms.iter().any(|arm| arm == name));
        !arms.iter().any(is_winner)
            && others.any(|name| {
                let mut steps = self.spec.steps.iter().skip(self.step);
                self.arm_index(name).is_some_and(|arm| self.has_users(arm))
                    || steps.any(|step| gives_users(step, name))
            })
    }

    /// Whether a step still tries something: it sends copies alone, or gives users to an
    /// arm that was not dropped.
    ///
    /// # Errors
    /// It does not, with the arms that it was for.
    pub(super) fn tries_something(&self, step: usize) -> Result<(), FieldError> {
        let Some(wanted) = self.spec.steps.get(step) else {
            return Ok(());
        };
        let tried = self.on_trial().any(|arm| gives_users(wanted, arm));
        if tried || self.spec.is_look_step(wanted) {
            return Ok(());
        }
        let dropped: Vec<&str> = self.dropped.keys().map(String::as_str).collect();
        Err(FieldError::new(
            format!("steps[{step}].weights"),
            format!("give users to no arm but {}, dropped", dropped.join(", ")),
        ))
    }

    /// Whether the next step has an arm to try, as far as there is a next one.
    #[must_use]
    pub fn can_go_on(&self) -> bool {
        self.tries_something(self.step + 1).is_ok()
    }

    /// Takes arms off: the baseline gets their users, and all others stay where they are.
    /// Latency is as it was learned.
    pub fn drop_arms(&mut self, arms: &[String], now: Millis) {
        for arm in arms {
            self.dropped.entry(arm.clone()).or_insert(now);
        }
        let thresholds = self.epoch().and_then(|epoch| epoch.thresholds.clone());
        let whole = self.given_up(self.allocation());
        let segments = self.allocations_of_segments().into_iter();
        let segments = segments
            .map(|(name, allocation)| (name, self.given_up(allocation)))
            .collect();
        self.push_epoch(whole, segments, thresholds, now);
    }

    fn given_up(&self, from: Allocation) -> Allocation {
        let arms = 0..self.spec.arms.len();
        let weights = self.without_dropped(arms.map(|arm| from.buckets_of(arm)).collect());
        // The weights of an allocation add up to what it has, so this cannot fail.
        from.rebalanced(&weights).unwrap_or(from)
    }

    /// What dropped arms would have goes to the baseline.
    pub(super) fn without_dropped(&self, mut weights: Vec<u16>) -> Vec<u16> {
        let mut given_up = 0;
        for (arm, weight) in self.spec.arms.iter().zip(&mut weights) {
            if self.is_dropped(&arm.name) {
                given_up += core::mem::take(weight);
            }
        }
        if let Some(home) = weights.get_mut(self.home_index()) {
            *home += given_up;
        }
        weights
    }
}

fn gives_users(step: &Step, arm: &str) -> bool {
    step.weights.get(arm).is_some_and(|&percent| percent > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::tests::{spec, spec_json};
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn rollout(changes: Value) -> Rollout {
        let mut document = spec_json();
        document["arms"] = json!([{"name": "control"}, {"name": "canary"}, {"name": "third"}]);
        document["steps"] = json!([
            {"weights": {"canary": 10, "third": 20}},
            {"weights": {"canary": 40, "third": 40}},
            {"weights": {"canary": 100}},
        ]);
        for (key, value) in changes.as_object().unwrap() {
            document[key] = value.clone();
        }
        Rollout::start(spec(&document).unwrap(), BTreeMap::new(), 1, 1_000).unwrap()
    }

    fn names(arms: &[&str]) -> Vec<String> {
        arms.iter().map(|&arm| arm.to_owned()).collect()
    }

    fn arm_of(rollout: &Rollout, bucket: u16) -> usize {
        rollout.allocation().arm(bucket).unwrap()
    }

    #[test]
    fn who_had_a_dropped_arm_gets_the_baseline_and_nobody_else_moves() {
        let mut rollout = rollout(json!({}));
        let before = rollout.clone();
        rollout.drop_arms(&names(&["third"]), 2_000);
        assert_eq!(rollout.epoch().unwrap().weights, [9_000, 1_000, 0]);
        assert_eq!(rollout.epoch().unwrap().epoch, 2);
        for bucket in 0..10_000 {
            let (was, is) = (arm_of(&before, bucket), arm_of(&rollout, bucket));
            assert_eq!(is, if was == 2 { 0 } else { was }, "bucket {bucket}");
        }
        assert!(rollout.is_on_trial(1) && !rollout.is_on_trial(2));
        assert!(rollout.is_treatment(2), "late reports still name it");
        // What the next step would give it stays with the baseline.
        rollout.enter_step(1, 3_000).unwrap();
        assert_eq!(rollout.epoch().unwrap().weights, [6_000, 4_000, 0]);
        rollout.enter_step(2, 4_000).unwrap();
        assert_eq!(
            (rollout.phase, rollout.baseline.as_str()),
            (Phase::Promoted, "canary")
        );
    }

    #[test]
    fn a_segment_gives_it_up_too() {
        let when = json!([{"header": "x-card"}]);
        let mut rollout = rollout(json!({"segments": [
            {"name": "half", "when": when, "weights": {"third": 50}},
            {"name": "gold", "when": when, "arm": "third"},
        ]}));
        rollout.drop_arms(&names(&["third"]), 2_000);
        let weights = rollout.epoch().unwrap().weights_of(Some("half"));
        assert_eq!(weights, Some(&[10_000, 0, 0][..]));
        rollout.enter_step(1, 3_000).unwrap();
        let weights = rollout.epoch().unwrap().weights_of(Some("half"));
        assert_eq!(weights, Some(&[10_000, 0, 0][..]));
    }

    #[test]
    fn a_step_for_dropped_arms_alone_cannot_begin() {
        let mut rollout = rollout(json!({}));
        rollout.enter_step(1, 2_000).unwrap();
        assert!(rollout.can_go_on());
        rollout.drop_arms(&names(&["canary"]), 3_000);
        assert!(!rollout.can_go_on());
        let error = rollout.enter_step(2, 4_000).unwrap_err();
        assert_eq!(
            error.to_string(),
            "steps[2].weights: give users to no arm but canary, dropped"
        );
    }

    #[test]
    fn without_anything_left_to_try_it_is_the_end() {
        let mut rollout = rollout(json!({}));
        assert!(rollout.goes_on_without(&names(&["third"])));
        assert!(!rollout.goes_on_without(&names(&["third", "canary"])));
        rollout.drop_arms(&names(&["third"]), 2_000);
        assert!(!rollout.goes_on_without(&names(&["canary"])));
    }

    #[test]
    fn an_arm_whose_time_is_over_is_nothing_to_go_on_with() {
        let mut rollout = rollout(json!({"steps": [
            {"weights": {"canary": 10, "third": 10}},
            {"weights": {"canary": 50}},
        ]}));
        rollout.enter_step(1, 2_000).unwrap();
        assert!(!rollout.goes_on_without(&names(&["canary"])));
        assert!(rollout.goes_on_without(&names(&["third"])));
    }

    #[test]
    fn a_winner_that_is_taken_off_is_the_end() {
        let when = json!([{"header": "x-card"}]);
        let mut rollout = rollout(json!({
            "segments": [{"name": "half", "when": when, "weights": {"third": 50}}],
        }));
        rollout.enter_step(2, 2_000).unwrap();
        assert_eq!(rollout.phase, Phase::Promoted);
        assert!(rollout.goes_on_without(&names(&["third"])));
        assert!(!rollout.goes_on_without(&names(&["canary"])));
    }

    /// A/B/n: weights that stay have no winner.
    #[test]
    fn two_arms_that_share_all_users_are_not_promoted() {
        let mut rollout = rollout(json!({"steps": [{"weights": {"canary": 50, "third": 50}}]}));
        assert_eq!(
            (rollout.phase, rollout.baseline.as_str()),
            (Phase::Running, "control")
        );
        rollout.drop_arms(&names(&["third"]), 2_000);
        assert_eq!(rollout.epoch().unwrap().weights, [5_000, 5_000, 0]);
        assert_eq!(rollout.phase, Phase::Running);
    }
}
