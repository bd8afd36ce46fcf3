//! Where a rollout stands, and how it moves. Every move starts a new epoch.

use super::check::weights;
use super::spec::{RolloutSpec, Step};
use super::{Delivered, Millis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serinus_core::allocation::{Allocation, Range};
use serinus_core::bucket::BUCKETS;
use serinus_core::json::FieldError;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Rollout {
    pub spec: RolloutSpec,
    /// SHA-256 of each arm's model, by arm.
    pub digests: BTreeMap<String, String>,
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
    /// The arm that unassigned requests get: the spec's baseline, and after the
    /// promotion the new version.
    pub baseline: String,
    /// Arms that were taken off while the others went on, and when.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, Millis>,
    /// A person has switched sampling off.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub sampling_off: bool,
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

/// A caller's key of something that was done, so that it is not done twice.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct UsedKey {
    pub key: String,
    /// SHA-256 of what was asked, in hex.
    pub content: String,
}

/// Whoever asks again does so within minutes: far fewer deeds come between.
const KEYS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not ready: everybody is on the baseline until the first step can begin.
    Waiting,
    Running,
    /// Keeps its weights; only a rollback is still automatic.
    Paused,
    /// The new version has everybody but the holdback, against which it is watched.
    Promoted,
    /// The new version has everybody.
    Finished,
    RolledBack,
    Aborted,
    /// Another rollout took its place, and its users.
    Superseded,
}

/// A time in which allocation and latency edges did not change.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Epoch {
    pub epoch: u64,
    pub step: usize,
    pub started_ms: Millis,
    /// `[from, to, arm]` with the arm's index in the spec.
    pub allocation: Vec<(u16, u16, usize)>,
    /// Buckets of each arm.
    pub weights: Vec<u16>,
    /// Of the segments that are split by weights; none once it is taken back.
    #[serde(default)]
    pub segments: Vec<SegmentSplit>,
    /// `None` while latency is being learned.
    pub thresholds: Option<Thresholds>,
}

/// How one segment is split, as the whole epoch is.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct SegmentSplit {
    pub name: String,
    pub allocation: Vec<(u16, u16, usize)>,
    pub weights: Vec<u16>,
}

/// Latency edges in microseconds, ascending, and what each is for.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Thresholds {
    pub edges_us: Vec<u64>,
    /// At control's quantiles: a first answer above the edge is evidence of harm.
    /// The other arms' edge stands the tolerated slowdown above control's.
    pub tail: Vec<EdgePair>,
    /// For p50 and p95: the other arms' edge stands the margin above control's.
    pub promotion: Vec<PromotionEdge>,
}

/// Indices of edges: control's answers above one are compared with another arm's
/// above the other. An arm that is slower by no more than the ratio of the two
/// has no larger share above its edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct EdgePair {
    pub control: usize,
    pub arm: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct PromotionEdge {
    /// In percent, such as 95.
    pub percentile: u32,
    pub edges: EdgePair,
}

// === impl Phase ===

impl Phase {
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Running,
        Self::Paused,
        Self::Promoted,
        Self::Finished,
        Self::RolledBack,
        Self::Aborted,
        Self::Superseded,
    ];

    /// As the API and sentences write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Promoted => "promoted",
            Self::Finished => "finished",
            Self::RolledBack => "rolled_back",
            Self::Aborted => "aborted",
            Self::Superseded => "superseded",
        }
    }

    /// Whether requests are still split for a test.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// Whether nothing of it changes any more but by a person.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(
            self,
            Self::Finished | Self::RolledBack | Self::Aborted | Self::Superseded
        )
    }

    /// Whether everybody is back on the spec's baseline for good.
    #[must_use]
    pub fn is_taken_back(self) -> bool {
        matches!(self, Self::RolledBack | Self::Aborted | Self::Superseded)
    }
}

// === impl Epoch ===

impl Epoch {
    /// Buckets of each arm in a segment, or in the rest; `None` for a segment that
    /// is not split by weights.
    #[must_use]
    pub fn weights_of(&self, segment: Option<&str>) -> Option<&[u16]> {
        match segment {
            None => Some(&self.weights),
            Some(name) => self.split(name).map(|split| split.weights.as_slice()),
        }
    }

