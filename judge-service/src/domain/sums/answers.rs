//! What users were answered, and what became of it: each user once a step, by their first
//! sample, first pair and first outcome there.

use super::Outcomes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Different labels that are counted apart in one epoch; the rest is [`OTHER`].
const MAX_LABELS: usize = 64;

/// All labels that came after the first 64.
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
}

/// Values that were told of users, of each the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Values {
    pub users: u64,
    pub sum: f64,
    pub sum_of_squares: f64,
}

// === impl Answers ===

impl Answers {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// One more user with this label.
    pub fn count_label(&mut self, label: i64) {
        let known = self.labels.len() < MAX_LABELS || self.labels.contains_key(&label);
        *self
            .labels
            .entry(if known { label } else { OTHER })
            .or_default() += 1;
    }

    pub fn count_score(&mut self, bin: i64) {
        *self.scores.entry(bin).or_default() += 1;
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

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_and_none_is_lost() {
        let mut answers = Answers::default();
        for label in 0..1_000 {
            answers.count_label(label % 500);
        }
        assert_eq!(answers.labels.len(), MAX_LABELS + 1);
        assert_eq!(answers.labels.values().sum::<u64>(), 1_000);
        assert_eq!(answers.labels[&0], 2);
    }
}
