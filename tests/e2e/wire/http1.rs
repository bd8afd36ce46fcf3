//! HTTP/1.1 byte by byte: what is sent is what the test wrote, and what came back
//! is read by nobody who would repair it.

use super::answer::Answer;
use crate::world::LIMIT;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use serinus_tests::failure::{During, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub struct Client {
    pub stream: BufReader<TcpStream>,
}

/// `line` is method and path; a body is announced by its length.
pub fn request(line: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{line} HTTP/1.1\r\nhost: models.example\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        head += &format!("content-length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// A chunked body, with trailers, for a request that says so.
pub fn chunked(pieces: &[&[u8]], trailers: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend(format!("{:x};extension=1\r\n", piece.len()).bytes());
        bytes.extend_from_slice(piece);
        bytes.extend(b"\r\n");
    }
    bytes.extend(format!("0\r\n{trailers}\r\n").bytes());
    bytes
}

impl Client {
    /// To `http://ADDRESS:PORT`.
    pub async fn connect(address: &str) -> Result<Self> {
        let address = address.trim_start_matches("http://");
        let stream = TcpStream::connect(address).await.during("connect")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await.during("send")
    }

    /// Sends a request and reads its answer.
    pub async fn ask(
        &mut self,
        line: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer> {
        self.send(&request(line, headers, body)).await?;
        if line.starts_with("HEAD") {
            self.answer_without_body().await
        } else {
            self.answer().await
        }
    }

    /// The next answer, with its body, if that is whole.
    pub async fn answer(&mut self) -> Result<Answer> {
        let mut answer = self.answer_without_body().await?;
        let chunked = Answer::text(&answer.headers, "transfer-encoding") == "chunked";
        if chunked {
            while let Some(piece) = self.chunk().await? {
                answer.body.extend(piece);
            }
            answer.trailers = self.fields().await?;
        } else if let Some(length) = answer.headers.get("content-length") {
            let length: usize = length.to_str()?.parse()?;
            answer.body = self.bytes(length).await?;
        }
        Ok(answer)
    }

    /// Status and headers; also all there is of an answer to HEAD.
    pub async fn answer_without_body(&mut self) -> Result<Answer> {
        let line = self.line().await?;
        let mut words = line.split(|&byte| byte == b' ');
        if words.next() != Some(b"HTTP/1.1") {
            return Err(format!("no status: {}", line.escape_ascii()).into());
        }
        let status = std::str::from_utf8(words.next().unwrap_or_default())?;
        Ok(Answer {
            status: status.parse().during("read a status")?,
            headers: self.fields().await?,
            body: Vec::new(),
            trailers: HeaderMap::new(),
        })
    }

    /// The next chunk of a body; `None` for the last one, after which trailers come.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let line = self.line().await?;
        let size = usize::from_str_radix(std::str::from_utf8(&line)?, 16)?;
        if size == 0 {
            return Ok(None);
        }
        let mut piece = self.bytes(size + 2).await?;
        match piece.split_off(size).as_slice() {
            b"\r\n" => Ok(Some(piece)),
            other => Err(format!("a chunk ends with {}", other.escape_ascii()).into()),
        }
    }

    /// Everything until the connection is closed, or reset.
    pub async fn rest(&mut self) -> Result<Vec<u8>> {
        let mut rest = Vec::new();
        // What was read before a reset is kept.
        let _ = timeout(LIMIT, self.stream.read_to_end(&mut rest)).await?;
        Ok(rest)
    }

    async fn fields(&mut self) -> Result<HeaderMap> {
        let mut fields = HeaderMap::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(fields);
            }
            let colon = line.iter().position(|&byte| byte == b':');
            let (name, value) = line.split_at(colon.ok_or("a header without a colon")?);
            fields.append(
                HeaderName::from_bytes(name)?,
                HeaderValue::from_bytes(value[1..].trim_ascii())?,
            );
        }
    }

    async fn line(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        timeout(LIMIT, self.stream.read_until(b'\n', &mut line)).await??;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(line.to_vec()),
            None => Err(format!("cut off after `{}`", line.escape_ascii()).into()),
        }
    }

    async fn bytes(&mut self, size: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; size];
        timeout(LIMIT, self.stream.read_exact(&mut bytes)).await??;
        Ok(bytes)
    }
}
