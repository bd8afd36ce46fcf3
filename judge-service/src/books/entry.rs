//! One rollout in the books: its state, its sums, and what is remembered of its users.

mod answers;
mod measuring;
mod remembered;
mod users;

pub use answers::{Paired, Sampled, Told, Whose};

use super::lists;
use super::requests;
use crate::domain::evidence::{NewUsers, Workers};
use crate::domain::sums::Trip;
use crate::domain::units::{Units, pack};
use crate::domain::{Bundle, Delivered, EpochSums, Millis, Rollout, evidence};
use crate::store::{Change, LoadedRollout, SumsChange, UnitsChange};
use serinus_core::identity::UnitHash;
use serinus_core::plan::Revision;
use serinus_core::report::RolloutReport;
use std::collections::{BTreeMap, BTreeSet};
use users::Users;

/// No sum grows over this, so that sums of sums do not overflow: of 256 slots, and of
/// 2^11 epochs and segments of a step, 2^44 x 2^8 x 2^11 = 2^63.
pub(super) const MAX_SUM: u64 = 1 << 44;

/// Clusters of one arm that are remembered: a mesh may have one for each zone.
const MAX_CLUSTERS: usize = 16;

/// Trips of an arm that are remembered of a segment in an epoch. One is enough to take it
/// back.
const MAX_TRIPS: usize = 64;

#[derive(Debug)]
pub struct Entry {
    pub rollout: Rollout,
    pub(super) identity_key: String,
    /// Number and hash.
    pub(super) last_decision: Option<(u64, String)>,
    sums: Vec<EpochSums>,
    units: Units,
    /// Entries of the store's lists of users.
    units_stored: usize,
    /// Decisions whose way to the workers is not measured yet, with their plans.
    under_way: Vec<(u64, Revision)>,
    /// An epoch, and control's answers in it before it was warm, by bucket of duration.
    cold: Option<(u64, BTreeMap<u16, u64>)>,
    pending: remembered::Pending,
    /// What the pending change must take of this entry: indices of `sums`,
    dirty_sums: BTreeSet<usize>,
    /// users, some more than once,
    dirty_units: Vec<UnitHash>,
    /// and the rollout.
    dirty: bool,
}

// === impl Entry ===

impl Entry {
    #[must_use]
    pub(super) fn new(rollout: Rollout, identity_key: String) -> Self {
        let mut entry = Self {
            rollout,
            identity_key,
            sums: Vec::new(),
            units: Units::default(),
            units_stored: 0,
            last_decision: None,
            dirty_sums: BTreeSet::new(),
            dirty_units: Vec::new(),
            pending: remembered::Pending::default(),
            cold: None,
            under_way: Vec::new(),
            dirty: true,
        };
        entry.open_epochs();
        entry
    }

    #[must_use]
    pub(super) fn loaded(mut loaded: LoadedRollout) -> Self {
        loaded.units.restored();
        Self {
            rollout: loaded.rollout,
            identity_key: loaded.identity_key,
            sums: loaded.sums,
            units: loaded.units,
            units_stored: loaded.units_stored,
            last_decision: loaded.last_decision,
            cold: None,
            pending: remembered::Pending::default(),
            dirty_sums: BTreeSet::new(),
            dirty_units: Vec::new(),
            under_way: Vec::new(),
            dirty: false,
        }
    }

    /// The secret of the users' pseudonyms.
    pub(crate) fn identity_key(&self) -> &str {
        &self.identity_key
    }

    /// A decision goes out with this plan.
    pub(super) fn goes_out(&mut self, decision: u64, plan: Revision) {
        self.under_way.push((decision, plan));
    }

    /// Keeps what can be said by now of how decisions reached the workers.
    pub(super) fn measure_delivery(&mut self, of: impl Fn(Revision) -> Option<Delivered>) {
        self.under_way.retain(|&(decision, plan)| match of(plan) {
            None => true,
            Some(delivered) => {
                self.rollout.delivered.insert(decision, delivered);
                self.dirty = true;
                false
            }
        });
    }

