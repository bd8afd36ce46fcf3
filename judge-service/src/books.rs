//! The judge's books: every rollout with its sums and users, in memory, and the
//! change that the store has yet to take.
//!
//! Pure: no clock, no store, no lock. [`crate::service`] holds
//! the lock, commits the change, and reloads the books if that fails.

mod check;
mod entry;
mod lists;
mod requests;
mod sessions;
#[cfg(test)]
pub(crate) mod tests;

pub use check::check;
pub use entry::{Entry, Paired, Sampled, Told, Whose};

use crate::domain::audit::{self, Audited, Head, Record, Reference};
use crate::domain::decision::{By, Decision, Deed, Evidence, NO_HASH, Sealed};
use crate::domain::layers::Part;
use crate::domain::plan::{Keyed, Terms, build};
use crate::domain::sessions::SessionName;
use crate::domain::spec::InLayer;
use crate::domain::{Delivered, Millis, Phase, Rollout};
use crate::store::{Change, Loaded};
use serinus_core::plan::{Plan, Revision};
use serinus_core::report::Report;
use sessions::{Print, Sessions};

#[derive(Debug, Default)]
pub struct Books {
    revision: Revision,
    rollouts: Vec<Entry>,
    sessions: Sessions,
    /// Where the record of all deeds ends.
    audited: Option<Head>,
    change: Change,
}

/// Revisions between a backup and its use: a thousand a day for three years. A poll that
/// claims more than that does not move the epochs any further, which are numbers of 32
/// bits where users are remembered by them.
const MOST_LOST: u64 = 1 << 20;

/// How much is in the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub rollouts: usize,
    pub units: usize,
    pub sessions: usize,
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema, serde::Serialize)]
pub struct Counted {
    /// It had been counted before, and was not counted again.
    pub duplicate: bool,
    /// Reports of this session that never arrived.
    pub missing: u64,
    /// Parts that name no rollout or epoch of this judge.
    pub unknown: Vec<String>,
}

/// A report that cannot be counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{field}: {problem}")]
    Malformed { field: String, problem: String },
    #[error("{0}")]
    UnknownRollout(String),
    /// Another report was counted under its name.
    #[error(
        "session: `{session}` has sent another report {sequence}: two workers say that they are one"
    )]
    Claimed { session: String, sequence: u64 },
}

// === impl Books ===

