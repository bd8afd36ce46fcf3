//! What is remembered of each pseudonymous user of a rollout: in which epoch
//! each kind of event was last seen. An event counts once an epoch, and for each
//! process that started after the one before.

use serinus_core::plan::compiled::MAX_EDGES;

/// Epochs; 0 is never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnitRecord {
    pub exposed: u32,
    pub outcome: u32,
    pub failed: u32,
    pub sampled: u32,
    pub mismatched: u32,
    pub slow: [u32; MAX_EDGES],
}

/// Bytes of a stored record: numbers of 4 bytes.
const STORED: usize = (5 + MAX_EDGES) * 4;

/// Marks an event in `epoch`: the epoch it was last seen in, if this is the first
/// time in this one; `None` if it was seen in this epoch or a later one.
pub fn mark(last: &mut u32, epoch: u64) -> Option<u64> {
    let epoch = u32::try_from(epoch).unwrap_or(u32::MAX);
    if epoch <= *last {
        return None;
    }
    Some(u64::from(core::mem::replace(last, epoch)))
}

impl UnitRecord {
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(STORED);
        for number in [
            self.exposed,
            self.outcome,
            self.failed,
            self.sampled,
            self.mismatched,
        ]
        .iter()
        .chain(&self.slow)
        {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// `None` for bytes that no version wrote.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != STORED {
            return None;
        }
        let mut numbers = bytes.chunks_exact(4).map(|chunk| {
            chunk
                .iter()
                .rev()
                .fold(0u32, |number, &byte| number << 8 | u32::from(byte))
        });
        let mut next = || numbers.next().unwrap_or_default();
        let mut record = Self {
            exposed: next(),
            outcome: next(),
            failed: next(),
            sampled: next(),
            mismatched: next(),
            slow: [0; MAX_EDGES],
        };
        record.slow.fill_with(next);
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_storing() {
        let record = UnitRecord {
            exposed: 1,
            outcome: 2,
            failed: 3,
            sampled: u32::MAX,
            mismatched: 5,
            slow: core::array::from_fn(|edge| edge as u32 + 6),
        };
        assert_eq!(UnitRecord::from_bytes(&record.to_bytes()), Some(record));
        assert_eq!(UnitRecord::from_bytes(&[0; 3]), None);
    }

    #[test]
    fn an_event_counts_once_an_epoch() {
        let mut last = 0;
        assert_eq!(mark(&mut last, 3), Some(0));
        assert_eq!(mark(&mut last, 3), None);
        assert_eq!(mark(&mut last, 5), Some(3));
        assert_eq!(mark(&mut last, 4), None, "late");
    }
}
