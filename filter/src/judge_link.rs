//! The calls between a worker and the judge: a long poll for the plan, reports
//! until each is acknowledged, samples once. A worker whose plan comes with the plugin
//! configuration asks for none, and says by the same call which one it has.
//!
//! At most one call of each kind is under way, so a judge that hangs costs three
//! calls a worker.

use crate::host;
use crate::plans;
use crate::worker::{self, Worker};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, LogLevel, MapType};
use serinus_core::call::Call;
use serinus_core::settings::{Judge, Settings};
use std::rc::Rc;
use std::time::Duration;

/// A poll that is held by a judge that froze costs so much, if Envoy's health checks
/// do not find out sooner.
const POLL_TIMEOUT: Duration = Duration::from_secs(10);
/// The judge holds a poll this long at most: the rest is for its answer's way.
const POLL_WAIT: Duration = Duration::from_secs(8);
/// Between two polls of which the first brought nothing.
const POLL_PAUSE_US: u64 = 100_000;
/// A worker that does not poll says so often which plan it has: the judge takes one
/// that is silent for three times as long for gone.
const PRESENCE_US: u64 = 10_000_000;
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Only an answer with this header is the judge's; Envoy's own 503 has none.
const JUDGE_HEADER: &str = "x-serinus-judge";

/// The longest that a judge may ask a worker to wait: one that was wrong about that, or
/// is replaced meanwhile, is asked again within a minute.
const LONGEST_RETRY_AFTER_S: u64 = 60;

/// Reports go this often until a plan says how often.
const DEFAULT_REPORT_INTERVAL_US: u64 = 1_000_000;

/// Where plans come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Poll,
    /// The plugin configuration.
    Configuration,
}

pub struct JudgeLink {
    judge: Judge,
    settings: Rc<Settings>,
    source: Source,
    poll: Call,
    report: Call,
    samples: Call,
    /// The sequence number of the report under way.
    reported: u64,
    /// Why the newest plan was refused, told to the judge with the next poll.
    refused: Option<String>,
    /// What the clock said at the last tick.
    ticked_us: u64,
}

enum Answer {
    /// The judge's own: its status and body.
    Judge { status: u64, body: Vec<u8> },
    /// The judge's own 429 or 503, which says how long to wait.
    Later { wait_us: u64 },
    /// Refused, timed out, cut off, or not from the judge.
    Nothing,
}

impl JudgeLink {
    /// `refused` says why the plan that came with the configuration does not serve.
    pub fn new(
        judge: Judge,
        settings: Rc<Settings>,
        source: Source,
        refused: Option<String>,
    ) -> Self {
        Self {
            judge,
            settings,
            source,
            poll: Call::default(),
            report: Call::default(),
            samples: Call::default(),
            reported: 0,
            refused,
            ticked_us: 0,
        }
    }

    pub fn on_tick(&mut self) {
        let now_us = host::now_us();
        if now_us < self.ticked_us {
            // Somebody set the clock back: what is due by the old one would wait as long.
            for call in [&mut self.poll, &mut self.report, &mut self.samples] {
                call.due_us = now_us;
            }
        }
        self.ticked_us = now_us;
        worker::with(|worker| {
            worker.silent_us = now_us.saturating_sub(worker.heard_us);
            worker.ledger.look_at_flights(now_us);
            worker.metrics.write(&mut worker.ledger, now_us);
            if self.poll.is_due(now_us) {
                self.send_poll(worker, now_us);
            }
            if self.report.is_due(now_us) {
                self.send_report(worker, now_us);
            }
            if self.samples.is_due(now_us) {
                self.send_samples(worker, now_us);
            }
        });
    }

    /// `speaks` says whether there may be another call at once.
    pub fn on_answer(&mut self, token: u32, num_headers: usize, body_size: usize, speaks: bool) {
        let now_us = host::now_us();
        let answer = read_answer(num_headers, body_size);
        worker::with(|worker| {
            if !matches!(answer, Answer::Nothing) {
                worker.heard_us = now_us;
                worker.silent_us = 0;
            }
            if self.poll.token == Some(token) {
                self.poll.token = None;
                self.on_plan(worker, answer, now_us);
                // A change must not wait for a tick: the next poll also tells the
                // judge that this revision has arrived.
                if speaks && self.poll.is_due(now_us) {
                    self.send_poll(worker, now_us);
                }
            } else if self.report.token == Some(token) {
                self.report.token = None;
                self.on_report_answer(worker, &answer, now_us);
            } else if self.samples.token == Some(token) {
                self.samples.token = None;
                self.on_samples_answer(worker, &answer, now_us);
            }
        });
    }

