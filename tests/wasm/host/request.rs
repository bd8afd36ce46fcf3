//! A whole request in one call, for tests that do not care about its parts.

use std::time::Duration;

use wasmtime::Result;

use super::Host;
use super::headers::Headers;
use super::streams::{Action, LocalResponse, Stream, flags};

#[derive(Clone, Debug)]
pub struct Request {
    pub headers: Headers,
    /// Chunks; none for a request that ends with its headers.
    pub body: Vec<Vec<u8>>,
    pub trailers: Option<Headers>,
    pub response: Response,
    /// Attributes by path joined with dots, over the fake's own.
    pub properties: Vec<(String, Vec<u8>)>,
}

/// What happens upstream.
#[derive(Clone, Debug)]
pub struct Response {
    /// `None` when the client goes away before an answer.
    pub status: Option<u16>,
    pub headers: Headers,
    pub body: Vec<Vec<u8>>,
    pub trailers: Option<Headers>,
    /// Until the first byte.
    pub latency: Duration,
    /// From the first byte to the last.
    pub streaming: Duration,
    /// The stream is reset behind the body: no end of it is seen.
    pub cut_off: bool,
    pub flags: u64,
    pub details: &'static str,
    pub attempts: u64,
}

/// What became of a request.
#[derive(Debug)]
pub struct Routed {
    /// What the router and the upstream see; `None` when it never went on.
    pub upstream: Option<Headers>,
    pub upstream_body: Vec<u8>,
    /// What the client sees.
    pub response: Headers,
    pub response_body: Vec<u8>,
    /// An answer of the filter itself, or Envoy's 413.
    pub local_response: Option<LocalResponse>,
    /// The filter paused and never went on.
    pub hung: bool,
    pub route_cache_clears: u64,
}

// === impl Request ===

impl Request {
    pub fn get<K: AsRef<[u8]>, V: AsRef<[u8]>>(path: &str, headers: &[(K, V)]) -> Request {
        Request::with("GET", path, headers, Vec::new())
    }

    pub fn post<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        path: &str,
        headers: &[(K, V)],
        body: &[u8],
    ) -> Request {
        Request::with("POST", path, headers, vec![body.to_vec()])
    }

    fn with<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        method: &str,
        path: &str,
        headers: &[(K, V)],
        body: Vec<Vec<u8>>,
    ) -> Request {
        let mut all = Headers::of(&[
            (":method", method),
            (":scheme", "http"),
            (":authority", "model.test"),
            (":path", path),
        ]);
        all.0.extend(Headers::of(headers).0);
        Request {
            headers: all,
            body,
            trailers: None,
            response: Response::ok(),
            properties: Vec::new(),
        }
    }

    pub fn answered(mut self, response: Response) -> Request {
        self.response = response;
        self
    }
}

// === impl Response ===

impl Response {
    pub fn ok() -> Response {
        Response::status(200)
    }

    /// An answer of the upstream.
    pub fn status(status: u16) -> Response {
        Response {
            status: Some(status),
            headers: Headers::of(&[("content-type", "application/json")]),
            body: vec![b"{}".to_vec()],
            trailers: None,
            latency: Duration::from_millis(5),
            streaming: Duration::ZERO,
            cut_off: false,
            flags: 0,
            details: "via_upstream",
            attempts: 1,
        }
    }

    /// The upstream reset before it answered: Envoy's own 503.
    pub fn upstream_reset() -> Response {
        Response {
            flags: flags::UPSTREAM_CONNECTION_TERMINATION,
            details: "upstream_reset_before_response_started{connection_termination}",
            ..Response::status(503)
        }
    }

    /// No upstream was tried at all.
    pub fn no_healthy_upstream() -> Response {
        Response {
            flags: flags::NO_HEALTHY_UPSTREAM,
            details: "no_healthy_upstream",
            attempts: 0,
            ..Response::status(503)
        }
    }

    pub fn timeout() -> Response {
        Response {
            flags: flags::UPSTREAM_REQUEST_TIMEOUT,
            details: "response_timeout",
            latency: Duration::from_secs(15),
            ..Response::status(504)
        }
    }

    /// The upstream reset within its answer.
    pub fn cut_off() -> Response {
        Response {
            cut_off: true,
            flags: flags::UPSTREAM_REMOTE_RESET,
            details: "upstream_reset_after_response_started{remote_reset}",
            ..Response::ok()
        }
    }

    /// The client went away before an answer.
    pub fn client_gone() -> Response {
        Response {
            status: None,
            flags: flags::DOWNSTREAM_CONNECTION_TERMINATION,
            details: "downstream_remote_disconnect",
            ..Response::ok()
        }
    }

