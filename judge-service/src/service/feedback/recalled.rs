//! What the store remembers of what a batch of outcomes is about.

use super::place::{Assigned, Place, Placed};
use crate::domain::Millis;
use crate::domain::remembered::{Answered, Name};
use crate::store::{Store, StoreError};
use std::collections::{BTreeSet, HashMap, HashSet};

#[derive(Default)]
pub(super) struct Recalled {
    of: HashMap<String, OfRollout>,
}

#[derive(Default)]
struct OfRollout {
    told: HashSet<Name>,
    answers: HashMap<Name, (Millis, Answered)>,
}

impl Recalled {
    /// # Errors
    /// The store's, and a record that this judge cannot read.
    pub async fn of(
        store: &dyn Store,
        placed: impl Iterator<Item = &Placed>,
    ) -> Result<Self, StoreError> {
        let mut wanted: HashMap<&str, BTreeSet<Name>> = HashMap::new();
        for placed in placed {
            let names = wanted.entry(&placed.told.rollout).or_default();
            names.extend(placed.answer_told.iter().chain(&placed.value_told));
            match &placed.place {
                Place::Request(name) => {
                    names.insert(*name);
                }
                Place::User(assigned) => {
                    names.insert(Name::user(assigned.unit));
                }
                Place::Early | Place::NotInTest => {}
            }
        }
        let mut recalled = Self::default();
        for (rollout, names) in wanted {
            let names: Vec<Name> = names.into_iter().collect();
            let of_rollout = recalled.of.entry(rollout.to_owned()).or_default();
            for known in store.recall(rollout, &names).await? {
                if !known.name.kind.is_answer() {
                    of_rollout.told.insert(known.name);
                    continue;
                }
                let answered = Answered::from_record(&known.record);
                let answered = answered.map_err(|problem| StoreError::Damaged {
                    what: format!("what is remembered of {rollout}"),
                    problem,
                })?;
                let found = (known.at_ms, answered);
                of_rollout.answers.insert(known.name, found);
            }
        }
        Ok(recalled)
    }

    /// Whether something was told under one of these names.
    pub fn was_told(&self, rollout: &str, names: &[Name]) -> bool {
        let known = self.of.get(rollout);
        known.is_some_and(|known| names.iter().any(|name| known.told.contains(name)))
    }

    /// Something of this batch was counted under these.
    pub fn tell(&mut self, rollout: &str, names: &[Name]) {
        if let Some(known) = self.of.get_mut(rollout) {
            known.told.extend(names);
        }
    }

    /// The answer that is remembered under a name, if it is no older than that.
    pub fn answer(&self, rollout: &str, name: Name, since: Millis) -> Option<&Answered> {
        let (at_ms, answered) = self.of.get(rollout)?.answers.get(&name)?;
        (*at_ms >= since).then_some(answered)
    }

    /// A user's last answer, if that arm gave it in that epoch: what another one said is
    /// not what came of this one.
    pub fn last_answer(
        &self,
        rollout: &str,
        assigned: &Assigned,
        since: Millis,
    ) -> Option<&Answered> {
        let whose = assigned.whose();
        let last = self.answer(rollout, Name::user(whose.unit), since);
        last.filter(|last| (last.arm, last.epoch) == (whose.arm, whose.epoch))
    }
}
