//! Requests and events by slot, summed over the epochs of a step in which the users of
//! a segment were split alike: all but always one stratum for each segment.

use super::view::Counted;
use crate::domain::rollout::EdgePair;
use crate::domain::sums::ArmSums;
use serinus_stats::sequence::{self, ArmSlots, Counts, SLOTS, Stratum, Totals};

/// All arms that are compared: control is summed once, whatever it is compared with.
pub struct Strata<'a>(Vec<Merged<'a>>);

struct Merged<'a> {
    segment: Option<&'a str>,
    weights: &'a [u16],
    /// In the order of the spec's arms; `None` where one is not compared or has no users.
    arms: Vec<Option<ArmTotals>>,
}

#[derive(Default)]
struct ArmTotals {
    finished: SlotTotals,
    errors: SlotTotals,
    /// Answers without error since the latency thresholds are known: what latency is a
    /// share of.
    answered: SlotTotals,
    /// Those above each threshold.
    over: Vec<SlotTotals>,
}

/// Counts by slot, and what they add up to.
struct SlotTotals {
    slots: Box<[u64; SLOTS]>,
    total: u64,
}

// === impl Strata ===

impl<'a> Strata<'a> {
    pub fn new(counted: &[Counted<'a>], compared: &[bool]) -> Self {
        let mut merged: Vec<Merged<'a>> = Vec::new();
        for counted in counted {
            let segment = counted.sums.segment.as_deref();
            let edges = counted.epoch.thresholds.as_ref();
            let edges = edges.map(|thresholds| thresholds.edges_us.len());
            let same = merged
                .iter()
                .position(|known| known.segment == segment && known.weights == counted.weights);
            let index = same.unwrap_or(merged.len());
            if same.is_none() {
                merged.push(Merged::new(segment, counted.weights, compared));
            }
            let arms = merged.get_mut(index).map(|stratum| &mut stratum.arms);
            for (sum, more) in arms.into_iter().flatten().zip(&counted.sums.arms) {
                if let Some(sum) = sum {
                    sum.add(more, edges);
                }
            }
        }
        let arms = merged.iter_mut().flat_map(|stratum| &mut stratum.arms);
        arms.flatten().for_each(ArmTotals::close);
        Self(merged)
    }

    /// Requests that failed, of all that finished.
    pub fn errors(
        &self,
        segment: Option<&str>,
        arms: [usize; 2],
    ) -> impl Iterator<Item = Stratum<'_>> {
        self.of(segment, arms).map(|[arm, control]| Stratum {
            canary: arm.errors(),
            control: control.errors(),
        })
    }

    /// Answers above an edge, of all without error.
    pub fn slower_than(
        &self,
        segment: Option<&str>,
        arms: [usize; 2],
        edges: EdgePair,
    ) -> impl Iterator<Item = Stratum<'_>> {
        self.of(segment, arms).filter_map(move |[arm, control]| {
            Some(Stratum {
                canary: arm.over(edges.arm)?,
                control: control.over(edges.control)?,
            })
        })
    }

    /// What the slots of [`Self::slower_than`] add up to.
    pub fn totals_slower_than(
        &self,
        segment: Option<&str>,
        arms: [usize; 2],
        edges: EdgePair,
    ) -> impl Iterator<Item = Totals> {
        self.of(segment, arms).filter_map(move |[arm, control]| {
            Some(Totals {
                canary: arm.total_over(edges.arm)?,
                control: control.total_over(edges.control)?,
            })
        })
    }

    /// Two arms in one segment's strata, or in all.
    fn of(&self, segment: Option<&str>, arms: [usize; 2]) -> impl Iterator<Item = [&ArmTotals; 2]> {
        let wanted = move |stratum: &&Merged<'_>| segment.is_none() || stratum.segment == segment;
        self.0.iter().filter(wanted).filter_map(move |stratum| {
            let [arm, control] = arms.map(|arm| stratum.arms.get(arm)?.as_ref());
            Some([arm?, control?])
        })
    }
}

// === impl Merged ===

impl<'a> Merged<'a> {
    fn new(segment: Option<&'a str>, weights: &'a [u16], compared: &[bool]) -> Self {
        let arms = weights.iter().zip(compared);
        Self {
            segment,
            weights,
            arms: arms
                .map(|(&weight, &compared)| (weight > 0 && compared).then(ArmTotals::default))
                .collect(),
        }
    }
}

// === impl ArmTotals ===

impl ArmTotals {
    /// `edges`: how many latency thresholds there are, once they are known.
    fn add(&mut self, sums: &ArmSums, edges: Option<usize>) {
        self.finished.add(&sums.finished);
        self.errors.add(&sums.errors);
        let Some(edges) = edges else {
            return;
        };
        let answered = self.answered.slots.iter_mut();
        for (sum, (finished, errors)) in answered.zip(sums.finished.iter().zip(&sums.errors)) {
            *sum = sum.wrapping_add(finished.saturating_sub(*errors));
        }
        self.over.resize_with(edges, SlotTotals::default);
        for (sum, over) in self.over.iter_mut().zip(&sums.over) {
            sum.add(over);
        }
    }

    /// All was added.
    fn close(&mut self) {
        let own = [&mut self.finished, &mut self.errors, &mut self.answered];
        for slots in own.into_iter().chain(&mut self.over) {
            slots.total = sequence::total(slots.slots.as_slice());
        }
    }

    fn errors(&self) -> ArmSlots<'_> {
        ArmSlots {
            requests: self.finished.slots.as_slice(),
            events: self.errors.slots.as_slice(),
        }
    }

    fn over(&self, edge: usize) -> Option<ArmSlots<'_>> {
        Some(ArmSlots {
            requests: self.answered.slots.as_slice(),
            events: self.over.get(edge)?.slots.as_slice(),
        })
    }

    fn total_over(&self, edge: usize) -> Option<Counts> {
        Some(Counts {
            requests: self.answered.total,
            events: self.over.get(edge)?.total,
        })
    }
}

// === impl SlotTotals ===

impl Default for SlotTotals {
    fn default() -> Self {
        Self {
            slots: Box::new([0; SLOTS]),
            total: 0,
        }
    }
}

impl SlotTotals {
    fn add(&mut self, more: &[u64]) {
        sequence::add_slots(self.slots.as_mut_slice(), more);
    }
}
