//! What a worker tells the judge about one interval.
//!
//! A report's bytes are frozen when it is made and resent until the judge itself
//! answers, so `(session, sequence)` names one set of sums for ever.

use crate::decision::Fallback;
use crate::identity::UnitHash;
use crate::plan::Revision;
use crate::plan::compiled::MAX_EDGES;
use core::fmt;
use core::ops::Deref;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

pub const VERSION: u32 = 1;

/// Entries of one list in one report; what is over waits for the next. With four
/// lists of about 24 bytes an entry that is 1.6 MB.
pub const LIST_LIMIT: usize = 16_384;

/// The largest report the judge reads: 4 lists x 16,384 x 32 bytes = 2 MiB, and
/// as much again for the slots of 16 arms.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Whether it names a ledger: 32 hex digits.
#[must_use]
pub fn is_session(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    pub version: u32,
    /// Names the ledger of one worker's VM: 32 hex digits, random.
    pub session: String,
    /// From 1, without gaps.
    pub sequence: u64,
    /// The plan the worker routed by when it made the report.
    pub revision: Option<Revision>,
    pub rollouts: Vec<RolloutReport>,
}

/// Sums of one rollout in one epoch and segment. The lists name an arm by its index in `arms`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RolloutReport {
    pub rollout: String,
    pub epoch: u64,
    /// The segment that all of this is of; `None` for the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    pub arms: Vec<ArmReport>,
    /// Units that appeared, when their arm was decided.
    #[serde(default)]
    pub new_units: Vec<NewUnit>,
    /// How the first request of a listed unit ended.
    #[serde(default)]
    pub first_outcomes: Vec<FirstOutcome>,
    #[serde(default)]
    pub first_errors: Vec<FirstError>,
    #[serde(default)]
    pub first_slow: Vec<FirstSlow>,
    /// Requests that were not randomised, by cause.
    #[serde(default)]
    pub fallbacks: BTreeMap<Fallback, u64>,
    /// Set in the one report after a breaker opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerReport>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArmReport {
    pub arm: String,
    /// The upstream cluster that served the arm: two arms with the same one have no
    /// routes of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    pub slots: Vec<SlotRow>,
    /// `[bucket, count]` of [`crate::histogram`], ascending: answers that are no error.
    #[serde(default)]
    pub histogram: Vec<(u16, u64)>,
    /// Answers that Envoy itself gave without the upstream being at fault.
    #[serde(default)]
    pub local_replies: u64,
    /// Requests that the client gave up.
    #[serde(default)]
    pub disconnects: u64,
    #[serde(default)]
    pub samples_sent: u64,
    #[serde(default)]
    pub samples_dropped: u64,
}

/// `[slot, exposures, finished, errors, latency sum in us, [finished without
/// error above each latency edge]]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SlotRow(pub u8, pub u64, pub u64, pub u64, pub u64, pub Over);

/// Counts above each latency edge, in place: a report has some hundred of them.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Over {
    counts: [u64; MAX_EDGES],
    edges: usize,
}

/// `[unit, arm]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewUnit(pub UnitHash, pub u8);

/// `[unit, arm, whether it failed]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FirstOutcome(pub UnitHash, pub u8, pub bool);

/// `[unit, arm]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FirstError(pub UnitHash, pub u8);

/// `[unit, arm, latency edges exceeded]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FirstSlow(pub UnitHash, pub u8, pub u8);

/// What opened a worker's breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BreakerReport {
    pub arm: String,
    pub finished: u32,
    pub errors: u32,
}

// === impl Over ===

impl Deref for Over {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        self.counts.get(..self.edges).unwrap_or_default()
    }
}

impl FromIterator<u64> for Over {
    /// Of the first edges that a plan may have; there are no more.
    fn from_iter<I: IntoIterator<Item = u64>>(counts: I) -> Self {
        let mut over = Self::default();
        for (place, count) in over.counts.iter_mut().zip(counts) {
            *place = count;
            over.edges += 1;
        }
        over
    }
}

impl fmt::Debug for Over {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deref().fmt(formatter)
    }
}

impl Serialize for Over {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Over {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Over".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "array",
            "items": {"type": "integer", "minimum": 0},
            "maxItems": MAX_EDGES,
        })
    }
}

impl<'de> Deserialize<'de> for Over {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(OverVisitor)
    }
}

struct OverVisitor;

impl<'de> Visitor<'de> for OverVisitor {
    type Value = Over;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "at most {MAX_EDGES} counts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut counts: A) -> Result<Over, A::Error> {
        let mut over = Over::default();
        while let Some(count) = counts.next_element()? {
            let Some(place) = over.counts.get_mut(over.edges) else {
                return Err(de::Error::invalid_length(over.edges + 1, &self));
            };
            *place = count;
            over.edges += 1;
        }
        Ok(over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{read_quickly, read_tolerant};

    #[test]
    fn counts_over_edges_are_as_many_as_a_plan_may_have_edges() {
        for edges in [0, 5, MAX_EDGES] {
            let row = SlotRow(7, 9, 8, 0, 40, (1..=edges as u64).collect());
            let text = serde_json::to_vec(&row).unwrap();
            assert_eq!(read_quickly::<SlotRow>(&text).unwrap(), row);
            assert_eq!(read_tolerant::<SlotRow>(&text).unwrap().0, row);
        }
        let many = serde_json::to_string(&[1; MAX_EDGES + 1]).unwrap();
        let error = read_quickly::<SlotRow>(format!("[7,9,8,0,40,{many}]").as_bytes());
        let said = error.unwrap_err().to_string();
        assert!(said.contains("at most 12"), "{said}");
    }
}
