//! Copies of the bodies of one sampled request, chunk by chunk as they pass.

use crate::endings::Answer;
use crate::host;
use crate::request::Sent;
use crate::worker::Worker;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serinus_core::ledger::{Exposure, FlightId};
use serinus_core::plan::CompiledRollout;
use serinus_core::sample::{Header, Sample};
use std::rc::Rc;

pub struct Sampler {
    request: Body,
    response: Body,
    /// Names of the headers that are copied too.
    headers: Rc<[String]>,
    request_headers: Vec<Header>,
    response_headers: Vec<Header>,
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
    /// Whether this request is sampled: by its unit, and by the worker's rate. One
    /// without a body is not.
    pub fn choose(worker: &mut Worker, id: FlightId, sent: Sent<'_>) -> Option<Box<Self>> {
        let held = match sent {
            Sent::Nothing => return None,
            Sent::Whole(bytes) | Sent::TooMuch(bytes) => bytes,
            Sent::Headers | Sent::Unreadable => &[],
        };
        let flight = worker.ledger.flight(id)?;
        let sampling = flight.rollout.sampling.as_ref()?;
        if !sampling.share.samples(flight.exposure.unit) {
            return None;
        }
        if !worker.samples.admit(sampling.per_second, flight.started_us) {
            let (rollout, exposure) = (flight.rollout.clone(), flight.exposure);
            worker.ledger.sampled(&rollout, exposure, false);
            return None;
        }
        let mut request = Body::new(sampling.max_body_bytes);
        request.add(|| Some(held.to_vec()));
        let headers = Rc::clone(&sampling.headers);
        Some(Box::new(Self {
            request,
            response: Body::new(sampling.max_body_bytes),
            request_headers: copied(&headers, host::request_header),
            response_headers: Vec::new(),
            headers,
        }))
    }

    /// To be called in the response headers' callback.
    pub fn answered(&mut self) {
        self.response_headers = copied(&self.headers, host::response_header);
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
                rollout: rollout.id.as_ref().to_owned(),
                epoch: rollout.epoch,
                segment: rollout.segment_name(exposure.segment).map(str::to_owned),
                arm: rollout.arm_name(exposure.arm).to_owned(),
                unit: exposure.unit,
                request: STANDARD.encode(self.request.bytes),
                response: STANDARD.encode(self.response.bytes),
                request_headers: self.request_headers,
                response_headers: self.response_headers,
            });
        worker.ledger.sampled(rollout, exposure, sent);
    }
}

fn copied(names: &[String], header: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<Header> {
    let copy = |name: &String| {
        let value = String::from_utf8(header(name)?).ok()?;
        Some((name.clone(), value))
    };
    names.iter().filter_map(copy).collect()
}
