//! Everything counted in one epoch and segment of a rollout.

mod answers;
mod stored;

pub use answers::{Answers, Bet, OTHER, Pairs, Values, Worth, class_of};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serinus_core::bucket::SLOTS;
use serinus_core::histogram;
use serinus_core::plan::compiled::MAX_EDGES;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Add;

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct EpochSums {
    pub epoch: u64,
    /// `None` for the requests that are in no segment.
    #[serde(default)]
    pub segment: Option<String>,
    /// In the order of the spec's arms.
    pub arms: Vec<ArmSums>,
    /// Breakers that opened on workers.
    pub trips: Vec<Trip>,
    pub fallbacks: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ArmSums {
    /// Each list has one entry a slot: 256.
    pub exposures: Vec<u64>,
    pub finished: Vec<u64>,
    pub errors: Vec<u64>,
    pub latency_sum_us: Vec<u64>,
    /// One list of slots for each latency edge of the epoch: answers above it.
    pub over: Vec<Vec<u64>>,
    /// Answers without error by duration, `[bucket, count]`.
    pub histogram: BTreeMap<u16, u64>,
    pub local_replies: u64,
    pub disconnects: u64,
    pub samples_sent: u64,
    pub samples_dropped: u64,
    /// Envoy's clusters that served it, as far as workers said.
    #[serde(default)]
    pub clusters: BTreeSet<String>,
    pub firsts: Firsts,
    /// What its segment is judged by, where it is one.
    #[serde(default, skip_serializing_if = "Events::is_empty")]
    pub in_segment: Events,
    #[serde(default, skip_serializing_if = "Answers::is_empty")]
    pub answers: Answers,
}

/// Users by the epoch in which they had the same event before *in this segment*. One may be
/// in several, since a request is: counted once in all, users whose first error control
/// spent elsewhere would be missing here, and those of a better version would not.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Events {
    pub errors: BTreeMap<u64, u64>,
    /// One map for each latency edge.
    pub slow: Vec<BTreeMap<u64, u64>>,
    pub mismatches: BTreeMap<u64, u64>,
    /// Answers that turned out to be wrong.
    pub wrong: BTreeMap<u64, u64>,
}

impl Events {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let maps = [&self.errors, &self.mismatches, &self.wrong];
        let mut maps = maps.into_iter().chain(&self.slow);
        maps.all(BTreeMap::is_empty)
    }

    /// One user more who was above an edge.
    pub fn slower(&mut self, edge: usize, before: u64) {
        if self.slow.len() <= edge {
            self.slow.resize_with(edge + 1, BTreeMap::new);
        }
        if let Some(map) = self.slow.get_mut(edge) {
            *map.entry(before).or_default() += 1;
        }
    }
}

/// Users counted once. Keys of the maps are the epoch in which the user had the
/// same event before (0 for never), so that a process that started at any epoch
/// finds the users whose first event since then is here.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Firsts {
    /// Users that were never seen before in the rollout.
    pub new_users: u64,
    pub errors: BTreeMap<u64, u64>,
    /// One map for each latency edge.
    pub slow: Vec<BTreeMap<u64, u64>>,
    pub mismatches: BTreeMap<u64, u64>,
    /// How the first request of a listed user ended, and of those, failed.
    pub outcomes: BTreeMap<u64, Outcomes>,
    /// How a user's first sample compared with the model, and of those, mismatched.
    pub samples: BTreeMap<u64, Outcomes>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Outcomes {
    pub users: u64,
    pub bad: u64,
}

impl Add for Outcomes {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        let Self { users, bad } = more;
        Self {
            users: self.users + users,
            bad: self.bad + bad,
        }
    }
}

// === impl Outcomes ===

impl Outcomes {
    /// One user more.
    pub fn count(&mut self, bad: bool) {
        self.users += 1;
        self.bad += u64::from(bad);
    }

    /// The share of the bad ones; `None` where nobody was counted.
    #[must_use]
    pub fn rate(self) -> Option<f64> {
        (self.users > 0).then(|| self.bad as f64 / self.users as f64)
    }
}

/// A worker's breaker that opened.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Trip {
    pub arm: String,
    pub finished: u32,
    pub errors: u32,
}

// === impl EpochSums ===

