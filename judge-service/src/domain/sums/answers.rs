//! What users were answered, and what became of it: each user once a step, by their first
//! sample, first pair and first outcome there.

use super::Outcomes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Add;

/// Different labels of all arms that are counted apart in one epoch and segment; the rest
/// is [`OTHER`].
const MAX_LABELS: usize = 64;

/// All labels that came after the first 64, whichever arm they came from: an arm that
/// answers the same as another has the same classes.
pub const OTHER: i64 = i64::MIN;

/// Of one arm, in one epoch and segment.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Answers {
    /// Users by the label that they were served.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<i64, u64>,
    /// Users by the bin of the score that they were served
    /// ([`crate::domain::scores`] says which).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<i64, u64>,
    /// Sampled users of all arms, and those whose input this arm's model file answers
    /// otherwise than control's.
    #[serde(default, skip_serializing_if = "is_default")]
    pub differences: Outcomes,
    /// Users of both arms whose request was answered by both.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pairs: Pairs,
    /// Users with an outcome, and of those, wrongly answered. The keys are as in
    /// [`super::Firsts`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub told: BTreeMap<u64, Outcomes>,
    /// Users by the epoch of the wrong answer before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wrong: BTreeMap<u64, u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub values: Values,
    #[serde(default, skip_serializing_if = "is_default")]
    pub worth: Worth,
    /// Against control, where the rollout judges values.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bet: Bet,
}

/// The first pair of each user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Pairs {
    pub users: u64,
    /// The two answers differ.
    pub differing: u64,
    /// The arm's is not its model's, and control's is.
    pub only_arm_wrong: u64,
    pub only_control_wrong: u64,
    /// Of those the ones in which the wrong answer is the one that the user got: the other
    /// arm was asked again, and whatever goes wrong with that is not its model.
    #[serde(default)]
    pub only_arm_wrong_live: u64,
    #[serde(default)]
    pub only_control_wrong_live: u64,
}

/// Values that were told of users, of each the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Values {
    pub users: u64,
    pub sum: f64,
    pub sum_of_squares: f64,
}

/// All values that were told, of users several too: shown, and no part of a verdict, for
/// which each user is one.
#[derive(Debug, Clone, Copy, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Worth {
    pub told: u64,
    pub total: f64,
}

/// What a bet that the arm's users are worth less than control's has come to: the parts of
/// a `serinus_stats::value::ValueBet`.
#[derive(Debug, Clone, Copy, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Bet {
    pub log_wealth: f64,
    pub sum: f64,
    pub sum_of_squares: f64,
}

// === impl Answers ===

impl Answers {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// One more user with this class of label, as [`class_of`] says.
    pub fn count_label(&mut self, class: i64) {
        *self.labels.entry(class).or_default() += 1;
    }

    pub fn count_score(&mut self, bin: i64) {
        *self.scores.entry(bin).or_default() += 1;
    }
}

/// A label, or [`OTHER`] where as many others are counted apart already. `arms` are all of
/// one epoch and segment: what a label is counted as must not depend on who answered it.
#[must_use]
pub fn class_of<'a>(label: i64, arms: impl Iterator<Item = &'a Answers> + Clone) -> i64 {
    let mut known = arms.clone();
    if known.any(|answers| answers.labels.contains_key(&label)) {
        return label;
    }
    let labels = arms.flat_map(|answers| answers.labels.keys());
    let apart: BTreeSet<i64> = labels.copied().filter(|&label| label != OTHER).collect();
    if apart.len() < MAX_LABELS {
        label
    } else {
        OTHER
    }
}

// === impl Values ===

impl Values {
    pub fn count(&mut self, value: f64) {
        self.users += 1;
        self.sum += value;
        self.sum_of_squares += value * value;
    }

    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.users > 0).then(|| self.sum / self.users as f64)
    }
}

impl Add for Values {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        let Self {
            users,
            sum,
            sum_of_squares,
        } = more;
        Self {
            users: self.users + users,
            sum: self.sum + sum,
            sum_of_squares: self.sum_of_squares + sum_of_squares,
        }
    }
}

// === impl Worth ===

impl Worth {
    pub fn count(&mut self, value: f64) {
        self.told += 1;
        self.total += value;
    }
}

impl Add for Worth {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        let Self { told, total } = more;
        Self {
            told: self.told + told,
            total: self.total + total,
        }
    }
}

// === impl Pairs ===

impl Add for Pairs {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        let Self {
            users,
            differing,
            only_arm_wrong,
            only_control_wrong,
            only_arm_wrong_live,
            only_control_wrong_live,
        } = more;
        Self {
            users: self.users + users,
            differing: self.differing + differing,
            only_arm_wrong: self.only_arm_wrong + only_arm_wrong,
            only_control_wrong: self.only_control_wrong + only_control_wrong,
            only_arm_wrong_live: self.only_arm_wrong_live + only_arm_wrong_live,
            only_control_wrong_live: self.only_control_wrong_live + only_control_wrong_live,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_and_classes_are_the_same_in_all_arms() {
        let mut arms = [Answers::default(), Answers::default()];
        // Each arm begins with labels of its own, and comes to answer all.
        for turn in 0..1_000 {
            for (arm, first) in [(0, 0), (1, 250)] {
                let class = class_of((first + turn) % 500, arms.iter());
                arms[arm].count_label(class);
            }
        }
        for answers in &arms {
            assert_eq!(answers.labels.values().sum::<u64>(), 1_000);
        }
        let classes = |arm: usize| arms[arm].labels.keys().collect::<Vec<_>>();
        assert_eq!(classes(0), classes(1));
        assert_eq!(classes(0).len(), MAX_LABELS + 1);
        assert_eq!(arms[0].labels[&0], 2);
    }
}
