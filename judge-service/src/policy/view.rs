//! The bundle, arranged for the guardrails.

use super::strata::Strata;
use crate::domain::rollout::EdgePair;
use crate::domain::spec::LeavesOut;
use crate::domain::sums::{ArmSums, EpochSums};
use crate::domain::{Bundle, Epoch, Rollout};
use serinus_stats::ratio::LabelCounts;
use serinus_stats::sequence::Stratum;
use std::collections::BTreeMap;
use std::rc::Rc;

/// One epoch of the current step and one segment, or the rest, with what was
/// counted in it: users in it were split by one set of weights.
#[derive(Clone, Copy)]
pub struct EpochView<'a> {
    pub epoch: &'a Epoch,
    pub weights: &'a [u16],
    pub sums: &'a EpochSums,
    /// Requests that were decided, of the arm and of control.
    pub decided: [u64; 2],
    /// Control's requests under way, as far as they are more than the arm's for its
    /// share of the users.
    pub late: u64,
}

impl<'a> EpochView<'a> {
    /// `None` where the arm has no users.
    fn new(
        epoch: &'a Epoch,
        weights: &'a [u16],
        sums: &'a EpochSums,
        [arm, control]: [usize; 2],
    ) -> Option<Self> {
        let weight = |arm: usize| u64::from(weights.get(arm).copied().unwrap_or_default());
        if weight(arm) == 0 {
            return None;
        }
        let under_way = |arm: usize| sums.arms.get(arm).map_or(0, ArmSums::under_way);
        let as_many = under_way(arm).saturating_mul(weight(control)) / weight(arm);
        Some(Self {
            epoch,
            weights,
            sums,
            decided: [arm, control].map(|arm| sums.arms.get(arm).map_or(0, ArmSums::decided)),
            late: under_way(control).saturating_sub(as_many),
        })
    }
}

/// Which of the two arms that are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Control,
    Arm,
}

/// Users with a first event in one epoch, and control's that may still have one.
#[derive(Clone, Copy)]
pub struct Labels {
    pub known: LabelCounts,
    pub late: u64,
}

impl Labels {
    pub fn with_late(self) -> LabelCounts {
        LabelCounts {
            with_event: self.known.with_event + self.late,
            ..self.known
        }
    }
}

/// One arm against control, over the epochs of the current step.
#[derive(Clone)]
pub struct Comparison<'a> {
    pub rollout: &'a Rollout,
    pub arm: usize,
    pub control: usize,
    /// The segment that alone is compared; `None` for the whole.
    pub segment: Option<&'a str>,
    pub epochs: Vec<EpochView<'a>>,
    strata: Rc<Strata<'a>>,
}

impl<'a> Comparison<'a> {
    pub fn new(bundle: &'a Bundle, arm: usize) -> Self {
        let rollout = &bundle.rollout;
        let all = rollout.spec.warm_up.leaves_out == LeavesOut::Everything;
        let judged = rollout
            .step_epochs()
            .filter(|epoch| !all || epoch.thresholds.is_some());
        let control = rollout.control_index();
        let epochs: Vec<EpochView<'a>> = judged
            .flat_map(|epoch| {
                let sums = bundle.sums.iter();
                sums.filter(|sums| sums.epoch == epoch.epoch)
                    .filter_map(|sums| {
                        let weights = epoch.weights_of(sums.segment.as_deref())?;
                        EpochView::new(epoch, weights, sums, [arm, control])
                    })
            })
            .collect();
        Self {
            rollout,
            arm,
            control,
            segment: None,
            strata: Rc::new(Strata::new(&epochs, arm, control)),
            epochs,
        }
    }

