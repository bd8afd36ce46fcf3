//! What is remembered of each pseudonymous user of a rollout: in which epoch
//! each kind of event was last seen. An event counts once an epoch, and for each
//! process that started after the one before.

mod stored;
mod table;

pub use stored::pack;
pub use table::Units;

use serinus_core::plan::compiled::MAX_EDGES;

/// Epochs; 0 is never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct UnitRecord {
    pub exposed: u32,
    pub outcome: u32,
    pub failed: u32,
    pub sampled: u32,
    pub mismatched: u32,
    pub slow: [u32; MAX_EDGES],
    /// A request was answered by both arms.
    pub paired: u32,
    /// An outcome was told, and one that says that the answer was wrong.
    pub told: u32,
    pub wrong: u32,
    pub valued: u32,
}

// === impl UnitRecord ===

impl UnitRecord {
    /// Of a user whose events are not counted: whatever comes was seen before, or later.
    pub const ALL_SEEN: Self = Self {
        exposed: u32::MAX,
        outcome: u32::MAX,
        failed: u32::MAX,
        sampled: u32::MAX,
        mismatched: u32::MAX,
        slow: [u32::MAX; MAX_EDGES],
        paired: u32::MAX,
        told: u32::MAX,
        wrong: u32::MAX,
        valued: u32::MAX,
    };
}

/// Marks an event in `epoch`: the epoch it was last seen in, if this is the first
/// time in this one; `None` if it was seen in this epoch or a later one.
pub fn mark(last: &mut u32, epoch: u64) -> Option<u64> {
    let epoch = u32::try_from(epoch).unwrap_or(u32::MAX);
    if epoch <= *last {
        return None;
    }
    Some(u64::from(core::mem::replace(last, epoch)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_counts_once_an_epoch() {
        let mut last = 0;
        assert_eq!(mark(&mut last, 3), Some(0));
        assert_eq!(mark(&mut last, 3), None);
        assert_eq!(mark(&mut last, 5), Some(3));
        assert_eq!(mark(&mut last, 4), None, "late");
    }
}
