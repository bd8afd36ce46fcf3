//! The test that knows how bad the canary is, if it is bad: Wald's sequential
//! probability ratio test on the labels of errors. No rule that holds its alpha on
//! them is faster on average.

use super::{Rule, next_look};
use crate::worlds::{Look, Run, World};

pub struct Oracle {
    pub alpha: f64,
}

impl Rule for Oracle {
    fn names(&self) -> Vec<String> {
        vec![format!("oracle, alpha {}", self.alpha)]
    }

    fn counts_requests(&self) -> bool {
        false
    }

    fn run(&self, world: &World, run: &Run, _: &[Look]) -> Vec<Option<u64>> {
        let enough = -libm::log(self.alpha);
        let (ratio, share) = (world.ratio, world.share(0));
        let log_ratio = libm::log(ratio);
        let log_odds = libm::log(1.0 - share + share * ratio);
        let mut evidence = 0.0;
        let fired = run.events.iter().find(|event| {
            evidence += if event.canary { log_ratio } else { 0.0 } - log_odds;
            evidence >= enough
        });
        vec![
            fired
                .map(|event| next_look(event.known))
                .filter(|&at| at <= world.requests),
        ]
    }
}
