//! A rollout with what its arms did, for the tests of the policy.

use super::super::judge;
use crate::domain::check::tests::{spec, spec_json};
use crate::domain::evidence::{NewUsers, Workers};
use crate::domain::rollout::{EdgePair, PromotionEdge, Rollout, Thresholds};
use crate::domain::sums::{ArmSums, EpochSums, Events, Outcomes, Trip};
use crate::domain::{Bundle, Epoch, Phase, Verdict, evidence};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What one arm does with a request.
#[derive(Clone, Copy)]
pub struct Arm {
    pub requests_a_user: u64,
    /// Of requests, and of users when one request is theirs.
    pub error_share: f64,
    /// Of answers: above p50, p50 and a quarter, p90, p95, p95 and a quarter, p99, p99.9.
    pub over: [f64; 7],
    /// Of sampled users; `None` without samples.
    pub mismatch_share: Option<f64>,
    /// Of requests: those that did not end yet, and failed none.
    pub under_way: f64,
}

/// Control's own shares, by the definition of its quantiles.
const OVER: [f64; 7] = [0.5, 0.3, 0.1, 0.05, 0.02, 0.01, 0.001];

pub const GOOD: Arm = Arm {
    requests_a_user: 2,
    error_share: 0.005,
    over: OVER,
    mismatch_share: Some(0.0),
    under_way: 0.0,
};

impl Arm {
    pub fn errors(self, error_share: f64) -> Self {
        Self {
            error_share,
            ..self
        }
    }
    pub fn over(self, over: [f64; 7]) -> Self {
        Self { over, ..self }
    }
    pub fn slower(self, factor: f64) -> Self {
        self.over(self.over.map(|share| (share * factor).min(1.0)))
    }
    pub fn mismatches(self, share: f64) -> Self {
        Self {
            mismatch_share: Some(share),
            ..self
        }
    }
    pub fn unsampled(self) -> Self {
        Self {
            mismatch_share: None,
            ..self
        }
    }
    pub fn under_way(self, under_way: f64) -> Self {
        Self { under_way, ..self }
    }
    pub fn requests(self, requests_a_user: u64) -> Self {
        Self {
            requests_a_user,
            ..self
        }
    }
}

/// By default a rollout at its first step, warm, after five minutes, in which control
/// and canary serve 100,000 users alike.
pub struct Situation {
    /// Fields of the spec that are other than the default.
    pub spec: Value,
    pub step: usize,
    pub warm: bool,
    /// In the order of the spec's arms.
    pub arms: Vec<Arm>,
    /// Of all arms together; they are split by the weights.
    pub users: u64,
    pub seconds_in_step: u64,
    /// Goes there at the end; a rollout of its own accord runs, or was promoted.
    pub phase: Option<Phase>,
    pub phase_since_ms: u64,
    /// Users who came since the step's processes began anew, after 64 seconds, and what the
    /// arms did to them.
    pub late: Option<(u64, [Arm; 2])>,
    /// The arm that a worker's breaker took off.
    pub trip: Option<&'static str>,
    pub dropped: &'static [&'static str],
    /// The share of canary's new users that arrive.
    pub arriving: f64,
    /// The users of a segment `gold`, half of them on canary, and what its arms do.
    pub gold: Option<(u64, [Arm; 2])>,
    pub not_ready: Option<&'static str>,
    pub workers: Workers,
    /// A gate's name, and why it is closed.
    pub closed: Option<(&'static str, &'static str)>,
    pub breached: Option<(&'static str, &'static str)>,
    pub clusters: Option<[&'static str; 2]>,
    /// What was sampled and told, of the whole and by arm.
    pub answers: fn(&mut [ArmSums]),
}

