//! Where a rollout stands.

use super::spec::{RolloutSpec, Step};
use super::{Delivered, Millis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serinus_core::allocation::Allocation;
use serinus_core::json::FieldError;
use std::collections::BTreeMap;

mod epoch;
mod moving;
mod phase;

pub use epoch::{EdgePair, Epoch, PromotionEdge, SegmentSplit, Thresholds, share_of};
pub use phase::Phase;

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Rollout {
    pub spec: RolloutSpec,
    /// SHA-256 of each arm's model, its description and its file, by arm.
    pub digests: BTreeMap<String, String>,
    /// SHA-256 of each arm's model file alone, by arm.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub file_digests: BTreeMap<String, String>,
    pub first_epoch: u64,
    /// The place in the plan of the rollout that it superseded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherited_place: Option<u64>,
    pub created_ms: Millis,
    pub phase: Phase,
    pub phase_since_ms: Millis,
    /// Paused, since a person is to say yes to the next step.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub awaits_approval: bool,
    /// Index into the spec's steps.
    pub step: usize,
    pub step_since_ms: Millis,
    /// When it was last judged, give or take [`JUDGED_EVERY_MS`].
    #[serde(default)]
    pub judged_ms: Millis,
    /// Time of the step in which no judge looked, or in which a clock was set forward: it
    /// counts for no minimum, no deadline and no watch.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub not_judged_ms: Millis,
    /// The arm that unassigned requests get: the spec's baseline, and after the
    /// promotion the new version.
    pub baseline: String,
    /// Arms that were taken off while the others went on, and when.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, Millis>,
    /// A person has switched sampling off.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub sampling_off: bool,
    /// When the answers that were sampled until then were to be forgotten; no evidence has
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgot_answers_ms: Option<Millis>,
    /// Its buckets of its layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_part: Option<super::layers::Part>,
    /// How decisions reached the workers, by their numbers; no evidence has it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub delivered: BTreeMap<u64, Delivered>,
    /// Keys under which people's deeds were done, the newest last; no evidence has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<UsedKey>,
    /// Up to which decision each webhook was told; no evidence has it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub told: BTreeMap<String, u64>,
    /// All epochs, oldest first; the last one is now.
    pub epochs: Vec<Epoch>,
}

/// How exactly it is known when a rollout was last judged: each time is a write.
const JUDGED_EVERY_MS: Millis = 10_000;
/// Between two looks of a judge that is restarted, or of one and the next.
const LONGEST_LOOK_MS: Millis = 60_000;

fn is_nothing(millis: &Millis) -> bool {
    *millis == 0
}

/// A caller's key of something that was done, so that it is not done twice.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct UsedKey {
    pub key: String,
    /// SHA-256 of what was asked, in hex.
    pub content: String,
}

/// Whoever asks again does so within minutes: far fewer deeds come between.
const KEYS: usize = 64;

// === impl Rollout ===

impl Rollout {
    /// A deed was done under this key.
    pub fn use_key(&mut self, key: UsedKey) {
        if self.keys.len() >= KEYS {
            self.keys.remove(0);
        }
        self.keys.push(key);
    }

    /// A judge looks at it: time can end a minimum, a deadline or a watch only as far as it
    /// was looked at meanwhile, by whatever clock. True when it is time to store that.
    pub fn looked_at(&mut self, now: Millis) -> bool {
        let gap = now.abs_diff(self.judged_ms);
        if gap < JUDGED_EVERY_MS {
            return false;
        }
        if now < self.judged_ms {
            // A clock that had been set forward is set right.
            self.not_judged_ms = self.not_judged_ms.saturating_sub(gap);
        } else if self.judged_ms > 0 && gap > LONGEST_LOOK_MS {
            let in_step = now.saturating_sub(self.judged_ms.max(self.step_since_ms));
            self.not_judged_ms = self.not_judged_ms.saturating_add(in_step);
        }
        self.judged_ms = now;
        true
    }

    /// How long the step has lasted under a judge's eyes.
    #[must_use]
    pub fn step_lasted_ms(&self, now: Millis) -> Millis {
        let lasted = now.saturating_sub(self.step_since_ms);
        lasted.saturating_sub(self.not_judged_ms)
    }

