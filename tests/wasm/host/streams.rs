//! One HTTP stream: what it carries, and what of it the filter may touch now.

use std::collections::{BTreeMap, BTreeSet};

use super::headers::Headers;
use super::state::State;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Continue,
    Pause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Request,
    Response,
}

#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MapKind {
    RequestHeaders = 0,
    RequestTrailers = 1,
    ResponseHeaders = 2,
    ResponseTrailers = 3,
    CallHeaders = 6,
    CallTrailers = 7,
}

impl MapKind {
    pub fn of(number: u32) -> Option<MapKind> {
        use MapKind::*;
        let all = [
            RequestHeaders,
            RequestTrailers,
            ResponseHeaders,
            ResponseTrailers,
            CallHeaders,
            CallTrailers,
        ];
        all.into_iter().find(|kind| *kind as u32 == number)
    }
}

/// What `proxy_send_local_response` was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    pub status: u32,
    pub details: String,
    pub headers: Headers,
    pub body: Vec<u8>,
    pub grpc_status: i32,
}

#[derive(Debug, Default)]
pub struct Body {
    /// The chunk of the running callback, behind all that is buffered.
    pub waiting: Vec<u8>,
    pub passed: Vec<u8>,
    pub in_callback: bool,
    pub paused: bool,
}

impl Body {
    /// Between callbacks only a paused body can be read.
    pub fn readable_mut(&mut self) -> Option<&mut Vec<u8>> {
        (self.in_callback || self.paused).then_some(&mut self.waiting)
    }
}

/// Envoy's `response.flags` bits that matter here.
pub mod flags {
    pub const NO_HEALTHY_UPSTREAM: u64 = 0x2;
    pub const UPSTREAM_REQUEST_TIMEOUT: u64 = 0x4;
    pub const UPSTREAM_REMOTE_RESET: u64 = 0x10;
    pub const UPSTREAM_CONNECTION_FAILURE: u64 = 0x20;
    pub const UPSTREAM_CONNECTION_TERMINATION: u64 = 0x40;
    pub const DOWNSTREAM_CONNECTION_TERMINATION: u64 = 0x4000;
}

#[derive(Debug, Default)]
pub struct Stream {
    pub root: u32,
    /// The filter's context exists: `proxy_on_context_create` was called.
    pub created: bool,
    pub started: u64,
    pub ended: Option<u64>,
    pub request_headers: Headers,
    pub request_trailers: Headers,
    pub response_headers: Headers,
    pub response_trailers: Headers,
    pub request_body: Body,
    pub response_body: Body,
    /// Maps that the running (or paused) callback gives access to.
    pub open: BTreeSet<MapKind>,
    pub logging: bool,
    /// Paused in the request headers' callback.
    pub headers_paused: bool,
    pub forwarded: bool,
    pub local_response: Option<LocalResponse>,
    pub closed_by_filter: bool,
    pub route_cache_clears: u64,
    pub response_flags: u64,
    pub response_details: String,
    pub upstream_attempts: u64,
    /// Attributes that the test set, by path joined with dots.
    pub properties: BTreeMap<String, Vec<u8>>,
    /// What the filter set.
    pub filter_state: BTreeMap<String, Vec<u8>>,
}

// === impl Stream ===

impl Stream {
    pub fn body(&mut self, direction: Direction) -> &mut Body {
        match direction {
            Direction::Request => &mut self.request_body,
            Direction::Response => &mut self.response_body,
        }
    }

    /// What was held goes on, and its headers are out of the filter's reach.
    pub fn release(&mut self, direction: Direction) {
        let body = self.body(direction);
        body.passed.append(&mut body.waiting);
        body.paused = false;
        match direction {
            Direction::Request => {
                self.headers_paused = false;
                self.forwarded = true;
                self.open.remove(&MapKind::RequestHeaders);
                self.open.remove(&MapKind::RequestTrailers);
            }
            Direction::Response => {
                self.open.remove(&MapKind::ResponseHeaders);
                self.open.remove(&MapKind::ResponseTrailers);
            }
        }
    }

    pub fn status(&self) -> Option<i64> {
        self.response_headers.text(":status")?.parse().ok()
    }

