//! A request's body while the request waits for it.

use crate::host;
use proxy_wasm::types::BufferType;

/// At most the plan's limit, and one chunk of Envoy's on top.
pub struct Held {
    bytes: Vec<u8>,
    at_most: usize,
}

impl Held {
    pub fn new(at_most: usize) -> Self {
        Self {
            bytes: Vec::new(),
            at_most,
        }
    }

    /// Envoy buffers what is paused, and shows the buffer, so far of `size` bytes.
    pub fn grow_to(&mut self, size: usize) {
        let known = self.bytes.len();
        if size > known {
            let chunk = host::body(BufferType::HttpRequestBody, known, size - known);
            self.bytes.extend(chunk.unwrap_or_default());
        }
    }

    pub fn is_too_long(&self) -> bool {
        self.bytes.len() > self.at_most
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
