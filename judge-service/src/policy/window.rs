//! What was counted since a process of the step began.

use super::labels::Began;
use super::view::{Comparison, EpochView, Side};
use crate::domain::rollout::EdgePair;
use crate::domain::sums::{ArmSums, Firsts, Outcomes};
use serinus_stats::sequence::{self, Counts, Rates, Totals};
use std::collections::BTreeMap;

pub struct Window<'a> {
    comparison: &'a Comparison<'a>,
    began: Began,
}

impl<'a> Window<'a> {
    pub fn new(comparison: &'a Comparison<'a>, began: Began) -> Self {
        Self { comparison, began }
    }

    fn epochs(&self) -> impl Iterator<Item = &EpochView<'a>> {
        let epochs = self.comparison.epochs.iter();
        epochs.filter(|view| self.began.counts(view))
    }

    /// Requests that were decided.
    pub fn decided(&self, side: Side) -> u64 {
        self.epochs().map(|view| view.decided(side)).sum()
    }

    /// The shares of failed requests.
    pub fn rates_of_errors(&self) -> Option<Rates> {
        self.rates(|sums, _| {
            Some(Counts {
                requests: sequence::total(&sums.finished),
                events: sequence::total(&sums.errors),
            })
        })
    }

    /// The shares of answers above an edge, of all without error.
    pub fn rates_slower_than(&self, edges: EdgePair) -> Option<Rates> {
        self.rates(|sums, side| {
            let edge = match side {
                Side::Arm => edges.arm,
                Side::Control => edges.control,
            };
            let finished = sequence::total(&sums.finished);
            Some(Counts {
                requests: finished.saturating_sub(sequence::total(&sums.errors)),
                events: sequence::total(sums.over.get(edge)?),
            })
        })
    }

    /// The shares of users that are bad, by their first one since the process began.
    pub fn rates_of_users(
        &self,
        firsts: impl Fn(&ArmSums) -> &BTreeMap<u64, Outcomes>,
    ) -> Option<Rates> {
        let began = self.epochs().next()?.epoch.epoch;
        let rate = |arm: usize| {
            let sums = self.epochs().filter_map(|view| view.sums.arms.get(arm));
            let outcomes = sums.map(|sums| Firsts::outcomes_since(firsts(sums), began));
            outcomes
                .fold(Outcomes::default(), |sum, more| sum + more)
                .rate()
        };
        Some(Rates {
            canary: rate(self.comparison.arm)?,
            control: rate(self.comparison.control)?,
        })
    }

    /// Each epoch and segment is a stratum.
    fn rates(&self, counts: impl Fn(&ArmSums, Side) -> Option<Counts>) -> Option<Rates> {
        let strata = self.epochs().filter_map(|view| {
            let of = |arm: usize, side| counts(view.sums.arms.get(arm)?, side);
            Some(Totals {
                canary: of(self.comparison.arm, Side::Arm)?,
                control: of(self.comparison.control, Side::Control)?,
            })
        });
        sequence::rates(strata)
    }
}