    /// Control's `answers` in an epoch without those from before it was warm, which are
    /// what was counted when this was first asked. A judge that was started anew asks
    /// later, and leaves some more out.
    pub(super) fn since_warm(
        &mut self,
        epoch: u64,
        answers: &BTreeMap<u16, u64>,
    ) -> BTreeMap<u16, u64> {
        if self.cold.as_ref().is_none_or(|(known, _)| *known != epoch) {
            self.cold = Some((epoch, answers.clone()));
        }
        let cold = self.cold.as_ref().map(|(_, cold)| cold);
        let before = |bucket: &u16| cold.and_then(|cold| cold.get(bucket)).copied();
        answers
            .iter()
            .map(|(bucket, count)| {
                let before = before(bucket).unwrap_or_default();
                (*bucket, count.saturating_sub(before))
            })
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// A judge looks at the rollout. Where nothing is compared no time is waited for.
    pub fn looked_at(&mut self, now: Millis) {
        if self.rollout.is_tested() {
            self.dirty |= self.rollout.looked_at(now);
        }
    }

    /// To be called after the rollout was changed.
    pub fn touch(&mut self) {
        self.dirty = true;
        self.open_epochs();
    }

    /// The share of all users whose events count: half of them, or less, where there are
    /// too many.
    #[must_use]
    pub fn counted_share(&self) -> f64 {
        self.units.share()
    }

    /// How many users are remembered.
    pub(super) fn users(&self) -> usize {
        self.units.len()
    }

    /// How many decisions there are, which is the number of the last.
    #[must_use]
    pub fn decisions(&self) -> u64 {
        let last = self.last_decision.as_ref();
        last.map_or(0, |(sequence, _)| *sequence)
    }

    /// Another one after each decision, and for another rollout of the same id.
    #[must_use]
    pub fn version(&self) -> String {
        format!("{}-{}", self.rollout.created_ms, self.decisions())
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
            rollout: Rollout {
                delivered: BTreeMap::new(),
                keys: Vec::new(),
                told: BTreeMap::new(),
                forgot_answers_ms: None,
                ..self.rollout.clone()
            },
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
            closed: BTreeMap::new(),
            breached: BTreeMap::new(),
        }
    }

    /// Whether this rollout had that epoch, and has that segment.
    pub fn knows(&self, epoch: u64, segment: Option<&str>) -> bool {
        let mut segments = self.rollout.spec.segments.iter();
        self.rollout.epochs.iter().any(|known| known.epoch == epoch)
            && segment.is_none_or(|name| segments.any(|known| known.name == name))
    }

    /// Adds a report's part; `arms` maps its arms to those of the spec.
    pub(super) fn add(&mut self, part: &RolloutReport, arms: &[usize]) {
        let segment = part.segment.as_deref();
        let each_request = self.rollout.spec.each_request();
        let all_arms = self.rollout.spec.arms.len();
        let judged_alone = self.judged_alone(segment);
        let (index, sums) = sums_mut(&mut self.sums, part.epoch, segment, all_arms);
        self.dirty_sums.insert(index);
        add_sums(sums, part, arms, each_request);
        let mut users = Users {
            units: &mut self.units,
            dirty: &mut self.dirty_units,
            sums,
            arms,
            epoch: part.epoch,
            segment: judged_alone,
        };
        users.seen(&part.new_units);
        users.ended(&part.first_outcomes);
        users.failed(&part.first_errors);
        users.waited(&part.first_slow);
    }

    /// The index of a segment, if it is split and so judged alone.
    fn judged_alone(&self, segment: Option<&str>) -> Option<usize> {
        let segment = segment?;
        let mut segments = self.rollout.spec.segments.iter();
        segments.position(|own| own.name == segment && own.arm.is_none())
    }

