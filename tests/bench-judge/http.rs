//! As much of an HTTP client as the load needs: one request after another on a
//! connection, read with as little work as possible, since it has one core.

use serinus_tests::failure::{During, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

pub struct Answer {
    pub status: u16,
    /// Of the buffer: where the body lies.
    body: std::ops::Range<usize>,
}

impl Connection {
    pub async fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        let stream = stream.during("connect to the judge")?;
        stream.set_nodelay(true).during("set TCP_NODELAY")?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    pub async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream
            .write_all(request)
            .await
            .during("send to the judge")?;
        self.buffer.clear();
        loop {
            if let Some(answer) = read(&self.buffer) {
                return Ok(answer);
            }
            let size = self.stream.read_buf(&mut self.buffer).await;
            if size.during("read from the judge")? == 0 {
                return Err("the judge closed a connection".into());
            }
        }
    }

    pub fn body(&self, answer: &Answer) -> &[u8] {
        &self.buffer[answer.body.clone()]
    }

    /// A waiting connection keeps no buffer of the last plan.
    pub fn shrink(&mut self) {
        self.buffer = Vec::new();
    }
}

/// The answer, once it is whole.
fn read(buffer: &[u8]) -> Option<Answer> {
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&buffer[..head]).ok()?;
    let status = text.get(9..12)?.parse().ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let start = head + 4;
    let end = start + length.unwrap_or(0);
    (buffer.len() >= end).then_some(Answer {
        status,
        body: start..end,
    })
}
