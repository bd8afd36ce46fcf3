//! What a rollout is, what is known of it, and what was decided: plain values.
//!
//! The domain knows no HTTP, no SQL, no clock and no randomness.

pub mod audit;
pub mod check;
pub mod decision;
pub mod delivered;
pub mod evidence;
pub mod layers;
mod packed;
pub mod plan;
pub mod remembered;
pub mod report;
pub mod rollout;
pub mod scores;
pub mod sessions;
pub mod spec;
pub mod sums;
pub mod trial;
pub mod units;

pub use delivered::Delivered;
pub use evidence::{Action, Bundle, Metric, MetricEvidence, SrmEvidence, Verdict};
pub use rollout::{Epoch, Phase, Rollout};
pub use spec::RolloutSpec;
pub use sums::EpochSums;

/// Milliseconds since 1970.
pub type Millis = u64;
