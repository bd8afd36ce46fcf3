//! What one worker counted and has not yet been acknowledged for.
//!
//! The ledger belongs to the VM: it survives plans and root contexts. Its size
//! is bounded by the plan (rollouts x arms x slots) and by [`crate::memory`].

#[cfg(test)]
mod tests;

use crate::breaker::Breaker;
use crate::decision::{Breakers, Decision, Fallback, Placement};
use crate::histogram;
use crate::identity::UnitHash;
use crate::memory::FirstEvents;
use crate::plan::Revision;
use crate::plan::compiled::{CompiledPlan, CompiledRollout, MAX_EDGES};
use crate::report::{
    self, ArmReport, BreakerReport, FirstError, FirstOutcome, FirstSlow, LIST_LIMIT, NewUnit,
    Report, RolloutReport, SlotRow,
};
use std::collections::BTreeMap;

#[derive(Debug)]
pub struct Ledger {
    session: String,
    sequence: u64,
    frozen: Option<Frozen>,
    rollouts: Vec<RolloutLedger>,
}

/// A report on its way: these bytes, until the judge answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    pub sequence: u64,
    pub bytes: Vec<u8>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The upstream answered, or failed to (`error`).
    Finished { error: bool, duration_us: u64 },
    /// Envoy answered by itself, and the upstream is not to blame.
    LocalReply,
    /// The client went away.
    Disconnected,
}

/// One randomised request in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposure {
    pub segment: Option<usize>,
    pub arm: usize,
    pub unit: UnitHash,
    pub slot: u8,
    /// Whether it is the unit's first in the epoch, as far as this worker knows.
    pub first: bool,
}

#[derive(Debug)]
struct RolloutLedger {
    id: String,
    epoch: u64,
    memory: FirstEvents,
    breaker: Breaker,
    trip_to_report: Option<BreakerReport>,
    /// Those that had a request, in the order in which they first had one.
    segments: Vec<SegmentLedger>,
}

/// The sums of one segment, or of the rest.
#[derive(Debug)]
struct SegmentLedger {
    index: Option<usize>,
    name: Option<String>,
    arms: Vec<ArmSums>,
    new_units: Vec<NewUnit>,
    first_outcomes: Vec<FirstOutcome>,
    first_errors: Vec<FirstError>,
    first_slow: Vec<FirstSlow>,
    fallbacks: BTreeMap<Fallback, u64>,
    /// Whether anything was counted since the last freeze.
    touched: bool,
}

#[derive(Debug)]
struct ArmSums {
    name: String,
    /// `None` until it was asked.
    cluster: Option<Option<String>>,
    slots: Vec<SlotSums>,
    histogram: Vec<u64>,
    local_replies: u64,
    disconnects: u64,
    samples_sent: u64,
    samples_dropped: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct SlotSums {
    exposures: u64,
    finished: u64,
    errors: u64,
    latency_sum_us: u64,
    over: [u64; MAX_EDGES],
}

// === impl Ledger ===

impl Ledger {
    /// `session` is 32 hex digits from the host's randomness.
    #[must_use]
    pub fn new(session: String) -> Self {
        Self {
            session,
            sequence: 0,
            frozen: None,
            rollouts: Vec::new(),
        }
    }

    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// Counts a decision, and says what to remember until the request ends;
    /// `None` for one that is not randomised.
    pub fn exposed(&mut self, decision: &Decision) -> Option<Exposure> {
        let Decision {
            ref rollout,
            segment,
            arm,
            placement,
            set_cookie: _,
        } = *decision;
        let ledger = self.rollout(rollout);
        match placement {
            Placement::Fallback(cause) => {
                let sums = ledger.segment(rollout, segment);
                *sums.fallbacks.entry(cause).or_default() += 1;
                None
            }
            Placement::Randomised { unit, slot } => {
                let first = ledger.memory.exposed(unit, rollout.new_unit_share);
                let sums = ledger.segment(rollout, segment);
                if first {
                    sums.new_units.push(NewUnit(unit, arm_index(arm)));
                }
                if let Some(sums) = sums.slot(arm, slot) {
                    sums.exposures += 1;
                }
                Some(Exposure {
                    segment,
                    arm,
                    unit,
                    slot,
                    first,
                })
            }
        }
    }

