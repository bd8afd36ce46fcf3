//! What a report says of single users: who was seen, failed or waited for the first time.

use crate::domain::sums::{ArmSums, EpochSums};
use crate::domain::units::{UnitRecord, Units, mark};
use serinus_core::identity::{UnitHash, unit_in_segment};
use serinus_core::plan::compiled::MAX_EDGES;
use serinus_core::report::{FirstError, FirstOutcome, FirstSlow, NewUnit};

/// The users of a rollout, with the sums that one part of a report adds to.
pub struct Users<'a> {
    pub units: &'a mut Units,
    /// Whose records changed.
    pub dirty: &'a mut Vec<UnitHash>,
    pub sums: &'a mut EpochSums,
    /// From the arms of the report to those of the spec.
    pub arms: &'a [usize],
    pub epoch: u64,
    /// Index of the segment that the part is of, where it is one that is judged alone.
    pub segment: Option<usize>,
}

impl Users<'_> {
    pub fn seen(&mut self, users: &[NewUnit]) {
        for user in users {
            let (never, marked) = self.units.update(user.0, |record| {
                (record.exposed == 0, mark(&mut record.exposed, self.epoch))
            });
            if marked.is_some() {
                self.dirty.push(user.0);
                if never && let Some(arm) = self.arm(user.1) {
                    arm.firsts.new_users += 1;
                }
            }
        }
    }

    /// How the first listed request of each ended.
    pub fn ended(&mut self, users: &[FirstOutcome]) {
        for user in users {
            if let Some(before) = self.mark(user.0, |record| &mut record.outcome)
                && let Some(arm) = self.arm(user.1)
            {
                let outcomes = arm.firsts.outcomes.entry(before).or_default();
                outcomes.count(user.2);
            }
        }
    }

    pub fn failed(&mut self, users: &[FirstError]) {
        for user in users {
            if let Some(before) = self.mark(user.0, |record| &mut record.failed)
                && let Some(arm) = self.arm(user.1)
            {
                *arm.firsts.errors.entry(before).or_default() += 1;
            }
            if let Some(there) = self.there(user.0)
                && let Some(before) = self.mark(there, |record| &mut record.failed)
                && let Some(arm) = self.arm(user.1)
            {
                *arm.in_segment.errors.entry(before).or_default() += 1;
            }
        }
    }

    pub fn waited(&mut self, users: &[FirstSlow]) {
        for user in users {
            for (edge, before) in self.slower(user.0, user.2) {
                if let Some(map) = self
                    .arm(user.1)
                    .and_then(|arm| arm.firsts.slow.get_mut(edge))
                {
                    *map.entry(before).or_default() += 1;
                }
            }
            let Some(there) = self.there(user.0) else {
                continue;
            };
            for (edge, before) in self.slower(there, user.2) {
                if let Some(arm) = self.arm(user.1) {
                    arm.in_segment.slower(edge, before);
                }
            }
        }
    }

    /// The user in the segment, if that is judged alone.
    fn there(&self, unit: UnitHash) -> Option<UnitHash> {
        self.segment.map(|index| unit_in_segment(unit, Some(index)))
    }

    /// The epoch in which the same was marked before; `None` if it was in this one.
    fn mark(
        &mut self,
        unit: UnitHash,
        of: impl FnOnce(&mut UnitRecord) -> &mut u32,
    ) -> Option<u64> {
        let epoch = self.epoch;
        let marked = self.units.update(unit, |record| mark(of(record), epoch));
        if marked.is_some() {
            self.dirty.push(unit);
        }
        marked
    }

    /// Edges that an answer was above for the first time, each with the epoch of before.
    fn slower(&mut self, unit: UnitHash, level: u8) -> impl Iterator<Item = (usize, u64)> + use<> {
        let epoch = self.epoch;
        let marked = self.units.update(unit, |record| {
            let mut marked = [None; MAX_EDGES];
            // An answer above a level is above all below it.
            let levels = record.slow.iter_mut().zip(&mut marked);
            for (last, marked) in levels.take(usize::from(level)) {
                *marked = mark(last, epoch);
            }
            marked
        });
        if marked.iter().any(Option::is_some) {
            self.dirty.push(unit);
        }
        let edges = marked.into_iter().enumerate();
        edges.filter_map(|(edge, before)| Some((edge, before?)))
    }

    /// The sums of the arm that a report's list names.
    fn arm(&mut self, listed: u8) -> Option<&mut ArmSums> {
        let arm = self.arms.get(usize::from(listed)).copied()?;
        self.sums.arms.get_mut(arm)
    }
}
