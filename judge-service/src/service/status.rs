//! What is told of a rollout.

use super::deeds::known;
use super::delivery::Convergence;
use super::live::{Counters, Example, Point};
use super::notices;
use super::scale_down::{self, ScaleDown};
use super::{GateState, Service, ServiceError};
use crate::books::Entry;
use crate::domain::spec::{RolloutSpec, Step, whole};
use crate::domain::sums::{ArmSums, Firsts, dense};
use crate::domain::{EpochSums, Millis, Phase, Verdict};
use schemars::JsonSchema;
use serde::Serialize;
use serinus_core::histogram;
use std::collections::BTreeMap;
use std::time::Instant;

#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Status {
    pub id: String,
    /// Another one after each decision: what `If-Match` takes.
    pub version: String,
    /// The number of the last.
    pub decisions: u64,
    pub phase: Phase,
    pub phase_since_ms: Millis,
    /// Paused, since a person is to say yes to the next step: `approve` does.
    pub awaits_approval: bool,
    pub created_ms: Millis,
    pub step: usize,
    pub steps: Vec<Step>,
    pub step_since_ms: Millis,
    pub epoch: u64,
    pub warming_up: bool,
    pub baseline: String,
    pub arms: Vec<ArmStatus>,
    /// Over all segments and the rest.
    pub traffic: Vec<Traffic>,
    pub segments: Vec<SegmentStatus>,
    /// Requests that were routed without being randomised, by cause.
    pub fallbacks: BTreeMap<String, u64>,
    pub evaluation: Option<Verdict>,
    /// What must be so besides the evidence.
    pub gates: Vec<GateState>,
    /// What a person should know and no verdict rests on.
    pub notices: Vec<String>,
    pub delivery: Convergence,
    /// With all that was assumed.
    #[serde(serialize_with = "whole")]
    pub spec: RolloutSpec,
}

#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct ArmStatus {
    pub name: String,
    pub version: Option<String>,
    pub registry_uri: Option<String>,
    /// Percent of users now.
    pub weight: f64,
    /// Since when it is off, while the others go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped_ms: Option<Millis>,
    pub model: Option<String>,
    /// Of the model's description and its file.
    pub sha256: Option<String>,
    /// Of the model's file alone, as the judge read it, or else as the spec says it.
    pub file_sha256: Option<String>,
    /// Whether its servers may be taken away.
    pub scale_down: ScaleDown,
}

#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct SegmentStatus {
    pub name: String,
    /// The arm that has all its requests.
    pub arm: Option<String>,
    /// Or else the percent of its users for each arm now, in the order of `arms`;
    /// nothing once the rollout is taken back.
    pub weights: Option<Vec<f64>>,
    /// Requests that went by the segment's rule, which are not randomised.
    pub by_rule: u64,
    pub traffic: Vec<Traffic>,
}

/// One arm since the rollout began.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Traffic {
    pub arm: String,
    pub exposures: u64,
    pub finished: u64,
    pub errors: u64,
    pub new_users: u64,
    pub local_replies: u64,
    pub disconnects: u64,
    pub sampled_users: u64,
    pub mismatched_users: u64,
    pub samples_dropped: u64,
    pub p50_us: Option<u64>,
    pub p95_us: Option<u64>,
    pub p99_us: Option<u64>,
}

impl Service {
    /// # Errors
    /// A store that fails.
    pub async fn statuses(&self) -> Result<Vec<Status>, ServiceError> {
        let books = self.books().await?;
        Ok(books
            .entries()
            .iter()
            .map(|entry| self.status_of(entry))
            .collect())
    }

    /// # Errors
    /// No such rollout, or a store that fails.
    pub async fn status(&self, id: &str) -> Result<Status, ServiceError> {
        let books = self.books().await?;
        Ok(self.status_of(known(&books, id)?))
    }

    #[must_use]
    pub fn series(&self, id: &str) -> Vec<Point> {
        self.live().series(id)
    }

    #[must_use]
    pub fn examples(&self, id: &str) -> Vec<Example> {
        self.live().examples(id)
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        let ecds = self.delivery.proxies().counts;
        let mut counters = self.live().counters.clone();
        counters.requests_malformed += ecds.malformed;
        Counters {
            ecds_sent: ecds.sent,
            ecds_accepted: ecds.accepted,
            ecds_refused: ecds.refused,
            ..counters
        }
        .with_quantiles()
    }

    pub fn malformed(&self) {
        self.live().counters.requests_malformed += 1;
    }

