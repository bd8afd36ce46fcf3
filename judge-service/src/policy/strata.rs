//! Requests and events by slot, summed over the epochs of a step in which the users of
//! a segment were split alike: all but always one stratum for each segment.

use super::view::EpochView;
use crate::domain::rollout::EdgePair;
use crate::domain::sums::ArmSums;
use serinus_stats::sequence::{ArmSlots, SLOTS, Stratum, add_slots};

/// One arm against control.
pub struct Strata<'a>(Vec<Merged<'a>>);

struct Merged<'a> {
    segment: Option<&'a str>,
    weights: &'a [u16],
    arm: Slots,
    control: Slots,
}

struct Slots {
    finished: Vec<u64>,
    errors: Vec<u64>,
    /// Answers without error since the latency thresholds are known: what latency is a
    /// share of.
    answered: Vec<u64>,
    /// Those above each threshold.
    over: Vec<Vec<u64>>,
}

// === impl Strata ===

impl<'a> Strata<'a> {
    pub fn new(epochs: &[EpochView<'a>], arm: usize, control: usize) -> Self {
        let mut merged: Vec<Merged<'a>> = Vec::new();
        for view in epochs {
            let segment = view.sums.segment.as_deref();
            let arms = &view.sums.arms;
            let (Some(in_arm), Some(in_control)) = (arms.get(arm), arms.get(control)) else {
                continue;
            };
            let edges = view.epoch.thresholds.as_ref();
            let edges = edges.map(|thresholds| thresholds.edges_us.len());
            let same = merged
                .iter_mut()
                .find(|known| known.segment == segment && known.weights == view.weights);
            let stratum = match same {
                Some(known) => known,
                None => {
                    merged.push(Merged {
                        segment,
                        weights: view.weights,
                        arm: Slots::new(),
                        control: Slots::new(),
                    });
                    let Some(new) = merged.last_mut() else {
                        continue;
                    };
                    new
                }
            };
            stratum.arm.add(in_arm, edges);
            stratum.control.add(in_control, edges);
        }
        Self(merged)
    }

    /// Requests that failed, of all that finished.
    pub fn errors(&self, segment: Option<&str>) -> Vec<Stratum<'_>> {
        self.of(segment)
            .map(|stratum| Stratum {
                canary: stratum.arm.errors(),
                control: stratum.control.errors(),
            })
            .collect()
    }

    /// Answers above an edge, of all without error.
    pub fn slower_than(&self, segment: Option<&str>, edges: EdgePair) -> Vec<Stratum<'_>> {
        self.of(segment)
            .filter_map(|stratum| {
                Some(Stratum {
                    canary: stratum.arm.over(edges.arm)?,
                    control: stratum.control.over(edges.control)?,
                })
            })
            .collect()
    }

    /// One segment's, or all.
    fn of<'s>(&'s self, segment: Option<&str>) -> impl Iterator<Item = &'s Merged<'a>> {
        let wanted = move |stratum: &&Merged<'_>| segment.is_none() || stratum.segment == segment;
        self.0.iter().filter(wanted)
    }
}

// === impl Slots ===

impl Slots {
    fn new() -> Self {
        let none = || vec![0; SLOTS];
        Self {
            finished: none(),
            errors: none(),
            answered: none(),
            over: Vec::new(),
        }
    }

    /// `edges`: how many latency thresholds there are, once they are known.
    fn add(&mut self, sums: &ArmSums, edges: Option<usize>) {
        add_slots(&mut self.finished, &sums.finished);
        add_slots(&mut self.errors, &sums.errors);
        let Some(edges) = edges else {
            return;
        };
        add_slots(&mut self.answered, &sums.answered());
        self.over.resize_with(edges, || vec![0; SLOTS]);
        for (sum, over) in self.over.iter_mut().zip(&sums.over) {
            add_slots(sum, over);
        }
    }

    fn errors(&self) -> ArmSlots<'_> {
        ArmSlots {
            requests: &self.finished,
            events: &self.errors,
        }
    }

    fn over(&self, edge: usize) -> Option<ArmSlots<'_>> {
        Some(ArmSlots {
            requests: &self.answered,
            events: self.over.get(edge)?,
        })
    }
}
