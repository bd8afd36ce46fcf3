//! Ids of outcomes that were counted, to tell what is told again. What is older counts no
//! second time either, since a user has one outcome in an epoch.

use crate::domain::Millis;
use std::collections::{HashSet, VecDeque};

/// Ids that are remembered.
const IDS: usize = 65_536;

/// An id belongs to one rollout, and not to another one of that name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub rollout: String,
    pub created_ms: Millis,
    pub id: String,
}

/// The last ids.
#[derive(Debug, Default)]
pub struct Ids {
    known: HashSet<Key>,
    order: VecDeque<Key>,
}

impl Ids {
    pub fn knows(&self, key: &Key) -> bool {
        self.known.contains(key)
    }

    pub fn remember(&mut self, key: Key) {
        if self.known.insert(key.clone()) {
            self.order.push_back(key);
        }
        while self.order.len() > IDS {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    /// Its place in the order is left: another one under the same id is then forgotten a
    /// little sooner.
    pub fn forget(&mut self, key: &Key) {
        self.known.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(rollout: &str, created_ms: Millis, id: usize) -> Key {
        Key {
            rollout: rollout.to_owned(),
            created_ms,
            id: id.to_string(),
        }
    }

    #[test]
    fn an_id_is_one_rollouts() {
        let mut ids = Ids::default();
        ids.remember(key("a", 1, 7));
        assert!(ids.knows(&key("a", 1, 7)));
        assert!(!ids.knows(&key("b", 1, 7)));
        assert!(!ids.knows(&key("a", 2, 7)), "it was made again");
        ids.forget(&key("a", 1, 7));
        assert!(!ids.knows(&key("a", 1, 7)));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut ids = Ids::default();
        for id in 0..IDS + 5 {
            ids.remember(key("a", 1, id));
        }
        assert!(!ids.knows(&key("a", 1, 4)) && ids.knows(&key("a", 1, 5)));
        assert_eq!((ids.known.len(), ids.order.len()), (IDS, IDS));
    }
}
