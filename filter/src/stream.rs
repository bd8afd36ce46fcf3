//! One request: decide, set the arm header, and count how it ended.

use crate::endings::{self, Answer};
use crate::held::Held;
use crate::host;
use crate::request::{Request, Sent};
use crate::sampler::Sampler;
use crate::worker;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType};
use serinus_core::decision::{self, Around, Decision, Outcome};
use serinus_core::ledger::FlightId;
use serinus_core::plan::wire::LatencyUntil;
use serinus_core::settings::Settings;
use std::rc::Rc;

pub struct Stream {
    settings: Rc<Settings>,
    /// A request that waits for its body, because the decision needs it.
    held: Option<Held>,
    /// A randomised request, until it ends.
    flight: Option<FlightId>,
    /// Whether its duration ends with the first byte of the answer.
    until_first_byte: bool,
    answer: Answer,
    sampler: Option<Box<Sampler>>,
    /// Headers that the answer gets.
    for_answer: Vec<(String, String)>,
}

impl Stream {
    pub fn new(settings: Rc<Settings>) -> Self {
        Self {
            settings,
            held: None,
            flight: None,
            until_first_byte: false,
            answer: Answer::default(),
            sampler: None,
            for_answer: Vec::new(),
        }
    }

    /// Decides, counts and applies. An error asks to hold the request until its body
    /// is there, if it has at most so many bytes; nothing is counted or applied then.
    fn route(&mut self, sent: Sent<'_>) -> Result<(), usize> {
        let mut keep_arm = false;
        let decided = worker::with(|worker| {
            let plan = worker.plan.clone().filter(|_| !self.settings.disabled);
            let Some(plan) = plan else {
                return Ok(None);
            };
            let around = Around {
                point: self.settings.enforcement_point.as_deref(),
                breakers: &worker.ledger,
                silent_us: worker.silent_us,
                random: &host::random,
            };
            match decision::decide(&plan, &Request::new(sent, &self.settings), &around) {
                Outcome::Untouched => Ok(None),
                Outcome::Elsewhere => {
                    keep_arm = self.settings.trusts_arm;
                    Ok(None)
                }
                Outcome::NeedsBody { at_most } => Err(at_most),
                Outcome::Decided(decision) => {
                    self.flight = worker.ledger.begin(&decision, host::now_us);
                    if let Some(id) = self.flight {
                        self.sampler = Sampler::choose(worker, id, sent);
                    }
                    Ok(Some(decision))
                }
            }
        });
        let decision = decided.unwrap_or(Ok(None))?;
        self.apply(decision, keep_arm);
        Ok(())
    }

    /// Whatever a client sent in our headers is replaced or removed, so that no
    /// client picks its own arm; but for the arm that a trusted proxy decided.
    fn apply(&mut self, decision: Option<Decision>, keep_arm: bool) {
        let settings = &self.settings;
        let rollout = decision.as_ref().map(|decision| &decision.rollout);
        let arm = decision
            .as_ref()
            .map(|decision| decision.rollout.arm_name(decision.arm));
        if !keep_arm {
            host::set_request_header(&settings.arm_header, arm);
        }
        if let Some(header) = &settings.shadow_header {
            let shadow = decision.as_ref().filter(|decision| decision.shadow);
            let shadow = shadow.and_then(|decision| decision.rollout.shadow.as_ref());
            host::set_request_header(header, shadow.map(|shadow| shadow.cluster.as_str()));
        }
        if let Some(header) = &settings.response_header
            && let Some((rollout, arm)) = rollout.zip(arm)
        {
            let value = format!("rollout={}; arm={arm}", rollout.id);
            self.for_answer.push((header.clone(), value));
        }
        self.until_first_byte =
            rollout.is_some_and(|rollout| rollout.latency_until == LatencyUntil::FirstByte);
        if let Some(cookie) = decision.and_then(|decision| decision.set_cookie) {
            self.for_answer.push(("set-cookie".to_owned(), cookie));
        }
    }

    /// What was held goes on, with a decision.
    fn release(&mut self, sent: Sent<'_>) -> Action {
        if self.route(sent).is_err() {
            // With a body in hand nothing asks for one.
            let _ = self.route(Sent::Unreadable);
        }
        Action::Continue
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        let sent = if end_of_stream {
            Sent::Nothing
        } else {
            Sent::Headers
        };
        match self.route(sent) {
            Ok(()) => Action::Continue,
            Err(at_most) if host::content_length().is_some_and(|length| length > at_most) => {
                self.release(Sent::Unreadable)
            }
            Err(at_most) => {
                self.held = Some(Held::new(at_most));
                Action::Pause
            }
        }
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Some(mut held) = self.held.take() else {
            if let Some(sampler) = &mut self.sampler {
                sampler.request_chunk(|| host::body(BufferType::HttpRequestBody, 0, size));
            }
            return Action::Continue;
        };
        held.grow_to(size);
        if held.is_too_long() {
            return self.release(Sent::TooMuch(held.bytes()));
        }
        if end_of_stream {
            return self.release(Sent::Whole(held.bytes()));
        }
        self.held = Some(held);
        Action::Pause
    }

    fn on_http_request_trailers(&mut self, _num_trailers: usize) -> Action {
        match self.held.take() {
            Some(held) => self.release(Sent::Whole(held.bytes())),
            None => Action::Continue,
        }
    }

    fn on_http_response_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        for (name, value) in self.for_answer.drain(..) {
            host::add_response_header(&name, &value);
        }
        if let Some(sampler) = &mut self.sampler {
            sampler.answered();
        }
        if let Some(id) = self.flight {
            self.answer.headers(end_of_stream);
            if self.answer.upgraded {
                // What follows may last for hours, and would be under way for so long.
                self.ended();
            } else if self.until_first_byte {
                let now_us = host::now_us();
                worker::with(|worker| {
                    if let Some(flight) = worker.ledger.flight_mut(id) {
                        flight.answered(now_us);
                    }
                });
            }
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.answer.complete = end_of_stream || self.answer.upgraded;
        if let Some(sampler) = &mut self.sampler {
            sampler.response_chunk(|| host::body(BufferType::HttpResponseBody, 0, size));
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _num_trailers: usize) -> Action {
        if self.flight.is_some() {
            self.answer.trailers();
        }
        Action::Continue
    }
}

impl Stream {
    /// Counts how the request ended, once.
    fn ended(&mut self) {
        let Some(id) = self.flight.take() else {
            return;
        };
        let now_us = host::now_us();
        let answer = self.answer;
        worker::with(|worker| {
            let Some(rollout) = worker.ledger.flight(id).map(|flight| &flight.rollout) else {
                return;
            };
            let ending = endings::classify(answer, &rollout.errors);
            let Some((flight, tripped)) = worker.ledger.end(id, ending, now_us) else {
                return;
            };
            let (rollout, exposure) = (&flight.rollout, flight.exposure);
            if answer.complete {
                worker.ledger.served_by(rollout, exposure, host::cluster);
            }
            if tripped {
                endings::log_trip(rollout, exposure.arm);
            }
            if let Some(sampler) = self.sampler.take() {
                sampler.finish(worker, rollout, exposure, answer);
            }
        });
    }
}

/// Envoy deletes a stream's context at its end, whatever became of it. `on_log` comes
/// at the same moment, and would cost every request one more entry into the VM.
impl Drop for Stream {
    fn drop(&mut self) {
        self.ended();
    }
}