    /// How long the phase has; no phase that lasts is older than its step.
    #[must_use]
    pub fn phase_lasted_ms(&self, now: Millis) -> Millis {
        let lasted = now.saturating_sub(self.phase_since_ms);
        lasted.saturating_sub(self.not_judged_ms)
    }

    /// Its epochs count from `first_epoch`: a report names a rollout by id and epoch,
    /// and must not be taken for one of a later rollout of the same id. It waits where
    /// an arm says how it shows that it is ready.
    ///
    /// # Errors
    /// A first step whose weights do not make sense; [`super::check::check`] finds those too.
    pub fn start(
        spec: RolloutSpec,
        digests: BTreeMap<String, String>,
        first_epoch: u64,
        now: Millis,
    ) -> Result<Self, FieldError> {
        let mut rollout = Self {
            baseline: spec.baseline().to_owned(),
            first_epoch,
            inherited_place: None,
            spec,
            digests,
            file_digests: BTreeMap::new(),
            created_ms: now,
            phase: Phase::Running,
            phase_since_ms: now,
            awaits_approval: false,
            step: 0,
            step_since_ms: now,
            judged_ms: now,
            not_judged_ms: 0,
            dropped: BTreeMap::new(),
            sampling_off: false,
            forgot_answers_ms: None,
            layer_part: None,
            delivered: BTreeMap::new(),
            keys: Vec::new(),
            told: BTreeMap::new(),
            epochs: Vec::new(),
        };
        if rollout.spec.arms.iter().any(|arm| arm.ready.is_some()) {
            // What cannot begin is refused now, and not when its versions are ready.
            rollout.split(0, rollout.spec.holdback_percent)?;
            let everybody = Allocation::whole(rollout.home_index());
            rollout.push_epoch(everybody, Vec::new(), None, now);
            rollout.set_phase(Phase::Waiting, now);
        } else {
            rollout.enter_step(0, now)?;
        }
        Ok(rollout)
    }

    /// Its place in the plan, where the first rollout that matches has a request:
    /// later ones come later, but for one that took another's place.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.inherited_place.unwrap_or(self.first_epoch)
    }

    #[must_use]
    pub fn arm_index(&self, name: &str) -> Option<usize> {
        self.spec.arm_index(name)
    }

    /// The arm that all others are compared with. Once the new version is promoted
    /// that is the baseline, of which a part may be held back.
    #[must_use]
    pub fn control_index(&self) -> usize {
        match self.phase {
            Phase::Promoted | Phase::Finished => self.home_index(),
            _ => self.arm_index(self.spec.control()).unwrap_or_default(),
        }
    }

    /// The arm that a rollback returns everybody to.
    #[must_use]
    pub fn home_index(&self) -> usize {
        self.arm_index(self.spec.baseline()).unwrap_or_default()
    }

    /// Empty for an index of none.
    #[must_use]
    pub fn arm_name(&self, arm: usize) -> &str {
        let arm = self.spec.arms.get(arm);
        arm.map_or("", |arm| arm.name.as_str())
    }

    /// The spec's step that it is in.
    #[must_use]
    pub fn current_step(&self) -> Option<&Step> {
        self.spec.steps.get(self.step)
    }

    /// Whether nobody has the new version yet, at a step that only looks.
    #[must_use]
    pub fn is_only_looking(&self) -> bool {
        self.current_step()
            .is_some_and(|step| self.spec.is_look_step(step))
    }

    #[must_use]
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epochs.last()
    }

    /// The epochs of the current step, oldest first.
    pub fn step_epochs(&self) -> impl Iterator<Item = &Epoch> + Clone {
        self.epochs.iter().filter(|epoch| epoch.step == self.step)
    }

    #[must_use]
    pub fn is_last_step(&self) -> bool {
        self.step + 1 >= self.spec.steps.len()
    }

    /// Whether what its arms do is compared: while it runs, and against those held back after
    /// it. Without a control nothing is judged, and so nothing measured, listed or sampled.
    #[must_use]
    pub fn is_tested(&self) -> bool {
        let is_watched = self.phase == Phase::Promoted && self.spec.holdback_percent > 0.0;
        self.phase.is_live() || is_watched
    }

    /// Whether sampled requests and answers are looked at.
    #[must_use]
    pub fn takes_samples(&self) -> bool {
        !self.sampling_off && !self.phase.is_over()
    }
}

#[cfg(test)]
pub(crate) mod tests;
