//! What users were last answered, for outcomes that name a true label alone.

use serinus_core::identity::UnitHash;
use std::collections::{HashMap, VecDeque};

/// Users that are remembered of a rollout.
const USERS: usize = 65_536;

/// A sampled answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Served {
    pub label: Option<i64>,
    /// The probability of that label, where it is known.
    pub confidence: Option<f64>,
}

#[derive(Debug, Clone, Default)]
pub struct Memory {
    served: HashMap<UnitHash, Served>,
    order: VecDeque<UnitHash>,
}

impl Memory {
    pub fn remember(&mut self, unit: UnitHash, served: Served) {
        if self.served.insert(unit, served).is_none() {
            self.order.push_back(unit);
        }
        while self.order.len() > USERS {
            if let Some(oldest) = self.order.pop_front() {
                self.served.remove(&oldest);
            }
        }
    }

    pub fn of(&self, unit: UnitHash) -> Option<Served> {
        self.served.get(&unit).copied()
    }
}
