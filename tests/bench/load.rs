//! The load: a closed loop over a few connections, each request of another user.

use serinus_tests::failure::{During, Result};
use std::cell::Cell;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::message::Message;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A small GET.
    Get,
    /// A POST of 1 KB of JSON.
    Post,
}

pub const KINDS: [Kind; 2] = [Kind::Get, Kind::Post];

pub const USER_HEADER: &str = "x-user-id";

/// Of the POST, in bytes.
const BODY: usize = 1024;

// === impl Kind ===

impl Kind {
    pub fn method(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }

    pub fn path(self) -> &'static str {
        match self {
            Self::Get => "/v2/models/digits",
            Self::Post => "/v2/models/digits/infer",
        }
    }

    /// Headers beside the user's, host and length.
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Get => &[("user-agent", "bench"), ("accept", "*/*")],
            Self::Post => &[
                ("user-agent", "bench"),
                ("accept", "*/*"),
                ("content-type", "application/json"),
            ],
        }
    }

    /// An inference request, padded with numbers to its size.
    pub fn body(self) -> Vec<u8> {
        if self == Self::Get {
            return Vec::new();
        }
        let mut text =
            r#"{"inputs":[{"name":"image","shape":[1,64],"datatype":"FP32","data":["#.to_owned();
        const END: &str = "0]}]}";
        while text.len() + "16,".len() + END.len() <= BODY {
            text.push_str("16,");
        }
        text.push_str(END);
        let mut body = text.into_bytes();
        body.resize(BODY, b'\n');
        body
    }
}

/// The name of a user: hexadecimal, as a hash or half a UUID is.
pub fn user(number: u64) -> String {
    // An odd multiplier is a bijection, so that users differ and look random.
    format!(
        "user-{:012x}",
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
    )
}

/// What is sent to one address, by users in turn.
pub struct Load {
    address: String,
    connections: usize,
    users: Vec<String>,
    /// How many requests were sent.
    sent: Rc<Cell<u64>>,
}

/// What goes around the user's name.
#[derive(Clone)]
struct Frame {
    before: Vec<u8>,
    after: Vec<u8>,
}

// === impl Load ===

impl Load {
    /// `address` is `http://HOST:PORT`.
    pub fn new(address: &str, connections: usize, users: u64) -> Self {
        Self {
            address: address.trim_start_matches("http://").to_owned(),
            connections,
            users: (0..users).map(user).collect(),
            sent: Rc::default(),
        }
    }

    pub fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// Sends so many requests and waits for all answers.
    ///
    /// # Errors
    /// When one is answered by anything but 200.
    pub async fn run(&self, kind: Kind, requests: u64) -> Result<()> {
        let frame = Frame::of(kind);
        let users: Rc<[String]> = self.users.clone().into();
        let end = self.sent() + requests;
        let mut connections = JoinSet::new();
        for _ in 0..self.connections {
            let stream = TcpStream::connect(&self.address)
                .await
                .during("connect to Envoy")?;
            let _ = stream.set_nodelay(true);
            let worker = send_until(
                stream,
                frame.clone(),
                Rc::clone(&users),
                Rc::clone(&self.sent),
                end,
            );
            connections.spawn_local(worker);
        }
        while let Some(ended) = connections.join_next().await {
            ended??;
        }
        Ok(())
    }
}

async fn send_until(
    mut stream: TcpStream,
    frame: Frame,
    users: Rc<[String]>,
    sent: Rc<Cell<u64>>,
    end: u64,
) -> Result<()> {
    let mut request = Vec::with_capacity(4 * BODY);
    let mut answer = Vec::with_capacity(4 * BODY);
    while sent.get() < end {
        let number = sent.get();
        sent.set(number + 1);
        let index = usize::try_from(number)? % users.len().max(1);
        let user = users.get(index).map_or("", String::as_str);
        request.clear();
        request.extend_from_slice(&frame.before);
        request.extend_from_slice(user.as_bytes());
        request.extend_from_slice(&frame.after);
        stream.write_all(&request).await.during("send a request")?;
        answer.clear();
        let message = loop {
            if stream
                .read_buf(&mut answer)
                .await
                .during("read an answer")?
                == 0
            {
                return Err("Envoy closed a connection in the middle of the load".into());
            }
            if let Some(message) = Message::first(&answer) {
                break message;
            }
        };
        if message.status != Some(200) {
            let text = String::from_utf8_lossy(&answer).into_owned();
            return Err(format!("a request was not answered by 200 but:\n{text}").into());
        }
    }
    Ok(())
}

impl Frame {
    fn of(kind: Kind) -> Self {
        let body = kind.body();
        let mut before = format!(
            "{} {} HTTP/1.1\r\nhost: models.example\r\n",
            kind.method(),
            kind.path()
        );
        for (name, value) in kind.headers() {
            before.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            before.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        before.push_str(USER_HEADER);
        before.push_str(": ");
        let mut after = b"\r\n\r\n".to_vec();
        after.extend(body);
        Self {
            before: before.into_bytes(),
            after,
        }
    }
}
