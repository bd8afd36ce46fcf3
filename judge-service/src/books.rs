//! The judge's books: every rollout with its sums and users, in memory, and the
//! change that the store has yet to take.
//!
//! Pure but for nothing: no clock, no store, no lock. [`crate::service`] holds
//! the lock, commits the change, and reloads the books if that fails.

use crate::domain::decision::{By, Decision, Deed, Evidence, NO_HASH, Sealed};
use crate::domain::evidence::NewUsers;
use crate::domain::plan::{Keyed, build};
use crate::domain::sums::{Firsts, Trip};
use crate::domain::units::{UnitRecord, mark};
use crate::domain::{Bundle, EpochSums, Millis, Rollout, evidence};
use crate::store::{Change, Loaded};
use serinus_core::identity::UnitHash;
use serinus_core::plan::{Plan, Revision};
use serinus_core::report::{Report, RolloutReport, SlotRow};
use std::collections::{BTreeSet, HashMap};

#[derive(Debug, Default)]
pub struct Books {
    revision: Revision,
    rollouts: Vec<Entry>,
    sessions: HashMap<String, u64>,
    change: Change,
}

#[derive(Debug)]
pub struct Entry {
    pub rollout: Rollout,
    identity_key: String,
    sums: Vec<EpochSums>,
    units: HashMap<UnitHash, UnitRecord>,
    last_decision: Option<(u64, String)>,
    /// What the pending change must take of this entry.
    dirty_sums: BTreeSet<SumsKey>,
    dirty_units: BTreeSet<UnitHash>,
    dirty: bool,
}

/// Requests of one arm and slot in one report; no proxy serves so many.
const MAX_COUNT: u64 = 1 << 32;

/// A second each of them.
const MAX_LATENCY_SUM_US: u64 = MAX_COUNT * 1_000_000;

/// No sum grows over this, so that sums of sums (256 slots, 16 arms, thousands of
/// epochs) never overflow: 2^44 x 2^8 x 2^4 x 2^7 = 2^63.
const MAX_SUM: u64 = 1 << 44;

/// An epoch, and a segment or the rest.
type SumsKey = (u64, Option<String>);

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
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
}

// === impl Books ===

impl Books {
    #[must_use]
    pub fn from_loaded(loaded: Loaded) -> Self {
        let rollouts = loaded
            .rollouts
            .into_iter()
            .map(|loaded| Entry {
                rollout: loaded.rollout,
                identity_key: loaded.identity_key,
                sums: loaded.sums,
                units: loaded.units.into_iter().collect(),
                last_decision: loaded.last_decision,
                dirty_sums: BTreeSet::new(),
                dirty_units: BTreeSet::new(),
                dirty: false,
            })
            .collect();
        Self {
            revision: loaded.revision,
            rollouts,
            sessions: loaded.sessions.into_iter().collect(),
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

    pub fn create(&mut self, rollout: Rollout, identity_key: String) {
        let mut entry = Entry {
            rollout,
            identity_key,
            sums: Vec::new(),
            units: HashMap::new(),
            last_decision: None,
            dirty_sums: BTreeSet::new(),
            dirty_units: BTreeSet::new(),
            dirty: true,
        };
        entry.open_epochs();
        self.rollouts.push(entry);
    }

    pub fn delete(&mut self, id: &str) {
        self.rollouts.retain(|entry| entry.rollout.spec.id != id);
        self.change.deleted.push(id.to_owned());
    }

    /// The plan of the current state, under the next revision.
    pub fn next_plan(&mut self, report_interval_ms: u32) -> Plan {
        self.revision.generation = self.revision.generation.max(1);
        self.revision.counter += 1;
        self.change.revision = Some(self.revision);
        self.plan(report_interval_ms)
    }

    /// The first epoch of a new rollout: each epoch comes with a revision of its own,
    /// so that no epoch of any rollout before, of the same id too, is as high.
    #[must_use]
    pub fn first_epoch(&self) -> u64 {
        self.revision.counter + 1
    }

    /// Starts a generation after one that a worker has seen and this judge has not:
    /// its database is older than the plans it once gave out.
    pub fn overtake(&mut self, seen: Revision) {
        self.revision = Revision {
            generation: seen.generation.saturating_add(1),
            // Epochs are counted by it, so it goes on.
            counter: self.revision.counter,
        };
    }

    /// The plan of the current state and revision.
    #[must_use]
    pub fn plan(&self, report_interval_ms: u32) -> Plan {
        let keyed = self.rollouts.iter().map(|entry| Keyed {
            rollout: &entry.rollout,
            identity_key: &entry.identity_key,
        });
        build(keyed, self.revision, report_interval_ms)
    }

    /// Counts a report exactly once.
    ///
    /// # Errors
    /// A report that is not one of a worker of this judge; nothing of it is counted.
    pub fn count(&mut self, report: &Report) -> Result<Counted, Refusal> {
        check(report)?;
        let last = self
            .sessions
            .get(&report.session)
            .copied()
            .unwrap_or_default();
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
                .map(|entry| entry.arms_of(index, part))
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
        self.sessions
            .insert(report.session.clone(), report.sequence);
        self.change
            .sessions
            .push((report.session.clone(), report.sequence));
        Ok(Counted {
            duplicate: false,
            missing: report.sequence - last - 1,
            unknown,
        })
    }

    /// Takes what the store has yet to write.
    pub fn take_change(&mut self, now: Millis) -> Change {
        let mut change = core::mem::take(&mut self.change);
        change.now_ms = now;
        for entry in &mut self.rollouts {
            entry.take_change(&mut change);
        }
        change
    }

    /// Records a decision on a rollout.
    ///
    /// # Errors
    /// No such rollout, or evidence that JSON cannot write.
    pub fn decide(&mut self, id: &str, made: Made) -> Result<Sealed, String> {
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
            reasons: made.reasons,
            previous_hash,
            evidence: made.evidence,
        })
        .map_err(|error| error.to_string())?;
        entry.last_decision = Some((sequence, sealed.hash.clone()));
        entry.touch();
        self.change.decisions.push(sealed.clone());
        Ok(sealed)
    }
}