    fn send_poll(&mut self, worker: &Worker, now_us: u64) {
        let revision = worker
            .plan
            .as_ref()
            .map(|plan| plan.revision)
            .unwrap_or_default();
        let session = worker.ledger.session();
        let path = match self.source {
            Source::Poll => format!(
                "/v1/plan?revision={revision}&wait={}&session={session}",
                POLL_WAIT.as_secs(),
            ),
            Source::Configuration => {
                format!("/v1/plan?revision={revision}&source=config&session={session}")
            }
        };
        let mut headers = self.headers("GET", &path);
        let node = host::string_property(&["xds", "node", "id"]).unwrap_or_default();
        // Only what is plain text goes into a header.
        let node: String = String::from_utf8_lossy(&node)
            .chars()
            .filter(|c| c.is_ascii_graphic())
            .take(128)
            .collect();
        headers.push(("x-serinus-node", &node));
        if let Some(problem) = &self.refused {
            headers.push(("x-serinus-refused", problem));
        }
        match hostcalls::dispatch_http_call(
            &self.judge.cluster,
            headers,
            None,
            vec![],
            POLL_TIMEOUT,
        ) {
            Ok(token) => self.poll.token = Some(token),
            Err(_) => self.poll.failed(now_us, jitter(worker)),
        }
    }

    fn on_plan(&mut self, worker: &mut Worker, answer: Answer, now_us: u64) {
        match answer {
            Answer::Judge {
                status: 200 | 204, ..
            } if self.source == Source::Configuration => {
                self.poll.succeeded(now_us + PRESENCE_US);
                self.report.retry_now(now_us);
            }
            Answer::Judge { status: 200, body } => {
                self.refused = plans::install(worker, &self.settings, &body).err();
                match &self.refused {
                    None => {
                        self.poll.succeeded(now_us);
                        self.report.retry_now(now_us);
                    }
                    Some(problem) => {
                        plans::log_refusal(problem);
                        self.poll.failed(now_us, jitter(worker));
                    }
                }
            }
            // Nothing newer within the wait. A judge that does not hold polls is
            // not to be asked in a loop.
            Answer::Judge { status: 204, .. } => {
                self.poll.succeeded(now_us + POLL_PAUSE_US);
                self.report.retry_now(now_us);
            }
            Answer::Later { wait_us } => {
                worker
                    .metrics
                    .links()
                    .count("polls_total.outcome.postponed");
                self.poll.postponed(now_us, wait_us, jitter(worker));
            }
            Answer::Judge { .. } | Answer::Nothing => {
                worker.metrics.links().count("polls_total.outcome.failed");
                self.poll.failed(now_us, jitter(worker));
            }
        }
    }

    fn send_report(&mut self, worker: &mut Worker, now_us: u64) {
        let plan = worker.plan.clone();
        let interval = plan.as_ref().map_or(DEFAULT_REPORT_INTERVAL_US, |plan| {
            u64::from(plan.report_interval_ms) * 1_000
        });
        let jitter = jitter(worker);
        let Some(frozen) = worker.ledger.report(plan.as_deref()) else {
            self.report.due_us = now_us + interval;
            return;
        };
        let headers = self.headers("POST", "/v1/reports");
        let sent = hostcalls::dispatch_http_call(
            &self.judge.cluster,
            headers,
            Some(&frozen.bytes),
            vec![],
            SEND_TIMEOUT,
        );
        self.reported = frozen.sequence;
        match sent {
            Ok(token) => {
                self.report.token = Some(token);
                self.report.due_us = now_us + interval;
            }
            Err(_) => self.report.failed(now_us, jitter),
        }
    }

