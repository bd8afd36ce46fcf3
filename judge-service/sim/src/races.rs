//! Many runs of one world, every rule on the same events.

use crate::draw::Draw;
use crate::rules::Rule;
use crate::summary::Times;
use crate::worlds::World;
use rayon::prelude::*;
use std::ops::Range;

/// A world and the rules that are run in it.
pub struct Race<'a> {
    pub world: &'a World,
    pub rules: &'a [Box<dyn Rule>],
}

impl Race<'_> {
    /// The names of all rules' levels: the columns of a run.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.rules.iter().flat_map(|rule| rule.names()).collect()
    }

    /// For each run, when each column took the canary back.
    #[must_use]
    pub fn run(&self, seed: u64, runs: Range<u64>) -> Vec<Vec<Option<u64>>> {
        let counted = self.rules.iter().any(|rule| rule.counts_requests());
        runs.into_par_iter()
            .map(|number| {
                let run = self
                    .world
                    .run(&mut Draw::new(seed, self.world.name, number));
                // A stream of its own, so that a new rule changes no other's events.
                let requests = format!("{} requests", self.world.name);
                let mut draw = Draw::new(seed, &requests, number);
                let looks = if counted {
                    self.world.looks(&run, &mut draw)
                } else {
                    Vec::new()
                };
                let rules = self.rules.iter();
                rules
                    .flat_map(|rule| rule.run(self.world, &run, &looks))
                    .collect()
            })
            .collect()
    }
}

/// One column of many runs; times are counted from `start`, and earlier ones left out.
#[must_use]
pub fn column(runs: &[Vec<Option<u64>>], index: usize, start: u64) -> Times {
    let of = |run: &Vec<Option<u64>>| run.get(index).copied().flatten();
    Times::of(runs.iter().filter_map(|run| match of(run) {
        Some(at) if at <= start => None,
        other => Some(other.map(|at| (at - start) as f64)),
    }))
}

/// One column's false rollbacks: those up to `end`.
#[must_use]
pub fn false_rollbacks(runs: &[Vec<Option<u64>>], index: usize, end: u64) -> Times {
    let of = |run: &Vec<Option<u64>>| run.get(index).copied().flatten();
    Times::of(
        runs.iter()
            .map(|run| of(run).filter(|&at| at <= end).map(|at| at as f64)),
    )
}
