//! One rollout in the books: its state, its sums, and what is remembered of its users.

use super::requests::{self, NEVER};
use crate::domain::evidence::{NewUsers, Workers};
use crate::domain::sums::{Firsts, Trip};
use crate::domain::units::{UnitRecord, mark};
use crate::domain::{Bundle, EpochSums, Millis, Rollout, evidence};
use crate::store::{Change, LoadedRollout};
use serinus_core::identity::UnitHash;
use serinus_core::report::RolloutReport;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// No sum grows over this, so that sums of sums (256 slots, 16 arms, thousands of
/// epochs) never overflow: 2^44 x 2^8 x 2^4 x 2^7 = 2^63.
pub(super) const MAX_SUM: u64 = 1 << 44;

/// Clusters of one arm that are remembered: a mesh may have one for each zone.
const MAX_CLUSTERS: usize = 16;

/// An epoch, and a segment or the rest.
type SumsKey = (u64, Option<String>);

#[derive(Debug)]
pub struct Entry {
    pub rollout: Rollout,
    pub(super) identity_key: String,
    /// Number and hash.
    pub(super) last_decision: Option<(u64, String)>,
    sums: Vec<EpochSums>,
    units: HashMap<UnitHash, UnitRecord>,
    /// What the pending change must take of this entry.
    dirty_sums: BTreeSet<SumsKey>,
    dirty_units: BTreeSet<UnitHash>,
    dirty: bool,
}

impl Entry {
    #[must_use]
    pub(super) fn new(rollout: Rollout, identity_key: String) -> Self {
        let mut entry = Self {
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
        entry
    }

    #[must_use]
    pub(super) fn loaded(loaded: LoadedRollout) -> Self {
        Self {
            rollout: loaded.rollout,
            identity_key: loaded.identity_key,
            sums: loaded.sums,
            units: loaded.units.into_iter().collect(),
            last_decision: loaded.last_decision,
            dirty_sums: BTreeSet::new(),
            dirty_units: BTreeSet::new(),
            dirty: false,
        }
    }

    /// To be called after the rollout was changed.
    pub fn touch(&mut self) {
        self.dirty = true;
        self.open_epochs();
    }

    #[must_use]
    pub fn sums(&self) -> &[EpochSums] {
        &self.sums
    }

    /// The evidence as of now; what is not in the books is for the caller to add.
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
            not_ready: BTreeMap::new(),
            workers: Workers::default(),
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
        let each_request = self.rollout.spec.each_request();
        let (sampled, mismatched) = if each_request {
            (Some(NEVER), (!agrees).then_some(NEVER))
        } else {
            let record = self.units.entry(unit).or_default();
            let sampled = mark(&mut record.sampled, epoch);
            let mismatched = (!agrees)
                .then(|| mark(&mut record.mismatched, epoch))
                .flatten();
            (sampled, mismatched)
        };
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
            if !each_request {
                self.dirty_units.insert(unit);
            }
            self.dirty_sums.insert((epoch, segment.map(str::to_owned)));
        }
    }

    /// Whether this rollout had that epoch, and has that segment.
    pub(super) fn knows(&self, epoch: u64, segment: Option<&str>) -> bool {
        let mut segments = self.rollout.spec.segments.iter();
        self.rollout.epochs.iter().any(|known| known.epoch == epoch)
            && segment.is_none_or(|name| segments.any(|known| known.name == name))
    }

    /// Adds a report's part; `arms` maps its arms to those of the spec.
    pub(super) fn add(&mut self, part: &RolloutReport, arms: &[usize]) {
        let epoch = part.epoch;
        let segment = part.segment.as_deref();
        let each_request = self.rollout.spec.each_request();
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
            if each_request {
                requests::count(&mut arm.firsts, report);
            }
            for &(bucket, count) in &report.histogram {
                if usize::from(bucket) < serinus_core::histogram::BUCKETS {
                    let sum = arm.histogram.entry(bucket).or_default();
                    grow(sum, count);
                }
            }
            if let Some(cluster) = &report.cluster
                && arm.clusters.len() < MAX_CLUSTERS
            {
                arm.clusters.insert(cluster.chars().take(256).collect());
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

    pub(super) fn take_change(&mut self, change: &mut Change) {
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

pub(super) fn grow(sum: &mut u64, count: u64) {
    *sum = sum.saturating_add(count).min(MAX_SUM);
}