    /// Counts how a randomised request ended, under the epoch it was decided in.
    /// Returns whether it opened the breaker.
    pub fn ended(
        &mut self,
        rollout: &CompiledRollout,
        exposure: Exposure,
        ending: Ending,
        now_us: u64,
    ) -> bool {
        let ledger = self.rollout(rollout);
        if let Ending::Finished { error, duration_us } = ending {
            return ledger.finished(rollout, exposure, error, duration_us, now_us);
        }
        let sums = ledger.segment(rollout, exposure.segment);
        if let Some(arm) = sums.arms.get_mut(exposure.arm) {
            match ending {
                Ending::LocalReply => arm.local_replies += 1,
                Ending::Disconnected => arm.disconnects += 1,
                Ending::Finished { .. } => {}
            }
        }
        false
    }

    /// Notes which cluster serves an arm. It is asked once an epoch, since asking
    /// costs more than all else that a request needs.
    pub fn served_by(
        &mut self,
        rollout: &CompiledRollout,
        exposure: Exposure,
        cluster: impl FnOnce() -> Option<String>,
    ) {
        let sums = self.rollout(rollout).segment(rollout, exposure.segment);
        if let Some(arm) = sums.arms.get_mut(exposure.arm) {
            arm.cluster.get_or_insert_with(cluster);
        }
    }

    /// Counts a chosen sample as sent or dropped.
    pub fn sampled(&mut self, rollout: &CompiledRollout, exposure: Exposure, sent: bool) {
        let sums = self.rollout(rollout).segment(rollout, exposure.segment);
        if let Some(arm) = sums.arms.get_mut(exposure.arm) {
            *(if sent {
                &mut arm.samples_sent
            } else {
                &mut arm.samples_dropped
            }) += 1;
        }
    }

    /// The report to send: the one that waits for its answer, or else a new one
    /// of all that was counted since; `None` when there is nothing to say.
    pub fn report(&mut self, plan: Option<&CompiledPlan>) -> Option<&Frozen> {
        if self.frozen.is_none() {
            self.freeze(plan);
        }
        self.frozen.as_ref()
    }

    /// The judge has counted the report with this number.
    pub fn acknowledged(&mut self, sequence: u64) {
        if self
            .frozen
            .as_ref()
            .is_some_and(|frozen| frozen.sequence == sequence)
        {
            self.frozen = None;
        }
    }

    fn freeze(&mut self, plan: Option<&CompiledPlan>) {
        let rollouts: Vec<RolloutReport> = self
            .rollouts
            .iter_mut()
            .flat_map(RolloutLedger::take_reports)
            .collect();
        // Epochs that no plan names any more are let go once they are reported.
        self.rollouts.retain(|ledger| {
            ledger.segments.iter().any(|segment| segment.touched)
                || plan.is_some_and(|plan| {
                    plan.rollouts
                        .iter()
                        .any(|rollout| rollout.epoch == ledger.epoch && rollout.id == ledger.id)
                })
        });
        if rollouts.is_empty() {
            return;
        }
        let report = Report {
            version: report::VERSION,
            session: self.session.clone(),
            sequence: self.sequence + 1,
            revision: plan.map(|plan| -> Revision { plan.revision }),
            rollouts,
        };
        // Maps have string keys and numbers are integers: serialisation cannot fail.
        if let Ok(bytes) = serde_json::to_vec(&report) {
            self.sequence += 1;
            self.frozen = Some(Frozen {
                sequence: self.sequence,
                bytes,
            });
        }
    }

