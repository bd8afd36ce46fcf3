//! Plans and decisions that anybody saw: what was seen stays, and nothing goes back.

use serde_json::Value;
use serinus_core::plan::Revision;
use serinus_tests::failure::Result;
use std::collections::BTreeMap;

#[derive(Default)]
pub struct History {
    newest: Revision,
    plans: BTreeMap<Revision, Vec<u8>>,
    /// Of the one rollout that is never deleted, oldest first.
    decisions: Vec<Value>,
    /// Reasons, each its own, of deeds that the judge said it had done.
    done: Vec<String>,
}

impl History {
    /// The newest plan that anybody saw until now.
    pub fn newest(&self) -> Revision {
        self.newest
    }

    pub fn revisions(&self) -> usize {
        self.plans.len()
    }

    pub fn deeds(&self) -> usize {
        self.done.len()
    }

    /// Somebody who had `known` was given a plan. `at_least` is what no plan that is given
    /// out may be older than.
    ///
    /// # Errors
    /// A plan that is not newer, or another one than was seen under its revision.
    pub fn plan(
        &mut self,
        revision: Revision,
        bytes: &[u8],
        known: Revision,
        at_least: Revision,
    ) -> Result<()> {
        if revision <= known || revision < at_least {
            return Err(format!(
                "plan {revision} was given to a worker that had {known}, after {at_least} had been seen"
            )
            .into());
        }
        let first = self.plans.entry(revision).or_insert_with(|| bytes.to_vec());
        if first != bytes {
            return Err(format!("there are two plans {revision}").into());
        }
        self.newest = self.newest.max(revision);
        Ok(())
    }

    /// The judge said that it has done what this reason is of.
    pub fn done(&mut self, reason: &str) {
        self.done.push(reason.to_owned());
    }

    /// All decisions, as the judge shows them now.
    ///
    /// # Errors
    /// When one is missing that was seen, is another, or follows from another.
    pub fn decisions(&mut self, mut now: Vec<Value>) -> Result<()> {
        // How a decision reached the workers is measured after it, and is no part of it.
        for decision in now.iter_mut().filter_map(Value::as_object_mut) {
            decision.remove("delivered");
        }
        if !now.starts_with(&self.decisions) {
            let seen = self.decisions.len();
            return Err(format!("of {seen} decisions that were seen there are now {now:?}").into());
        }
        for (index, decision) in now.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|before| now.get(before));
            let hash = before.map_or("", |before| before["hash"].as_str().unwrap_or_default());
            if decision["sequence"] != index + 1 || decision["previous_hash"] != hash {
                return Err(format!("decision {} does not follow: {decision}", index + 1).into());
            }
        }
        self.decisions = now;
        Ok(())
    }

    /// Whether all that was done is among the decisions.
    ///
    /// # Errors
    /// The deeds that are missing.
    pub fn all_done(&self) -> Result<()> {
        let text: String = self.decisions.iter().map(Value::to_string).collect();
        let is_missing = |reason: &&String| !text.contains(&format!("\"{reason}\""));
        let missing: Vec<&String> = self.done.iter().filter(is_missing).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("deeds that were acknowledged are gone: {missing:?}").into())
        }
    }
}
