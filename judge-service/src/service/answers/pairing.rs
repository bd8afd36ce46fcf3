//! The second request: a sampled one is sent to another arm's server as well, and both
//! answers go to be compared. Users wait for none of it, and neither do samples.

use super::causes::NoPair;
use super::work::{Second, Work, header};
use crate::domain::Millis;
use crate::domain::spec::Pairing;
use crate::service::Service;
use crate::web::{Ending, Unanswered, Web};
use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use serinus_core::condition::Pattern;
use serinus_core::matching::Matcher;
use serinus_core::plan::wire::Match;
use serinus_core::request::{Body, Reader};
use serinus_core::sample::Header;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
    paths: Paths,
    headers: Vec<String>,
    timeout: Duration,
    per_second: f64,
    allowance: Mutex<Allowance>,
}

/// Paths that a request of the rollout may have. Whoever reaches the judge's port may say
/// that a request was sampled, and must not choose what the judge asks of a server. (A
/// sample does not have all else that a match may ask for.)
struct Paths {
    /// `None` allows none: the spec's expression cannot be read, which creation refuses.
    matcher: Option<Matcher>,
}

/// Second requests that may still be made, refilled by time up to one second's worth, and
/// to one at least.
struct Allowance {
    left: f64,
    refilled_ms: Millis,
}

pub struct Sender {
    web: Web,
    places: Arc<Semaphore>,
}

// === impl Again ===

impl Again {
    #[must_use]
    pub fn new(pairing: &Pairing, matches: &Match, arms: &[String]) -> Self {
        let endpoint = |arm: &String| pairing.endpoints.get(arm).cloned();
        Self {
            endpoints: arms.iter().map(endpoint).collect(),
            methods: pairing.methods.clone(),
            paths: Paths::of(matches),
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
    fn request(&self, work: &Work, arm: usize) -> Result<Request<Full<Bytes>>, NoPair> {
        let header = |wanted: &str| header(&work.sample.request_headers, wanted);
        let method = header(":method").ok_or(NoPair::NoMethod)?;
        if !self.methods.iter().any(|allowed| allowed == method) {
            return Err(NoPair::MethodNotAllowed);
        }
        let endpoint = self.endpoints.get(arm).and_then(Option::as_ref);
        let endpoint = endpoint.ok_or(NoPair::NoEndpoint)?;
        // A path that a client chose must not become another host.
        let path = header(":path").filter(|path| path.starts_with('/'));
        let path = path.ok_or(NoPair::NoPath)?;
        if !self.paths.allow(path) {
            return Err(NoPair::OtherPath);
        }
        let uri: Uri = format!("{endpoint}{path}")
            .parse()
            .map_err(|_| NoPair::NoPath)?;
        let body = STANDARD
            .decode(&work.sample.request)
            .map_err(|_| NoPair::NotBase64)?;
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| NoPair::NoMethod)?;
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
            .map_err(|_| NoPair::NoPath)
    }
}

// === impl Paths ===

impl Paths {
    fn of(matches: &Match) -> Self {
        let regex = matches.path_regex.as_deref().map(Pattern::new);
        let matcher = regex.transpose().map(|path_regex| Matcher {
            path_prefix: matches.path_prefix.clone(),
            path_regex,
            ..Matcher::default()
        });
        Self {
            matcher: matcher.ok(),
        }
    }

    /// Dots lead out of a prefix, however they are written.
    fn allow(&self, path: &str) -> bool {
        let alone = path.split(['?', '#']).next().unwrap_or_default();
        let read = percent_decode_str(alone).decode_utf8_lossy();
        let mut segments = read.split(['/', '\\']);
        let asked = OfPath(path);
        let matcher = self.matcher.as_ref();
        matcher.is_some_and(|matcher| matcher.matches(&Reader::new(&asked)))
            && !segments.any(|segment| matches!(segment, "." | ".."))
    }
}

/// A request of which the path is known.
struct OfPath<'a>(&'a str);

impl serinus_core::request::Request for OfPath<'_> {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        (name == ":path").then(|| self.0.as_bytes().to_vec())
    }

    fn body(&self) -> Body<'_> {
        Body::Unreadable
    }
}

// === impl Sender ===

