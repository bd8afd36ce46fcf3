//! What has to be measured as it happens.

use super::page::Labels;
use crate::domain::decision::{By, Deed};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use std::time::Duration;

/// Since the service started.
#[derive(Debug)]
pub struct Measures {
    /// From the beginning of a commit until it is on disk.
    pub commit: Histogram,
    /// One look at all rollouts, without waiting.
    pub look: Histogram,
    /// From a decision to the last worker that served then.
    pub delivery: Histogram,
    /// One sample against its model's file.
    pub inference: Histogram,
    pub decisions: Family<Labels, Counter>,
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            // 0.5 ms to 8 s, 5 ms to 82 s, 50 us to 0.8 s: doubled each time.
            commit: Histogram::new(exponential_buckets(0.000_5, 2.0, 15)),
            look: Histogram::new(exponential_buckets(0.000_5, 2.0, 15)),
            delivery: Histogram::new(exponential_buckets(0.005, 2.0, 15)),
            inference: Histogram::new(exponential_buckets(0.000_05, 2.0, 15)),
            decisions: Family::default(),
        }
    }
}

impl Measures {
    pub fn took(histogram: &Histogram, duration: Duration) {
        histogram.observe(duration.as_secs_f64());
    }

    /// It is on disk.
    pub fn decided(&self, deed: Deed, by: By) {
        let by = match by {
            By::Judge => "judge",
            By::Person => "person",
        };
        let labels = vec![("action", deed.name().to_owned()), ("by", by.to_owned())];
        self.decisions.get_or_create(&labels).inc();
    }
}
