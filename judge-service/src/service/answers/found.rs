//! What inference found, on its way into the books.

use crate::books::{Entry, Paired, Sampled, Whose};
use serinus_core::identity::UnitHash;
use std::time::Instant;

pub struct Found {
    pub rollout: String,
    pub epoch: u64,
    pub segment: Option<String>,
    pub arm: usize,
    pub unit: UnitHash,
    pub what: What,
    /// When the judge got the sample.
    pub arrived: Instant,
}

pub enum What {
    Sample(Sampled),
    Pair(Paired),
}

impl Found {
    pub fn count(&self, entry: &mut Entry) {
        let whose = Whose {
            epoch: self.epoch,
            segment: self.segment.as_deref(),
            arm: self.arm,
            unit: self.unit,
        };
        match &self.what {
            What::Sample(found) => entry.sampled(whose, found),
            What::Pair(found) => entry.paired(whose, *found),
        }
    }
}
