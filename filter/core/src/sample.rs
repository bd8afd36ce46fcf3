//! Requests and answers copied to the judge, bounded in rate and in bytes.

use crate::identity::UnitHash;
use serde::{Deserialize, Serialize};

pub const VERSION: u32 = 1;

/// Bytes of bodies that wait in one worker; what comes on top is dropped.
pub const MAX_QUEUED_BYTES: usize = 1024 * 1024;

/// The largest batch the judge reads: the queue in base64 (4/3) with its names.
pub const MAX_BATCH_BYTES: usize = 2 * MAX_QUEUED_BYTES;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SampleBatch {
    pub version: u32,
    pub session: String,
    pub samples: Vec<Sample>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sample {
    pub rollout: String,
    pub epoch: u64,
    /// `None` for a request that is in no segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    pub arm: String,
    pub unit: UnitHash,
    /// Body of the request, base64.
    pub request: String,
    /// Body of the answer, base64.
    pub response: String,
    /// Those of the plan's [`headers`](crate::plan::wire::Sampling::headers) that the
    /// request had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request_headers: Vec<Header>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub response_headers: Vec<Header>,
}

/// Name, and the value as far as it is UTF-8.
pub type Header = (String, String);

/// Samples that wait to be sent, and the allowance for more.
#[derive(Debug, Default)]
pub struct SampleQueue {
    waiting: Vec<Sample>,
    bytes: usize,
    /// Samples that may still be taken, refilled by time up to one second's worth.
    allowance: f64,
    refilled_us: Option<u64>,
}

impl SampleQueue {
    /// Whether one more sample may be taken now. Asked at the decision, before
    /// the arm matters, so that no arm is preferred.
    pub fn admit(&mut self, per_second: u32, now_us: u64) -> bool {
        let rate = f64::from(per_second);
        let earned = match self.refilled_us {
            None => rate,
            Some(before) => now_us.saturating_sub(before) as f64 * rate / 1e6,
        };
        self.refilled_us = Some(now_us);
        self.allowance = (self.allowance + earned).min(rate);
        let admitted = self.allowance >= 1.0;
        if admitted {
            self.allowance -= 1.0;
        }
        admitted
    }

    /// Whether it was queued; `false` when the queue is full.
    pub fn push(&mut self, sample: Sample) -> bool {
        let headers = [&sample.request_headers, &sample.response_headers];
        let headers = headers.into_iter().flatten();
        let bytes = sample.request.len()
            + sample.response.len()
            + headers
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>();
        if self.bytes + bytes > MAX_QUEUED_BYTES {
            return false;
        }
        self.bytes += bytes;
        self.waiting.push(sample);
        true
    }

    /// All that waits, as one batch; samples are sent once and never resent.
    pub fn take_batch(&mut self, session: &str) -> Option<Vec<u8>> {
        if self.waiting.is_empty() {
            return None;
        }
        self.bytes = 0;
        let batch = SampleBatch {
            version: VERSION,
            session: session.to_owned(),
            samples: core::mem::take(&mut self.waiting),
        };
        serde_json::to_vec(&batch).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(size: usize) -> Sample {
        Sample {
            rollout: "r".to_owned(),
            epoch: 1,
            segment: None,
            arm: "canary".to_owned(),
            unit: 1,
            request: "x".repeat(size),
            response: String::new(),
            request_headers: Vec::new(),
            response_headers: Vec::new(),
        }
    }

    #[test]
    fn admits_a_rate() {
        let mut queue = SampleQueue::default();
        let admitted = (0..10_000u64)
            .filter(|i| queue.admit(50, 1_000_000 + i * 1_000))
            .count();
        // A full bucket of 50, then 50 a second over 10 seconds.
        assert!((545..=551).contains(&admitted), "{admitted}");
        assert!(!queue.admit(50, 0), "a clock that goes back earns nothing");
    }

    #[test]
    fn is_bounded_in_bytes() {
        let mut queue = SampleQueue::default();
        assert!(queue.push(sample(MAX_QUEUED_BYTES)));
        assert!(!queue.push(sample(1)));
        let batch: SampleBatch = serde_json::from_slice(&queue.take_batch("s").unwrap()).unwrap();
        assert_eq!(batch.samples.len(), 1);
        assert!(queue.push(sample(1)));
        assert!(queue.take_batch("s").is_some());
        assert!(queue.take_batch("s").is_none());
    }
}
