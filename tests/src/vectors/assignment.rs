//! `assignment.json`: unit and salt -> hash, bucket, slot, and the arm by several
//! allocations.

use super::bytes::Bytes;
use crate::failure::Result;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub const FILE: &str = "assignment.json";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    #[serde(rename = "about")]
    _about: Vec<String>,
    pub allocations: Vec<Steps>,
    pub units: Vec<Unit>,
}

/// An allocation, by the weights that led to it from all buckets in the first arm.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    pub name: String,
    pub arms: Vec<String>,
    /// Buckets of each arm, step after step.
    pub steps: Vec<Vec<u16>>,
    /// From, to (exclusive) and arm.
    #[serde(default)]
    pub ranges: Vec<(u16, u16, String)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    pub name: String,
    pub salt: String,
    pub unit: Bytes,
    #[serde(default)]
    pub hash: u32,
    #[serde(default)]
    pub bucket: u16,
    #[serde(default)]
    pub slot: u8,
    /// By the name of the allocation; `None` for a bucket outside.
    #[serde(default)]
    pub arms: BTreeMap<String, Option<String>>,
}

/// A request that shows one assignment, by [`Assignment::plan`].
#[derive(Debug)]
pub struct Probe {
    pub name: String,
    pub host: String,
    pub path: String,
    pub arm: String,
    /// `None` for a bucket outside, which is not counted by slot.
    pub slot: Option<u8>,
}

/// # Errors
/// When the file is not as it should be.
pub fn read() -> Result<Assignment> {
    super::read(FILE)
}

impl Assignment {
    /// A plan with a rollout for each salt and allocation, and for each unit one with
    /// an arm that has just its bucket. They differ by host; the unit is the query
    /// parameter `u`.
    #[must_use]
    pub fn plan(&self, counter: u64) -> Value {
        let mut rollouts = Vec::new();
        for (s, salt) in self.salts().iter().enumerate() {
            for (a, steps) in self.allocations.iter().enumerate() {
                let host = host(a, s);
                rollouts.push(rollout(&host, salt, &steps.arms, &steps.ranges));
            }
        }
        for (number, unit) in self.units.iter().enumerate() {
            let bucket = unit.bucket;
            let arms = ["below", "here", "above"].map(str::to_owned);
            let ranges = [
                (0, bucket, "below"),
                (bucket, bucket + 1, "here"),
                (bucket + 1, 10_000, "above"),
            ];
            let ranges: Vec<_> = ranges
                .into_iter()
                .filter(|(from, to, _)| from < to)
                .map(|(from, to, arm)| (from, to, arm.to_owned()))
                .collect();
            rollouts.push(rollout(&bucket_host(number), &unit.salt, &arms, &ranges));
        }
        json!({
            "version": 1,
            "revision": {"generation": 1, "counter": counter},
            "report_interval_ms": 100,
            "rollouts": rollouts,
        })
    }

    /// What [`Self::plan`] does with each unit. The empty one cannot be sent: it is
    /// no unit.
    #[must_use]
    pub fn probes(&self) -> Vec<Probe> {
        let mut probes = Vec::new();
        let salts = self.salts();
        for (number, unit) in self.units.iter().enumerate() {
            if unit.unit.0.is_empty() {
                continue;
            }
            let path = format!("/?u={}", unit.unit.in_query());
            probes.push(Probe {
                name: format!("{}: its bucket", unit.name),
                host: bucket_host(number),
                path: path.clone(),
                arm: "here".to_owned(),
                slot: Some(unit.slot),
            });
            let salt = salts.iter().position(|salt| **salt == unit.salt);
            for (a, steps) in self.allocations.iter().enumerate() {
                let arm = unit.arms.get(&steps.name).cloned().flatten();
                probes.push(Probe {
                    name: format!("{}: {}", unit.name, steps.name),
                    host: host(a, salt.unwrap_or_default()),
                    path: path.clone(),
                    slot: arm.is_some().then_some(unit.slot),
                    arm: arm
                        .or_else(|| steps.arms.first().cloned())
                        .unwrap_or_default(),
                });
            }
        }
        probes
    }

    /// Each once.
    fn salts(&self) -> Vec<&String> {
        let mut salts: Vec<&String> = self.units.iter().map(|unit| &unit.salt).collect();
        salts.sort();
        salts.dedup();
        salts
    }
}

fn host(allocation: usize, salt: usize) -> String {
    format!("a{allocation}.s{salt}.example")
}

fn bucket_host(unit: usize) -> String {
    format!("u{unit}.example")
}

fn rollout(host: &str, salt: &str, arms: &[String], ranges: &[(u16, u16, String)]) -> Value {
    let ranges = ranges
        .iter()
        .map(|(from, to, arm)| json!({"from": from, "to": to, "arm": arm}));
    json!({
        "id": host,
        "epoch": 1,
        "match": {"host": host},
        "unit": [{"query": "u"}],
        "salt": salt,
        "identity_key": "000102030405060708090a0b0c0d0e0f",
        "arms": arms,
        "baseline": arms.first(),
        "allocation": ranges.collect::<Vec<_>>(),
    })
}