    /// Envoy's attributes: integers and durations are eight bytes, little endian.
    pub fn property(&self, path: &str, now: u64) -> Option<Vec<u8>> {
        if let Some(value) = self
            .properties
            .get(path)
            .or_else(|| self.filter_state.get(path))
        {
            return Some(value.clone());
        }
        if let Some(name) = path.strip_prefix("request.headers.") {
            return self.request_headers.get(name).map(<[u8]>::to_vec);
        }
        if let Some(name) = path.strip_prefix("response.headers.") {
            return self.response_headers.get(name).map(<[u8]>::to_vec);
        }
        if let Some(name) = path.strip_prefix("response.trailers.") {
            return self.response_trailers.get(name).map(<[u8]>::to_vec);
        }
        let header = |name: &str| self.request_headers.get(name).map(<[u8]>::to_vec);
        let number = |value: u64| Some(value.to_le_bytes().to_vec());
        let size = |body: &Body| (body.passed.len() + body.waiting.len()) as u64;
        match path {
            "request.path" => header(":path"),
            "request.url_path" => header(":path")?
                .split(|byte| *byte == b'?')
                .next()
                .map(Vec::from),
            "request.query" => header(":path")?
                .splitn(2, |byte| *byte == b'?')
                .nth(1)
                .map(Vec::from),
            "request.method" => header(":method"),
            "request.host" => header(":authority"),
            "request.scheme" => header(":scheme"),
            "request.id" => header("x-request-id"),
            "request.useragent" => header("user-agent"),
            "request.time" => number(self.started),
            // There is no duration before the request is over.
            "request.duration" => number(self.ended?.min(now) - self.started),
            "request.size" | "request.total_size" => number(size(&self.request_body)),
            "response.size" | "response.total_size" => number(size(&self.response_body)),
            // Zero when no response began, as a client's disconnect shows it.
            "response.code" if self.logging => number(self.status().unwrap_or(0) as u64),
            "response.code" => number(self.status()? as u64),
            "response.code_details" if !self.response_details.is_empty() => {
                Some(self.response_details.clone().into_bytes())
            }
            "response.flags" => number(self.response_flags),
            "response.grpc_status" => {
                let trailer = self.response_trailers.text("grpc-status");
                let status = trailer.or_else(|| self.response_headers.text("grpc-status"))?;
                number(status.parse().ok()?)
            }
            "upstream.request_attempt_count" => number(self.upstream_attempts),
            _ => None,
        }
    }
}

// === what host calls see ===

impl State {
    pub fn map(&mut self, kind: MapKind, write: bool) -> Option<&mut Headers> {
        if matches!(kind, MapKind::CallHeaders | MapKind::CallTrailers) {
            let answer = self.callouts.answer.as_mut()?;
            let headers = kind == MapKind::CallHeaders;
            return Some(if headers {
                &mut answer.headers
            } else {
                &mut answer.trailers
            });
        }
        let stream = self.stream()?;
        // In the log phase Envoy shows copies: readable, and without the
        // request's trailers.
        let logged = stream.logging && !write && kind != MapKind::RequestTrailers;
        if !logged && !stream.open.contains(&kind) {
            return None;
        }
        match kind {
            MapKind::RequestHeaders => Some(&mut stream.request_headers),
            MapKind::RequestTrailers => Some(&mut stream.request_trailers),
            MapKind::ResponseHeaders => Some(&mut stream.response_headers),
            MapKind::ResponseTrailers => Some(&mut stream.response_trailers),
            MapKind::CallHeaders | MapKind::CallTrailers => None,
        }
    }

    pub fn buffer(&mut self, kind: u32) -> Option<&[u8]> {
        let body = match kind {
            0 => self.stream()?.request_body.readable_mut(),
            1 => self.stream()?.response_body.readable_mut(),
            4 => self.callouts.answer.as_mut().map(|answer| &mut answer.body),
            6 => Some(&mut self.vm_configuration),
            7 => {
                let id = self.root_id();
                self.roots.get_mut(&id).map(|root| &mut root.configuration)
            }
            _ => None,
        };
        body.map(|body| body.as_slice())
    }
}