impl Books {
    #[must_use]
    pub fn from_loaded(loaded: Loaded) -> Self {
        let rollouts = loaded.rollouts.into_iter().map(Entry::loaded).collect();
        Self {
            revision: loaded.revision,
            rollouts,
            sessions: Sessions::from_loaded(loaded.sessions),
            audited: loaded.audited,
            change: Change::default(),
        }
    }

    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.rollouts
    }

    #[must_use]
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.rollouts
            .iter()
            .find(|entry| entry.rollout.spec.id == id)
    }

    pub fn entry_mut(&mut self, id: &str) -> Option<&mut Entry> {
        self.rollouts
            .iter_mut()
            .find(|entry| entry.rollout.spec.id == id)
    }

    /// Parts of a layer that rollouts have, but for the one that is being replaced.
    pub fn layer_parts(
        &self,
        layer: &InLayer,
        replaced: Option<&str>,
    ) -> impl Iterator<Item = Part> {
        let rollouts = self.rollouts.iter().map(|entry| &entry.rollout);
        rollouts
            .filter(|rollout| rollout.spec.is_in_layer(&layer.name))
            .filter(move |rollout| {
                rollout.phase != Phase::Superseded && replaced != Some(rollout.spec.id.as_str())
            })
            .filter_map(|rollout| rollout.layer_part)
    }

    /// How much there is of all that is remembered.
    #[must_use]
    pub fn size(&self) -> Size {
        Size {
            rollouts: self.rollouts.len(),
            units: self.rollouts.iter().map(Entry::users).sum(),
            sessions: self.sessions.len(),
        }
    }

    pub fn create(&mut self, rollout: Rollout, identity_key: String) {
        self.rollouts.push(Entry::new(rollout, identity_key));
    }

    pub fn delete(&mut self, id: &str) {
        self.rollouts.retain(|entry| entry.rollout.spec.id != id);
        self.change.deleted.push(id.to_owned());
    }

    /// Keeps what can be said by now of how decisions reached the workers.
    pub fn measure_delivery(&mut self, of: impl Fn(Revision) -> Option<Delivered>) {
        for entry in &mut self.rollouts {
            entry.measure_delivery(&of);
        }
    }

    fn next_revision(&self) -> Revision {
        Revision {
            generation: self.revision.generation.max(1),
            counter: self.revision.counter + 1,
        }
    }

    /// The plan of the current state, under the next revision.
    pub fn next_plan(&mut self, terms: &Terms) -> Plan {
        self.revision = self.next_revision();
        self.change.revision = Some(self.revision);
        self.plan(terms)
    }

    /// The first epoch of a new rollout: each epoch comes with a revision of its own,
    /// so that no epoch of any rollout before, of the same id too, is as high.
    #[must_use]
    pub fn first_epoch(&self) -> u64 {
        self.revision.counter + 1
    }

    /// Starts a generation after one that a worker has seen and this judge has not:
    /// its database is older than the plans it once gave out.
    ///
    /// Epochs are counted by the counter, so it goes on after the worker's, and running
    /// rollouts get an epoch there: reports of what was lost are then of epochs that
    /// nobody knows, and not of others with their numbers.
    pub fn overtake(&mut self, seen: Revision, now: Millis) {
        let counter = self.revision.counter;
        let counter = counter.max(seen.counter.min(counter.saturating_add(MOST_LOST)));
        self.revision = Revision {
            generation: seen.generation.saturating_add(1),
            counter,
        };
        for entry in &mut self.rollouts {
            if !entry.rollout.phase.is_over() {
                entry.rollout.skip_epochs(counter, now);
                entry.touch();
            }
        }
    }

    /// The plan of the current state and revision.
    #[must_use]
    pub fn plan(&self, terms: &Terms) -> Plan {
        let mut rollouts: Vec<&Entry> = self.rollouts.iter().collect();
        rollouts.retain(|entry| entry.rollout.phase != Phase::Superseded);
        rollouts.sort_by_key(|entry| entry.rollout.place());
        let keyed = rollouts.into_iter().map(|entry| Keyed {
            rollout: &entry.rollout,
            identity_key: &entry.identity_key,
        });
        build(keyed, self.revision, terms)
    }

    /// Counts a report exactly once.
    ///
    /// # Errors
    /// A report that is not one of a worker of this judge; nothing of it is counted.
    pub fn count(&mut self, report: &Report) -> Result<Counted, Refusal> {
        let session = check::check(report)?;
        let print = Print::of(report);
        if self.sessions.is_another(session, report.sequence, print) {
            return Err(Refusal::Claimed {
                session: report.session.clone(),
                sequence: report.sequence,
            });
        }
        let last = self.sessions.last(session);
        if report.sequence <= last {
            return Ok(Counted {
                duplicate: true,
                missing: 0,
                unknown: Vec::new(),
            });
        }
        let mut unknown = Vec::new();
        // All parts are checked before any is counted.
        let mut parts = Vec::new();
        for (index, part) in report.rollouts.iter().enumerate() {
            let Some(entry) = self
                .rollouts
                .iter()
                .position(|entry| entry.rollout.spec.id == part.rollout)
            else {
                unknown.push(format!(
                    "rollouts[{index}].rollout: there is no rollout `{}`",
                    part.rollout
                ));
                continue;
            };
            let arms = self
                .rollouts
                .get(entry)
                .map(|entry| check::arms_of(entry, index, part))
                .transpose()?;
            match arms.flatten() {
                Some(arms) => parts.push((entry, part, arms)),
                None => unknown.push(format!(
                    "rollouts[{index}].epoch: `{}` had no epoch {}{}",
                    part.rollout,
                    part.epoch,
                    part.segment
                        .as_ref()
                        .map(|name| format!(" with a segment `{name}`"))
                        .unwrap_or_default(),
                )),
            }
        }
        if parts.is_empty()
            && let Some(first) = unknown.first()
        {
            return Err(Refusal::UnknownRollout(first.clone()));
        }
        for (entry, part, arms) in parts {
            if let Some(entry) = self.rollouts.get_mut(entry) {
                entry.add(part, &arms);
            }
        }
        self.sessions.counted(session, report.sequence, print);
        Ok(Counted {
            duplicate: false,
            missing: report.sequence - last - 1,
            unknown,
        })
    }

    /// Whether it is the next report of its session, or one of before.
    #[must_use]
    pub fn follows(&self, report: &Report) -> bool {
        let session = SessionName::read(&report.session);
        let last = session.map_or(0, |session| self.sessions.last(session));
        report.sequence <= last.saturating_add(1)
    }

    /// The next commit has the plan of its revision, as workers get it: other judges give
    /// it out too.
    pub fn give_out(&mut self, plan: Vec<u8>) {
        self.change.published = Some(plan);
    }

    /// A letter of another judge was taken in: the next commit deletes it.
    pub fn read_letter(&mut self, position: i64) {
        self.change.letters_read.push(position);
    }

    /// Takes what the store has yet to write.
    pub fn take_change(&mut self) -> Change {
        let mut change = core::mem::take(&mut self.change);
        change.sessions = self.sessions.take_change();
        for entry in &mut self.rollouts {
            entry.take_change(&mut change);
        }
        change
    }

    /// Records a decision of the judge's on a rollout.
    ///
    /// # Errors
    /// No such rollout, or evidence that JSON cannot write.
    pub fn decide(&mut self, id: &str, made: Made) -> Result<Sealed, String> {
        self.decide_by(id, made, audit::JUDGE)
    }

    /// Records a decision on a rollout, and who made it.
    ///
    /// # Errors
    /// No such rollout, or evidence that JSON cannot write.
    pub fn decide_by(&mut self, id: &str, made: Made, who: &str) -> Result<Sealed, String> {
        let plan = self.next_revision();
        let entry = self
            .entry_mut(id)
            .ok_or_else(|| format!("there is no rollout `{id}`"))?;
        let (sequence, previous_hash) = match &entry.last_decision {
            None => (1, NO_HASH.to_owned()),
            Some((sequence, hash)) => (sequence + 1, hash.clone()),
        };
        let sealed = Sealed::seal(Decision {
            rollout: id.to_owned(),
            sequence,
            at_ms: made.at_ms,
            deed: made.deed,
            by: made.by,
            from_step: made.from_step,
            to_step: entry.rollout.step,
            phase: Some(entry.rollout.phase),
            baseline: Some(entry.rollout.baseline.clone()),
            drops: made.drops,
            reasons: made.reasons,
            previous_hash,
            evidence: made.evidence,
            evidence_before: made.evidence_before,
        })
        .map_err(|error| error.to_string())?;
        entry.last_decision = Some((sequence, sealed.hash.clone()));
        entry.goes_out(sequence, plan);
        entry.touch();
        self.change.decisions.push(sealed.clone());
        let decision = &sealed.decision;
        let reference = Reference {
            sequence,
            hash: sealed.hash.clone(),
        };
        let (action, reasons) = (decision.deed.name(), decision.reasons.clone());
        self.audit(id, who, action, reasons, decision.at_ms, Some(reference));
        Ok(sealed)
    }

    /// Records that something was done to a rollout.
    pub fn audit(
        &mut self,
        rollout: &str,
        who: &str,
        action: &str,
        reasons: Vec<String>,
        at_ms: Millis,
        decision: Option<Reference>,
    ) {
        let record = Record {
            sequence: 0,
            at_ms,
            who: who.to_owned(),
            action: action.to_owned(),
            rollout: rollout.to_owned(),
            reasons,
            decision,
            previous_hash: String::new(),
        };
        let audited = Audited::after(self.audited.as_ref(), record);
        self.audited = Some(audited.head());
        self.change.audit.push(audited);
    }
}

/// A decision before it has its place in the chain.
#[derive(Debug)]
pub struct Made {
    pub at_ms: Millis,
    pub deed: Deed,
    pub by: By,
    pub from_step: usize,
    pub drops: Vec<String>,
    pub reasons: Vec<String>,
    pub evidence: Option<Evidence>,
    pub evidence_before: Option<Evidence>,
}

impl Made {
    /// What a person did, for which no evidence is needed.
    #[must_use]
    pub fn by_person(at_ms: Millis, deed: Deed, from_step: usize, reasons: Vec<String>) -> Self {
        Self {
            at_ms,
            deed,
            by: By::Person,
            from_step,
            drops: Vec::new(),
            reasons,
            evidence: None,
            evidence_before: None,
        }
    }
}
