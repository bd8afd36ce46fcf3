//! The second request: a sampled one is sent to another arm's server as well, and both
//! answers go to be compared. Users wait for none of it, and neither do samples.

use super::work::{Second, Work};
use crate::domain::Millis;
use crate::domain::spec::Pairing;
use crate::service::Service;
use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serinus_core::sample::Header;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Second requests under way, of all rollouts. What comes on top has no pair.
const UNDER_WAY: usize = 64;

const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Response headers that say how a body is written.
const WRITTEN: [&str; 2] = ["content-encoding", "inference-header-content-length"];

/// Where and how a rollout's requests are sent again.
pub struct Again {
    /// In the order of the spec's arms.
    endpoints: Vec<Option<String>>,
    methods: Vec<String>,
    headers: Vec<String>,
    timeout: Duration,
    per_second: f64,
    allowance: Mutex<Allowance>,
}

/// Second requests that may still be made, refilled by time up to one second's worth, and
/// to one at least.
struct Allowance {
    left: f64,
    refilled_ms: Millis,
}

pub struct Sender {
    client: Client<HttpConnector, Full<Bytes>>,
    places: Arc<Semaphore>,
}

// === impl Again ===

impl Again {
    #[must_use]
    pub fn new(pairing: &Pairing, arms: &[String]) -> Self {
        let endpoint = |arm: &String| pairing.endpoints.get(arm).cloned();
        Self {
            endpoints: arms.iter().map(endpoint).collect(),
            methods: pairing.methods.clone(),
            headers: pairing.headers.clone(),
            timeout: Duration::from_millis(pairing.timeout_ms.into()),
            per_second: pairing.per_second,
            allowance: Mutex::new(Allowance {
                left: pairing.per_second.max(1.0),
                refilled_ms: 0,
            }),
        }
    }

    fn admits(&self, now: Millis) -> bool {
        let mut allowance = self
            .allowance
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let elapsed = now.saturating_sub(allowance.refilled_ms) as f64 / 1_000.0;
        let earned = allowance.left + elapsed * self.per_second;
        allowance.left = earned.min(self.per_second.max(1.0));
        allowance.refilled_ms = now;
        let admitted = allowance.left >= 1.0;
        if admitted {
            allowance.left -= 1.0;
        }
        admitted
    }

    /// The request as it goes to an arm's server.
    fn request(&self, work: &Work, arm: usize) -> Result<Request<Full<Bytes>>, &'static str> {
        let header = |wanted: &str| {
            let mut headers = work.sample.request_headers.iter();
            headers
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.as_str())
        };
        let method = header(":method").ok_or("no_method")?;
        if !self.methods.iter().any(|allowed| allowed == method) {
            return Err("method_not_allowed");
        }
        let endpoint = self.endpoints.get(arm).and_then(Option::as_ref);
        let endpoint = endpoint.ok_or("no_endpoint")?;
        // A path that a client chose must not become another host.
        let path = header(":path").filter(|path| path.starts_with('/'));
        let path = path.ok_or("no_path")?;
        let uri: Uri = format!("{endpoint}{path}").parse().map_err(|_| "no_path")?;
        let body = STANDARD
            .decode(&work.sample.request)
            .map_err(|_| "not_base64")?;
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| "no_method")?;
        let mut request = Request::builder().method(method).uri(uri);
        let kept = self.headers.iter().filter(|name| !name.starts_with(':'));
        for (name, value) in kept.filter_map(|name| Some((name, header(name)?))) {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                request = request.header(name, value);
            }
        }
        request
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| "no_path")
    }
}

// === impl Sender ===

impl Sender {
    #[must_use]
    pub fn new() -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            places: Arc::new(Semaphore::new(UNDER_WAY)),
        }
    }
}

impl Service {
    /// Sends a sample's request to another arm as well, if the rollout wants that. Which
    /// arm the sample is of matters only for where it goes.
    pub(super) fn pair(self: &Arc<Self>, work: &Work) {
        let Some(again) = &work.kit.again else {
            return;
        };
        let other = work.kit.other_than(work.arm, work.sample.unit);
        let Some(other) = other else {
            return;
        };
        let no_pair = |problem: &str| {
            let mut live = self.live();
            if let Some(answers) = live.answers_of(&work.sample.rollout, &work.kit) {
                answers.paired(&work.sample.arm, Some(problem));
            }
        };
        if !again.admits(self.now()) {
            return no_pair("rate");
        }
        let request = match again.request(work, other) {
            Ok(request) => request,
            Err(problem) => return no_pair(problem),
        };
        let Ok(place) = Arc::clone(&self.sender.places).try_acquire_owned() else {
            return no_pair("too_many_under_way");
        };
        let (service, timeout) = (Arc::clone(self), again.timeout);
        let mut work = work.clone();
        tokio::spawn(async move {
            let asked = tokio::time::timeout(timeout, service.ask_again(request));
            let problem = match asked.await.unwrap_or(Err("timeout")) {
                Err(problem) => Some(problem),
                Ok((body, headers)) => {
                    work.second = Some(Second {
                        arm: other,
                        body,
                        headers,
                    });
                    // A queue that is full sheds pairs like samples.
                    let queued = service.samples.send(work.clone());
                    (!queued).then_some("shed")
                }
            };
            let mut live = service.live();
            if problem.is_some()
                && let Some(answers) = live.answers_of(&work.sample.rollout, &work.kit)
            {
                answers.paired(&work.sample.arm, problem);
            }
            drop(live);
            drop(place);
        });
    }

    async fn ask_again(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Vec<u8>, Vec<Header>), &'static str> {
        let answer = self.sender.client.request(request).await;
        let answer = answer.map_err(|_| "unreachable")?;
        if !answer.status().is_success() {
            return Err("error_status");
        }
        let header = |name: &&str| {
            let value = answer.headers().get(*name)?.to_str().ok()?;
            Some(((*name).to_owned(), value.to_owned()))
        };
        let headers = WRITTEN.iter().filter_map(header).collect();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES);
        let body = body.collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                "too_large"
            } else {
                "broken_off"
            }
        })?;
        Ok((body.to_bytes().into(), headers))
    }
}
