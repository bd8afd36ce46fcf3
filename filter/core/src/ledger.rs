//! What one worker counted and has not yet been acknowledged for.
//!
//! The ledger belongs to the VM: it survives plans and root contexts. Its size
//! is bounded by the plan (rollouts x arms x slots) and by [`crate::memory`].

mod causes;
mod flight;
mod sums;
mod tally;
#[cfg(test)]
mod tests;

pub use causes::Causes;
pub use flight::{Flight, FlightId};
pub use tally::Tally;

use crate::breaker::Breaker;
use crate::decision::{Breakers, Decision, Placement};
use crate::identity::{UnitHash, unit_in_segment};
use crate::memory::FirstEvents;
use crate::plan::Revision;
use crate::plan::compiled::{CompiledPlan, CompiledRollout};
use crate::report::{self, BreakerReport, NewUnit, Report, RolloutReport};
use flight::Flights;
use std::rc::Rc;
use sums::{Firsts, SegmentLedger};

#[derive(Debug)]
pub struct Ledger {
    session: String,
    sequence: u64,
    frozen: Option<Frozen>,
    rollouts: Vec<RolloutLedger>,
    flights: Flights,
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
    Finished { error: bool },
    /// Envoy answered by itself, and the upstream is not to blame.
    LocalReply,
    /// The client went away.
    Disconnected,
}

/// Where a randomised request counts.
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
    id: Rc<str>,
    epoch: u64,
    arms: Vec<String>,
    memory: FirstEvents,
    breaker: Breaker,
    trip_to_report: Option<BreakerReport>,
    /// Those that had a request, in the order in which they first had one.
    segments: Vec<SegmentLedger>,
    tally: Tally,
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
            flights: Flights::default(),
        }
    }

    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// Counts a decision, and names the request until it ends; `None` for one that is
    /// not randomised. The clock is read only for one that is.
    pub fn begin(&mut self, decision: &Decision, now_us: impl FnOnce() -> u64) -> Option<FlightId> {
        let Decision {
            ref rollout,
            segment,
            arm,
            placement,
            shadow: _,
            set_cookie: _,
        } = *decision;
        let ledger = self.rollout(rollout);
        match placement {
            Placement::Fallback(cause) => {
                ledger.tally.fallbacks.count(cause);
                let sums = ledger.segment(rollout, segment);
                sums.fallbacks.count(cause);
                None
            }
            Placement::Randomised { unit, slot } => {
                ledger.tally.exposed(arm);
                let first = ledger.memory.exposed(unit, rollout.new_unit_share);
                let sums = ledger.segment(rollout, segment);
                if first {
                    sums.new_units.push(NewUnit(unit, arm_index(arm)));
                }
                if let Some(sums) = sums.slot(arm, slot) {
                    sums.exposures += 1;
                }
                let exposure = Exposure {
                    segment,
                    arm,
                    unit,
                    slot,
                    first,
                };
                Some(self.flights.begin(rollout, exposure, now_us()))
            }
        }
    }

    #[must_use]
    pub fn flight(&self, id: FlightId) -> Option<&Flight> {
        self.flights.get(id)
    }

    pub fn flight_mut(&mut self, id: FlightId) -> Option<&mut Flight> {
        self.flights.get_mut(id)
    }

    /// Counts how a randomised request ended, under the epoch it was decided in.
    /// Returns the request, and whether it opened the breaker.
    pub fn end(&mut self, id: FlightId, ending: Ending, now_us: u64) -> Option<(Flight, bool)> {
        let flight = self.flights.end(id)?;
        let rollout = &flight.rollout;
        let ledger = self.rollout(rollout);
        let tripped = match ending {
            Ending::Finished { error } => {
                ledger.finished(rollout, &flight, error, now_us);
                ledger.broke(rollout, flight.exposure, error, now_us)
            }
            Ending::Disconnected => {
                ledger.slow(rollout, flight.exposure, flight.level(now_us));
                let arm = ledger.arm(rollout, flight.exposure);
                if let Some(arm) = arm {
                    arm.disconnects += 1;
                }
                false
            }
            Ending::LocalReply => {
                if let Some(arm) = ledger.arm(rollout, flight.exposure) {
                    arm.local_replies += 1;
                }
                false
            }
        };
        Some((flight, tripped))
    }

    /// Lists those requests under way that are slow by now: a version that hangs is
    /// seen at the threshold, and not when its requests time out.
    pub fn look_at_flights(&mut self, now_us: u64) {
        for (rollout, exposure, level) in self.flights.newly_slow(now_us) {
            self.rollout(&rollout).slow(&rollout, exposure, level);
        }
    }

    /// Notes which cluster serves an arm. It is asked once an epoch, since asking
    /// costs more than all else that a request needs.
    pub fn served_by(
        &mut self,
        rollout: &CompiledRollout,
        exposure: Exposure,
        cluster: impl FnOnce() -> Option<String>,
    ) {
        if let Some(arm) = self.rollout(rollout).arm(rollout, exposure) {
            arm.cluster.get_or_insert_with(cluster);
        }
    }

    /// Counts a chosen sample as sent or dropped.
    pub fn sampled(&mut self, rollout: &CompiledRollout, exposure: Exposure, sent: bool) {
        let ledger = self.rollout(rollout);
        let count = |sum: &mut u64, dropped: &mut u64| *(if sent { sum } else { dropped }) += 1;
        count(
            &mut ledger.tally.samples_queued,
            &mut ledger.tally.samples_dropped,
        );
        if let Some(arm) = ledger.arm(rollout, exposure) {
            count(&mut arm.samples_sent, &mut arm.samples_dropped);
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

    /// Takes what operators are to see: for each rollout its id, the names of its
    /// arms, and what happened since.
    pub fn take_tallies(&mut self, mut take: impl FnMut(&str, &[String], Tally)) {
        for ledger in &mut self.rollouts {
            if !ledger.tally.is_empty() {
                take(&ledger.id, &ledger.arms, core::mem::take(&mut ledger.tally));
            }
        }
    }

    /// Arms whose breaker is open now, as rollout and arm.
    pub fn open_breakers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rollouts.iter().filter_map(|ledger| {
            let trip = ledger.breaker.tripped()?;
            Some((&*ledger.id, ledger.arms.get(trip.arm)?.as_str()))
        })
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
                || !ledger.tally.is_empty()
                || plan
                    .is_some_and(|plan| plan.rollouts.iter().any(|rollout| ledger.is_of(rollout)))
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
            .position(|ledger| ledger.is_of(rollout));
        let index = found.unwrap_or(self.rollouts.len());
        if found.is_none() {
            self.rollouts.push(RolloutLedger::new(rollout));
        }
        // The index is that of an element just found or pushed.
        #[allow(clippy::indexing_slicing)]
        let ledger = &mut self.rollouts[index];
        // A later plan's copy of the id is the one that is asked for from here on.
        if !Rc::ptr_eq(&ledger.id, &rollout.id) {
            ledger.id = Rc::clone(&rollout.id);
        }
        ledger
    }
}

