//! What is known of a worker's session: its last report, so that it counts once, and that
//! it is the same when it comes again.

use serinus_core::report::{Report, SlotRow};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Of the last report that was counted.
    pub sequence: u64,
    /// `None` after a restart: it is not stored, since it decides nothing.
    print: Option<Print>,
}

/// Tells reports of one name apart that are not the same. Whoever wants two to look alike
/// can do that; a worker that has another's session by accident does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Print(u64);

impl Session {
    pub fn stored(sequence: u64) -> Self {
        Self {
            sequence,
            print: None,
        }
    }

    pub fn counted(sequence: u64, print: Print) -> Self {
        Self {
            sequence,
            print: Some(print),
        }
    }

    /// Whether a report has the last one's number and is another.
    pub fn is_another(&self, sequence: u64, print: Print) -> bool {
        self.sequence == sequence && self.print.is_some_and(|known| known != print)
    }
}

impl Print {
    pub fn of(report: &Report) -> Self {
        // FNV-1a over numbers: as good here as over bytes, and a microsecond.
        const START: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let mut print = START;
        let mut add = |number: u64| print = (print ^ number).wrapping_mul(PRIME);
        for part in &report.rollouts {
            add(part.epoch);
            add(part.new_units.len() as u64);
            add(part.first_errors.len() as u64);
            for arm in &part.arms {
                for &SlotRow(slot, exposures, finished, errors, latency_us, _) in &arm.slots {
                    for number in [u64::from(slot), exposures, finished, errors, latency_us] {
                        add(number);
                    }
                }
            }
        }
        Self(print)
    }
}