    fn rollout(&mut self, rollout: &CompiledRollout) -> &mut RolloutLedger {
        let found = self
            .rollouts
            .iter()
            .position(|ledger| ledger.epoch == rollout.epoch && ledger.id == rollout.id);
        let index = found.unwrap_or(self.rollouts.len());
        if found.is_none() {
            self.rollouts.push(RolloutLedger::new(rollout));
        }
        // The index is that of an element just found or pushed.
        #[allow(clippy::indexing_slicing)]
        &mut self.rollouts[index]
    }
}

impl Breakers for Ledger {
    fn tripped(&self, rollout: &CompiledRollout) -> Option<usize> {
        self.rollouts
            .iter()
            .find(|ledger| ledger.epoch == rollout.epoch && ledger.id == rollout.id)
            .and_then(|ledger| ledger.breaker.tripped())
            .map(|trip| trip.arm)
    }
}

// === impl RolloutLedger ===

impl RolloutLedger {
    fn new(rollout: &CompiledRollout) -> Self {
        Self {
            id: rollout.id.clone(),
            epoch: rollout.epoch,
            memory: FirstEvents::default(),
            breaker: Breaker::default(),
            trip_to_report: None,
            segments: Vec::new(),
        }
    }

    /// The sums of a segment, which are touched by asking for them.
    fn segment(&mut self, rollout: &CompiledRollout, index: Option<usize>) -> &mut SegmentLedger {
        let found = self
            .segments
            .iter()
            .position(|segment| segment.index == index);
        let position = found.unwrap_or(self.segments.len());
        if found.is_none() {
            self.segments.push(SegmentLedger::new(rollout, index));
        }
        // The position is that of an element just found or pushed.
        #[allow(clippy::indexing_slicing)]
        let segment = &mut self.segments[position];
        segment.touched = true;
        segment
    }

    fn finished(
        &mut self,
        rollout: &CompiledRollout,
        exposure: Exposure,
        error: bool,
        duration_us: u64,
        now_us: u64,
    ) -> bool {
        let Exposure {
            segment,
            arm,
            unit,
            slot,
            first,
        } = exposure;
        let level = rollout
            .latency_edges_us
            .iter()
            .take_while(|&&edge| duration_us > edge)
            .count();
        let share = rollout.event_share;
        let first_error = error && self.memory.failed(unit, share);
        // At most MAX_EDGES, which fits.
        let first_slow = !error && self.memory.slowed(unit, share, level as u8);

        let sums = self.segment(rollout, segment);
        sums.finished(arm, slot, error, duration_us, level);
        let index = arm_index(arm);
        if first {
            sums.first_outcomes.push(FirstOutcome(unit, index, error));
        }
        if first_error {
            sums.first_errors.push(FirstError(unit, index));
        }
        if first_slow {
            sums.first_slow.push(FirstSlow(unit, index, level as u8));
        }
        let Some(settings) = &rollout.breaker else {
            return false;
        };
        let trip = self
            .breaker
            .finished(settings, rollout.baseline, arm, error, now_us);
        if let Some(trip) = trip {
            self.trip_to_report = Some(BreakerReport {
                arm: rollout.arm_name(trip.arm).to_owned(),
                finished: trip.finished,
                errors: trip.errors,
            });
        }
        trip.is_some()
    }

    /// A part for each segment that was touched; a trip goes with the first.
    fn take_reports(&mut self) -> Vec<RolloutReport> {
        let touched = self.segments.iter_mut().filter(|segment| segment.touched);
        touched
            .map(|segment| RolloutReport {
                rollout: self.id.clone(),
                epoch: self.epoch,
                breaker: self.trip_to_report.take(),
                ..segment.take_report()
            })
            .collect()
    }
}

// === impl SegmentLedger ===

impl SegmentLedger {
    fn new(rollout: &CompiledRollout, index: Option<usize>) -> Self {
        let segment = index.and_then(|index| rollout.segments.get(index));
        Self {
            index,
            name: segment.map(|segment| segment.name.clone()),
            arms: rollout.arms.iter().map(|name| ArmSums::new(name)).collect(),
            new_units: Vec::new(),
            first_outcomes: Vec::new(),
            first_errors: Vec::new(),
            first_slow: Vec::new(),
            fallbacks: BTreeMap::new(),
            touched: false,
        }
    }