    pub(super) fn status_of(&self, entry: &Entry) -> Status {
        let rollout = &entry.rollout;
        let epoch = rollout.epoch();
        let weight = |arm: usize| {
            f64::from(
                epoch
                    .and_then(|epoch| epoch.weights.get(arm))
                    .copied()
                    .unwrap_or_default(),
            ) / 100.0
        };
        let now = self.now();
        let delivery = self.delivery().convergence(now);
        let arms = rollout
            .spec
            .arms
            .iter()
            .enumerate()
            .map(|(index, arm)| ArmStatus {
                name: arm.name.clone(),
                version: arm.version.clone(),
                registry_uri: arm.registry_uri.clone(),
                weight: weight(index),
                dropped_ms: rollout.dropped.get(&arm.name).copied(),
                model: arm.model.clone(),
                sha256: rollout.digests.get(&arm.name).cloned(),
                file_sha256: rollout
                    .file_digests
                    .get(&arm.name)
                    .or(arm.sha256.as_ref())
                    .cloned(),
                scale_down: scale_down::of_arm(entry, index, &delivery, (self.since_ms, now)),
            })
            .collect();
        let (evaluation, incident, lost) = {
            let live = self.live();
            (
                live.evaluation(&rollout.spec.id),
                live.incident(&rollout.spec.id, rollout.spec.baseline()),
                notices::lost(live.counters.reports_missing),
            )
        };
        let unwritten: Vec<String> = {
            let proxies = self.delivery.proxies();
            proxies.unwritten().map(str::to_owned).collect()
        };
        let notices = incident
            .into_iter()
            .chain(lost)
            .chain(unwritten)
            .chain(self.models.notice(&rollout.spec.id))
            .filter(|_| rollout.phase.is_live())
            .chain(notices::notices(entry, &delivery, now))
            .chain(self.overtaking.notice(Instant::now()))
            .chain(self.hooks.notices(&entry.rollout.spec.id))
            .collect();
        Status {
            id: rollout.spec.id.clone(),
            version: entry.version(),
            decisions: entry.decisions(),
            phase: rollout.phase,
            phase_since_ms: rollout.phase_since_ms,
            awaits_approval: rollout.awaits_approval,
            created_ms: rollout.created_ms,
            step: rollout.step,
            steps: rollout.spec.steps.clone(),
            step_since_ms: rollout.step_since_ms,
            epoch: epoch.map_or(0, |epoch| epoch.epoch),
            warming_up: rollout.phase.is_live()
                && epoch.is_none_or(|epoch| epoch.thresholds.is_none()),
            baseline: rollout.baseline.clone(),
            arms,
            traffic: traffic(entry),
            segments: segments(entry),
            fallbacks: fallbacks(entry),
            evaluation,
            gates: self.gates.states(rollout, now),
            notices,
            delivery,
            spec: rollout.spec.clone(),
        }
    }
}

fn fallbacks(entry: &Entry) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (cause, count) in entry.sums().iter().flat_map(|sums| &sums.fallbacks) {
        *sums.entry(cause.clone()).or_default() += count;
    }
    sums
}

fn segments(entry: &Entry) -> Vec<SegmentStatus> {
    let percent = |&weight: &u16| f64::from(weight) / 100.0;
    let rollout = &entry.rollout;
    let specs = rollout.spec.segments.iter();
    specs
        .map(|segment| {
            let name = segment.name.as_str();
            let weights = rollout
                .epoch()
                .and_then(|epoch| epoch.weights_of(Some(name)));
            let sums = || {
                let of_segment = |sums: &&EpochSums| sums.segment.as_deref() == Some(name);
                entry.sums().iter().filter(of_segment)
            };
            SegmentStatus {
                name: name.to_owned(),
                arm: segment.arm.clone(),
                weights: weights.map(|weights| weights.iter().map(percent).collect()),
                by_rule: sums().filter_map(|sums| sums.fallbacks.get("rule")).sum(),
                traffic: traffic_in(entry, sums),
            }
        })
        .collect()
}

pub(super) fn traffic(entry: &Entry) -> Vec<Traffic> {
    traffic_in(entry, || entry.sums().iter())
}

fn traffic_in<'a, I: Iterator<Item = &'a EpochSums>>(
    entry: &'a Entry,
    all: impl Fn() -> I,
) -> Vec<Traffic> {
    (0..)
        .zip(&entry.rollout.spec.arms)
        .map(|(index, arm)| {
            let sums: Vec<&ArmSums> = all().filter_map(|sums| sums.arms.get(index)).collect();
            let total = |of: fn(&ArmSums) -> u64| sums.iter().map(|sums| of(sums)).sum();
            let mut durations = vec![0u64; histogram::BUCKETS];
            for sums in &sums {
                for (sum, count) in durations.iter_mut().zip(dense(&sums.histogram)) {
                    *sum += count;
                }
            }
            Traffic {
                arm: arm.name.clone(),
                exposures: total(|sums| sums.exposures.iter().sum()),
                finished: total(|sums| sums.finished.iter().sum()),
                errors: total(|sums| sums.errors.iter().sum()),
                new_users: total(|sums| sums.firsts.new_users),
                local_replies: total(|sums| sums.local_replies),
                disconnects: total(|sums| sums.disconnects),
                sampled_users: total(|sums| {
                    Firsts::outcomes_since(&sums.firsts.samples, u64::MAX).users
                }),
                mismatched_users: total(|sums| {
                    Firsts::outcomes_since(&sums.firsts.samples, u64::MAX).bad
                }),
                samples_dropped: total(|sums| sums.samples_dropped),
                p50_us: histogram::quantile(&durations, 0.5),
                p95_us: histogram::quantile(&durations, 0.95),
                p99_us: histogram::quantile(&durations, 0.99),
            }
        })
        .collect()
}
