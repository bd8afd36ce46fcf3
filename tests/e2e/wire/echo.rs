//! The upstream of these tests: HTTP/1.1 and HTTP/2 at one port, says which arm it
//! is, gives back what it got, and misbehaves when a request asks for it.
//!
//! | request header | answer |
//! | --- | --- |
//! | `x-answer: echo` (or none) | the request's body and trailers |
//! | `x-answer: stream` | the same, each piece as it comes |
//! | `x-answer: empty` | headers only |
//! | `x-answer: size N` | N bytes of [`pattern`] |
//! | `x-answer: gated N` | N pieces, each when the test releases one |
//! | `x-answer: early` | "early", without reading the body |
//! | `x-answer: reset` | "begun", and a broken connection when the test releases one |
//! | `x-answer: drop` | a broken connection |
//! | `x-answer: never` | nothing |
//! | `x-answer-status: N` | with this status |
//! | `x-header-NAME`, `x-trailer-NAME` | with this header, this trailer |
//! | `upgrade: websocket` or an extended CONNECT | a WebSocket |

use super::websocket;
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body as _, Bytes, Frame, Incoming};
use hyper::ext::Protocol;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serinus_tests::load::Arm;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

type Body = BoxBody<Bytes, io::Error>;

/// Dropping it closes the port and all connections.
pub struct Echo {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    arm: Arm,
    seen: Mutex<Vec<Seen>>,
    gate: Semaphore,
    failures: AtomicU32,
}

/// The head of a request.
#[derive(Debug, Clone)]
pub struct Seen {
    pub version: Version,
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
}

// === impl Echo ===

impl Echo {
    pub async fn start(arm: Arm) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            arm,
            seen: Mutex::default(),
            gate: Semaphore::new(0),
            failures: AtomicU32::new(0),
        });
        let task = tokio::spawn(listen(listener, Arc::clone(&shared)));
        Ok(Self { port, shared, task })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The heads of all requests since the last call.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.shared.seen.lock().unwrap())
    }

    /// How many requests came since the last [`Self::take_seen`].
    pub fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// Closes the port and all connections.
    pub fn stop(&self) {
        self.task.abort();
    }

    /// Lets `count` pieces of gated answers go.
    pub fn release(&self, count: usize) {
        self.shared.gate.add_permits(count);
    }

    /// The next `count` requests are answered 503.
    pub fn fail_next(&self, count: u32) {
        self.shared.failures.store(count, Ordering::SeqCst);
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Bytes that show a piece that is lost, doubled or out of place.
pub fn pattern(size: usize) -> Vec<u8> {
    let words = (0u32..).flat_map(u32::to_be_bytes);
    words.take(size).collect()
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    // The set goes with this task, and the connections with the set.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    // Else pieces of an answer wait 40 ms for each other.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().max_headers(500);
    builder
        .http2()
        .enable_connect_protocol()
        .max_header_list_size(1024 * 1024)
        .max_concurrent_streams(1_000);
    let service = service_fn(|request| answer(Arc::clone(&shared), request));
    // A connection that breaks is what some tests want.
    let _ = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let headers = request.headers().clone();
    shared.seen.lock().unwrap().push(Seen {
        version: request.version(),
        method: request.method().clone(),
        path: request.uri().to_string(),
        headers: headers.clone(),
    });
    let mut response = Response::new(empty());
    *response.status_mut() = status(&headers);
    let arm = match shared.arm {
        Arm::Control => "control",
        Arm::Canary => "canary",
    };
    response
        .headers_mut()
        .insert("x-arm", HeaderValue::from_static(arm));
    response.headers_mut().extend(named(&headers, "x-header-"));

    let left = |left: u32| left.checked_sub(1);
    let failures = &shared.failures;
    if failures
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left)
        .is_ok()
    {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        // Envoy asks again only when it had sent the whole request.
        let _ = request.into_body().collect().await;
        return Ok(response);
    }
    let connect = request.extensions().get::<Protocol>().is_some();
    let upgrade = headers
        .get(header::UPGRADE)
        .is_some_and(|to| to == "websocket");
    if (connect || upgrade) && response.status() == StatusCode::OK {
        if upgrade {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().extend(websocket::accepted());
        }
        tokio::spawn(async move {
            if let Ok(upgraded) = hyper::upgrade::on(request).await {
                let _ = websocket::serve(TokioIo::new(upgraded), arm).await;
            }
        });
        return Ok(response);
    }
    let trailers = named(&headers, "x-trailer-");
    // Over HTTP/1.1 hyper sends no trailer that was not announced.
    for name in trailers.keys() {
        let name = HeaderValue::from_str(name.as_str()).unwrap();
        response.headers_mut().append(header::TRAILER, name);
    }
    let announced = headers.get_all(header::TRAILER).iter().cloned();
    for names in announced {
        response.headers_mut().append(header::TRAILER, names);
    }
    let head = request.method() == Method::HEAD;
    let body = body(shared, request, trailers).await?;
    if !head {
        *response.body_mut() = body;
    } else if let Some(length) = body.size_hint().exact() {
        // Over HTTP/2 hyper would send the body all the same.
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length.into());
    }
    Ok(response)
}

