//! The bundle, arranged for the guardrails: once for all comparisons.

use super::labels::Since;
use super::strata::Strata;
use super::under_way::{self, Open};
use crate::domain::rollout::{EdgePair, share_of};
use crate::domain::spec::LeavesOut;
use crate::domain::sums::{ArmSums, EpochSums};
use crate::domain::{Bundle, Epoch, Metric, MetricEvidence, Millis, Rollout};
use serinus_stats::sequence::{self, Rates, Stratum, Totals};
use std::ops::Add;
use std::rc::Rc;

/// What was counted in the current step.
pub struct View<'a> {
    rollout: &'a Rollout,
    now_ms: Millis,
    counted: Vec<Counted<'a>>,
    strata: Rc<Strata<'a>>,
    since: Rc<Since>,
}

/// One epoch of the step and one segment, or the rest: users in it were split by one set
/// of weights.
pub struct Counted<'a> {
    pub epoch: &'a Epoch,
    pub weights: &'a [u16],
    pub sums: &'a EpochSums,
    /// Index of the epoch among those of the step.
    in_step: usize,
    /// How often the split of any segment had changed since the step began.
    split: usize,
    /// In the order of the spec's arms; nothing of those that are not compared.
    requests: Vec<Requests>,
}

#[derive(Clone, Copy, Default)]
struct Requests {
    decided: u64,
    under_way: u64,
}

/// One epoch of the current step and one segment, or the rest, as two arms are compared.
#[derive(Clone, Copy)]
pub struct EpochView<'a> {
    pub epoch: &'a Epoch,
    pub weights: &'a [u16],
    pub sums: &'a EpochSums,
    /// Index of what was counted in it.
    pub counted: usize,
    /// Index of the epoch among those of the step.
    pub in_step: usize,
    /// How often the split of any segment had changed since the step began.
    pub split: usize,
    /// Requests that were decided, of the arm and of control.
    decided: [u64; 2],
    /// Control's requests under way that may hang.
    pub late: u64,
    /// The arm's requests under way, beside control's.
    open: Open,
}

/// Which of the two arms that are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Control,
    Arm,
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
    pub now_ms: Millis,
    pub since: Rc<Since>,
    strata: Rc<Strata<'a>>,
}

// === impl View ===

impl<'a> View<'a> {
    pub fn new(bundle: &'a Bundle) -> Self {
        let rollout = &bundle.rollout;
        let control = rollout.control_index();
        let compared: Vec<bool> = (0..rollout.spec.arms.len())
            .map(|arm| arm == control || rollout.is_on_trial(arm))
            .collect();
        let all = rollout.spec.warm_up.leaves_out == LeavesOut::Everything;
        let (mut counted, mut strata) = (Vec::new(), Strata::default());
        let (mut split, mut before): (usize, Option<&Epoch>) = (0, None);
        for (in_step, epoch) in rollout.step_epochs().enumerate() {
            if before.is_some_and(|before| !before.is_split_like(epoch)) {
                split += 1;
            }
            before = Some(epoch);
            if all && epoch.thresholds.is_none() {
                continue;
            }
            let of_epoch = bundle.sums.iter().filter(|sums| sums.epoch == epoch.epoch);
            for sums in of_epoch {
                let Some(weights) = epoch.weights_of(sums.segment.as_deref()) else {
                    continue;
                };
                let own = Counted {
                    epoch,
                    weights,
                    sums,
                    in_step,
                    split,
                    requests: requests(sums, &compared),
                };
                // Both walk over the same lists: now they are near.
                strata.add(&own, &compared);
                counted.push(own);
            }
        }
        strata.close();
        let epochs: Vec<u64> = rollout.step_epochs().map(|own| own.epoch).collect();
        Self {
            rollout,
            now_ms: bundle.now_ms,
            strata: Rc::new(strata),
            since: Rc::new(Since::new(
                &counted,
                &compared,
                control,
                &epochs,
                rollout.spec.each_request(),
            )),
            counted,
        }
    }

