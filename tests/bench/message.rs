//! The little of HTTP/1.1 that the benchmark's own two ends speak: messages with
//! a content-length, or without a body.

/// A message that is complete in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Of head and body, in bytes.
    pub size: usize,
    /// The second word of the first line: an answer's status.
    pub status: Option<u16>,
}

impl Message {
    /// The message that the buffer begins with, once its last byte is there.
    pub fn first(buffer: &[u8]) -> Option<Self> {
        let head = buffer.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
        let lines = std::str::from_utf8(buffer.get(..head)?).ok()?;
        let body: usize = lines.lines().find_map(content_length).unwrap_or(0);
        let status = lines
            .split_whitespace()
            .nth(1)
            .and_then(|word| word.parse().ok());
        let size = head + body;
        (buffer.len() >= size).then_some(Self { size, status })
    }
}

fn content_length(line: &str) -> Option<usize> {
    let (name, value) = line.split_once(':')?;
    if !name.eq_ignore_ascii_case("content-length") {
        return None;
    }
    value.trim().parse().ok()
}
