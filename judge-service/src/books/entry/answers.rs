//! What is counted of sampled answers, of pairs of them, and of outcomes told later. Each
//! counts a user once, in the epoch in which the request was decided.

use super::super::requests::NEVER;
use super::{Entry, sums_mut};
use crate::domain::remembered::Answered;
use crate::domain::rollout::share_of;
use crate::domain::spec::ValueGuardrail;
use crate::domain::sums::{ArmSums, Bet, class_of};
use crate::domain::units::{UnitRecord, mark};
use serinus_core::identity::{UnitHash, unit_in_segment};
use serinus_stats::value::{Terms, ValueBet};

/// Whose request something was found about.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    pub epoch: u64,
    pub segment: Option<&'a str>,
    pub arm: usize,
    pub unit: UnitHash,
}

impl<'a> Whose<'a> {
    #[must_use]
    pub fn of(answered: &'a Answered) -> Self {
        Self {
            epoch: answered.epoch,
            segment: answered.segment.as_deref(),
            arm: answered.arm,
            unit: answered.unit,
        }
    }
}

/// What was found about one sampled answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampled {
    /// It is what the arm's model file says.
    pub agrees: bool,
    pub label: Option<i64>,
    /// Its bin.
    pub score: Option<i64>,
    /// Arms whose model file was asked too, and whether it answers otherwise than
    /// control's.
    pub differs: Vec<(usize, bool)>,
}

/// What was found about one request that both arms answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paired {
    /// The arm that is compared with control.
    pub treatment: usize,
    pub differs: bool,
    /// Whether each answer is its model's, where both have one.
    pub treatment_wrong: bool,
    pub control_wrong: bool,
}

/// What was told of a user's answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Told {
    Answer {
        right: bool,
    },
    Value {
        value: f64,
        /// By an id that was not told before: a user may be worth something more than once.
        by_id: bool,
    },
}

impl Entry {
    /// Counts what was found about a sample.
    pub fn sampled(&mut self, whose: Whose<'_>, found: &Sampled) {
        let marked = self.mark(whose, |record, epoch| {
            let sampled = mark(&mut record.sampled, epoch);
            let mismatched = (!found.agrees)
                .then(|| mark(&mut record.mismatched, epoch))
                .flatten();
            (sampled, mismatched)
        });
        let Some((sampled, mismatched)) = marked else {
            return;
        };
        let mismatched = mismatched.filter(|_| !found.agrees);
        if !found.agrees
            && let Some(before) = self.mark_there(whose, |record| &mut record.mismatched)
            && let Some(arm) = self.arms_mut(whose).get_mut(whose.arm)
        {
            *arm.in_segment.mismatches.entry(before).or_default() += 1;
        }
        if sampled.is_none() && mismatched.is_none() {
            return;
        }
        let first = sampled.is_some_and(|before| self.is_first_in_step(whose.epoch, before));
        let sums = self.arms_mut(whose);
        if first {
            for &(arm, differs) in &found.differs {
                if let Some(other) = sums.get_mut(arm) {
                    other.answers.differences.count(differs);
                }
            }
        }
        let class = found
            .label
            .map(|label| class_of(label, sums.iter().map(|arm| &arm.answers)));
        let Some(arm) = sums.get_mut(whose.arm) else {
            return;
        };
        if let Some(before) = sampled {
            let outcomes = arm.firsts.samples.entry(before).or_default();
            outcomes.count(!found.agrees);
        }
        if let Some(before) = mismatched {
            *arm.firsts.mismatches.entry(before).or_default() += 1;
        }
        if first {
            if let Some(class) = class {
                arm.answers.count_label(class);
            }
            if let Some(score) = found.score {
                arm.answers.count_score(score);
            }
        }
    }

    /// Counts what was found about a pair.
    pub fn paired(&mut self, whose: Whose<'_>, found: Paired) {
        let marked = self.mark(whose, |record, epoch| {
            (mark(&mut record.paired, epoch), None)
        });
        let Some((Some(before), _)) = marked else {
            return;
        };
        if !self.is_first_in_step(whose.epoch, before) {
            return;
        }
        if let Some(arm) = self.arms_mut(whose).get_mut(found.treatment) {
            let pairs = &mut arm.answers.pairs;
            pairs.users += 1;
            pairs.differing += u64::from(found.differs);
            let live = whose.arm == found.treatment;
            if found.treatment_wrong && !found.control_wrong {
                pairs.only_arm_wrong += 1;
                pairs.only_arm_wrong_live += u64::from(live);
            }
            if found.control_wrong && !found.treatment_wrong {
                pairs.only_control_wrong += 1;
                pairs.only_control_wrong_live += u64::from(!live);
            }
        }
    }

    /// Counts an outcome; `false` when the user has had one.
    pub fn told(&mut self, whose: Whose<'_>, told: Told) -> bool {
        match told {
            Told::Answer { right } => self.told_answer(whose, right),
            Told::Value { value, by_id } => self.told_value(whose, value, by_id),
        }
    }

    fn told_answer(&mut self, whose: Whose<'_>, right: bool) -> bool {
        let marked = self.mark(whose, |record, epoch| {
            let told = mark(&mut record.told, epoch);
            let wrong = told.filter(|_| !right);
            let wrong = wrong.and_then(|_| mark(&mut record.wrong, epoch));
            (told, wrong)
        });
        let Some((Some(before), wrong)) = marked else {
            return false;
        };
        let wrong = wrong.filter(|_| !right);
        if !right
            && let Some(before) = self.mark_there(whose, |record| &mut record.wrong)
            && let Some(arm) = self.arms_mut(whose).get_mut(whose.arm)
        {
            *arm.in_segment.wrong.entry(before).or_default() += 1;
        }
        if let Some(arm) = self.arms_mut(whose).get_mut(whose.arm) {
            arm.answers.told.entry(before).or_default().count(!right);
            if let Some(before) = wrong {
                *arm.answers.wrong.entry(before).or_default() += 1;
            }
        }
        true
    }

