//! An answer as it came over the wire, by whichever protocol.

use hyper::HeaderMap;
use serinus_tests::load::Arm;

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
}

impl Answer {
    /// The arm whose server answered; `None` when Envoy did.
    pub fn arm(&self) -> Option<Arm> {
        arm(&self.headers)
    }

    /// A header's or trailer's text; empty when it is absent.
    pub fn text<'map>(map: &'map HeaderMap, name: &str) -> &'map str {
        map.get(name)
            .map_or("", |value| value.to_str().unwrap_or("no text"))
    }
}

/// The arm that an answer's headers name.
pub fn arm(headers: &HeaderMap) -> Option<Arm> {
    match headers.get("x-arm")?.as_bytes() {
        b"control" => Some(Arm::Control),
        b"canary" => Some(Arm::Canary),
        _ => None,
    }
}
