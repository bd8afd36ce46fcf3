//! Requests and events by slot, summed over the epochs of a step in which the users of
//! a segment were split alike: all but always one stratum for each segment.

use super::view::Counted;
use crate::domain::rollout::{EdgePair, Thresholds};
use crate::domain::sums::ArmSums;
use serinus_stats::sequence::{self, ArmSlots, Counts, SLOTS, Stratum, Totals};

/// All arms that are compared: control is summed once, whatever it is compared with.
#[derive(Default)]
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
    slots: [u64; SLOTS],
    total: u64,
}

// === impl Strata ===

impl<'a> Strata<'a> {
    pub fn add(&mut self, counted: &Counted<'a>, compared: &[bool]) {
        let segment = counted.sums.segment.as_deref();
        let thresholds = counted.epoch.thresholds.as_ref();
        let mut known = self.0.iter();
        let same = known.position(|known| known.is_split_like(segment, counted.weights));
        let index = same.unwrap_or(self.0.len());
        if same.is_none() {
            self.0.push(Merged::new(segment, counted.weights, compared));
        }
        let arms = self.0.get_mut(index).map(|stratum| &mut stratum.arms);
        for (sum, more) in arms.into_iter().flatten().zip(&counted.sums.arms) {
            if let Some(sum) = sum {
                sum.add(more, thresholds);
            }
        }
    }

    /// All was added.
    pub fn close(&mut self) {
        let arms = self.0.iter_mut().flat_map(|stratum| &mut stratum.arms);
        arms.flatten().for_each(ArmTotals::close);
    }

    /// Requests that failed, of all that finished, and what the slots add up to.
    pub fn errors(
        &self,
        segment: Option<&str>,
        arms: [usize; 2],
    ) -> impl Iterator<Item = (Stratum<'_>, Totals)> {
        self.of(segment, arms).map(|[arm, control]| {
            let stratum = Stratum {
                canary: arm.errors(),
                control: control.errors(),
            };
            let totals = Totals {
                canary: arm.total_errors(),
                control: control.total_errors(),
            };
            (stratum, totals)
        })
    }

    /// Answers above an edge, of all without error.
    pub fn slower_than(
        &self,
        segment: Option<&str>,
        arms: [usize; 2],
        edges: EdgePair,
    ) -> impl Iterator<Item = (Stratum<'_>, Totals)> {
        self.of(segment, arms).filter_map(move |[arm, control]| {
            let stratum = Stratum {
                canary: arm.over(edges.arm)?,
                control: control.over(edges.control)?,
            };
            let totals = Totals {
                canary: arm.total_over(edges.arm)?,
                control: control.total_over(edges.control)?,
            };
            Some((stratum, totals))
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

impl Merged<'_> {
    fn is_split_like(&self, segment: Option<&str>, weights: &[u16]) -> bool {
        self.segment == segment && self.weights == weights
    }
}

// === impl ArmTotals ===

impl ArmTotals {
    fn add(&mut self, sums: &ArmSums, thresholds: Option<&Thresholds>) {
        self.finished.add(&sums.finished);
        self.errors.add(&sums.errors);
        // Until they are known there are no edges, and nothing is slow.
        let Some(thresholds) = thresholds else {
            return;
        };
        let answered = self.answered.slots.iter_mut();
        for (sum, (finished, errors)) in answered.zip(sums.finished.iter().zip(&sums.errors)) {
            *sum = sum.wrapping_add(finished.saturating_sub(*errors));
        }
        let edges = thresholds.edges_us.len();
        self.over.resize_with(edges, SlotTotals::default);
        for (sum, over) in self.over.iter_mut().zip(&sums.over) {
            sum.add(over);
        }
    }

    /// All was added.
    fn close(&mut self) {
        let own = [&mut self.finished, &mut self.errors, &mut self.answered];
        for slots in own.into_iter().chain(&mut self.over) {
            slots.total = sequence::total(&slots.slots);
        }
    }

    fn errors(&self) -> ArmSlots<'_> {
        ArmSlots {
            requests: &self.finished.slots,
            events: &self.errors.slots,
        }
    }

    fn total_errors(&self) -> Counts {
        Counts {
            requests: self.finished.total,
            events: self.errors.total,
        }
    }

    fn over(&self, edge: usize) -> Option<ArmSlots<'_>> {
        Some(ArmSlots {
            requests: &self.answered.slots,
            events: &self.over.get(edge)?.slots,
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
            slots: [0; SLOTS],
            total: 0,
        }
    }
}

impl SlotTotals {
    fn add(&mut self, more: &[u64]) {
        sequence::add_slots(&mut self.slots, more);
    }
}
