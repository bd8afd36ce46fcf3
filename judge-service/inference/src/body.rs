//! A body as it went over the wire, and what is read of it.

use std::borrow::Cow;
use std::io::Read;

use super::protocol::{Cause, MAX_BODY_BYTES, ProtocolError};

/// The body of a request or a response, with the headers that say how it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Message<'a> {
    pub body: &'a [u8],
    /// `content-encoding`; where it is not known, gzip is told by its first bytes.
    pub content_encoding: Option<&'a str>,
    /// `inference-header-content-length`: where the JSON of a message of the Open
    /// Inference Protocol ends and its binary tensors begin. Where it is not known,
    /// they begin where the JSON value ends.
    pub header_length: Option<usize>,
}

// === impl Message ===

impl<'a> Message<'a> {
    /// A body of which no headers are known.
    #[must_use]
    pub fn new(body: &'a [u8]) -> Self {
        Self {
            body,
            ..Self::default()
        }
    }

    /// The body as the application wrote it.
    ///
    /// # Errors
    /// A body that is too large, before or after it is decompressed, or an
    /// encoding that is not known or broken.
    pub fn decoded(&self) -> Result<Cow<'a, [u8]>, ProtocolError> {
        if self.body.len() > MAX_BODY_BYTES {
            return Err(ProtocolError::TooLarge {
                bytes: self.body.len(),
                limit: MAX_BODY_BYTES,
            });
        }
        let encoding = self
            .content_encoding
            .map(|encoding| encoding.trim().to_ascii_lowercase());
        match encoding.as_deref() {
            // No JSON begins so, and no length of a binary message.
            None if self.body.starts_with(&[0x1f, 0x8b, 8]) => inflate(self.body, "gzip"),
            None | Some("" | "identity") => Ok(Cow::Borrowed(self.body)),
            Some("gzip" | "x-gzip") => inflate(self.body, "gzip"),
            Some("deflate") => inflate(self.body, "deflate"),
            Some("br") => inflate(self.body, "br"),
            Some(other) => Err(ProtocolError::Encoding {
                cause: Cause::UnknownEncoding,
                reason: format!("`{}` is not gzip, deflate, br or identity", shorten(other)),
            }),
        }
    }
}

/// Decompresses at most as much as a body may have.
fn inflate(body: &[u8], encoding: &'static str) -> Result<Cow<'static, [u8]>, ProtocolError> {
    // Brotli takes a buffer size; its default is as large.
    const BUFFER: usize = 4_096;
    let mut whole = Vec::new();
    let limit = MAX_BODY_BYTES as u64 + 1;
    let read = match encoding {
        "gzip" => flate2::read::MultiGzDecoder::new(body)
            .take(limit)
            .read_to_end(&mut whole),
        "deflate" => flate2::read::ZlibDecoder::new(body)
            .take(limit)
            .read_to_end(&mut whole),
        _ => brotli_decompressor::Decompressor::new(body, BUFFER)
            .take(limit)
            .read_to_end(&mut whole),
    };
    if whole.len() > MAX_BODY_BYTES {
        return Err(ProtocolError::Encoding {
            cause: Cause::Bomb,
            reason: format!(
                "{} bytes of {encoding} become more than {MAX_BODY_BYTES}",
                body.len()
            ),
        });
    }
    match read {
        Ok(_) => Ok(Cow::Owned(whole)),
        Err(error) => Err(ProtocolError::Encoding {
            cause: Cause::BrokenEncoding,
            reason: format!("it is no whole {encoding}: {}", shorten(&error.to_string())),
        }),
    }
}

/// How much of another's text goes into an error.
const MAX_QUOTED: usize = 200;

pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn with<'a>(body: &'a [u8], encoding: &'a str) -> Message<'a> {
        Message {
            content_encoding: Some(encoding),
            ..Message::new(body)
        }
    }

    #[test]
    fn compressed_bodies_are_read() {
        let text = b"{\"inputs\": []}";
        let packed = gzip(text);
        assert_eq!(&*with(&packed, "gzip").decoded().unwrap(), text);
        assert_eq!(&*with(&packed, " GZIP ").decoded().unwrap(), text);
        assert_eq!(&*Message::new(&packed).decoded().unwrap(), text);
        assert_eq!(&*Message::new(text).decoded().unwrap(), text);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        assert_eq!(
            &*with(&encoder.finish().unwrap(), "deflate")
                .decoded()
                .unwrap(),
            text
        );
        // `brotli.compress(b'{"inputs": []}')` of brotli 1.1 for Python: one
        // uncompressed meta-block.
        let stored = [&[0x8b, 0x06, 0x80][..], text, &[0x03]].concat();
        assert_eq!(&*with(&stored, "br").decoded().unwrap(), text);
    }

    #[test]
    fn a_bomb_is_named_and_bounded() {
        let bomb = gzip(&vec![b' '; MAX_BODY_BYTES + 1]);
        assert!(bomb.len() < 100_000);
        let error = with(&bomb, "gzip").decoded().unwrap_err();
        assert_eq!(error.cause(), Cause::Bomb);
        assert!(
            error.to_string().contains("become more than 8388608"),
            "{error}"
        );
    }

    #[test]
    fn other_and_broken_encodings_are_named() {
        let packed = gzip(b"some text that is long enough");
        for length in 1..packed.len() {
            let error = with(&packed[..length], "gzip").decoded().unwrap_err();
            assert_eq!(error.cause(), Cause::BrokenEncoding, "{length}");
        }
        assert_eq!(
            with(b"{}", "br").decoded().unwrap_err().cause(),
            Cause::BrokenEncoding
        );
        assert_eq!(
            with(b"{}", "zstd").decoded().unwrap_err().cause(),
            Cause::UnknownEncoding
        );
        let large = vec![0; MAX_BODY_BYTES + 1];
        assert_eq!(
            with(&large, "gzip").decoded().unwrap_err().cause(),
            Cause::TooLarge
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(
            body in prop::collection::vec(any::<u8>(), 0..200),
            encoding in prop::sample::select(vec!["gzip", "deflate", "br", "identity"]),
        ) {
            let _ = with(&body, encoding).decoded();
            let packed = [&gzip(b"text")[..12], &body].concat();
            let _ = with(&packed, encoding).decoded();
        }
    }
}
