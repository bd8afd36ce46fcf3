//! HTTP/1.1 over connections that are kept: as little as a load needs, since its work is
//! done on the cores that it measures. A general client takes several times as much.

use crate::failure::{During, Result};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Opened before any is used again. The kernel spreads connections, not requests, over
/// Envoy's workers: of the two or three that a quick server needs, all may be one worker's.
const AT_LEAST: u32 = 16;

/// Connections to one server that nobody uses at the moment, the longest unused first.
pub struct Connections {
    address: SocketAddr,
    free: Mutex<VecDeque<TcpStream>>,
    opened: AtomicU32,
}

/// An answer that has a length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Whether Envoy's router says how long a server took: its own answers do not.
    pub by_server: bool,
    pub body: Vec<u8>,
}

impl Connections {
    /// To `http://ADDRESS:PORT`.
    ///
    /// # Errors
    /// Another kind of URL.
    pub fn to(address: &str) -> Result<Self> {
        let authority = address.trim_start_matches("http://");
        Ok(Self {
            address: authority.parse().during(&format!("read {address}"))?,
            free: Mutex::default(),
            opened: AtomicU32::default(),
        })
    }

    /// Sends a request over a connection of its own, for as long as it takes.
    ///
    /// # Errors
    /// No answer, or none that can be read.
    pub async fn exchange(&self, request: &[u8]) -> io::Result<Response> {
        let enough = self.opened.load(Ordering::Relaxed) >= AT_LEAST;
        let kept = enough.then(|| self.lock().pop_front()).flatten();
        if let Some(mut stream) = kept
            && let Some(response) = over(&mut stream, request).await?
        {
            self.lock().push_back(stream);
            return Ok(response);
        }
        // There was none, or the server had closed it meanwhile.
        let mut stream = TcpStream::connect(&self.address).await?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        stream.set_nodelay(true)?;
        let response = over(&mut stream, request).await?;
        self.lock().push_back(stream);
        response.ok_or_else(|| io::ErrorKind::ConnectionReset.into())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<TcpStream>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer; `None` when the connection ended before its first byte.
async fn over(stream: &mut TcpStream, request: &[u8]) -> io::Result<Option<Response>> {
    if stream.write_all(request).await.is_err() {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(2_048);
    loop {
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) if bytes.is_empty() => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => read?,
        };
        if let Some(response) = read(&bytes)? {
            return Ok(Some(response));
        }
    }
}

/// The answer that these bytes are; `None` while it is not complete.
fn read(bytes: &[u8]) -> io::Result<Option<Response>> {
    let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, body) = bytes.split_at(end + 4);
    let head = std::str::from_utf8(head).map_err(io::Error::other)?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let mut length = None;
    let mut by_server = false;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<usize>().ok();
        }
        by_server |= name.eq_ignore_ascii_case("x-envoy-upstream-service-time");
    }
    let (Some(status), Some(length)) = (status.and_then(|text| text.parse().ok()), length) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    Ok(body.get(..length).map(|body| Response {
        status,
        by_server,
        body: body.to_vec(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn an_answer_is_read_once_it_is_whole() {
        let text = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\
            x-envoy-upstream-service-time: 3\r\n\r\nno";
        for cut in 0..text.len() {
            assert_eq!(read(&text[..cut]).unwrap(), None, "{cut}");
        }
        let whole = Response {
            status: 503,
            by_server: true,
            body: b"no".to_vec(),
        };
        assert_eq!(read(text).unwrap(), Some(whole));
        for odd in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 OK\r\ncontent-length: 0\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert!(read(odd.as_bytes()).is_err(), "{odd}");
        }
    }

    #[tokio::test]
    async fn a_connection_is_kept_until_the_server_closes_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connections = Connections::to(&format!("http://{}", listener.local_addr().unwrap()));
        let connections = connections.unwrap();
        let server = tokio::spawn(async move {
            let mut streams = Vec::new();
            for _ in 0..AT_LEAST {
                let (mut stream, _) = listener.accept().await.unwrap();
                answer(&mut stream).await;
                streams.push(stream);
            }
            answer(&mut streams[0]).await;
            drop(streams);
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream).await;
        });
        for _ in 0..AT_LEAST + 2 {
            assert_eq!(connections.exchange(b"ask\n").await.unwrap().body, b"x");
        }
        server.await.unwrap();
        assert!(
            connections.exchange(b"ask\n").await.is_err(),
            "nobody is there"
        );
    }

    async fn answer(stream: &mut TcpStream) {
        stream.read_exact(&mut [0; 4]).await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";
        stream.write_all(answer).await.unwrap();
    }
}
