//! What operators see of a rollout in Envoy's own metrics, apart from reports, which
//! wait for the judge.

use super::causes::Causes;

/// Since it was last taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Randomised requests of each arm.
    pub exposures: Vec<u64>,
    pub fallbacks: Causes,
    /// Requests and answers chosen to be copied to the judge.
    pub samples_queued: u64,
    pub samples_dropped: u64,
}

impl Tally {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fallbacks.is_empty()
            && self.samples_queued + self.samples_dropped == 0
            && self.exposures.iter().all(|&count| count == 0)
    }

    pub fn exposed(&mut self, arm: usize) {
        if self.exposures.len() <= arm {
            self.exposures.resize(arm + 1, 0);
        }
        if let Some(count) = self.exposures.get_mut(arm) {
            *count += 1;
        }
    }
}
