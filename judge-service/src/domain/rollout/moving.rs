//! How a rollout moves. Every move starts a new epoch.

use super::{Epoch, Phase, Rollout, SegmentSplit, Thresholds};
use crate::domain::check::{holdback_buckets, weights};
use crate::domain::decision::Deed;
use crate::domain::spec::Step;
use crate::domain::{Action, Millis, Verdict};
use serinus_core::allocation::{Allocation, Range};
use serinus_core::bucket::BUCKETS;
use serinus_core::json::FieldError;

impl Rollout {
    /// Does what a verdict says; `None` when it says nothing, or that cannot be done.
    pub fn follow(&mut self, verdict: &Verdict, now: Millis) -> Option<Deed> {
        match verdict.action {
            Action::Hold => {}
            Action::Start => self.enter_step(self.step, now).ok()?,
            Action::Promote => self.enter_step(self.step + 1, now).ok()?,
            Action::RollBack => self.take_back(Phase::RolledBack, now),
            Action::Drop => self.drop_arms(&verdict.drops, now),
            Action::Pause => {
                self.set_phase(Phase::Paused, now);
                self.awaits_approval = verdict.asks_for_approval;
            }
            Action::Finish => self.finish(now).ok()?,
        }
        Deed::of(verdict.action)
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
        self.not_judged_ms = 0;
        self.push_epoch(allocation, segments, None, now);
        let rest = weights.get(self.home_index()).copied().unwrap_or_default();
        let served = |&arm: &usize| weights.get(arm).is_some_and(|&weight| weight > 0);
        let tried: Vec<usize> = (0..weights.len())
            .filter(|&arm| self.is_treatment(arm))
            .filter(served)
            .collect();
        if let [winner] = tried[..]
            && rest <= holdback_buckets(self.spec.holdback_percent)
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
    pub(super) fn split(
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

    pub fn set_phase(&mut self, phase: Phase, now: Millis) {
        self.phase = phase;
        self.phase_since_ms = now;
        self.awaits_approval = false;
    }

    pub(in crate::domain) fn allocation(&self) -> Allocation {
        self.restored(self.epoch().map(|epoch| epoch.allocation.as_slice()))
    }

    fn allocation_of(&self, segment: &str) -> Allocation {
        let split = self.epoch().and_then(|epoch| epoch.split(segment));
        self.restored(split.map(|split| split.allocation.as_slice()))
    }

    pub(in crate::domain) fn allocations_of_segments(&self) -> Vec<(String, Allocation)> {
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

    pub(in crate::domain) fn push_epoch(
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
