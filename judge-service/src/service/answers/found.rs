//! What inference found, on its way into the books.

use crate::books::{Entry, Paired, Sampled, Whose};
use crate::domain::Millis;
use serinus_core::identity::UnitHash;
use std::time::Instant;

pub struct Found {
    pub rollout: String,
    pub epoch: u64,
    pub segment: Option<String>,
    pub arm: usize,
    pub unit: UnitHash,
    /// As far as it had one.
    pub request_id: Option<String>,
    pub what: What,
    /// When the judge got the sample,
    pub arrived: Instant,
    /// by the clock too.
    pub at_ms: Millis,
}

pub enum What {
    Sample {
        found: Sampled,
        /// The label that may be remembered, and the probability that was given to it.
        answer: (Option<i64>, Option<f64>),
    },
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
            What::Sample { found, answer } => {
                let id = self.request_id.as_deref();
                entry.answered(whose, id, Some(*answer), self.at_ms);
                entry.sampled(whose, found);
            }
            What::Pair(found) => entry.paired(whose, *found),
        }
    }
}