impl Default for Situation {
    fn default() -> Self {
        Self {
            spec: json!({}),
            step: 0,
            warm: true,
            arms: vec![GOOD; 2],
            users: 100_000,
            seconds_in_step: 300,
            phase: None,
            phase_since_ms: 6_000,
            late: None,
            trip: None,
            dropped: &[],
            arriving: 1.0,
            gold: None,
            not_ready: None,
            workers: Workers {
                serving: 4,
                ..Workers::default()
            },
            closed: None,
            breached: None,
            clusters: None,
            answers: |_| {},
        }
    }
}

fn thresholds() -> Thresholds {
    Thresholds {
        edges_us: vec![1_000, 1_250, 2_000, 3_000, 3_750, 5_000, 9_000],
        // No slowdown is tolerated here: the situations say what is slower.
        tail: [0, 2, 3, 5, 6]
            .map(|edge| EdgePair {
                control: edge,
                arm: edge,
            })
            .to_vec(),
        promotion: vec![
            PromotionEdge {
                percentile: 50,
                edges: EdgePair { control: 0, arm: 1 },
            },
            PromotionEdge {
                percentile: 95,
                edges: EdgePair { control: 3, arm: 4 },
            },
        ],
    }
}

fn gates(one: Option<(&str, &str)>) -> BTreeMap<String, String> {
    let own = one.into_iter();
    own.map(|(name, why)| (name.to_owned(), why.to_owned()))
        .collect()
}

/// What `users` of an arm did.
fn fill(sums: &mut ArmSums, arm: Arm, users: u64) {
    let requests = users * arm.requests_a_user;
    let ended = (requests as f64 * (1.0 - arm.under_way)).round() as u64;
    let errors = (ended as f64 * arm.error_share).round() as u64;
    // Spread over the slots as evenly as whole numbers go.
    let spread = |slots: &mut Vec<u64>, total: u64| {
        let size = slots.len() as u64;
        for (slot, count) in (0..).zip(slots.iter_mut()) {
            *count = total / size + u64::from(slot < total % size);
        }
    };
    let with = |share: f64| {
        let ended = arm.requests_a_user as f64 * (1.0 - arm.under_way);
        (users as f64 * (1.0 - (1.0 - share).powf(ended))).round() as u64
    };
    spread(&mut sums.exposures, requests);
    spread(&mut sums.finished, ended);
    spread(&mut sums.errors, errors);
    let answered = (ended - errors) as f64;
    for (edge, share) in arm.over.into_iter().enumerate() {
        spread(&mut sums.over[edge], (answered * share).round() as u64);
        sums.firsts.slow[edge] = BTreeMap::from([(0, with(share))]);
    }
    sums.firsts.new_users = users;
    sums.firsts.errors = BTreeMap::from([(0, with(arm.error_share))]);
    let bad = (users as f64 * arm.error_share).round() as u64;
    sums.firsts.outcomes = BTreeMap::from([(0, Outcomes { users, bad })]);
    if let Some(share) = arm.mismatch_share {
        let users = users / 2;
        let bad = (users as f64 * share).round() as u64;
        sums.firsts.samples = BTreeMap::from([(0, Outcomes { users, bad })]);
        sums.firsts.mismatches = BTreeMap::from([(0, bad)]);
    }
    // Nobody is in two segments.
    sums.in_segment = Events {
        errors: sums.firsts.errors.clone(),
        slow: sums.firsts.slow.clone(),
        mismatches: sums.firsts.mismatches.clone(),
        ..Events::default()
    };
}

impl Situation {
    pub fn control(&mut self, change: impl Fn(Arm) -> Arm) {
        self.arms[0] = change(self.arms[0]);
    }

    pub fn canary(&mut self, change: impl Fn(Arm) -> Arm) {
        self.arms[1] = change(self.arms[1]);
    }

    pub fn both(&mut self, change: impl Fn(Arm) -> Arm) {
        self.control(&change);
        self.canary(change);
    }

