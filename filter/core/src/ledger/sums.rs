//! What one worker counted of a segment, or of the rest, since its last report.

use super::arm_index;
use super::causes::Causes;
use crate::histogram;
use crate::identity::UnitHash;
use crate::plan::compiled::{CompiledRollout, MAX_EDGES};
use crate::report::{
    ArmReport, FirstError, FirstOutcome, FirstSlow, LIST_LIMIT, NewUnit, RolloutReport, SlotRow,
};

/// The sums of one segment, or of the rest.
#[derive(Debug)]
pub struct SegmentLedger {
    pub index: Option<usize>,
    name: Option<String>,
    pub arms: Vec<ArmSums>,
    pub new_units: Vec<NewUnit>,
    first_outcomes: Vec<FirstOutcome>,
    first_errors: Vec<FirstError>,
    first_slow: Vec<FirstSlow>,
    pub fallbacks: Causes,
    /// Whether anything was counted since the last freeze.
    pub touched: bool,
}

#[derive(Debug)]
pub struct ArmSums {
    name: String,
    /// `None` until it was asked.
    pub cluster: Option<Option<String>>,
    slots: Vec<SlotSums>,
    histogram: Vec<u64>,
    pub local_replies: u64,
    pub disconnects: u64,
    pub samples_sent: u64,
    pub samples_dropped: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct SlotSums {
    pub exposures: u64,
    finished: u64,
    errors: u64,
    latency_sum_us: u64,
    over: [u64; MAX_EDGES],
}

/// Which of a unit's events were its first in the epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Firsts {
    /// Whether its first request failed.
    pub outcome: Option<bool>,
    pub error: bool,
    /// Latency edges exceeded, if more than ever before.
    pub slow: Option<u8>,
}

// === impl SegmentLedger ===

impl SegmentLedger {
    pub fn new(rollout: &CompiledRollout, index: Option<usize>) -> Self {
        let segment = index.and_then(|index| rollout.segments.get(index));
        Self {
            index,
            name: segment.map(|segment| segment.name.clone()),
            arms: rollout.arms.iter().map(|name| ArmSums::new(name)).collect(),
            new_units: Vec::new(),
            first_outcomes: Vec::new(),
            first_errors: Vec::new(),
            first_slow: Vec::new(),
            fallbacks: Causes::default(),
            touched: false,
        }
    }

    pub fn slot(&mut self, arm: usize, slot: u8) -> Option<&mut SlotSums> {
        self.arms.get_mut(arm)?.slots.get_mut(usize::from(slot))
    }

    /// `level`: latency edges exceeded.
    pub fn finished(&mut self, arm: usize, slot: u8, error: bool, duration_us: u64, level: u8) {
        if let Some(sums) = self.slot(arm, slot) {
            sums.finished += 1;
            if error {
                sums.errors += 1;
            } else {
                // An error's duration says nothing: failing fast is not being fast.
                sums.latency_sum_us = sums.latency_sum_us.saturating_add(duration_us);
                for over in sums.over.iter_mut().take(usize::from(level)) {
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

    /// Lists a unit's first events, where they are its first.
    pub fn list(&mut self, unit: UnitHash, arm: usize, firsts: Firsts) {
        let arm = arm_index(arm);
        if let Some(failed) = firsts.outcome {
            self.first_outcomes.push(FirstOutcome(unit, arm, failed));
        }
        if firsts.error {
            self.first_errors.push(FirstError(unit, arm));
        }
        if let Some(level) = firsts.slow {
            self.first_slow.push(FirstSlow(unit, arm, level));
        }
    }

    pub fn take_report(&mut self) -> RolloutReport {
        let report = RolloutReport {
            segment: self.name.clone(),
            arms: self.arms.iter_mut().map(ArmSums::take_report).collect(),
            new_units: take(&mut self.new_units),
            first_outcomes: take(&mut self.first_outcomes),
            first_errors: take(&mut self.first_errors),
            first_slow: take(&mut self.first_slow),
            fallbacks: self.fallbacks.take(),
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
