//! One request: decide, set the arm header, and count how it ended.

use crate::endings::{self, Answer};
use crate::host;
use crate::sampler::Sampler;
use crate::settings::Settings;
use crate::worker;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType};
use serinus_core::decision;
use serinus_core::ledger::Exposure;
use serinus_core::plan::CompiledRollout;
use serinus_core::request::Request;
use std::rc::Rc;

pub struct Stream {
    settings: Rc<Settings>,
    counted: Option<Counted>,
    /// For the answer.
    set_cookie: Option<String>,
}

/// A randomised request: what must be known when it ends. It keeps the rollout
/// it was decided under, whatever plan comes meanwhile.
struct Counted {
    rollout: Rc<CompiledRollout>,
    exposure: Exposure,
    started_us: u64,
    answer: Answer,
    sampler: Option<Sampler>,
}

struct RequestHeaders;

impl Request for RequestHeaders {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        host::request_header(name)
    }
}

impl Stream {
    pub fn new(settings: Rc<Settings>) -> Self {
        Self {
            settings,
            counted: None,
            set_cookie: None,
        }
    }

    /// The arm to route to; `None` leaves the request to the default route.
    fn decide(&mut self, end_of_stream: bool) -> Option<String> {
        if self.settings.disabled {
            return None;
        }
        worker::with(|worker| {
            let plan = worker.plan.clone()?;
            let decision = decision::decide(&plan, &RequestHeaders, &worker.ledger, &host::random)?;
            let arm = decision.rollout.arm_name(decision.arm).to_owned();
            let exposure = worker.ledger.exposed(&decision);
            self.set_cookie = decision.set_cookie;
            if let Some(exposure) = exposure {
                let started_us = host::now_us();
                let sampler = (!end_of_stream)
                    .then(|| Sampler::choose(worker, &decision.rollout, exposure, started_us))
                    .flatten();
                self.counted = Some(Counted {
                    rollout: decision.rollout,
                    exposure,
                    started_us,
                    answer: Answer::default(),
                    sampler,
                });
            }
            Some(arm)
        })?
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        // Whatever a client sent in the arm header is replaced or removed, so
        // that no client picks its own arm.
        let arm = self.decide(end_of_stream);
        host::set_request_header(&self.settings.arm_header, arm.as_deref());
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, _end_of_stream: bool) -> Action {
        if let Some(sampler) = self
            .counted
            .as_mut()
            .and_then(|counted| counted.sampler.as_mut())
        {
            sampler.request_chunk(|| host::body(BufferType::HttpRequestBody, 0, size));
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        if let Some(cookie) = self.set_cookie.take() {
            host::add_response_header("set-cookie", &cookie);
        }
        if let Some(counted) = &mut self.counted {
            counted.answer.complete = end_of_stream;
            counted.answer.status = host::response_header(":status")
                .and_then(|status| String::from_utf8(status).ok())
                .and_then(|status| status.parse().ok());
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if let Some(counted) = &mut self.counted {
            counted.answer.complete = end_of_stream;
            if let Some(sampler) = &mut counted.sampler {
                sampler.response_chunk(|| host::body(BufferType::HttpResponseBody, 0, size));
            }
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        let Some(counted) = self.counted.take() else {
            return;
        };
        let Counted {
            rollout,
            exposure,
            started_us,
            answer,
            sampler,
        } = counted;
        let now_us = host::now_us();
        let ending = endings::classify(answer, now_us.saturating_sub(started_us));
        worker::with(|worker| {
            if answer.complete {
                worker.ledger.served_by(&rollout, exposure, host::cluster);
            }
            let tripped = worker.ledger.ended(&rollout, exposure, ending, now_us);
            if tripped {
                endings::log_trip(&rollout, exposure.arm);
            }
            if let Some(sampler) = sampler {
                sampler.finish(worker, &rollout, exposure, answer);
            }
        });
    }
}