    fn rollout(&self) -> Rollout {
        let mut document = spec_json();
        document["arms"] =
            json!([{"name": "control", "model": "a"}, {"name": "canary", "model": "b"}]);
        for (key, value) in self.spec.as_object().unwrap() {
            document[key] = value.clone();
        }
        if self.gold.is_some() {
            document["segments"] = json!([
                {"name": "gold", "when": [{"header": "x-card"}], "weights": {"canary": 50}}]);
        }
        let mut rollout = Rollout::start(spec(&document).unwrap(), BTreeMap::new(), 1, 0).unwrap();
        if self.step > 0 {
            rollout.enter_step(self.step, 0).unwrap();
        }
        if self.warm && rollout.phase != Phase::Waiting {
            rollout.learned(thresholds(), 5_000);
        }
        if !self.dropped.is_empty() {
            let arms: Vec<String> = self.dropped.iter().map(|&arm| arm.to_owned()).collect();
            rollout.drop_arms(&arms, 5_500);
        }
        match self.phase {
            Some(Phase::Finished) => rollout.finish(self.phase_since_ms).unwrap(),
            Some(phase) if phase.is_taken_back() => rollout.take_back(phase, self.phase_since_ms),
            Some(phase) => rollout.set_phase(phase, self.phase_since_ms),
            None => {}
        }
        if self.late.is_some() {
            rollout.restart_processes(64_000);
        }
        rollout
    }

    pub fn bundle(&self) -> Bundle {
        let rollout = self.rollout();
        let epochs: Vec<&Epoch> = rollout.step_epochs().collect();
        let mut bundle = Bundle {
            version: evidence::VERSION,
            now_ms: rollout.step_since_ms + self.seconds_in_step * 1_000,
            sums: vec![],
            new_users: vec![],
            not_ready: self
                .not_ready
                .map(|found| ("canary".to_owned(), found.to_owned()))
                .into_iter()
                .collect(),
            workers: self.workers.clone(),
            closed: gates(self.closed),
            breached: gates(self.breached),
            rollout: rollout.clone(),
        };
        let gold = self.gold.as_ref();
        let late = self.late.as_ref();
        let before = epochs[epochs.len() - 1 - usize::from(late.is_some())];
        let gold = gold.map(|(users, arms)| (before, Some("gold"), *users, arms.as_slice()));
        let late = late.map(|(users, arms)| (epochs[epochs.len() - 1], None, *users, &arms[..]));
        let whole = (before, None, self.users, self.arms.as_slice());
        for (epoch, segment, users, arms) in [whole].into_iter().chain(gold).chain(late) {
            let weights = epoch.weights_of(segment).unwrap_or(&[]);
            let mut sums = EpochSums {
                segment: segment.map(str::to_owned),
                ..EpochSums::new(epoch.epoch, rollout.spec.arms.len())
            };
            let mut counts = Vec::new();
            for (index, &weight) in weights.iter().enumerate() {
                let users = users * u64::from(weight) / 10_000;
                // A segment's other arms have no users.
                let arm = arms.get(index).copied().unwrap_or(GOOD);
                fill(&mut sums.arms[index], arm, users);
                if let Some(clusters) = self.clusters {
                    sums.arms[index].clusters.insert(clusters[index].to_owned());
                }
                let arriving = if index == 1 { self.arriving } else { 1.0 };
                counts.push((users as f64 * arriving).round() as u64);
            }
            if let Some(arm) = self.trip
                && segment.is_none()
            {
                sums.trips.push(Trip {
                    arm: arm.to_owned(),
                    finished: 50,
                    errors: 30,
                });
            }
            if segment.is_none() {
                (self.answers)(&mut sums.arms);
            }
            bundle.sums.push(sums);
            bundle.new_users.push(NewUsers {
                epoch: epoch.epoch,
                segment: segment.map(str::to_owned),
                weights: weights.to_vec(),
                counts,
            });
        }
        bundle
    }

    pub fn judge(&self) -> Verdict {
        judge(&self.bundle())
    }
}
