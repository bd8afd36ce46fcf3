//! Drives one stream through the filter, callback by callback, as Envoy's
//! filter chain does.

use wasmtime::{Result, format_err};

use super::Host;
use super::headers::Headers;
use super::streams::{Action, Direction, LocalResponse, MapKind, Stream};

fn action(returned: Option<u32>) -> Result<Action> {
    match returned {
        // Without the export Envoy goes on.
        None | Some(0) => Ok(Action::Continue),
        Some(1) => Ok(Action::Pause),
        Some(other) => Err(format_err!("the filter returned the action {other}")),
    }
}

impl Host {
    /// A stream of the current root context; Envoy creates the filter's context
    /// with the first callback.
    pub fn stream(&mut self) -> u32 {
        let id = self.new_context();
        let (root, started) = (self.root, self.now());
        let stream = Stream {
            root,
            started,
            upstream_attempts: 1,
            ..Stream::default()
        };
        self.state_mut().streams.insert(id, stream);
        id
    }

    /// Panics for a stream that is over: the test is wrong then.
    pub fn stream_state(&mut self, id: u32) -> &mut Stream {
        match self.state_mut().streams.get_mut(&id) {
            Some(stream) => stream,
            None => panic!("there is no stream {id}"),
        }
    }

    fn created(&mut self, id: u32) -> Result<()> {
        let stream = self.stream_state(id);
        let root = stream.root;
        if !std::mem::replace(&mut stream.created, true) {
            self.enter("proxy_on_context_create", id, &[root])?;
        }
        Ok(())
    }

    pub fn request_headers(&mut self, id: u32, headers: &Headers, end: bool) -> Result<Action> {
        self.created(id)?;
        let stream = self.stream_state(id);
        stream.request_headers = headers.clone();
        stream.open.insert(MapKind::RequestHeaders);
        let arguments = [headers.len() as u32, u32::from(end)];
        let action = action(self.enter("proxy_on_request_headers", id, &arguments)?)?;
        let stream = self.stream_state(id);
        match action {
            Action::Continue => stream.release(Direction::Request),
            Action::Pause => stream.headers_paused = !stream.forwarded,
        }
        Ok(action)
    }

    pub fn request_body(&mut self, id: u32, chunk: &[u8], end: bool) -> Result<Action> {
        let deliver = self.options.allow_on_headers_stop_iteration;
        let stream = self.stream_state(id);
        if stream.headers_paused && !deliver {
            // Envoy holds everything, and the filter never hears of a body.
            stream.request_body.waiting.extend(chunk);
            return Ok(Action::Pause);
        }
        self.body(id, Direction::Request, chunk, end)
    }

    pub fn request_trailers(&mut self, id: u32, trailers: &Headers) -> Result<Action> {
        let deliver = self.options.allow_on_headers_stop_iteration;
        if self.stream_state(id).headers_paused && !deliver {
            return Ok(Action::Pause);
        }
        self.stream_state(id).request_trailers = trailers.clone();
        self.trailers(id, Direction::Request, trailers.len())
    }

    pub fn response_headers(&mut self, id: u32, headers: &Headers, end: bool) -> Result<Action> {
        let stream = self.stream_state(id);
        stream.response_headers = headers.clone();
        stream.open.insert(MapKind::ResponseHeaders);
        let arguments = [headers.len() as u32, u32::from(end)];
        let action = action(self.enter("proxy_on_response_headers", id, &arguments)?)?;
        if action == Action::Continue {
            self.stream_state(id).release(Direction::Response);
        }
        Ok(action)
    }

    pub fn response_body(&mut self, id: u32, chunk: &[u8], end: bool) -> Result<Action> {
        self.body(id, Direction::Response, chunk, end)
    }

    pub fn response_trailers(&mut self, id: u32, trailers: &Headers) -> Result<Action> {
        self.stream_state(id).response_trailers = trailers.clone();
        self.trailers(id, Direction::Response, trailers.len())
    }

    fn body(&mut self, id: u32, direction: Direction, chunk: &[u8], end: bool) -> Result<Action> {
        let limit = self.options.buffer_limit;
        let export = match direction {
            Direction::Request => "proxy_on_request_body",
            Direction::Response => "proxy_on_response_body",
        };
        let body = self.stream_state(id).body(direction);
        body.waiting.extend(chunk);
        body.in_callback = true;
        let size = body.waiting.len() as u32;
        let action = action(self.enter(export, id, &[size, u32::from(end)])?)?;
        let stream = self.stream_state(id);
        let body = stream.body(direction);
        body.in_callback = false;
        if action == Action::Continue {
            stream.release(direction);
        } else {
            body.paused = true;
            if direction == Direction::Request && body.waiting.len() > limit {
                stream.local_response = Some(LocalResponse {
                    status: 413,
                    details: "request_payload_too_large".to_owned(),
                    headers: Headers::default(),
                    body: b"Payload Too Large".to_vec(),
                    grpc_status: -1,
                });
            }
        }
        Ok(action)
    }

    fn trailers(&mut self, id: u32, direction: Direction, count: usize) -> Result<Action> {
        let (export, kind) = match direction {
            Direction::Request => ("proxy_on_request_trailers", MapKind::RequestTrailers),
            Direction::Response => ("proxy_on_response_trailers", MapKind::ResponseTrailers),
        };
        self.stream_state(id).open.insert(kind);
        let action = action(self.enter(export, id, &[count as u32])?)?;
        if action == Action::Continue {
            self.stream_state(id).release(direction);
        }
        Ok(action)
    }

    /// The end of a stream, however it ended: log, done, delete. A stream that
    /// never had headers gets its context here, as in Envoy.
    pub fn finish(&mut self, id: u32) -> Result<Stream> {
        self.created(id)?;
        let now = self.now();
        let stream = self.stream_state(id);
        stream.ended = Some(now);
        stream.logging = true;
        self.enter("proxy_on_log", id, &[])?;
        self.stream_state(id).logging = false;
        self.enter("proxy_on_done", id, &[])?;
        self.enter("proxy_on_delete", id, &[])?;
        let stream = self.state_mut().streams.remove(&id);
        let stream = stream.ok_or_else(|| format_err!("stream {id} ended twice"))?;
        self.end_retired(stream.root)?;
        Ok(stream)
    }
}
