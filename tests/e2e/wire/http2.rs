//! HTTP/2 with prior knowledge, frame by frame.

use super::answer::Answer;
use crate::world::LIMIT;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use hyper::body::Bytes;
use hyper::{HeaderMap, Method, Request};
use serinus_tests::failure::{During, Result};
use std::future::poll_fn;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// One connection; dropping it closes it.
pub struct Client {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<()>,
}

/// A request that may still send.
pub struct Exchange {
    pub sending: Sending,
    response: ResponseFuture,
}

pub struct Sending(SendStream<Bytes>);

/// An answer that may still come.
pub struct Receiving {
    pub status: u16,
    pub headers: HeaderMap,
    body: RecvStream,
}

pub fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let uri = format!("http://models.example{path}");
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

// === impl Client ===

impl Client {
    /// To `http://ADDRESS:PORT`.
    pub async fn connect(address: &str) -> Result<Self> {
        let address = address.trim_start_matches("http://");
        let stream = TcpStream::connect(address).await.during("connect")?;
        stream.set_nodelay(true)?;
        let (requests, connection) = h2::client::Builder::new()
            // Small pieces are what these tests are about, and no attack.
            .data_frame_budget(1_000_000)
            .handshake(stream)
            .await?;
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self {
            requests,
            connection,
        })
    }

    /// Sends a request's headers.
    pub async fn begin(&self, request: Request<()>, end: bool) -> Result<Exchange> {
        let mut requests = timeout(LIMIT, self.requests.clone().ready()).await??;
        let (response, sending) = requests.send_request(request, end)?;
        Ok(Exchange {
            sending: Sending(sending),
            response,
        })
    }

    /// Whether the server takes extended CONNECT (RFC 8441), once its settings came.
    pub fn takes_connect(&self) -> bool {
        self.requests.is_extended_connect_protocol_enabled()
    }

    /// Sends a request with this body and reads its answer.
    pub async fn ask(&self, request: Request<()>, body: &[u8]) -> Result<Answer> {
        let mut exchange = self.begin(request, body.is_empty()).await?;
        let sent = match body.is_empty() {
            true => Ok(()),
            false => exchange.sending.send(body, true).await,
        };
        // A server may answer by a request's headers alone, and take no body then.
        let answer = exchange.answer().await;
        answer.map_err(|error| sent.err().unwrap_or(error))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

// === impl Exchange ===

impl Exchange {
    pub async fn headers(self) -> Result<(Sending, Receiving)> {
        let (head, body) = timeout(LIMIT, self.response).await??.into_parts();
        let receiving = Receiving {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        };
        Ok((self.sending, receiving))
    }

    pub async fn answer(self) -> Result<Answer> {
        let (_sending, receiving) = self.headers().await?;
        receiving.rest().await
    }
}

// === impl Sending ===

impl Sending {
    /// Sends bytes as the windows let it.
    pub async fn send(&mut self, bytes: &[u8], end: bool) -> Result<()> {
        let mut rest = Bytes::copy_from_slice(bytes);
        while !rest.is_empty() {
            self.0.reserve_capacity(rest.len());
            let capacity = poll_fn(|context| self.0.poll_capacity(context));
            let capacity = timeout(LIMIT, capacity)
                .await?
                .ok_or("the stream ended")??;
            let piece = rest.split_to(capacity.min(rest.len()));
            self.0.send_data(piece, false)?;
        }
        if end {
            self.0.send_data(Bytes::new(), true)?;
        }
        Ok(())
    }

    pub fn end_with(&mut self, trailers: HeaderMap) -> Result<()> {
        Ok(self.0.send_trailers(trailers)?)
    }

    pub fn reset(&mut self) {
        self.0.send_reset(Reason::CANCEL);
    }
}

// === impl Receiving ===

impl Receiving {
    /// Whether the headers were all.
    pub fn is_over(&self) -> bool {
        self.body.is_end_stream()
    }

    /// The next piece of the body; `None` before trailers or the end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>> {
        match timeout(LIMIT, self.body.data()).await? {
            None => Ok(None),
            Some(piece) => {
                let piece = piece?;
                self.body.flow_control().release_capacity(piece.len())?;
                Ok(Some(piece))
            }
        }
    }

    pub async fn rest(mut self) -> Result<Answer> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            body.extend(piece);
        }
        let trailers = timeout(LIMIT, self.body.trailers()).await??;
        Ok(Answer {
            status: self.status,
            headers: self.headers,
            body,
            trailers: trailers.unwrap_or_default(),
        })
    }
}
