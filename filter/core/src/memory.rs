//! What a worker remembers of units, so that each first event is listed once.

use crate::identity::{Share, UnitHash};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Units remembered for one rollout, once more for each segment in which they failed or
/// waited: 16 bytes each with the table's slack, so about 2 MB at most. When it is full, half of the units (by pseudonym, so
/// alike in all arms) are no longer listed.
pub const MAX_UNITS: usize = 65_536;

/// What is known of a unit in an epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    exposed: bool,
    failed: bool,
    /// Latency edges exceeded so far.
    level: u8,
}

/// First events of one rollout and epoch.
#[derive(Debug, Clone)]
pub struct FirstEvents {
    share: Share,
    units: HashMap<UnitHash, Seen, BuildHasherDefault<Pseudonym>>,
    capacity: usize,
}

/// A pseudonym is the output of a keyed hash already: hashing it again would cost and
/// not help.
#[derive(Debug, Clone, Copy, Default)]
struct Pseudonym(u64);

impl Hasher for Pseudonym {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, unit: u64) {
        self.0 = unit;
    }

    fn finish(&self) -> u64 {
        // The table tells entries apart by the top bits, and a thinned memory has
        // only units whose top bits are zero.
        self.0.rotate_left(32)
    }
}

impl Default for FirstEvents {
    fn default() -> Self {
        Self::with_capacity(MAX_UNITS)
    }
}

impl FirstEvents {
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            share: Share::ALL,
            units: HashMap::default(),
            capacity,
        }
    }

    /// Whether this is the unit's first exposure.
    pub fn exposed(&mut self, unit: UnitHash, share: Share) -> bool {
        self.first(unit, share, |seen| {
            !core::mem::replace(&mut seen.exposed, true)
        })
    }

    /// Whether this is the unit's first failed request.
    pub fn failed(&mut self, unit: UnitHash, share: Share) -> bool {
        self.first(unit, share, |seen| {
            !core::mem::replace(&mut seen.failed, true)
        })
    }

    /// Whether this request exceeds more edges than any of the unit's before.
    pub fn slowed(&mut self, unit: UnitHash, share: Share, level: u8) -> bool {
        level > 0
            && self.first(unit, share, |seen| {
                let higher = level > seen.level;
                seen.level = seen.level.max(level);
                higher
            })
    }

    fn first(
        &mut self,
        unit: UnitHash,
        share: Share,
        mark: impl FnOnce(&mut Seen) -> bool,
    ) -> bool {
        if !(share.lists(unit) && self.share.lists(unit)) {
            return false;
        }
        if self.units.len() >= self.capacity && !self.units.contains_key(&unit) {
            self.share = self.share.halved();
            let share = self.share;
            self.units.retain(|&unit, _| share.lists(unit));
            if !share.lists(unit) {
                return false;
            }
        }
        mark(self.units.entry(unit).or_default())
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.units.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_first_event_once() {
        let mut memory = FirstEvents::default();
        assert!(memory.exposed(1, Share::ALL));
        assert!(!memory.exposed(1, Share::ALL));
        assert!(memory.failed(1, Share::ALL));
        assert!(!memory.failed(1, Share::ALL));
        assert!(!memory.slowed(1, Share::ALL, 0));
        assert!(memory.slowed(1, Share::ALL, 2));
        assert!(!memory.slowed(1, Share::ALL, 1));
        assert!(memory.slowed(1, Share::ALL, 3));
        assert!(!memory.exposed(2, Share::from_fraction(0.0)));
    }

    #[test]
    fn stays_within_its_capacity_and_keeps_a_subset() {
        let mut memory = FirstEvents::with_capacity(100);
        let key = crate::identity::IdentityKey::new([1; 16]);
        for i in 0..100_000u32 {
            memory.exposed(key.hash(&i.to_le_bytes()), Share::ALL);
            assert!(memory.len() <= 100);
        }
        assert!(memory.len() > 10);
        // A unit that was dropped is not listed again as if it were new.
        let dropped = (0..100_000u32)
            .map(|i| key.hash(&i.to_le_bytes()))
            .find(|&unit| !memory.share.lists(unit))
            .unwrap();
        assert!(!memory.failed(dropped, Share::ALL));
    }
}