/// A decision before it has its place in the chain.
#[derive(Debug)]
pub struct Made {
    pub at_ms: Millis,
    pub deed: Deed,
    pub by: By,
    pub from_step: usize,
    pub reasons: Vec<String>,
    pub evidence: Option<Evidence>,
}

/// What does not depend on the rollouts.
fn check(report: &Report) -> Result<(), Refusal> {
    let malformed = |field: &str, problem: String| Refusal::Malformed {
        field: field.to_owned(),
        problem,
    };
    if report.version != serinus_core::report::VERSION {
        return Err(malformed(
            "version",
            format!(
                "is {}, and this judge reads {}",
                report.version,
                serinus_core::report::VERSION
            ),
        ));
    }
    if !serinus_core::report::is_session(&report.session) {
        return Err(malformed("session", "is not 32 hex digits".to_owned()));
    }
    if report.sequence == 0 || report.sequence > i64::MAX.unsigned_abs() {
        return Err(malformed("sequence", "counts from 1".to_owned()));
    }
    Ok(())
}

// === impl Entry ===

impl Entry {
    /// To be called after the rollout was changed.
    pub fn touch(&mut self) {
        self.dirty = true;
        self.open_epochs();
    }

    #[must_use]
    pub fn sums(&self) -> &[EpochSums] {
        &self.sums
    }

    /// The evidence as of now.
    #[must_use]
    pub fn bundle(&self, now: Millis) -> Bundle {
        let in_step: BTreeSet<u64> = self
            .rollout
            .step_epochs()
            .map(|epoch| epoch.epoch)
            .collect();
        Bundle {
            version: evidence::VERSION,
            now_ms: now,
            rollout: self.rollout.clone(),
            sums: self
                .sums
                .iter()
                .filter(|sums| in_step.contains(&sums.epoch))
                .cloned()
                .collect(),
            new_users: self
                .sums
                .iter()
                .filter_map(|sums| {
                    let mut epochs = self.rollout.epochs.iter();
                    let epoch = epochs.find(|epoch| epoch.epoch == sums.epoch)?;
                    Some(NewUsers {
                        epoch: sums.epoch,
                        segment: sums.segment.clone(),
                        weights: epoch.weights_of(sums.segment.as_deref())?.to_vec(),
                        counts: sums.arms.iter().map(|arm| arm.firsts.new_users).collect(),
                    })
                })
                .collect(),
        }
    }