impl EpochSums {
    /// Nothing counted yet, outside all segments.
    #[must_use]
    pub fn new(epoch: u64, arms: usize) -> Self {
        Self {
            epoch,
            segment: None,
            arms: (0..arms).map(|_| ArmSums::default()).collect(),
            trips: Vec::new(),
            fallbacks: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn is_of(&self, epoch: u64, segment: Option<&str>) -> bool {
        self.epoch == epoch && self.segment.as_deref() == segment
    }
}

// === impl ArmSums ===

impl Default for ArmSums {
    fn default() -> Self {
        let slots = || vec![0; SLOTS];
        Self {
            exposures: slots(),
            finished: slots(),
            errors: slots(),
            latency_sum_us: slots(),
            over: (0..MAX_EDGES).map(|_| slots()).collect(),
            histogram: BTreeMap::new(),
            local_replies: 0,
            disconnects: 0,
            samples_sent: 0,
            samples_dropped: 0,
            clusters: BTreeSet::new(),
            firsts: Firsts {
                slow: vec![BTreeMap::new(); MAX_EDGES],
                ..Firsts::default()
            },
            in_segment: Events::default(),
            answers: Answers::default(),
        }
    }
}

impl ArmSums {
    /// Requests that were decided and did not end yet, as far as is known; those of an
    /// Envoy that died stay among them.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        self.under_way_of(self.decided())
    }

    /// [`Self::under_way`], where how many were decided is known.
    #[must_use]
    pub fn under_way_of(&self, decided: u64) -> u64 {
        let finished: u64 = self.finished.iter().sum();
        let ended = finished + self.local_replies + self.disconnects;
        decided.saturating_sub(ended)
    }

    #[must_use]
    pub fn decided(&self) -> u64 {
        self.exposures.iter().sum()
    }
}

impl Firsts {
    /// The sum of a map's entries for users who had no such event since `start`.
    #[must_use]
    pub fn since(map: &BTreeMap<u64, u64>, start: u64) -> u64 {
        map.range(..start).map(|(_, count)| count).sum()
    }

    #[must_use]
    pub fn outcomes_since(map: &BTreeMap<u64, Outcomes>, start: u64) -> Outcomes {
        map.range(..start)
            .fold(Outcomes::default(), |sum, (_, next)| Outcomes {
                users: sum.users + next.users,
                bad: sum.bad + next.bad,
            })
    }
}

/// A histogram's counts as a dense list, for quantiles.
#[must_use]
pub fn dense(histogram: &BTreeMap<u16, u64>) -> Vec<u64> {
    let mut counts = vec![0; histogram::BUCKETS];
    for (&bucket, &count) in histogram {
        if let Some(slot) = counts.get_mut(usize::from(bucket)) {
            *slot += count;
        }
    }
    counts
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Sums with something in each field, and the largest numbers.
    pub(crate) fn everything() -> EpochSums {
        let mut sums = EpochSums {
            segment: Some("gold".to_owned()),
            trips: vec![Trip {
                arm: "canary".to_owned(),
                finished: u32::MAX,
                errors: 3,
            }],
            fallbacks: BTreeMap::from([("no_unit".to_owned(), 9), (String::new(), u64::MAX)]),
            ..EpochSums::new(u64::MAX, 2)
        };
        let arm = &mut sums.arms[1];
        for (slot, count) in (0u64..).zip(&mut arm.exposures) {
            *count = slot * slot * slot;
        }
        arm.finished[255] = u64::MAX;
        arm.errors[0] = 1;
        arm.latency_sum_us[7] = 1 << 44;
        arm.over[3][128] = 300;
        arm.histogram = BTreeMap::from([(0, 1), (239, 1 << 40)]);
        (arm.local_replies, arm.disconnects) = (1, 2);
        (arm.samples_sent, arm.samples_dropped) = (3, 4);
        arm.clusters = BTreeSet::from(["v2".to_owned(), "münchen".to_owned()]);
        let firsts = &mut arm.firsts;
        firsts.new_users = 5;
        firsts.errors = BTreeMap::from([(0, 6), (9, 7)]);
        firsts.slow[11] = BTreeMap::from([(1, 8)]);
        firsts.mismatches = BTreeMap::from([(2, 9)]);
        firsts.outcomes = BTreeMap::from([(0, Outcomes { users: 10, bad: 1 })]);
        firsts.samples = BTreeMap::from([(3, Outcomes { users: 11, bad: 0 })]);
        arm.in_segment.slower(2, 7);
        arm.in_segment.errors.insert(4, 5);
        arm.in_segment.mismatches.insert(0, 6);
        arm.in_segment.wrong.insert(9, 1);
        arm.answers = Answers {
            labels: BTreeMap::from([(OTHER, 1), (-1, 2), (7, 3)]),
            scores: BTreeMap::from([(i64::MAX, 4), (-9, 5)]),
            differences: Outcomes { users: 12, bad: 6 },
            pairs: Pairs {
                users: 13,
                differing: 4,
                only_arm_wrong: 3,
                only_control_wrong: 2,
                only_arm_wrong_live: 1,
                only_control_wrong_live: 2,
            },
            told: BTreeMap::from([(1, Outcomes { users: 14, bad: 7 })]),
            wrong: BTreeMap::from([(1, 8)]),
            values: Values {
                users: 2,
                sum: -0.1,
                sum_of_squares: 1e300,
            },
            worth: Worth {
                told: 3,
                total: 0.7,
            },
            bet: Bet {
                log_wealth: 0.5,
                sum: -3.25,
                sum_of_squares: 1e-9,
            },
        };
        sums
    }
}
