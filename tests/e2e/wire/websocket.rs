//! As much of WebSocket (RFC 6455) as a proxy could spoil: the handshake, and
//! frames both ways.

use hyper::HeaderMap;
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The example of RFC 6455, section 1.3, and what a server answers to it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Clients mask what they send (section 5.3); any mask will do here.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    opcode: u8,
    payload: Vec<u8>,
}

impl Frame {
    pub fn text(text: &str) -> Self {
        Self::new(TEXT, text.as_bytes())
    }
    pub fn binary(payload: &[u8]) -> Self {
        Self::new(2, payload)
    }
    pub fn ping() -> Self {
        Self::new(PING, b"there?")
    }
    pub fn pong() -> Self {
        Self::new(PONG, b"there?")
    }
    /// With status 1000, normal closure.
    pub fn close() -> Self {
        Self::new(CLOSE, &1000u16.to_be_bytes())
    }
    fn new(opcode: u8, payload: &[u8]) -> Self {
        Self {
            opcode,
            payload: payload.to_vec(),
        }
    }
}

/// A server's headers for 101.
pub fn accepted() -> HeaderMap {
    HeaderMap::from_iter([
        (UPGRADE, HeaderValue::from_static("websocket")),
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static(ACCEPT)),
    ])
}

/// The server: it speaks first, and then gives every message back.
pub async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, name: &str) -> io::Result<()> {
    write(&mut stream, &Frame::text(name), None).await?;
    loop {
        let mut frame = read(&mut stream).await?;
        if frame.opcode == PING {
            frame.opcode = PONG;
        }
        write(&mut stream, &frame, None).await?;
        if frame.opcode == CLOSE {
            return stream.shutdown().await;
        }
    }
}

/// As a client sends it.
pub async fn send(stream: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    write(stream, frame, Some(MASK)).await
}

async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    frame: &Frame,
    mask: Option<[u8; 4]>,
) -> io::Result<()> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let size = frame.payload.len();
    let mut bytes = vec![0x80 | frame.opcode];
    match size {
        0..=125 => bytes.push(masked | size as u8),
        126..=0xffff => {
            bytes.push(masked | 126);
            bytes.extend((size as u16).to_be_bytes());
        }
        _ => {
            bytes.push(masked | 127);
            bytes.extend((size as u64).to_be_bytes());
        }
    }
    bytes.extend(mask.unwrap_or_default().iter().take(mask.map_or(0, |_| 4)));
    bytes.extend(applied(&frame.payload, mask.unwrap_or_default()));
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// One whole frame; nobody here sends fragments.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let first = stream.read_u8().await?;
    let second = stream.read_u8().await?;
    let size = match second & 0x7f {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        size => u64::from(size),
    };
    let mut mask = [0; 4];
    if second & 0x80 != 0 {
        stream.read_exact(&mut mask).await?;
    }
    let mut payload = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    stream.read_exact(&mut payload).await?;
    Ok(Frame {
        opcode: first & 0x0f,
        payload: applied(&payload, mask),
    })
}

fn applied(payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mask = mask.iter().cycle();
    payload
        .iter()
        .zip(mask)
        .map(|(byte, mask)| byte ^ mask)
        .collect()
}
