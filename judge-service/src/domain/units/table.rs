//! A rollout's users in memory: about 20 bytes each.
//!
//! A record has 68 bytes, and hundreds of thousands of users have the same one: all
//! who came in epoch 3 and saw no error, say. So each user has the number of a record,
//! and each record is kept once.

use super::UnitRecord;
use foldhash::fast::RandomState;
use serinus_core::identity::UnitHash;
use std::collections::HashMap;

/// Records are looked through for ones that no user has any more when there are twice
/// as many as after the last time, and this many more.
const SLACK: usize = 1_024;

#[derive(Debug)]
pub struct Units {
    /// Each user's record, by its number.
    numbers: HashMap<UnitHash, u32, RandomState>,
    /// The first is that of a user of whom nothing was seen.
    records: Vec<UnitRecord>,
    known: HashMap<UnitRecord, u32, RandomState>,
    /// Records when they were last looked through.
    kept: usize,
}

// === impl Units ===

impl Default for Units {
    fn default() -> Self {
        let never = UnitRecord::default();
        Self {
            numbers: HashMap::default(),
            records: vec![never],
            known: HashMap::from_iter([(never, 0)]),
            kept: 1,
        }
    }
}

impl Units {
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    #[must_use]
    pub fn get(&self, unit: UnitHash) -> Option<UnitRecord> {
        let number = *self.numbers.get(&unit)?;
        self.records.get(number as usize).copied()
    }

    /// All users, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (UnitHash, UnitRecord)> {
        self.numbers.iter().filter_map(|(&unit, &number)| {
            let record = self.records.get(number as usize)?;
            Some((unit, *record))
        })
    }

    /// Changes what is remembered of a user.
    pub fn update<T>(&mut self, unit: UnitHash, change: impl FnOnce(&mut UnitRecord) -> T) -> T {
        let number = self.numbers.entry(unit).or_default();
        let before = self.records.get(*number as usize).copied();
        let before = before.unwrap_or_default();
        let mut record = before;
        let result = change(&mut record);
        if record != before {
            let next = self.records.len();
            *number = *self.known.entry(record).or_insert_with(|| {
                self.records.push(record);
                // Four billion records have no room in memory.
                next as u32
            });
            if next > 2 * self.kept + SLACK {
                self.forget_unused();
            }
        }
        result
    }

    /// Keeps only records that a user has.
    fn forget_unused(&mut self) {
        let mut fresh = Self::default();
        let mut renumbered: HashMap<u32, u32, RandomState> = HashMap::default();
        for number in self.numbers.values_mut() {
            let new = renumbered.entry(*number).or_insert_with(|| {
                let record = self.records.get(*number as usize).copied();
                fresh.number_of(record.unwrap_or_default())
            });
            *number = *new;
        }
        self.kept = fresh.records.len();
        self.records = fresh.records;
        self.known = fresh.known;
    }

    fn number_of(&mut self, record: UnitRecord) -> u32 {
        let next = self.records.len() as u32;
        *self.known.entry(record).or_insert_with(|| {
            self.records.push(record);
            next
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// As a map of whole records would, also across clearing up.
        #[test]
        fn remembers_each_user_apart(
            events in proptest::collection::vec((0u64..300, 0usize..17, 1u32..5_000), 0..6_000)
        ) {
            let mut units = Units::default();
            let mut plain: BTreeMap<u64, UnitRecord> = BTreeMap::new();
            for (unit, field, epoch) in events {
                let set = |record: &mut UnitRecord| match field {
                    0 => core::mem::replace(&mut record.exposed, epoch),
                    1 => core::mem::replace(&mut record.outcome, epoch),
                    2 => core::mem::replace(&mut record.failed, epoch),
                    3 => core::mem::replace(&mut record.sampled, epoch),
                    4 => core::mem::replace(&mut record.mismatched, epoch),
                    edge => core::mem::replace(&mut record.slow[edge - 5], epoch),
                };
                let before = set(plain.entry(unit).or_default());
                prop_assert_eq!(units.update(unit, set), before);
            }
            prop_assert_eq!(units.iter().collect::<BTreeMap<_, _>>(), plain.clone());
            prop_assert_eq!(units.len(), plain.len());
            prop_assert!(units.records.len() <= 2 * (plain.len() + 1) + SLACK + 1);
        }
    }

    #[test]
    fn equal_records_are_kept_once() {
        let mut units = Units::default();
        for unit in 0..10_000 {
            units.update(unit, |record| record.exposed = 1 + (unit % 2) as u32);
        }
        assert_eq!((units.len(), units.records.len()), (10_000, 3));
    }
}