impl Sender {
    #[must_use]
    pub fn new(web: Web) -> Self {
        Self {
            web,
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
        let (request, place) = match self.may_ask_again(again, work, other) {
            Ok(allowed) => allowed,
            Err(why) => return self.has_no_pair(work, why),
        };
        let (service, timeout) = (Arc::clone(self), again.timeout);
        let mut work = work.clone();
        tokio::spawn(async move {
            match service.ask_again(request, timeout).await {
                Err(why) => service.has_no_pair(&work, why),
                Ok((body, headers)) => {
                    work.second = Some(Second {
                        arm: other,
                        body,
                        headers,
                    });
                    // A queue that is full sheds pairs like samples.
                    if !service.samples.send(work.clone()) {
                        service.has_no_pair(&work, NoPair::Shed);
                    }
                }
            }
            drop(place);
        });
    }

    /// The second request, and its place among those under way.
    fn may_ask_again(
        &self,
        again: &Again,
        work: &Work,
        other: usize,
    ) -> Result<(Request<Full<Bytes>>, OwnedSemaphorePermit), NoPair> {
        if !again.admits(self.now()) {
            return Err(NoPair::Rate);
        }
        let request = again.request(work, other)?;
        let place = Arc::clone(&self.sender.places).try_acquire_owned();
        let place = place.map_err(|_| NoPair::TooManyUnderWay)?;
        Ok((request, place))
    }

    fn has_no_pair(&self, work: &Work, why: NoPair) {
        let mut live = self.live();
        if let Some(answers) = live.answers_of(&work.sample.rollout, &work.kit) {
            answers.not_paired(&work.sample.arm, why);
        }
    }

    async fn ask_again(
        &self,
        request: Request<Full<Bytes>>,
        timeout: Duration,
    ) -> Result<(Vec<u8>, Vec<Header>), NoPair> {
        let web = &self.sender.web;
        let answer = web.call_for_a_rollout(request, timeout, MAX_ANSWER_BYTES);
        let answer = answer.await.map_err(|error| match error {
            Unanswered::Late(_) => NoPair::Timeout,
            Unanswered::Unreachable(_) => NoPair::Unreachable,
            Unanswered::BrokenOff(_) => NoPair::BrokenOff,
        })?;
        if !answer.status.is_success() {
            return Err(NoPair::ErrorStatus);
        }
        match answer.ending {
            Ending::Whole => {}
            Ending::TooLarge => return Err(NoPair::TooLarge),
            Ending::Late => return Err(NoPair::Timeout),
            Ending::BrokenOff => return Err(NoPair::BrokenOff),
        }
        let header = |name: &&str| {
            let value = answer.headers.get(*name)?.to_str().ok()?;
            Some(((*name).to_owned(), value.to_owned()))
        };
        let headers = WRITTEN.iter().filter_map(header).collect();
        Ok((answer.body.into(), headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(prefix: Option<&str>, regex: Option<&str>) -> Paths {
        Paths::of(&Match {
            path_prefix: prefix.map(str::to_owned),
            path_regex: regex.map(str::to_owned),
            // Neither is in every sample.
            host: Some("models.example".to_owned()),
            methods: vec!["POST".to_owned()],
            ..Match::default()
        })
    }

    #[test]
    fn only_paths_of_the_rollout_are_asked_again() {
        let fraud = paths(Some("/v2/models/fraud/"), None);
        for right in [
            "/v2/models/fraud/infer",
            "/v2/models/fraud/versions/1.2/infer?id=..",
            "/v2/models/fraud/a%2Fb",
            "/v2/models/fraud/...?next=/../x",
        ] {
            assert!(fraud.allow(right), "{right}");
        }
        for wrong in [
            "/v2/repository/models/fraud/unload",
            "/v2/models/fraud/../../repository",
            "/v2/models/fraud/%2e%2E/x",
            "/v2/models/fraud/.%2e%2fx",
            "/v2/models/fraud/..\\x",
            "/v2/models/fraud/./x",
            "/v2/models/fraud/..?x",
            "",
        ] {
            assert!(!fraud.allow(wrong), "{wrong}");
        }
        let versions = paths(None, Some("/v[12]/infer"));
        assert!(versions.allow("/v1/infer?a=b"));
        assert!(!versions.allow("/v3/infer"));
        assert!(!versions.allow("/v1/infer/x"));
        assert!(paths(None, None).allow("/anything"));
        assert!(!paths(None, Some("(")).allow("/anything"));
    }
}
