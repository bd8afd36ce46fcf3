//! The way between workers and judges, on which anything can happen.

use serinus_tests::failure::Result;
use serinus_tests::random::Random;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A judge may be frozen, or cut off from its database.
const PATIENCE: Duration = Duration::from_secs(5);

/// What happens to one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Well,
    /// It arrives, and the connection breaks within the answer.
    AnswerLost,
    /// It arrives, and whoever sent it has gone.
    HungUp,
    /// The connection breaks within it.
    CutOff,
    /// It arrives twice at the same time.
    Twice,
}

/// An answer that came whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Only then it says anything of a report.
    pub by_judge: bool,
    pub body: Vec<u8>,
}

impl Fate {
    pub fn draw(random: &mut Random) -> Self {
        match random.below(100) {
            0..60 => Self::Well,
            60..70 => Self::AnswerLost,
            70..80 => Self::HungUp,
            80..90 => Self::CutOff,
            _ => Self::Twice,
        }
    }

    /// Whether the judge can have got all of it.
    pub fn may_arrive(self) -> bool {
        self != Self::CutOff
    }
}

pub fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: judge\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Sends a request, and waits for the answer.
///
/// # Errors
/// No answer, or half of one.
pub async fn call(address: &str, request: &[u8]) -> io::Result<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        Answer::read(&bytes).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    };
    timeout(PATIENCE, exchange).await?
}

/// Sends a request that has a fate; the answers that came back.
pub async fn send(address: &str, request: &[u8], fate: Fate, random: &mut Random) -> Vec<Answer> {
    match fate {
        Fate::Well => call(address, request).await.into_iter().collect(),
        Fate::Twice => {
            let (one, other) = tokio::join!(call(address, request), call(address, request));
            one.into_iter().chain(other).collect()
        }
        Fate::AnswerLost | Fate::HungUp | Fate::CutOff => {
            let cut = 1 + random.below(request.len() as u64 - 1) as usize;
            let sent = match fate {
                Fate::CutOff => &request[..cut],
                _ => request,
            };
            let lose = async {
                let mut stream = TcpStream::connect(address).await?;
                stream.write_all(sent).await?;
                if fate == Fate::AnswerLost {
                    stream.readable().await?;
                }
                io::Result::Ok(())
            };
            // It is lost in any case.
            let _ = timeout(PATIENCE, lose).await;
            Vec::new()
        }
    }
}

/// No worker says this. It may name a session and a number that some worker has.
pub fn nonsense(report: &[u8], random: &mut Random) -> Vec<u8> {
    match random.below(5) {
        0 => (0..random.below(2_000))
            .map(|_| random.below(256) as u8)
            .collect(),
        1 => report[..random.below(report.len() as u64) as usize].to_vec(),
        2 => vec![b'['; random.below(100_000) as usize],
        3 => [report, b"}"].concat(),
        _ => {
            let text = String::from_utf8_lossy(report);
            text.replacen("\"slots\":[[", "\"slots\":[[-", 1)
                .replacen("\"version\":1", "\"version\":2", 1)
                .into_bytes()
        }
    }
}

// === impl Answer ===

impl Answer {
    fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|end| end == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end])
            .ok()?
            .to_ascii_lowercase();
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines
                .into_iter()
                .find(|(found, _)| *found == name)
                .map(|(_, value)| value)
        };
        let body = &bytes[end + 4..];
        let length: usize = header("content-length").map_or(Some(0), |text| text.parse().ok())?;
        (body.len() == length).then_some(())?;
        Some(Self {
            status: head.split(' ').nth(1)?.parse().ok()?,
            by_judge: header("x-serinus-judge").is_some(),
            body: body.to_vec(),
        })
    }

    /// # Errors
    /// When it is no JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        let read = serde_json::from_slice(&self.body);
        read.map_err(|error| format!("{error}: {self:?}").into())
    }
}
