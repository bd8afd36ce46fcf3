//! What a report says of single users: who was seen, failed or waited for the first time.

use crate::domain::sums::{EpochSums, Firsts};
use crate::domain::units::{Units, mark};
use serinus_core::identity::UnitHash;
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
}

impl Users<'_> {
    pub fn seen(&mut self, users: &[NewUnit]) {
        for user in users {
            let (never, marked) = self.units.update(user.0, |record| {
                (record.exposed == 0, mark(&mut record.exposed, self.epoch))
            });
            if marked.is_some() {
                self.dirty.push(user.0);
                if never && let Some(firsts) = self.firsts(user.1) {
                    firsts.new_users += 1;
                }
            }
        }
    }

    /// How the first listed request of each ended.
    pub fn ended(&mut self, users: &[FirstOutcome]) {
        for user in users {
            let marked = self
                .units
                .update(user.0, |record| mark(&mut record.outcome, self.epoch));
            if let Some(before) = marked {
                self.dirty.push(user.0);
                if let Some(firsts) = self.firsts(user.1) {
                    let outcomes = firsts.outcomes.entry(before).or_default();
                    outcomes.count(user.2);
                }
            }
        }
    }

    pub fn failed(&mut self, users: &[FirstError]) {
        for user in users {
            let marked = self
                .units
                .update(user.0, |record| mark(&mut record.failed, self.epoch));
            if let Some(before) = marked {
                self.dirty.push(user.0);
                if let Some(firsts) = self.firsts(user.1) {
                    *firsts.errors.entry(before).or_default() += 1;
                }
            }
        }
    }

    pub fn waited(&mut self, users: &[FirstSlow]) {
        for user in users {
            let marked = self.units.update(user.0, |record| {
                let mut marked = [None; MAX_EDGES];
                // An answer above a level is above all below it.
                let levels = record.slow.iter_mut().zip(&mut marked);
                for (last, marked) in levels.take(usize::from(user.2)) {
                    *marked = mark(last, self.epoch);
                }
                marked
            });
            if marked.iter().any(Option::is_some) {
                self.dirty.push(user.0);
            }
            for (edge, before) in marked.into_iter().enumerate() {
                if let Some(before) = before
                    && let Some(map) = self
                        .firsts(user.1)
                        .and_then(|firsts| firsts.slow.get_mut(edge))
                {
                    *map.entry(before).or_default() += 1;
                }
            }
        }
    }

    /// The first events of the arm that a report's list names.
    fn firsts(&mut self, listed: u8) -> Option<&mut Firsts> {
        let arm = self.arms.get(usize::from(listed)).copied()?;
        self.sums.arms.get_mut(arm).map(|arm| &mut arm.firsts)
    }
}