    /// Counts how a sampled answer compared with the model.
    pub fn compared(
        &mut self,
        epoch: u64,
        segment: Option<&str>,
        arm: usize,
        unit: UnitHash,
        agrees: bool,
    ) {
        if !self.knows(epoch, segment) {
            return;
        }
        let record = self.units.entry(unit).or_default();
        let sampled = mark(&mut record.sampled, epoch);
        let mismatched = (!agrees)
            .then(|| mark(&mut record.mismatched, epoch))
            .flatten();
        let sums = sums_mut(&mut self.sums, epoch, segment, self.rollout.spec.arms.len());
        let Some(arm) = sums.arms.get_mut(arm) else {
            return;
        };
        if let Some(before) = sampled {
            let outcomes = arm.firsts.samples.entry(before).or_default();
            outcomes.users += 1;
            outcomes.bad += u64::from(!agrees);
        }
        if let Some(before) = mismatched {
            *arm.firsts.mismatches.entry(before).or_default() += 1;
        }
        if sampled.is_some() || mismatched.is_some() {
            self.dirty_units.insert(unit);
            self.dirty_sums.insert((epoch, segment.map(str::to_owned)));
        }
    }

    /// Whether this rollout had that epoch, and has that segment.
    fn knows(&self, epoch: u64, segment: Option<&str>) -> bool {
        let mut segments = self.rollout.spec.segments.iter();
        self.rollout.epochs.iter().any(|known| known.epoch == epoch)
            && segment.is_none_or(|name| segments.any(|known| known.name == name))
    }

    /// For each arm of a report its index in the spec; `None` for an epoch that
    /// this rollout did not have.
    fn arms_of(&self, index: usize, part: &RolloutReport) -> Result<Option<Vec<usize>>, Refusal> {
        let malformed = |field: String, problem: String| Refusal::Malformed { field, problem };
        if !self.knows(part.epoch, part.segment.as_deref()) {
            return Ok(None);
        }
        let mut arms = Vec::with_capacity(part.arms.len());
        for (position, arm) in part.arms.iter().enumerate() {
            let found = self.rollout.arm_index(&arm.arm).ok_or_else(|| {
                malformed(
                    format!("rollouts[{index}].arms[{position}].arm"),
                    format!("unknown arm `{}`", arm.arm),
                )
            })?;
            arms.push(found);
            for (row, slot) in arm.slots.iter().enumerate() {
                let field = || format!("rollouts[{index}].arms[{position}].slots[{row}]");
                let &SlotRow(_, exposures, finished, errors, latency_us, ref over) = slot;
                let answered = finished.checked_sub(errors);
                if answered.is_none_or(|answered| over.iter().any(|&over| over > answered)) {
                    return Err(malformed(
                        field(),
                        "counts more errors or slow answers than finished requests".to_owned(),
                    ));
                }
                if exposures.max(finished) > MAX_COUNT || latency_us > MAX_LATENCY_SUM_US {
                    return Err(malformed(
                        field(),
                        format!(
                            "counts more than {MAX_COUNT} requests, or their latency more than {MAX_LATENCY_SUM_US} us"
                        ),
                    ));
                }
            }
        }
        if let Some(trip) = &part.breaker {
            let arm = self.rollout.arm_index(&trip.arm);
            let of_treatment = arm.is_some_and(|arm| arm != self.rollout.control_index());
            if !of_treatment || trip.errors == 0 || trip.errors > trip.finished {
                return Err(malformed(
                    format!("rollouts[{index}].breaker"),
                    format!(
                        "`{}` is no arm but control's, or {} errors of {} requests open no breaker",
                        trip.arm.escape_debug(),
                        trip.errors,
                        trip.finished
                    ),
                ));
            }
        }
        let listed = part
            .new_units
            .iter()
            .map(|unit| unit.1)
            .chain(part.first_outcomes.iter().map(|unit| unit.1))
            .chain(part.first_errors.iter().map(|unit| unit.1))
            .chain(part.first_slow.iter().map(|unit| unit.1));
        if let Some(bad) = listed
            .into_iter()
            .find(|&arm| usize::from(arm) >= arms.len())
        {
            return Err(malformed(
                format!("rollouts[{index}]"),
                format!(
                    "a list names arm {bad}, but the report has {} arms",
                    arms.len()
                ),
            ));
        }
        Ok(Some(arms))
    }