    /// The arms that are on trial, each against control.
    pub fn comparisons(&self) -> Vec<Comparison<'a>> {
        (0..self.rollout.spec.arms.len())
            .filter(|&arm| self.rollout.is_on_trial(arm))
            .map(|arm| self.comparison(arm))
            .collect()
    }

    fn comparison(&self, arm: usize) -> Comparison<'a> {
        let control = self.rollout.control_index();
        let counted = self.counted.iter().enumerate();
        Comparison {
            rollout: self.rollout,
            arm,
            control,
            segment: None,
            now_ms: self.now_ms,
            epochs: counted
                .filter_map(|(index, counted)| EpochView::new(index, counted, [arm, control]))
                .collect(),
            since: Rc::clone(&self.since),
            strata: Rc::clone(&self.strata),
        }
    }
}

fn requests(sums: &EpochSums, compared: &[bool]) -> Vec<Requests> {
    sums.arms
        .iter()
        .zip(compared)
        .map(|(arm, &compared)| {
            if !compared {
                return Requests::default();
            }
            let decided = arm.decided();
            Requests {
                decided,
                under_way: arm.under_way_of(decided),
            }
        })
        .collect()
}

// === impl EpochView ===

impl<'a> EpochView<'a> {
    /// `None` where the arm has no users.
    fn new(index: usize, counted: &Counted<'a>, [arm, control]: [usize; 2]) -> Option<Self> {
        let weight = |arm: usize| {
            let weight = counted.weights.get(arm).copied();
            u64::from(weight.unwrap_or_default())
        };
        if weight(arm) == 0 {
            return None;
        }
        let requests = |arm: usize| counted.requests.get(arm).copied().unwrap_or_default();
        let odds = weight(control) as f64 / weight(arm) as f64;
        let late = Open {
            own: requests(control).under_way,
            other: requests(arm).under_way,
            odds,
        };
        let open = Open {
            own: requests(arm).under_way,
            other: requests(control).under_way,
            // Without control's users all of them are beyond what it has.
            odds: if odds > 0.0 { 1.0 / odds } else { 0.0 },
        };
        Some(Self {
            epoch: counted.epoch,
            weights: counted.weights,
            sums: counted.sums,
            counted: index,
            in_step: counted.in_step,
            split: counted.split,
            decided: [arm, control].map(|arm| requests(arm).decided),
            late: under_way::may_hang([late], under_way::EXACT),
            open,
        })
    }

    /// Requests that were decided.
    pub fn decided(&self, side: Side) -> u64 {
        let [arm, control] = self.decided;
        match side {
            Side::Arm => arm,
            Side::Control => control,
        }
    }
}

// === impl Comparison ===

impl<'a> Comparison<'a> {
    /// Requests that failed, of all that finished.
    pub fn errors(&self) -> Vec<(Stratum<'_>, Totals)> {
        self.strata
            .errors(self.segment, [self.arm, self.control])
            .collect()
    }

    /// Answers above an edge, of all without error since the thresholds are known.
    pub fn slower_than(&self, edges: EdgePair) -> Vec<(Stratum<'_>, Totals)> {
        self.strata
            .slower_than(self.segment, [self.arm, self.control], edges)
            .collect()
    }

    /// The shares of failed requests.
    pub fn rates_of_errors(&self) -> Option<Rates> {
        let strata = self.strata.errors(self.segment, [self.arm, self.control]);
        sequence::rates(strata.map(|(_, totals)| totals))
    }

    /// The shares of answers above an edge.
    pub fn rates_slower_than(&self, edges: EdgePair) -> Option<Rates> {
        let arms = [self.arm, self.control];
        let strata = self.strata.slower_than(self.segment, arms, edges);
        sequence::rates(strata.map(|(_, totals)| totals))
    }

    /// Whether the arm has users to be judged by, as far as this comparison goes.
    pub fn has_users(&self) -> bool {
        self.rollout.has_users(self.arm)
    }