    /// Every epoch has its sums from its start on; its segments', when they have any.
    fn open_epochs(&mut self) {
        let arms = self.rollout.spec.arms.len();
        for epoch in &self.rollout.epochs {
            if !self.sums.iter().any(|sums| sums.epoch == epoch.epoch) {
                self.dirty_sums.insert(self.sums.len());
                self.sums.push(EpochSums::new(epoch.epoch, arms));
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
        for index in core::mem::take(&mut self.dirty_sums) {
            if let Some(sums) = self.sums.get(index) {
                change.sums.push(SumsChange {
                    rollout: id.clone(),
                    epoch: sums.epoch,
                    segment: sums.segment.clone(),
                    bytes: sums.to_bytes(),
                });
            }
        }
        self.pending.take(id, change);
        // One rollout's in a commit: many would all be long at the same time, and whoever
        // waits for this commit would wait for all of them.
        let may_be_all = !change.units.iter().any(|units| units.all);
        if let Some(units) = self.take_units(may_be_all) {
            change.units.push(units);
        }
    }

    fn take_units(&mut self, may_be_all: bool) -> Option<UnitsChange> {
        if self.dirty_units.is_empty() {
            return None;
        }
        let mut dirty = core::mem::take(&mut self.dirty_units);
        dirty.sort_unstable();
        dirty.dedup();
        self.units_stored += dirty.len();
        let all = may_be_all && lists::are_due(self.units_stored, self.units.len());
        let bytes = if all {
            self.units_stored = self.units.len();
            pack(self.units.iter())
        } else {
            let units = dirty.iter();
            pack(units.filter_map(|&unit| Some((unit, self.units.get(unit)?))))
        };
        Some(UnitsChange {
            rollout: self.rollout.spec.id.clone(),
            all,
            bytes,
        })
    }
}

/// The sums of a segment in an epoch, with their index; they are made when they are not
/// there.
fn sums_mut<'sums>(
    sums: &'sums mut Vec<EpochSums>,
    epoch: u64,
    segment: Option<&str>,
    arms: usize,
) -> (usize, &'sums mut EpochSums) {
    // From the end, where the epochs are that reports are of.
    let found = sums.iter().rposition(|sums| sums.is_of(epoch, segment));
    let index = found.unwrap_or(sums.len());
    if found.is_none() {
        sums.push(EpochSums {
            segment: segment.map(str::to_owned),
            ..EpochSums::new(epoch, arms)
        });
    }
    // The index is that of an element just found or pushed.
    #[allow(clippy::indexing_slicing)]
    (index, &mut sums[index])
}

/// All of a report's part that is counted without asking who it was.
fn add_sums(sums: &mut EpochSums, part: &RolloutReport, arms: &[usize], each_request: bool) {
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
            for (over, &count) in arm.over.iter_mut().zip(row.5.iter()) {
                add(over, slot, count);
            }
        }
        if each_request {
            requests::count(&mut arm.firsts, report);
        }
        for &(bucket, count) in &report.histogram {
            grow(arm.histogram.entry(bucket).or_default(), count);
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
    for (cause, &count) in &part.fallbacks {
        let sum = sums.fallbacks.entry(cause.name().to_owned()).or_default();
        grow(sum, count);
    }
    if let Some(trip) = &part.breaker
        && sums.trips.iter().filter(|own| own.arm == trip.arm).count() < MAX_TRIPS
    {
        sums.trips.push(Trip {
            arm: trip.arm.clone(),
            finished: trip.finished,
            errors: trip.errors,
        });
    }
}

fn add(slots: &mut [u64], slot: usize, count: u64) {
    if let Some(sum) = slots.get_mut(slot) {
        grow(sum, count);
    }
}

pub(super) fn grow(sum: &mut u64, count: u64) {
    *sum = sum.saturating_add(count).min(MAX_SUM);
}