    pub fn grpc(status: u32) -> Response {
        Response {
            headers: Headers::of(&[("content-type", "application/grpc")]),
            trailers: Some(Headers::of(&[("grpc-status", status.to_string())])),
            ..Response::ok()
        }
    }

    pub fn after(mut self, latency: Duration) -> Response {
        self.latency = latency;
        self
    }
}

// === impl Routed ===

impl Routed {
    /// The header of that name which the router and the upstream see.
    pub fn upstream_header(&self, name: &str) -> Option<String> {
        self.upstream.as_ref()?.text(name)
    }

    /// The arm that routes match; `None` takes the default route.
    pub fn arm(&self) -> Option<String> {
        self.upstream_header("x-serinus-arm")
    }

    pub fn status(&self) -> Option<u16> {
        self.response.text(":status")?.parse().ok()
    }

    fn of(stream: Stream, hung: bool) -> Routed {
        Routed {
            upstream: stream.forwarded.then_some(stream.request_headers),
            upstream_body: stream.request_body.passed,
            response: stream.response_headers,
            response_body: stream.response_body.passed,
            local_response: stream.local_response,
            hung,
            route_cache_clears: stream.route_cache_clears,
        }
    }
}

// === impl Host ===

impl Host {
    /// Sends a request through the filter from its first header to its log
    /// entry. The clock moves by the response's times, without ticks.
    pub fn request(&mut self, request: &Request) -> Result<Routed> {
        let id = self.stream();
        self.send(id, request)?;
        let stream = self.stream_state(id);
        let local = stream.local_response.clone();
        let hung = local.is_none() && !stream.closed_by_filter && !stream.forwarded;
        match local {
            Some(local) => self.answer_locally(id, &local)?,
            None if hung => {
                self.stream_state(id).response_flags = flags::DOWNSTREAM_CONNECTION_TERMINATION
            }
            None => self.answer_stream(id, &request.response)?,
        }
        let stream = self.finish(id)?;
        Ok(Routed::of(stream, hung))
    }

    /// The request's half of a stream.
    pub fn send(&mut self, id: u32, request: &Request) -> Result<()> {
        let stream = self.stream_state(id);
        stream.properties.extend(request.properties.iter().cloned());
        let no_trailers = request.trailers.is_none();
        self.request_headers(id, &request.headers, request.body.is_empty() && no_trailers)?;
        for (index, chunk) in request.body.iter().enumerate() {
            if self.stream_state(id).local_response.is_some() {
                return Ok(());
            }
            let last = index + 1 == request.body.len();
            self.request_body(id, chunk, last && no_trailers)?;
        }
        if let Some(trailers) = &request.trailers
            && self.stream_state(id).local_response.is_none()
        {
            self.request_trailers(id, trailers)?;
        }
        Ok(())
    }

    /// The response's half of a stream; `finish` is still to be called.
    pub fn answer_stream(&mut self, id: u32, response: &Response) -> Result<()> {
        self.pass(response.latency);
        let stream = self.stream_state(id);
        stream.response_flags = response.flags;
        stream.response_details = response.details.to_owned();
        stream.upstream_attempts = response.attempts;
        let Some(status) = response.status else {
            return Ok(());
        };
        let mut headers = response.headers.clone();
        headers
            .0
            .insert(0, (b":status".to_vec(), status.to_string().into_bytes()));
        let ends = !response.cut_off && response.trailers.is_none();
        let mut action = self.response_headers(id, &headers, ends && response.body.is_empty())?;
        self.pass(response.streaming);
        for (index, chunk) in response.body.iter().enumerate() {
            let last = index + 1 == response.body.len();
            action = self.response_body(id, chunk, last && ends)?;
        }
        if let Some(trailers) = response.trailers.as_ref().filter(|_| !response.cut_off) {
            action = self.response_trailers(id, trailers)?;
        }
        if action == Action::Pause && self.stream_state(id).response_body.paused {
            wasmtime::bail!("the filter held back a response");
        }
        Ok(())
    }

    /// Local answers go through the filter's response callbacks too.
    fn answer_locally(&mut self, id: u32, local: &LocalResponse) -> Result<()> {
        self.stream_state(id).response_details = local.details.clone();
        let mut headers = local.headers.clone();
        headers.0.insert(
            0,
            (b":status".to_vec(), local.status.to_string().into_bytes()),
        );
        self.response_headers(id, &headers, local.body.is_empty())?;
        if !local.body.is_empty() {
            self.response_body(id, &local.body, true)?;
        }
        Ok(())
    }
}
