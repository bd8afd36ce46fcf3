//! What users were last answered, for outcomes that name a true label alone.

use serinus_core::identity::UnitHash;
use std::collections::{HashMap, VecDeque};

/// Users that are remembered of a rollout.
const USERS: usize = 65_536;

/// A sampled answer, of its first row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LastAnswer {
    pub arm: usize,
    pub epoch: u64,
    pub label: Option<i64>,
    /// The probability of that label, where it is known.
    pub confidence: Option<f64>,
}

#[derive(Debug, Default)]
pub struct Memory {
    answers: HashMap<UnitHash, LastAnswer>,
    order: VecDeque<UnitHash>,
}

impl Memory {
    pub fn remember(&mut self, unit: UnitHash, answer: LastAnswer) {
        if self.answers.insert(unit, answer).is_none() {
            self.order.push_back(unit);
        }
        while self.order.len() > USERS {
            if let Some(oldest) = self.order.pop_front() {
                self.answers.remove(&oldest);
            }
        }
    }

    /// What a user was last seen to be answered by an arm in an epoch: what another one
    /// said is not what came of this one.
    pub fn of(&self, unit: UnitHash, arm: usize, epoch: u64) -> Option<LastAnswer> {
        let last = self.answers.get(&unit).copied();
        last.filter(|last| last.arm == arm && last.epoch == epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(arm: usize, epoch: u64) -> LastAnswer {
        LastAnswer {
            arm,
            epoch,
            label: Some(1),
            confidence: None,
        }
    }

    #[test]
    fn another_versions_answer_is_not_taken_for_this_ones() {
        let mut memory = Memory::default();
        memory.remember(7, answer(0, 1));
        memory.remember(7, answer(1, 2));
        assert_eq!(memory.of(7, 1, 2), Some(answer(1, 2)));
        assert_eq!(memory.of(7, 0, 1), None, "only the last is known");
        assert_eq!(memory.of(7, 1, 1), None);
    }

    #[test]
    fn the_oldest_users_are_forgotten() {
        let mut memory = Memory::default();
        for unit in 0..USERS as u64 + 10 {
            memory.remember(unit, answer(0, 1));
        }
        assert_eq!(memory.answers.len(), USERS);
        assert_eq!(memory.of(9, 0, 1), None);
        assert!(memory.of(10, 0, 1).is_some());
    }
}
