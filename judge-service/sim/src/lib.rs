//! Simulated releases: is a rule as good as it says, and how long will a release take?
//!
//! | room | idea |
//! | --- | --- |
//! | [`worlds`] | who sends requests, which of them fail, and when that becomes known |
//! | [`rules`] | what takes a canary back: ours and its peers' |
//! | [`races`] | many runs of one world, every rule on the same events |
//! | [`latency`] | durations: five thresholds against changes of a distribution |
//! | [`drift`] | which class is predicted: the label process within each class |
//! | [`promotion`] | a canary at the margin, and how seldom it passes |
//! | [`forecast`] | the same for the rollout that somebody is about to start |
//! | [`summary`] | from runs to rates, bounds and quantiles |
//!
//! # How it is fast
//!
//! A world is simulated by its events and not by its requests: the gap to the next
//! candidate is geometric at the highest rate that may occur, and a candidate is kept
//! with the ratio of its own rate to that. This is exact, and 1% of the work.
//!
//! # What this crate does not do
//!
//! It decides no release, reads no file and knows no clock. All randomness comes from
//! a seed and the run's number ([`draw`]), so results do not depend on the number of
//! threads.

#![forbid(unsafe_code)]

pub mod draw;
pub mod drift;
pub mod forecast;
pub mod latency;
pub mod promotion;
pub mod races;
pub mod rules;
pub mod split;
pub mod summary;
pub mod worlds;
