//! Copies of the bodies of one sampled request, chunk by chunk as they pass.

use crate::endings::Answer;
use crate::worker::Worker;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serinus_core::ledger::Exposure;
use serinus_core::plan::CompiledRollout;
use serinus_core::sample::Sample;

pub struct Sampler {
    request: Body,
    response: Body,
}

/// A body of at most `limit` bytes; one that grows over it is given up.
struct Body {
    bytes: Vec<u8>,
    limit: usize,
    too_large: bool,
}

impl Body {
    fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            too_large: false,
        }
    }

    fn add(&mut self, chunk: impl FnOnce() -> Option<Vec<u8>>) {
        if self.too_large {
            return;
        }
        let chunk = chunk().unwrap_or_default();
        if self.bytes.len() + chunk.len() > self.limit {
            self.too_large = true;
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(&chunk);
        }
    }
}

impl Sampler {
    /// Whether this request is sampled: by its unit, and by the worker's rate.
    pub fn choose(
        worker: &mut Worker,
        rollout: &CompiledRollout,
        exposure: Exposure,
        now_us: u64,
    ) -> Option<Self> {
        let sampling = rollout.sampling?;
        if !sampling.share.samples(exposure.unit) {
            return None;
        }
        if !worker.samples.admit(sampling.per_second, now_us) {
            worker.ledger.sampled(rollout, exposure, false);
            return None;
        }
        Some(Self {
            request: Body::new(sampling.max_body_bytes),
            response: Body::new(sampling.max_body_bytes),
        })
    }

    pub fn request_chunk(&mut self, chunk: impl FnOnce() -> Option<Vec<u8>>) {
        self.request.add(chunk);
    }

    pub fn response_chunk(&mut self, chunk: impl FnOnce() -> Option<Vec<u8>>) {
        self.response.add(chunk);
    }

    /// Queues the sample of a request that was answered well; an error is
    /// counted as one already, and has no answer to compare.
    pub fn finish(
        self,
        worker: &mut Worker,
        rollout: &CompiledRollout,
        exposure: Exposure,
        answer: Answer,
    ) {
        let good = answer
            .status
            .is_some_and(|status| (200..300).contains(&status));
        if !(good && answer.complete) {
            return;
        }
        let sent = !self.request.too_large
            && !self.response.too_large
            && worker.samples.push(Sample {
                rollout: rollout.id.clone(),
                epoch: rollout.epoch,
                segment: rollout.segment_name(exposure.segment).map(str::to_owned),
                arm: rollout.arm_name(exposure.arm).to_owned(),
                unit: exposure.unit,
                request: STANDARD.encode(self.request.bytes),
                response: STANDARD.encode(self.response.bytes),
            });
        worker.ledger.sampled(rollout, exposure, sent);
    }
}
