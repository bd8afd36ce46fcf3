//! A rollout's users in memory: about 20 bytes each, and so many at most.
//!
//! A record has 68 bytes, and hundreds of thousands of users have the same one: all
//! who came in epoch 3 and saw no error, say. So each user has the number of a record,
//! and each record is kept once.
//!
//! A flood of invented users would fill any memory. When there are too many, half of them,
//! by pseudonym and so alike in all arms, are forgotten and not counted any more, as a worker
//! does with its own ([`serinus_core::memory`]): what is bet on holds for any such part.

use super::UnitRecord;
use foldhash::fast::RandomState;
use serinus_core::identity::{Share, UnitHash};
use std::collections::HashMap;

/// Of one rollout: about 100 MB.
const MOST_UNITS: usize = 1 << 22;
/// So many hashes are all below a half by chance once in 2^1000 times.
const SURE: usize = 1_000;

/// Records are looked through for ones that no user has any more when there are twice
/// as many as after the last time, and this many more.
const SLACK: usize = 1_024;

#[derive(Debug)]
pub struct Units {
    /// Whose events count.
    share: Share,
    most: usize,
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
            share: Share::ALL,
            most: MOST_UNITS,
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

    /// The share of all users whose events count.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.share.fraction()
    }

    /// To be called when all that was stored is back: what was forgotten stays so.
    pub fn restored(&mut self) {
        let highest = self.numbers.keys().copied().max().unwrap_or_default();
        while self.numbers.len() >= SURE && self.share.halved().lists(highest) {
            self.share = self.share.halved();
        }
    }

    /// Changes what is remembered of a user. One that was forgotten, or would be, has had
    /// every event already.
    pub fn update<T>(&mut self, unit: UnitHash, change: impl FnOnce(&mut UnitRecord) -> T) -> T {
        while self.share.lists(unit)
            && self.numbers.len() >= self.most
            && !self.numbers.contains_key(&unit)
        {
            self.thin();
        }
        if !self.share.lists(unit) {
            let mut seen = UnitRecord::ALL_SEEN;
            return change(&mut seen);
        }
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

    fn thin(&mut self) {
        self.share = self.share.halved();
        let share = self.share;
        self.numbers.retain(|&unit, _| share.lists(unit));
        self.numbers.shrink_to_fit();
        self.forget_unused();
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

    /// As hashes are spread.
    fn spread(number: u64) -> u64 {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn a_flood_leaves_a_part_of_all_users_who_are_counted_once() {
        use crate::domain::units::mark;
        let mut units = Units {
            most: 5_000,
            ..Units::default()
        };
        let mut once = BTreeMap::new();
        for epoch in [1, 2] {
            for number in 0..40_000 {
                let unit = spread(number);
                let marked = units.update(unit, |record| mark(&mut record.failed, epoch));
                if let Some(before) = marked {
                    *once.entry((unit, epoch, before)).or_insert(0) += 1;
                }
                assert!(units.len() <= 5_000);
            }
        }
        assert!((0.05..0.26).contains(&units.share()), "{}", units.share());
        assert!(units.len() > 2_000);
        assert!(once.values().all(|&times| times == 1));
        for (unit, record) in units.iter() {
            assert_eq!(record.failed, 2);
            assert!(once.contains_key(&(unit, 1, 0)) && once.contains_key(&(unit, 2, 1)));
        }
        // The same after a restart.
        let mut again = Units::default();
        for (unit, stored) in units.iter() {
            again.update(unit, |record| *record = stored);
        }
        again.restored();
        assert_eq!(again.share(), units.share());
        let forgotten = (0..40_000)
            .map(spread)
            .find(|&unit| units.get(unit).is_none());
        let marked = again.update(forgotten.unwrap(), |record| mark(&mut record.failed, 3));
        assert_eq!(marked, None);
        let mut few = Units::default();
        few.update(1, |record| record.failed = 1);
        few.restored();
        assert_eq!(few.share(), 1.0);
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