    fn slot(&mut self, arm: usize, slot: u8) -> Option<&mut SlotSums> {
        self.arms.get_mut(arm)?.slots.get_mut(usize::from(slot))
    }

    /// `level`: latency edges exceeded.
    fn finished(&mut self, arm: usize, slot: u8, error: bool, duration_us: u64, level: usize) {
        if let Some(sums) = self.slot(arm, slot) {
            sums.finished += 1;
            if error {
                sums.errors += 1;
            } else {
                // An error's duration says nothing: failing fast is not being fast.
                sums.latency_sum_us = sums.latency_sum_us.saturating_add(duration_us);
                for over in sums.over.iter_mut().take(level) {
                    *over += 1;
                }
            }
        }
        if !error
            && let Some(arm) = self.arms.get_mut(arm)
            && let Some(count) = arm.histogram.get_mut(histogram::bucket_of(duration_us))
        {
            *count += 1;
        }
    }

    fn take_report(&mut self) -> RolloutReport {
        let report = RolloutReport {
            segment: self.name.clone(),
            arms: self.arms.iter_mut().map(ArmSums::take_report).collect(),
            new_units: take(&mut self.new_units),
            first_outcomes: take(&mut self.first_outcomes),
            first_errors: take(&mut self.first_errors),
            first_slow: take(&mut self.first_slow),
            fallbacks: core::mem::take(&mut self.fallbacks),
            ..RolloutReport::default()
        };
        self.touched = !(self.new_units.is_empty()
            && self.first_outcomes.is_empty()
            && self.first_errors.is_empty()
            && self.first_slow.is_empty());
        report
    }
}

// === impl ArmSums ===

impl ArmSums {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            cluster: None,
            slots: vec![SlotSums::default(); crate::bucket::SLOTS],
            histogram: vec![0; histogram::BUCKETS],
            local_replies: 0,
            disconnects: 0,
            samples_sent: 0,
            samples_dropped: 0,
        }
    }

    fn take_report(&mut self) -> ArmReport {
        let slots = (0u8..=255)
            .zip(self.slots.iter_mut())
            .filter(|(_, sums)| sums.exposures > 0 || sums.finished > 0)
            .map(|(slot, sums)| {
                let sums = core::mem::take(sums);
                let used = sums.over.iter().take_while(|&&count| count > 0).count();
                SlotRow(
                    slot,
                    sums.exposures,
                    sums.finished,
                    sums.errors,
                    sums.latency_sum_us,
                    sums.over.into_iter().take(used).collect(),
                )
            })
            .collect();
        let histogram = (0u16..)
            .zip(self.histogram.iter_mut())
            .filter(|(_, count)| **count > 0)
            .map(|(bucket, count)| (bucket, core::mem::take(count)))
            .collect();
        ArmReport {
            arm: self.name.clone(),
            cluster: self.cluster.clone().flatten(),
            slots,
            histogram,
            local_replies: core::mem::take(&mut self.local_replies),
            disconnects: core::mem::take(&mut self.disconnects),
            samples_sent: core::mem::take(&mut self.samples_sent),
            samples_dropped: core::mem::take(&mut self.samples_dropped),
        }
    }
}

/// The first entries of a list, as many as a report may have.
fn take<T>(list: &mut Vec<T>) -> Vec<T> {
    let rest = list.split_off(list.len().min(LIST_LIMIT));
    core::mem::replace(list, rest)
}

/// A plan has at most 16 arms, so the index fits.
fn arm_index(arm: usize) -> u8 {
    u8::try_from(arm).unwrap_or(u8::MAX)
}
