//! From an evidence bundle to a verdict: a pure function.
//!
//! The policy knows no store, no HTTP, no clock and no randomness. Two different
//! tools answer the one question (is the arm worse than control by more than is
//! tolerated?), because the two mistakes differ: [`harm`] rolls back on exact
//! evidence, valid at every look; the arm is promoted when each guardrail surely lies
//! within its margin, as `errors`, `latency` and the other metrics say.

mod agreement;
pub mod alpha;
mod coverage;
mod difference;
mod drift;
mod errors;
mod harm;
mod judge;
mod labels;
mod lacking;
mod latency;
mod outcomes;
mod pairs;
mod rates;
mod removal;
mod strata;
#[cfg(test)]
mod tests;
pub mod thresholds;
mod under_way;
mod value;
mod view;
mod watch;
mod window;
pub(crate) mod words;

pub use judge::judge;

/// Sample ratio mismatch: one false alarm in a hundred rollouts.
const SRM_ALPHA: f64 = 0.01;

/// Of the two-sided sequences that are shown.
const SHOWN_ALPHA: f64 = 0.05;

/// With fewer users of each, what decides nothing by itself is not taken for well.
const ENOUGH: u64 = 100;

/// An interval with fewer events of the arm is not shown: its variance would be
/// far too small (STATISTICS: finding 3).
const SHOWN_EVENTS: u64 = 20;