    /// Adds a report's part; `arms` maps its arms to those of the spec.
    fn add(&mut self, part: &RolloutReport, arms: &[usize]) {
        let epoch = part.epoch;
        let segment = part.segment.as_deref();
        let sums = sums_mut(&mut self.sums, epoch, segment, self.rollout.spec.arms.len());
        for (report, &arm) in part.arms.iter().zip(arms) {
            let Some(arm) = sums.arms.get_mut(arm) else {
                continue;
            };
            for row in &report.slots {
                let slot = usize::from(row.0);
                add(&mut arm.exposures, slot, row.1);
                add(&mut arm.finished, slot, row.2);
                add(&mut arm.errors, slot, row.3);
                add(&mut arm.latency_sum_us, slot, row.4);
                for (over, &count) in arm.over.iter_mut().zip(&row.5) {
                    add(over, slot, count);
                }
            }
            for &(bucket, count) in &report.histogram {
                if usize::from(bucket) < serinus_core::histogram::BUCKETS {
                    let sum = arm.histogram.entry(bucket).or_default();
                    grow(sum, count);
                }
            }
            grow(&mut arm.local_replies, report.local_replies);
            grow(&mut arm.disconnects, report.disconnects);
            grow(&mut arm.samples_sent, report.samples_sent);
            grow(&mut arm.samples_dropped, report.samples_dropped);
        }
        for (&cause, &count) in &part.fallbacks {
            let name = serde_json::to_value(cause)
                .ok()
                .and_then(|name| name.as_str().map(str::to_owned));
            let sum = sums.fallbacks.entry(name.unwrap_or_default()).or_default();
            grow(sum, count);
        }
        if let Some(trip) = &part.breaker {
            sums.trips.push(Trip {
                arm: trip.arm.clone(),
                finished: trip.finished,
                errors: trip.errors,
            });
        }
        for unit in &part.new_units {
            let record = self.units.entry(unit.0).or_default();
            let never = record.exposed == 0;
            if mark(&mut record.exposed, epoch).is_some() {
                self.dirty_units.insert(unit.0);
                if never && let Some(firsts) = firsts(sums, arms, unit.1) {
                    firsts.new_users += 1;
                }
            }
        }
        for unit in &part.first_outcomes {
            let record = self.units.entry(unit.0).or_default();
            if let Some(before) = mark(&mut record.outcome, epoch) {
                self.dirty_units.insert(unit.0);
                if let Some(firsts) = firsts(sums, arms, unit.1) {
                    let outcomes = firsts.outcomes.entry(before).or_default();
                    outcomes.users += 1;
                    outcomes.bad += u64::from(unit.2);
                }
            }
        }
        for unit in &part.first_errors {
            let record = self.units.entry(unit.0).or_default();
            if let Some(before) = mark(&mut record.failed, epoch) {
                self.dirty_units.insert(unit.0);
                if let Some(firsts) = firsts(sums, arms, unit.1) {
                    *firsts.errors.entry(before).or_default() += 1;
                }
            }
        }
        for unit in &part.first_slow {
            let record = self.units.entry(unit.0).or_default();
            // An answer above a level is above all below it.
            for (edge, last) in record.slow.iter_mut().enumerate().take(usize::from(unit.2)) {
                if let Some(before) = mark(last, epoch) {
                    self.dirty_units.insert(unit.0);
                    if let Some(map) =
                        firsts(sums, arms, unit.1).and_then(|firsts| firsts.slow.get_mut(edge))
                    {
                        *map.entry(before).or_default() += 1;
                    }
                }
            }
        }
        self.dirty_sums.insert((epoch, part.segment.clone()));
    }

    /// Every epoch has its sums from its start on; its segments', when they have any.
    fn open_epochs(&mut self) {
        let arms = self.rollout.spec.arms.len();
        for epoch in &self.rollout.epochs {
            if !self.sums.iter().any(|sums| sums.epoch == epoch.epoch) {
                self.sums.push(EpochSums::new(epoch.epoch, arms));
                self.dirty_sums.insert((epoch.epoch, None));
            }
        }
    }

    fn take_change(&mut self, change: &mut Change) {
        let id = &self.rollout.spec.id;
        if core::mem::take(&mut self.dirty) {
            change
                .rollouts
                .push((self.rollout.clone(), self.identity_key.clone()));
        }
        for (epoch, segment) in core::mem::take(&mut self.dirty_sums) {
            let mut sums = self.sums.iter();
            if let Some(sums) = sums.find(|sums| sums.is_of(epoch, segment.as_deref())) {
                change.sums.push((id.clone(), sums.clone()));
            }
        }
        for unit in core::mem::take(&mut self.dirty_units) {
            if let Some(record) = self.units.get(&unit) {
                change.units.push((id.clone(), unit, *record));
            }
        }
    }
}

