//! Flagger's rule: the canary alone against a fixed limit, and a count of failed
//! checks that no success resets. Source: fluxcd/flagger, pkg/controller/scheduler.go.

use super::{Minute, Rule, minutes};
use crate::worlds::{Look, Run, World};

pub struct Flagger {
    pub most_errors: f64,
    /// Failed checks until the rollback, which comes with the next check.
    pub threshold: u32,
}

impl Flagger {
    /// At most 2% errors; five failed checks, one a minute, its default.
    pub const USUAL: Flagger = Flagger {
        most_errors: 0.02,
        threshold: 5,
    };

    /// The check, counted from 1, at which the count is full.
    #[must_use]
    pub fn full_at(&self, fails: impl IntoIterator<Item = bool>) -> Option<u64> {
        let mut failed = 0;
        (1..).zip(fails).find_map(|(check, fails)| {
            failed += u32::from(fails);
            (fails && failed >= self.threshold).then_some(check)
        })
    }

    fn fails(&self, minute: &Minute) -> bool {
        // No data is a failed check.
        minute
            .canary
            .rate()
            .is_none_or(|rate| rate > self.most_errors)
    }
}

impl Rule for Flagger {
    fn names(&self) -> Vec<String> {
        vec!["Flagger's rule".to_owned()]
    }

    fn counts_requests(&self) -> bool {
        true
    }

    fn run(&self, _: &World, _: &Run, looks: &[Look]) -> Vec<Option<u64>> {
        let full = self.full_at(minutes(looks).map(|minute| self.fails(&minute)));
        let next = full.and_then(|full| minutes(looks).nth(usize::try_from(full).ok()?));
        vec![next.map(|minute| minute.end)]
    }
}
