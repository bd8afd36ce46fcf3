//! A request as core reads it: headers from the host, the body from what was held.

use crate::host;
use serinus_core::request::{self, Body};
use serinus_core::settings::Settings;

/// How much of a request is there when it is decided.
#[derive(Debug, Clone, Copy)]
pub enum Sent<'a> {
    /// All of it: it has no body.
    Nothing,
    /// The body is still to come.
    Headers,
    Whole(&'a [u8]),
    /// The first of a body that is longer than what may be held.
    TooMuch(&'a [u8]),
    /// The body is still to come, and nothing will be read of it.
    Unreadable,
}

pub struct Request<'a> {
    sent: Sent<'a>,
    may_hold: bool,
}

impl<'a> Request<'a> {
    pub fn new(sent: Sent<'a>, settings: &Settings) -> Self {
        Self {
            sent,
            may_hold: settings.hold_bodies,
        }
    }
}

impl request::Request for Request<'_> {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        host::request_header(name)
    }

    fn body(&self) -> Body<'_> {
        match self.sent {
            Sent::Whole(bytes) => Body::Whole(bytes),
            Sent::Headers if self.may_hold && is_holdable() => Body::Pending,
            _ => Body::Unreadable,
        }
    }
}

/// Whether a body ends by itself, soon, in plain bytes. Asked only where a plan wants
/// the body, so it costs other requests nothing.
fn is_holdable() -> bool {
    let header = |name| host::request_header(name).unwrap_or_default();
    let is_plain = |name| matches!(header(name).as_slice(), b"" | b"identity");
    // A stream of messages, an upgraded connection, or a client that waits for `100
    // Continue` from the upstream, which gets nothing while the request is held.
    is_plain("content-encoding")
        && !header("content-type").starts_with(b"application/grpc")
        && header("upgrade").is_empty()
        && header("expect").is_empty()
        && header(":method") != b"CONNECT"
}