impl Breakers for Ledger {
    fn tripped(&self, rollout: &CompiledRollout) -> Option<usize> {
        self.rollouts
            .iter()
            .find(|ledger| ledger.is_of(rollout))
            .and_then(|ledger| ledger.breaker.tripped())
            .map(|trip| trip.arm)
    }
}

// === impl RolloutLedger ===

impl RolloutLedger {
    fn new(rollout: &CompiledRollout) -> Self {
        Self {
            id: Rc::clone(&rollout.id),
            epoch: rollout.epoch,
            arms: rollout.arms.clone(),
            memory: FirstEvents::default(),
            breaker: Breaker::default(),
            trip_to_report: None,
            segments: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Asked several times for each request, of the same copy of the id nearly always:
    /// a byte compared costs a dozen instructions in the VM.
    fn is_of(&self, rollout: &CompiledRollout) -> bool {
        self.epoch == rollout.epoch && (Rc::ptr_eq(&self.id, &rollout.id) || self.id == rollout.id)
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

    fn arm(&mut self, rollout: &CompiledRollout, exposure: Exposure) -> Option<&mut sums::ArmSums> {
        self.segment(rollout, exposure.segment)
            .arms
            .get_mut(exposure.arm)
    }

    fn finished(&mut self, rollout: &CompiledRollout, flight: &Flight, error: bool, now_us: u64) {
        let Exposure {
            segment,
            arm,
            unit,
            slot,
            first,
        } = flight.exposure;
        let level = flight.level(now_us);
        let share = rollout.event_share;
        let there = unit_in_segment(unit, segment);
        let firsts = Firsts {
            outcome: first.then_some(error),
            error: error && self.memory.failed(there, share),
            slow: self.memory.slowed(there, share, level).then_some(level),
        };
        let sums = self.segment(rollout, segment);
        sums.finished(arm, slot, error, flight.duration_us(now_us), level);
        sums.list(unit, arm, firsts);
    }

    /// A request was slower than `level` latency edges, however it ends or ended.
    fn slow(&mut self, rollout: &CompiledRollout, exposure: Exposure, level: u8) {
        let Exposure {
            unit, arm, segment, ..
        } = exposure;
        let there = unit_in_segment(unit, segment);
        if self.memory.slowed(there, rollout.event_share, level) {
            let firsts = Firsts {
                slow: Some(level),
                ..Firsts::default()
            };
            self.segment(rollout, exposure.segment)
                .list(unit, arm, firsts);
        }
    }

    /// Whether this ending opened the breaker.
    fn broke(
        &mut self,
        rollout: &CompiledRollout,
        Exposure { arm, slot, .. }: Exposure,
        error: bool,
        now_us: u64,
    ) -> bool {
        let Some(settings) = &rollout.breaker else {
            return false;
        };
        let trip = self
            .breaker
            .finished(settings, rollout.baseline, (arm, slot), error, now_us);
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
                rollout: self.id.as_ref().to_owned(),
                epoch: self.epoch,
                breaker: self.trip_to_report.take(),
                ..segment.take_report()
            })
            .collect()
    }
}

/// A plan has at most 16 arms, so the index fits.
fn arm_index(arm: usize) -> u8 {
    u8::try_from(arm).unwrap_or(u8::MAX)
}
