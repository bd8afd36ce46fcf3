//! What is counted of each stratum, by hash slot.

/// Hash slots per arm: the low 8 bits of a unit's hash.
pub const SLOTS: usize = 256;

/// Counts of one arm in one stratum by hash slot; both slices have [`SLOTS`] entries.
#[derive(Clone, Copy, Debug)]
pub struct ArmSlots<'a> {
    /// Requests of randomised users.
    pub requests: &'a [u64],
    /// Those with the event. The arms may define it differently: for a tolerated
    /// slowdown delta, the canary's are above t (1 + delta) and control's above t, with
    /// `Margin::Ratio(1.0)`.
    pub events: &'a [u64],
}

/// A time in which the split of one segment did not change.
#[derive(Clone, Copy, Debug)]
pub struct Stratum<'a> {
    /// The arm that is judged.
    pub canary: ArmSlots<'a>,
    /// The concurrent control.
    pub control: ArmSlots<'a>,
}

/// Requests, and those with the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests of randomised users.
    pub requests: u64,
    /// Those with the event.
    pub events: u64,
}

/// What the slots of one stratum add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// The arm that is judged.
    pub canary: Counts,
    /// The concurrent control.
    pub control: Counts,
}

// === impl Stratum ===

impl Stratum<'_> {
    pub(super) fn totals(&self) -> Totals {
        Totals {
            canary: self.canary.total(),
            control: self.control.total(),
        }
    }
}

// === impl ArmSlots ===

impl ArmSlots<'_> {
    pub(super) fn is_whole(&self) -> bool {
        self.requests.len() == SLOTS && self.events.len() == SLOTS
    }

    fn total(&self) -> Counts {
        Counts {
            requests: total(self.requests),
            events: total(self.events),
        }
    }

    /// Adds `weight (Y_b - R N_b)/N` of each slot: events beyond what the rate lets
    /// expect.
    pub(super) fn pull(&self, influences: &mut [f64; SLOTS], weight: f64, total: Counts) {
        let (pull, rate) = (weight / total.requests as f64, total.rate());
        let rows = self.requests.iter().zip(self.events);
        for (influence, (&requests, &events)) in influences.iter_mut().zip(rows) {
            *influence += pull * (events as f64 - rate * requests as f64);
        }
    }
}

/// What slots add up to; saturates. Counts are small in practice, and plain sums several
/// times as fast.
pub fn total(slots: &[u64]) -> u64 {
    let highest_bits = slots.iter().fold(0, |bits, slot| bits | slot);
    if highest_bits < u64::MAX / SLOTS as u64 && slots.len() <= SLOTS {
        slots.iter().fold(0, |sum, slot| sum.wrapping_add(*slot))
    } else {
        slots.iter().fold(0, |sum, slot| sum.saturating_add(*slot))
    }
}

// === impl Totals ===

impl Totals {
    /// Without requests of both arms there is no concurrent comparison.
    pub(super) fn are_comparable(&self) -> bool {
        self.canary.requests > 0 && self.control.requests > 0
    }

    /// N1 N0 / (N1 + N0), the inverse of the variance of a difference of means.
    pub(super) fn weight(&self) -> f64 {
        let (n1, n0) = (self.canary.requests as f64, self.control.requests as f64);
        n1 * n0 / (n1 + n0)
    }
}

// === impl Counts ===

impl Counts {
    pub(super) fn rate(self) -> f64 {
        self.events as f64 / self.requests as f64
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            events: self.events.saturating_add(other.events),
        }
    }
}

/// Adds counts slot by slot: strata in which the split was the same are one stratum.
/// Counts are far below 2^64; should they not be, the sum wraps.
pub fn add_slots(sum: &mut [u64], more: &[u64]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum = sum.wrapping_add(*more);
    }
}

pub(super) fn or_slots(sum: &mut [u64; SLOTS], more: &[u64]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum |= *more;
    }
}