    /// Whether users are split as in another epoch, as a whole and in each segment.
    #[must_use]
    pub fn is_split_like(&self, other: &Self) -> bool {
        let mut segments = self.segments.iter().zip(&other.segments);
        self.weights == other.weights
            && self.segments.len() == other.segments.len()
            && segments.all(|(own, other)| own.name == other.name && own.weights == other.weights)
    }

    #[must_use]
    pub fn split(&self, segment: &str) -> Option<&SegmentSplit> {
        self.segments.iter().find(|split| split.name == segment)
    }
}

// === impl Rollout ===

impl Rollout {
    /// A deed was done under this key.
    pub fn use_key(&mut self, key: UsedKey) {
        if self.keys.len() >= KEYS {
            self.keys.remove(0);
        }
        self.keys.push(key);
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
            created_ms: now,
            phase: Phase::Running,
            phase_since_ms: now,
            awaits_approval: false,
            step: 0,
            step_since_ms: now,
            dropped: BTreeMap::new(),
            sampling_off: false,
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
        self.spec.arms.iter().position(|arm| arm.name == name)
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

    /// Goes to a step, and runs. One that leaves the baseline nothing but the holdback,
    /// and gives one new version the rest, is the end: that one is promoted. Where
    /// several share the users, they keep their weights.
    ///
    /// # Errors
    /// No such step, one whose weights do not make sense, or one that gives users only
    /// to arms that were dropped.
    pub fn enter_step(&mut self, step: usize, now: Millis) -> Result<(), FieldError> {
        self.tries_something(step)?;
        let (allocation, segments) = self.split(step, self.spec.holdback_percent)?;
        let weights = weights_in(&allocation, self.spec.arms.len());
        self.step = step;
        self.step_since_ms = now;
        self.push_epoch(allocation, segments, None, now);
        let rest = weights.get(self.home_index()).copied().unwrap_or_default();
        let served = |&arm: &usize| weights.get(arm).is_some_and(|&weight| weight > 0);
        let tried: Vec<usize> = (0..weights.len())
            .filter(|&arm| self.is_treatment(arm))
            .filter(served)
            .collect();
        if let [winner] = tried[..]
            && f64::from(rest) <= self.spec.holdback_percent * 100.0
        {
            // In a part of a layer it won those users only: the others were never asked.
            let whole = self.spec.layer.as_ref();
            let whole = whole.is_none_or(|layer| layer.percent >= 100.0);
            if whole {
                self.baseline = self.arm_name(winner).to_owned();
            }
            self.set_phase(Phase::Promoted, now);
        } else {
            self.set_phase(Phase::Running, now);
        }
        Ok(())
    }

    /// Who has which arm at a step, as a whole and in each segment that is split.
    fn split(
        &self,
        step: usize,
        holdback_percent: f64,
    ) -> Result<(Allocation, Vec<(String, Allocation)>), FieldError> {
        let Some(wanted) = self.spec.steps.get(step) else {
            return Err(FieldError::new(
                "steps",
                format!("have no step {}", step + 1),
            ));
        };
        let moved = |from: Allocation, step: &Step| {
            let weights = weights(&self.spec, step, holdback_percent)?;
            from.rebalanced(&self.without_dropped(weights))
                .map_err(|error| FieldError::new("weights", error.to_string()))
        };
        let mut segments = Vec::new();
        for segment in self.spec.segments.iter().filter(|own| own.arm.is_none()) {
            let own = segment.weights.as_ref().map(|own| Step {
                weights: own.clone(),
                ..Step::default()
            });
            // While it only looks, no segment has users on the new version either.
            let own = own.as_ref().filter(|_| !self.spec.is_look_step(wanted));
            let from = self.allocation_of(&segment.name);
            segments.push((segment.name.clone(), moved(from, own.unwrap_or(wanted))?));
        }
        Ok((moved(self.allocation(), wanted)?, segments))
    }

    /// The latency thresholds of the step are learned.
    pub fn learned(&mut self, thresholds: Thresholds, now: Millis) {
        self.push_epoch(
            self.allocation(),
            self.allocations_of_segments(),
            Some(thresholds),
            now,
        );
    }

    /// Goes on with epochs after `taken`: some up to there were given out that this
    /// rollout knows nothing of, and their reports are still to come.
    pub fn skip_epochs(&mut self, taken: u64, now: Millis) {
        self.restart_processes(now);
        if let Some(last) = self.epochs.last_mut() {
            last.epoch = last.epoch.max(taken.saturating_add(1));
        }
    }

    /// Starts the processes anew within the step.
    pub fn restart_processes(&mut self, now: Millis) {
        let thresholds = self.epoch().and_then(|epoch| epoch.thresholds.clone());
        self.push_epoch(
            self.allocation(),
            self.allocations_of_segments(),
            thresholds,
            now,
        );
    }

    /// Everything back to the baseline of the spec; `phase` is `RolledBack`,
    /// `Aborted` or `Superseded`.
    pub fn take_back(&mut self, phase: Phase, now: Millis) {
        let home = self.home_index();
        let weights: Vec<u16> = (0..self.spec.arms.len())
            .map(|arm| if arm == home { BUCKETS } else { 0 })
            .collect();
        let allocation = self
            .allocation()
            .rebalanced(&weights)
            .unwrap_or_else(|_| Allocation::whole(home));
        self.baseline = self.spec.baseline().to_owned();
        self.push_epoch(allocation, Vec::new(), None, now);
        self.set_phase(phase, now);
    }

    /// The holdback ends: everybody has the version that won.
    ///
    /// # Errors
    /// A step whose weights do not make sense, which none that was entered has.
    pub fn finish(&mut self, now: Millis) -> Result<(), FieldError> {
        let (allocation, segments) = self.split(self.step, 0.0)?;
        self.push_epoch(allocation, segments, None, now);
        self.set_phase(Phase::Finished, now);
        Ok(())
    }

    /// Whether sampled requests and answers are looked at.
    #[must_use]
    pub fn takes_samples(&self) -> bool {
        !self.sampling_off && !self.phase.is_over()
    }

    pub fn set_phase(&mut self, phase: Phase, now: Millis) {
        self.phase = phase;
        self.phase_since_ms = now;
        self.awaits_approval = false;
    }

    pub(super) fn allocation(&self) -> Allocation {
        self.restored(self.epoch().map(|epoch| epoch.allocation.as_slice()))
    }

    fn allocation_of(&self, segment: &str) -> Allocation {
        let split = self.epoch().and_then(|epoch| epoch.split(segment));
        self.restored(split.map(|split| split.allocation.as_slice()))
    }

    pub(super) fn allocations_of_segments(&self) -> Vec<(String, Allocation)> {
        let segments = self.epoch().into_iter().flat_map(|epoch| &epoch.segments);
        segments
            .map(|split| (split.name.clone(), self.restored(Some(&split.allocation))))
            .collect()
    }

    /// Before the first epoch everything is control's.
    fn restored(&self, ranges: Option<&[(u16, u16, usize)]>) -> Allocation {
        let ranges = ranges.map(|ranges| {
            ranges
                .iter()
                .map(|&(from, to, arm)| Range { from, to, arm })
                .collect::<Vec<_>>()
        });
        ranges
            .and_then(|ranges| Allocation::new(&ranges).ok())
            .unwrap_or_else(|| Allocation::whole(self.home_index()))
    }

    pub(super) fn push_epoch(
        &mut self,
        allocation: Allocation,
        segments: Vec<(String, Allocation)>,
        thresholds: Option<Thresholds>,
        now: Millis,
    ) {
        let epoch = self
            .epoch()
            .map_or(self.first_epoch, |epoch| epoch.epoch + 1);
        let arms = self.spec.arms.len();
        self.epochs.push(Epoch {
            epoch,
            step: self.step,
            started_ms: now,
            weights: weights_in(&allocation, arms),
            allocation: ranges_in(&allocation),
            segments: segments
                .into_iter()
                .map(|(name, allocation)| SegmentSplit {
                    name,
                    weights: weights_in(&allocation, arms),
                    allocation: ranges_in(&allocation),
                })
                .collect(),
            thresholds,
        });
    }
}

fn weights_in(allocation: &Allocation, arms: usize) -> Vec<u16> {
    (0..arms).map(|arm| allocation.buckets_of(arm)).collect()
}

fn ranges_in(allocation: &Allocation) -> Vec<(u16, u16, usize)> {
    let ranges = allocation.ranges().iter();
    ranges
        .map(|range| (range.from, range.to, range.arm))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::check::tests::{spec, spec_json};

    pub(crate) fn rollout() -> Rollout {
        Rollout::start(spec(&spec_json()).unwrap(), BTreeMap::new(), 1, 1_000).unwrap()
    }

    #[test]
    fn a_ramp_ends_in_a_promotion_with_the_new_baseline() {
        let mut rollout = rollout();
        assert_eq!(
            rollout.epoch().unwrap().allocation,
            [(0, 9000, 0), (9000, 10000, 1)]
        );
        for step in 1..4 {
            assert_eq!(
                (rollout.phase, rollout.baseline.as_str()),
                (Phase::Running, "control")
            );
            rollout.enter_step(step, 2_000).unwrap();
        }
        assert_eq!(
            (rollout.phase, rollout.baseline.as_str()),
            (Phase::Promoted, "canary")
        );
        assert_eq!(rollout.epoch().unwrap().epoch, 4);
        assert!(rollout.enter_step(4, 3_000).is_err());
    }

    #[test]
    fn a_segment_has_weights_of_its_own_or_those_of_the_step() {
        let mut document = spec_json();
        let when = serde_json::json!([{"header": "x-card"}]);
        document["segments"] = serde_json::json!([
            {"name": "half", "when": when, "weights": {"canary": 50}},
            {"name": "gold", "when": when, "arm": "control"},
            {"name": "same", "when": when},
        ]);
        let mut rollout =
            Rollout::start(spec(&document).unwrap(), BTreeMap::new(), 1, 1_000).unwrap();
        let weights = |rollout: &Rollout, segment| {
            let epoch = rollout.epoch().unwrap();
            epoch.weights_of(segment).map(<[u16]>::to_vec)
        };
        for (step, canary) in [(0, 1_000), (1, 2_500)] {
            rollout.enter_step(step, 2_000).unwrap();
            rollout.restart_processes(2_500);
            let of_step = Some(vec![10_000 - canary, canary]);
            assert_eq!(weights(&rollout, None), of_step);
            assert_eq!(weights(&rollout, Some("same")), of_step);
            assert_eq!(weights(&rollout, Some("half")), Some(vec![5_000, 5_000]));
            assert_eq!(weights(&rollout, Some("gold")), None);
        }
        rollout.take_back(Phase::RolledBack, 3_000);
        assert_eq!(weights(&rollout, Some("half")), None, "all are control's");
    }

    #[test]
    fn who_wins_a_part_of_a_layer_is_not_everybodys_baseline() {
        for (percent, baseline) in [(100, "canary"), (30, "control")] {
            let mut document = spec_json();
            document["layer"] = serde_json::json!({"name": "ranking", "percent": percent});
            let spec = spec(&document).unwrap();
            let mut rollout = Rollout::start(spec, BTreeMap::new(), 1, 1_000).unwrap();
            rollout.enter_step(3, 2_000).unwrap();
            assert_eq!(
                (rollout.phase, rollout.baseline.as_str()),
                (Phase::Promoted, baseline)
            );
        }
    }

    #[test]
    fn a_rollback_gives_everything_to_control() {
        let mut rollout = rollout();
        rollout.enter_step(1, 2_000).unwrap();
        rollout.take_back(Phase::RolledBack, 3_000);
        assert_eq!(rollout.epoch().unwrap().allocation, [(0, 10000, 0)]);
        assert_eq!(rollout.phase, Phase::RolledBack);
    }
}
