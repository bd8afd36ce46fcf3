//! Three releases in a lab: one that is wrong but answers 200, a good one through
//! a shared incident, and a broken one whose judge is killed. The demo tells them
//! and the end-to-end tests check them.

mod comparison;
pub mod judge_dead;
mod screen;
pub mod shared_incident;
mod spec;
mod watch;
pub mod wrong_but_200;

use crate::digits;
use crate::failure::Result;
use crate::judge::status::Phase;
use crate::lab::{CANARY_MODEL, Lab};
use crate::load::Load;

pub use comparison::Comparison;
pub use screen::{Cell, Screen};
pub use watch::{Moment, Statuses};

/// Where the stories play.
pub struct Stage {
    pub lab: Lab,
    pub load: Load,
    pub users: u32,
    pub requests_per_second: u32,
    /// The share of requests that fail in both arms, as in life.
    pub natural_errors: f64,
    /// What the canary's model file says about each image.
    canary_labels: Vec<u8>,
}

/// How a story ended.
#[derive(Debug, Clone)]
pub struct End {
    pub title: &'static str,
    /// The rollout's name in the judge.
    pub rollout: String,
    pub phase: Phase,
    /// From the canary's first request to the verdict that ended the rollout.
    pub seconds: f64,
    /// From that verdict until the last worker had it.
    pub delivered_ms: Option<u64>,
    pub requests: u64,
    /// Requests that failed because of Serinus or Envoy.
    pub our_failures: u64,
    pub users_hurt: u64,
    pub peers: Comparison,
    /// The judge's reasons for the last verdict.
    pub reasons: Vec<String>,
    /// What the replay of that verdict's evidence printed.
    pub replay: String,
    /// What did not go as it should.
    pub problems: Vec<String>,
}

impl Stage {
    /// A lab with its load. `requests_per_second` and `users` set the scale.
    ///
    /// # Errors
    /// When a model file does not load or the load cannot start.
    pub fn new(
        lab: Lab,
        users: u32,
        requests_per_second: u32,
        natural_errors: f64,
    ) -> Result<Self> {
        let load = lab.load(requests_per_second, users)?;
        let canary_labels = digits::expected_labels(CANARY_MODEL, &lab.images)?;
        Ok(Self {
            lab,
            load,
            users,
            requests_per_second,
            natural_errors,
            canary_labels,
        })
    }
}