    fn told_value(&mut self, whose: Whose<'_>, value: f64, by_id: bool) -> bool {
        let marked = self.mark(whose, |record, epoch| {
            (mark(&mut record.valued, epoch), None)
        });
        let Some((valued, _)) = marked else {
            return false;
        };
        let is_first = valued.is_some_and(|before| self.is_first_in_step(whose.epoch, before));
        if is_first {
            // By what was known before this one.
            self.bet(whose, value);
        }
        let counts = is_first || by_id;
        if let Some(arm) = self.arms_mut(whose).get_mut(whose.arm).filter(|_| counts) {
            arm.answers.worth.count(value);
            if is_first {
                arm.answers.values.count(value);
            }
        }
        counts
    }

    /// Bets on what one more user was worth. A user of control is one more for the bet on
    /// each other arm.
    fn bet(&mut self, whose: Whose<'_>, value: f64) {
        let Some(guardrail) = self.rollout.spec.guardrails.value.clone() else {
            return;
        };
        let epochs = self.rollout.epochs.iter();
        let epoch = epochs.rev().find(|own| own.epoch == whose.epoch);
        let Some(weights) = epoch.and_then(|own| own.weights_of(whose.segment)) else {
            return;
        };
        let weights = weights.to_vec();
        let control = self.rollout.control_index();
        let arms = self.arms_mut(whose);
        let known = |arm: usize| arms.get(arm).map(|sums| sums.answers.values);
        let centres: Vec<Option<f64>> = (0..arms.len())
            .map(|arm| (known(arm)? + known(control)?).mean())
            .collect();
        for ((arm, sums), centre) in arms.iter_mut().enumerate().zip(centres) {
            let concerns = whose.arm == arm || whose.arm == control;
            if arm != control && concerns {
                let share = share_of(&weights, arm, control);
                let in_arm = whose.arm == arm;
                sums.answers
                    .bet
                    .observe(&guardrail, in_arm, value, share, centre);
            }
        }
    }

    /// Marks a user's record: `None` for an epoch or a segment that the rollout does not
    /// know. Where each request is a unit of its own, everything is a first one.
    fn mark(
        &mut self,
        whose: Whose<'_>,
        marks: impl FnOnce(&mut UnitRecord, u64) -> (Option<u64>, Option<u64>),
    ) -> Option<(Option<u64>, Option<u64>)> {
        if !self.knows(whose.epoch, whose.segment) {
            return None;
        }
        if self.rollout.spec.each_request() {
            return Some((Some(NEVER), Some(NEVER)));
        }
        let marked = self
            .units
            .update(whose.unit, |record| marks(record, whose.epoch));
        if marked.0.is_some() || marked.1.is_some() {
            self.dirty_units.push(whose.unit);
        }
        Some(marked)
    }

    /// The same of a user's record in a segment that is judged alone; `None` outside of one,
    /// and where it was marked in this epoch.
    fn mark_there(
        &mut self,
        whose: Whose<'_>,
        of: impl FnOnce(&mut UnitRecord) -> &mut u32,
    ) -> Option<u64> {
        let there = unit_in_segment(whose.unit, Some(self.judged_alone(whose.segment)?));
        if self.rollout.spec.each_request() {
            return None;
        }
        let marked = self
            .units
            .update(there, |record| mark(of(record), whose.epoch));
        if marked.is_some() {
            self.dirty_units.push(there);
        }
        marked
    }

    fn arms_mut(&mut self, whose: Whose<'_>) -> &mut [ArmSums] {
        let arms = self.rollout.spec.arms.len();
        let (index, sums) = sums_mut(&mut self.sums, whose.epoch, whose.segment, arms);
        self.dirty_sums.insert(index);
        &mut sums.arms
    }

    /// Whether a user who had the same before in another epoch had it in an earlier step.
    fn is_first_in_step(&self, epoch: u64, before: u64) -> bool {
        let epochs = &self.rollout.epochs;
        let step = epochs.iter().find(|own| own.epoch == epoch);
        let start = step.and_then(|own| epochs.iter().find(|other| other.step == own.step));
        start.is_some_and(|start| before < start.epoch)
    }
}

impl Bet {
    /// `centre` is the mean of what was told before, if there was anything.
    fn observe(
        &mut self,
        guardrail: &ValueGuardrail,
        in_arm: bool,
        value: f64,
        share: f64,
        centre: Option<f64>,
    ) {
        let ValueGuardrail {
            lowest,
            highest,
            tolerated_loss,
            ..
        } = *guardrail;
        let width = highest - lowest;
        // On what is missing to the highest: an arm that has more of that is worth less.
        let missing = |value: f64| (highest - value) / width;
        let terms = Terms {
            share,
            centre: centre.map_or(0.5, missing),
            tolerated: tolerated_loss / width,
        };
        let mut bet = ValueBet::resumed([self.log_wealth, self.sum, self.sum_of_squares]);
        bet.observe_by(in_arm, missing(value), terms);
        [self.log_wealth, self.sum, self.sum_of_squares] = bet.parts();
    }
}