    /// Requests that failed, of all that finished.
    pub fn errors(&self) -> Vec<Stratum<'_>> {
        self.strata.errors(self.segment)
    }

    /// Answers above an edge, of all without error since the thresholds are known.
    pub fn slower_than(&self, edges: EdgePair) -> Vec<Stratum<'_>> {
        self.strata.slower_than(self.segment, edges)
    }

    /// Whether the arm has users to be judged by, as far as this comparison goes.
    pub fn has_users(&self) -> bool {
        let epoch = self.rollout.epoch();
        epoch.is_some_and(|epoch| {
            let segments = epoch.segments.iter().map(|split| &split.weights);
            let all = segments.chain([&epoch.weights]);
            all.into_iter()
                .any(|weights| weights.get(self.arm).is_some_and(|&weight| weight > 0))
        })
    }

    pub fn control_name(&self) -> &'a str {
        let arms = &self.rollout.spec.arms;
        arms.get(self.control).map_or("", |arm| arm.name.as_str())
    }

    /// The same comparison in one segment alone.
    pub fn in_segment(&self, segment: &'a str) -> Self {
        let mut alone = self.clone();
        alone.segment = Some(segment);
        alone
            .epochs
            .retain(|view| view.sums.segment.as_deref() == Some(segment));
        alone
    }

    pub fn arm_name(&self) -> &'a str {
        self.rollout
            .spec
            .arms
            .get(self.arm)
            .map_or("", |arm| arm.name.as_str())
    }

    /// The same comparison over the epochs whose latency thresholds are known.
    pub fn with_thresholds(&self) -> Self {
        let mut learned = self.clone();
        learned
            .epochs
            .retain(|view| view.epoch.thresholds.is_some());
        learned
    }

    /// Percent of the compared users that the arm has now.
    pub fn arm_percent(&self) -> f64 {
        let epoch = self.rollout.epoch();
        f64::from(
            epoch
                .and_then(|epoch| epoch.weights_of(self.segment)?.get(self.arm))
                .copied()
                .unwrap_or_default(),
        ) / 100.0
    }

    /// The epoch in which the current step began.
    pub fn step_start(&self) -> u64 {
        self.rollout
            .step_epochs()
            .next()
            .map_or(0, |epoch| epoch.epoch)
    }

    /// Requests that were decided in the epochs compared.
    pub fn decided(&self, side: Side) -> u64 {
        let of = |view: &EpochView<'_>| match side {
            Side::Arm => view.decided[0],
            Side::Control => view.decided[1],
        };
        self.epochs.iter().map(of).sum()
    }

    /// For each process (an epoch's start): users with a first event since, by epoch.
    /// `firsts` are those of a side, by the epoch in which they had one before.
    pub fn labels(
        &self,
        firsts: impl Fn(Side, &'a ArmSums) -> Option<&'a BTreeMap<u64, u64>>,
    ) -> Vec<Vec<Labels>> {
        let mut starts: Vec<u64> = self.epochs.iter().map(|view| view.epoch.epoch).collect();
        starts.dedup();
        let mut processes: Vec<Vec<Labels>> = starts.iter().map(|_| Vec::new()).collect();
        for view in &self.epochs {
            let begun = starts.iter().filter(|start| **start <= view.epoch.epoch);
            let begun = begun.count();
            let nobody = Labels {
                known: LabelCounts {
                    share: self.share(view.weights),
                    with_event: 0,
                    in_arm: 0,
                },
                late: view.late,
            };
            for process in processes.iter_mut().take(begun) {
                process.push(nobody);
            }
            for (side, arm) in [(Side::Control, self.control), (Side::Arm, self.arm)] {
                let sums = view.sums.arms.get(arm);
                for (before, count) in sums
                    .and_then(|sums| firsts(side, sums))
                    .into_iter()
                    .flatten()
                {
                    let since = starts.iter().zip(&mut processes).take(begun);
                    for (_, process) in since.filter(|(start, _)| *start > before) {
                        if let Some(labels) = process.last_mut() {
                            labels.known.with_event += count;
                            labels.known.in_arm += if side == Side::Arm { *count } else { 0 };
                        }
                    }
                }
            }
        }
        processes
    }

    /// The arm's share of the users that it and control have.
    fn share(&self, weights: &[u16]) -> f64 {
        let weight = |arm: usize| f64::from(weights.get(arm).copied().unwrap_or_default());
        weight(self.arm) / (weight(self.arm) + weight(self.control))
    }
}
