//! A time in which nothing of a rollout changed that a worker counts by.

use crate::domain::Millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A time in which allocation and latency edges did not change.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Epoch {
    pub epoch: u64,
    pub step: usize,
    pub started_ms: Millis,
    /// `[from, to, arm]` with the arm's index in the spec.
    pub allocation: Vec<(u16, u16, usize)>,
    /// Buckets of each arm.
    pub weights: Vec<u16>,
    /// Of the segments that are split by weights; none once it is taken back.
    #[serde(default)]
    pub segments: Vec<SegmentSplit>,
    /// `None` while latency is being learned.
    pub thresholds: Option<Thresholds>,
}

/// How one segment is split, as the whole epoch is.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct SegmentSplit {
    pub name: String,
    pub allocation: Vec<(u16, u16, usize)>,
    pub weights: Vec<u16>,
}

/// Latency edges in microseconds, ascending, and what each is for.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Thresholds {
    pub edges_us: Vec<u64>,
    /// At control's quantiles: a first answer above the edge is evidence of harm.
    /// The other arms' edge stands the tolerated slowdown above control's.
    pub tail: Vec<EdgePair>,
    /// For p50 and p95: the other arms' edge stands the margin above control's.
    pub promotion: Vec<PromotionEdge>,
}

/// Indices of edges: control's answers above one are compared with another arm's
/// above the other. An arm that is slower by no more than the ratio of the two
/// has no larger share above its edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct EdgePair {
    pub control: usize,
    pub arm: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct PromotionEdge {
    /// In percent, such as 95.
    pub percentile: u32,
    pub edges: EdgePair,
}

// === impl Epoch ===

impl Epoch {
    /// Buckets of each arm in a segment, or in the rest; `None` for a segment that
    /// is not split by weights.
    #[must_use]
    pub fn weights_of(&self, segment: Option<&str>) -> Option<&[u16]> {
        match segment {
            None => Some(&self.weights),
            Some(name) => self.split(name).map(|split| split.weights.as_slice()),
        }
    }

    /// Whether users are split as in another epoch, as a whole and in each segment.
    #[must_use]
    pub fn is_split_like(&self, other: &Self) -> bool {
        let mut segments = self.segments.iter().zip(&other.segments);
        self.weights == other.weights
            && self.segments.len() == other.segments.len()
            && segments.all(|(own, other)| own.name == other.name && own.weights == other.weights)
    }

    #[must_use]
    pub fn split(&self, segment: &str) -> Option<&SegmentSplit> {
        self.segments.iter().find(|split| split.name == segment)
    }
}

/// The share of an arm's users and control's that are the arm's, by their weights.
#[must_use]
pub fn share_of(weights: &[u16], arm: usize, control: usize) -> f64 {
    let weight = |arm: usize| f64::from(weights.get(arm).copied().unwrap_or_default());
    weight(arm) / (weight(arm) + weight(control))
}