    fn on_report_answer(&mut self, worker: &mut Worker, answer: &Answer, now_us: u64) {
        match answer {
            // Counted, or refused for good (4xx): sending the same bytes again
            // would never help. 408 and 429 ask for them once more.
            Answer::Judge { status, .. } if *status < 500 && !matches!(status, 408 | 429) => {
                let refused = *status >= 400;
                worker.metrics.links().count(if refused {
                    "reports_total.outcome.refused"
                } else {
                    "reports_total.outcome.acknowledged"
                });
                if refused {
                    host::log(
                        LogLevel::Error,
                        &format!(
                            "serinus: the judge refused a report with status {status}; its sums are lost"
                        ),
                    );
                }
                worker.ledger.acknowledged(self.reported);
                let due_us = self.report.due_us;
                self.report.succeeded(due_us);
                // The judge is back: a plan that waits must not wait longer.
                self.poll.retry_now(now_us);
            }
            // The frozen report waits, and newer sums merge behind it. A judge that
            // cannot take sums is not to be troubled with samples either.
            Answer::Later { wait_us } => {
                worker
                    .metrics
                    .links()
                    .count("reports_total.outcome.postponed");
                self.report.postponed(now_us, *wait_us, jitter(worker));
                self.samples.due_us = self.samples.due_us.max(self.report.due_us);
            }
            Answer::Judge { .. } | Answer::Nothing => {
                worker.metrics.links().count("reports_total.outcome.failed");
                self.report.failed(now_us, jitter(worker));
            }
        }
    }

    /// Whatever came of them, samples are not sent again. While none are sent, the
    /// queue fills, and what does not fit is counted as dropped.
    fn on_samples_answer(&mut self, worker: &mut Worker, answer: &Answer, now_us: u64) {
        let jitter = jitter(worker);
        let outcome = match answer {
            Answer::Later { wait_us } => {
                self.samples.postponed(now_us, *wait_us, jitter);
                "sample_batches_total.outcome.shed"
            }
            Answer::Judge { status, .. } => {
                self.samples.succeeded(now_us);
                if *status < 300 {
                    "sample_batches_total.outcome.sent"
                } else {
                    "sample_batches_total.outcome.refused"
                }
            }
            Answer::Nothing => {
                self.samples.failed(now_us, jitter);
                "sample_batches_total.outcome.lost"
            }
        };
        worker.metrics.links().count(outcome);
    }

    fn send_samples(&mut self, worker: &mut Worker, now_us: u64) {
        let session = worker.ledger.session().to_owned();
        let Some(batch) = worker.samples.take_batch(&session) else {
            return;
        };
        let headers = self.headers("POST", "/v1/samples");
        let sent = hostcalls::dispatch_http_call(
            &self.judge.cluster,
            headers,
            Some(&batch),
            vec![],
            SEND_TIMEOUT,
        );
        match sent {
            Ok(token) => self.samples.token = Some(token),
            Err(_) => self.samples.failed(now_us, jitter(worker)),
        }
    }

    fn headers<'call>(
        &'call self,
        method: &'call str,
        path: &'call str,
    ) -> Vec<(&'call str, &'call str)> {
        vec![
            (":method", method),
            (":path", path),
            (":authority", &self.judge.authority),
            ("content-type", "application/json"),
        ]
    }
}

/// No headers means that the answer was cut off; reading one would panic.
fn read_answer(num_headers: usize, body_size: usize) -> Answer {
    let header = |name| {
        hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name)
            .ok()
            .flatten()
    };
    if num_headers == 0 || header(JUDGE_HEADER).is_none() {
        return Answer::Nothing;
    }
    let number = |name| -> Option<u64> {
        let text = String::from_utf8(header(name)?).ok()?;
        text.parse().ok()
    };
    let Some(status) = number(":status") else {
        return Answer::Nothing;
    };
    if matches!(status, 429 | 503)
        && let Some(seconds @ 1..) = number("retry-after")
    {
        return Answer::Later {
            wait_us: seconds.min(LONGEST_RETRY_AFTER_S) * 1_000_000,
        };
    }
    Answer::Judge {
        status,
        body: host::body(BufferType::HttpCallResponseBody, 0, body_size).unwrap_or_default(),
    }
}

/// Some number that differs between workers.
fn jitter(worker: &Worker) -> u64 {
    worker
        .ledger
        .session()
        .bytes()
        .fold(host::now_us(), |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(byte))
        })
}