async fn body(
    shared: Arc<Shared>,
    mut request: Request<Incoming>,
    mut trailers: HeaderMap,
) -> io::Result<Body> {
    let wish = request.headers().get("x-answer").cloned();
    let wish = wish.as_ref().map_or("echo", |wish| wish.to_str().unwrap());
    let (what, number) = wish.split_once(' ').unwrap_or((wish, "0"));
    let number: usize = number.parse().unwrap();
    match what {
        "echo" => {
            let body = request.into_body().collect().await;
            let body = body.map_err(io::Error::other)?;
            trailers.extend(body.trailers().cloned().unwrap_or_default());
            Ok(whole(body.to_bytes(), trailers))
        }
        "stream" => Ok(scripted(async move |mut sender| {
            while let Some(Ok(frame)) = request.body_mut().frame().await {
                if sender.send(frame).await.is_err() {
                    return;
                }
            }
            end(sender, trailers).await;
        })),
        "empty" => Ok(whole(Bytes::new(), trailers)),
        "early" => Ok(whole(Bytes::from_static(b"early"), trailers)),
        "size" => Ok(whole(pattern(number).into(), trailers)),
        "gated" => Ok(scripted(async move |mut sender| {
            for piece in 0..number {
                shared.gate.acquire().await.unwrap().forget();
                let _ = sender.send_data(format!("piece {piece}\n").into()).await;
            }
            end(sender, trailers).await;
        })),
        "reset" => Ok(scripted(async move |mut sender| {
            let _ = sender.send_data(Bytes::from_static(b"begun")).await;
            shared.gate.acquire().await.unwrap().forget();
            sender.abort(io::Error::other("as the request asked"));
        })),
        "drop" => Err(io::Error::other("as the request asked")),
        "never" => std::future::pending().await,
        other => panic!("no such answer: {other}"),
    }
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

fn whole(bytes: Bytes, trailers: HeaderMap) -> Body {
    if !trailers.is_empty() {
        return scripted(async move |mut sender| {
            let _ = sender.send_data(bytes).await;
            end(sender, trailers).await;
        });
    }
    if bytes.is_empty() {
        return empty();
    }
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// A body that a task sends.
fn scripted<Sending>(script: impl FnOnce(Sender<Bytes, io::Error>) -> Sending) -> Body
where
    Sending: Future<Output = ()> + Send + 'static,
{
    let (sender, body) = Channel::new(1);
    tokio::spawn(script(sender));
    body.boxed()
}

async fn end(mut sender: Sender<Bytes, io::Error>, trailers: HeaderMap) {
    if !trailers.is_empty() {
        let _ = sender.send(Frame::trailers(trailers)).await;
    }
}

fn status(headers: &HeaderMap) -> StatusCode {
    let wish = headers.get("x-answer-status");
    wish.map_or(StatusCode::OK, |status| {
        StatusCode::from_bytes(status.as_bytes()).unwrap()
    })
}

/// The headers whose names begin so, without that beginning.
fn named(headers: &HeaderMap, prefix: &str) -> HeaderMap {
    let named = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(prefix)?;
        Some((name.parse::<HeaderName>().unwrap(), value.clone()))
    });
    named.collect()
}