    /// What is counted once: `users`, or `requests` where each is a unit of its own.
    pub fn units(&self) -> &'static str {
        if self.rollout.spec.each_request() {
            "requests"
        } else {
            "users"
        }
    }

    /// What a bound on a rate takes for granted, where it does.
    pub fn assumed(&self) -> &'static str {
        if self.rollout.spec.each_request() {
            ", if requests fail independently of each other"
        } else {
            ""
        }
    }

    pub fn control_name(&self) -> &'a str {
        self.rollout.arm_name(self.control)
    }

    /// The same comparison in one segment alone.
    pub fn in_segment(&self, segment: &'a str) -> Self {
        let epochs = self.epochs.iter().copied();
        Self {
            segment: Some(segment),
            epochs: epochs
                .filter(|view| view.sums.segment.as_deref() == Some(segment))
                .collect(),
            since: Rc::clone(&self.since),
            strata: Rc::clone(&self.strata),
            ..*self
        }
    }

    pub fn arm_name(&self) -> &'a str {
        self.rollout.arm_name(self.arm)
    }

    /// The same comparison over the epochs whose latency thresholds are known.
    pub fn with_thresholds(&self) -> Self {
        let mut learned = self.clone();
        learned
            .epochs
            .retain(|view| view.epoch.thresholds.is_some());
        learned
    }

    /// The epoch of the step with this index.
    pub fn epoch_in_step(&self, index: usize) -> Option<&'a Epoch> {
        self.rollout.step_epochs().nth(index)
    }

    /// The epoch in which the current step began.
    pub fn step_start(&self) -> u64 {
        self.rollout
            .step_epochs()
            .next()
            .map_or(0, |epoch| epoch.epoch)
    }

    /// The arm's requests under way that may hang: what promotes counts them as failed, and
    /// as slow.
    pub fn may_hang(&self) -> u64 {
        let open = self.epochs.iter().map(|view| view.open);
        under_way::may_hang(open, under_way::LIKELY)
    }

    /// Requests that were decided in the epochs compared.
    pub fn decided(&self, side: Side) -> u64 {
        self.epochs.iter().map(|view| view.decided(side)).sum()
    }

    /// The arm's share of the users that it and control have.
    pub fn share(&self, weights: &[u16]) -> f64 {
        share_of(weights, self.arm, self.control)
    }

    /// Of an arm in all epochs compared, added up.
    pub fn total<T: Default + Add<Output = T>>(&self, arm: usize, of: impl Fn(&ArmSums) -> T) -> T {
        let arms = self.epochs.iter();
        arms.filter_map(|view| view.sums.arms.get(arm))
            .map(of)
            .fold(T::default(), Add::add)
    }

    /// What was counted at this step of what is compared, with users on the arm or without:
    /// for what is found about an arm's answers on requests of whichever arm.
    pub fn sums_of_step(
        &self,
        bundle: &'a Bundle,
    ) -> impl Iterator<Item = &'a EpochSums> + use<'a> {
        let segment = self.segment;
        bundle.sums.iter().filter(move |sums| {
            let mut epochs = bundle.rollout.step_epochs();
            epochs.any(|epoch| epoch.epoch == sums.epoch)
                && (segment.is_none() || sums.segment.as_deref() == segment)
        })
    }

    /// Evidence of which nothing is known yet and nothing decided.
    pub fn evidence(&self, metric: Metric, words: String) -> MetricEvidence {
        MetricEvidence {
            metric,
            arm: self.arm_name().to_owned(),
            segment: self.segment.map(str::to_owned),
            arm_rate: None,
            control_rate: None,
            difference: None,
            lower: None,
            upper: None,
            margin: None,
            margin_words: "shown, and decides nothing".to_owned(),
            harm_log_e: None,
            harm_threshold: None,
            harm_ratio: None,
            harmed: false,
            within_margin: None,
            words,
        }
    }
}
