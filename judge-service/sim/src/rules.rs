//! What takes a canary back.

mod argo;
mod fixed;
mod flagger;
pub mod kayenta;
pub mod label;
mod looks;
mod oracle;

pub use argo::Argo;
pub use fixed::{FixedHorizon, needed};
pub use flagger::Flagger;
pub use kayenta::Kayenta;
pub use label::Label;
pub use looks::{Asymptotic, NaiveZ};
pub use oracle::Oracle;

use crate::worlds::{LOOK, Look, Run, World};

/// A rule, perhaps at several levels at once.
pub trait Rule: Sync {
    /// One name for each level.
    fn names(&self) -> Vec<String>;

    /// Whether it counts requests and not only errors.
    fn counts_requests(&self) -> bool;

    /// For each level: the request at which it takes the canary back.
    fn run(&self, world: &World, run: &Run, looks: &[Look]) -> Vec<Option<u64>>;
}

/// The first look at or after a request.
#[must_use]
pub fn next_look(at: u64) -> u64 {
    (at + 1).div_ceil(LOOK) * LOOK
}

/// Looks of a minute in which 1,000 requests come.
const LOOKS_A_MINUTE: usize = 1_000 / LOOK as usize;

/// Canary and control in one minute, and the request with which it ends.
#[derive(Clone, Copy, Debug)]
pub struct Minute {
    pub canary: Counts,
    pub control: Counts,
    pub end: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub requests: u32,
    pub errors: u32,
}

impl Counts {
    /// `None` without requests.
    #[must_use]
    pub fn rate(self) -> Option<f64> {
        (self.requests > 0).then(|| f64::from(self.errors) / f64::from(self.requests))
    }
}

fn minutes(looks: &[Look]) -> impl Iterator<Item = Minute> {
    let sum = |looks: &[Look], of: fn(&Look) -> (u32, u32)| {
        looks
            .iter()
            .map(of)
            .fold(Counts::default(), |sum, (requests, errors)| Counts {
                requests: sum.requests + requests,
                errors: sum.errors + errors,
            })
    };
    (1..)
        .zip(looks.chunks_exact(LOOKS_A_MINUTE))
        .map(move |(minute, looks)| Minute {
            canary: sum(looks, |look| (look.canary_requests, look.canary_errors)),
            control: sum(looks, |look| (look.control_requests, look.control_errors)),
            end: minute * LOOKS_A_MINUTE as u64 * LOOK,
        })
}