/// The sums of a segment in an epoch; they are made when they are not there.
fn sums_mut<'sums>(
    sums: &'sums mut Vec<EpochSums>,
    epoch: u64,
    segment: Option<&str>,
    arms: usize,
) -> &'sums mut EpochSums {
    let found = sums.iter().position(|sums| sums.is_of(epoch, segment));
    let index = found.unwrap_or(sums.len());
    if found.is_none() {
        sums.push(EpochSums {
            segment: segment.map(str::to_owned),
            ..EpochSums::new(epoch, arms)
        });
    }
    // The index is that of an element just found or pushed.
    #[allow(clippy::indexing_slicing)]
    &mut sums[index]
}

/// The first events of the arm that a report's list names.
fn firsts<'sums>(
    sums: &'sums mut EpochSums,
    arms: &[usize],
    listed: u8,
) -> Option<&'sums mut Firsts> {
    let arm = arms.get(usize::from(listed)).copied()?;
    sums.arms.get_mut(arm).map(|arm| &mut arm.firsts)
}

fn add(slots: &mut [u64], slot: usize, count: u64) {
    if let Some(sum) = slots.get_mut(slot) {
        grow(sum, count);
    }
}

fn grow(sum: &mut u64, count: u64) {
    *sum = sum.saturating_add(count).min(MAX_SUM);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollout::tests::rollout;
    use serde_json::{Value, json};

    pub(crate) fn books() -> Books {
        let mut books = Books::default();
        books.create(rollout(), "00".repeat(16));
        books
    }

    fn report(sequence: u64, part: &Value) -> Report {
        let mut rollout = json!({"rollout": "digits", "epoch": 1, "arms": [
            {"arm": "control", "slots": [[3, 10, 9, 1, 900, [5, 2]]], "histogram": [[40, 8]]},
            {"arm": "canary", "slots": [[3, 2, 2, 1, 200, []]]}
        ]});
        for (key, value) in part.as_object().unwrap() {
            rollout[key] = value.clone();
        }
        let report = json!({"version": 1, "session": "5e".repeat(16), "sequence": sequence,
            "revision": null, "rollouts": [rollout]});
        serde_json::from_value(report).unwrap()
    }

    #[test]
    fn a_report_counts_once_and_gaps_are_seen() {
        let mut books = books();
        let first = report(1, &json!({}));
        assert!(!books.count(&first).unwrap().duplicate);
        assert!(books.count(&first).unwrap().duplicate);
        let later = books.count(&report(4, &json!({}))).unwrap();
        assert_eq!((later.duplicate, later.missing), (false, 2));
        assert!(
            books.count(&report(2, &json!({}))).unwrap().duplicate,
            "reordered"
        );
        let arm = &books.entries()[0].sums()[0].arms[0];
        assert_eq!(
            (arm.exposures[3], arm.finished[3], arm.errors[3]),
            (20, 18, 2)
        );
        assert_eq!(
            (arm.over[0][3], arm.over[1][3], arm.histogram[&40]),
            (10, 4, 16)
        );
    }

    #[test]
    fn a_user_counts_once_an_epoch_whatever_the_workers_say() {
        let mut books = books();
        let lists = json!({"new_units": [[7, 1]], "first_outcomes": [[7, 1, true]], "first_errors": [[7, 1]],
            "first_slow": [[7, 1, 2]]});
        books.count(&report(1, &lists)).unwrap();
        books.count(&report(2, &lists)).unwrap();
        let firsts = &books.entries()[0].sums()[0].arms[1].firsts;
        assert_eq!(firsts.new_users, 1);
        assert_eq!(Firsts::since(&firsts.errors, 1), 1);
        assert_eq!(Firsts::outcomes_since(&firsts.outcomes, 1).bad, 1);
        assert_eq!(
            firsts
                .slow
                .iter()
                .map(|map| Firsts::since(map, 1))
                .collect::<Vec<_>>(),
            [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        // In the next epoch the same user's error counts for a process that
        // starts there, and not for one that started before.
        let entry = books.entry_mut("digits").unwrap();
        entry.rollout.restart_processes(5);
        entry.touch();
        books
            .count(&report(
                3,
                &json!({"epoch": 2, "new_units": [[7, 1]], "first_errors": [[7, 1]]}),
            ))
            .unwrap();
        let firsts = &books.entries()[0].sums()[1].arms[1].firsts;
        assert_eq!(firsts.new_users, 0);
        assert_eq!(
            (
                Firsts::since(&firsts.errors, 1),
                Firsts::since(&firsts.errors, 2)
            ),
            (0, 1)
        );
    }

    #[test]
    fn what_is_wrong_is_refused_whole_and_named() {
        let mut books = books();
        for (part, field) in [
            (
                json!({"arms": [{"arm": "canry", "slots": []}]}),
                "rollouts[0].arms[0].arm",
            ),
            (json!({"first_errors": [[7, 2]]}), "rollouts[0]"),
            (
                json!({"arms": [{"arm": "canary", "slots": [[0, 1, 1, 2, 0, []]]}]}),
                "rollouts[0].arms[0].slots[0]",
            ),
            (
                json!({"arms": [{"arm": "canary", "slots": [[0, 3, 3, 2, 0, [2]]]}]}),
                "rollouts[0].arms[0].slots[0]",
            ),
            (
                json!({"breaker": {"arm": "no\r\nsuch", "finished": 9, "errors": 9}}),
                "rollouts[0].breaker",
            ),
            (
                json!({"breaker": {"arm": "control", "finished": 9, "errors": 9}}),
                "rollouts[0].breaker",
            ),
            (
                json!({"breaker": {"arm": "canary", "finished": 0, "errors": 0}}),
                "rollouts[0].breaker",
            ),
        ] {
            match books.count(&report(1, &part)) {
                Err(Refusal::Malformed { field: named, .. }) => assert_eq!(named, field),
                other => panic!("{other:?}"),
            }
        }
        for part in [json!({"rollout": "other"}), json!({"epoch": 9})] {
            assert!(
                matches!(
                    books.count(&report(1, &part)),
                    Err(Refusal::UnknownRollout(_))
                ),
                "{part}"
            );
        }
        assert_eq!(
            books.entries()[0].sums()[0],
            EpochSums::new(1, 2),
            "nothing was counted"
        );
        let mut half = report(1, &json!({}));
        half.rollouts
            .extend(report(1, &json!({"rollout": "deleted"})).rollouts);
        let counted = books.count(&half).unwrap();
        assert_eq!(
            counted.unknown.len(),
            1,
            "what is known counts all the same"
        );
        for bad in [
            json!({"version": 2}),
            json!({"session": "x"}),
            json!({"sequence": 0}),
        ] {
            let mut document = serde_json::to_value(report(1, &json!({}))).unwrap();
            for (key, value) in bad.as_object().unwrap() {
                document[key] = value.clone();
            }
            assert!(
                books
                    .count(&serde_json::from_value(document).unwrap())
                    .is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn sums_never_overflow() {
        let mut books = books();
        let with = |count: u64| {
            json!({"arms": [{"arm": "control", "slots": [[0, count, count, 0, count, [count]]],
                "histogram": [[0, u64::MAX], [9999, 1]], "disconnects": u64::MAX}]})
        };
        assert!(matches!(
            books.count(&report(1, &with(u64::MAX))),
            Err(Refusal::Malformed { .. })
        ));
        for sequence in 1..=3 {
            books.count(&report(sequence, &with(MAX_COUNT))).unwrap();
        }
        let arm = &books.entries()[0].sums()[0].arms[0];
        assert_eq!(arm.exposures[0], 3 * MAX_COUNT);
        assert_eq!((arm.histogram[&0], arm.disconnects), (MAX_SUM, MAX_SUM));
    }

    #[test]
    fn a_change_has_all_that_changed_and_only_once() {
        let mut books = books();
        let plan = books.next_plan(1_000);
        assert_eq!(
            (plan.revision, plan.rollouts.len()),
            (
                Revision {
                    generation: 1,
                    counter: 1
                },
                1
            )
        );
        books
            .count(&report(1, &json!({"new_units": [[7, 1]]})))
            .unwrap();
        let change = books.take_change(9);
        assert_eq!(change.revision, Some(plan.revision));
        assert_eq!(
            (
                change.rollouts.len(),
                change.sums.len(),
                change.units.len(),
                change.sessions.len()
            ),
            (1, 1, 1, 1)
        );
        assert!(books.take_change(9).is_empty());
    }
}
