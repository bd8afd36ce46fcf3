//! Calls to other people's HTTP servers: webhooks, gates, Prometheus, models that are asked
//! whether they are ready or what they answer. Redirects are not followed: where a call may
//! go is what was configured, and nothing that an answer says.

mod reach;

pub use reach::MayCall;

use crate::tls::{TlsError, trusting_this_machine};
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use reach::Resolver;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// An HTTP client for `http://` and `https://`; clones share its connections.
#[derive(Clone)]
pub struct Web {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    may_call: Arc<MayCall>,
}

/// What somebody answered. The status is there, whatever became of the body.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Its first bytes, as many as were to be kept.
    pub body: Bytes,
    pub ending: Ending,
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Whole,
    /// There was more than was to be kept.
    TooLarge,
    Late,
    BrokenOff,
}

/// Why there is no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    BrokenOff(String),
}

impl std::fmt::Debug for Web {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let may_call = &self.may_call;
        formatter
            .debug_struct("Web")
            .field("may_call", may_call)
            .finish_non_exhaustive()
    }
}

impl Web {
    /// Trusts what the system trusts. `may_call` says where rollouts may lead.
    ///
    /// # Errors
    /// A machine on which TLS cannot be spoken.
    pub fn new(may_call: MayCall) -> Result<Self, TlsError> {
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new());
        // The TLS around it takes `https://`.
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(trusting_this_machine()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            may_call: Arc::new(may_call),
        })
    }

    #[must_use]
    pub fn may_call(&self) -> &MayCall {
        &self.may_call
    }

    /// Calls where a rollout leads.
    ///
    /// # Errors
    /// As [`Self::call`]; also a place where rollouts may not lead.
    pub async fn call_for_a_rollout(
        &self,
        request: Request<Full<Bytes>>,
        within: Duration,
        keep: usize,
    ) -> Result<Answer, Unanswered> {
        self.may_call
            .check(request.uri())
            .map_err(Unanswered::Unreachable)?;
        self.call(request, within, keep).await
    }

    /// Calls where the judge's own options lead. At most `keep` bytes of the answer's body
    /// are read.
    ///
    /// # Errors
    /// Nobody answered with as much as a status.
    pub async fn call(
        &self,
        request: Request<Full<Bytes>>,
        within: Duration,
        keep: usize,
    ) -> Result<Answer, Unanswered> {
        // An address is never asked of the resolver.
        reach::check_address(request.uri()).map_err(Unanswered::Unreachable)?;
        let end = Instant::now() + within;
        let answer = timeout_at(end, self.client.request(request))
            .await
            .map_err(|_| Unanswered::Late(within))?
            .map_err(|error| match error.is_connect() {
                true => Unanswered::Unreachable(causes(&error)),
                false => Unanswered::BrokenOff(causes(&error)),
            })?;
        let (parts, mut rest) = answer.into_parts();
        let mut body = Vec::new();
        let ending = loop {
            let data = match timeout_at(end, rest.frame()).await {
                Err(_) => break Ending::Late,
                Ok(None) => break Ending::Whole,
                Ok(Some(Err(_))) => break Ending::BrokenOff,
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            };
            let room = keep - body.len();
            body.extend(data.iter().take(room));
            if data.len() > room {
                break Ending::TooLarge;
            }
        };
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.into(),
            ending,
        })
    }
}

impl Answer {
    /// The beginning of what it says, for people.
    #[must_use]
    pub fn said(&self, characters: usize) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let shown: String = text.trim().chars().take(characters).collect();
        shown
    }
}

/// An error with what it comes from: "client error (Connect)" alone says little.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const WITHIN: Duration = Duration::from_secs(10);

    /// Somebody who says this to whoever calls first, and then hangs up or waits.
    async fn says(bytes: &'static [u8], hangs_up: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1_024];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET / HTTP/1.1\r\n"));
            stream.write_all(bytes).await.unwrap();
            if !hangs_up {
                std::future::pending::<()>().await;
            }
        });
        url
    }

    async fn call(url: &str, within: Duration, keep: usize) -> Result<Answer, Unanswered> {
        let request = Request::get(url).body(Full::default()).unwrap();
        Web::new(MayCall::default())
            .unwrap()
            .call(request, within, keep)
            .await
    }

    #[tokio::test]
    async fn the_status_counts_whatever_becomes_of_the_body() {
        let long = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        let short = b"HTTP/1.1 202 Accepted\r\ncontent-length: 50\r\n\r\nhello";
        let soon = Duration::from_secs(3);
        for (bytes, hangs_up, within, keep, body, ending) in [
            (&long[..], true, WITHIN, 5, "hello", Ending::Whole),
            (&long[..], true, WITHIN, 4, "hell", Ending::TooLarge),
            (&long[..], true, WITHIN, 0, "", Ending::TooLarge),
            (&short[..], true, WITHIN, 100, "hello", Ending::BrokenOff),
            (&short[..], false, soon, 100, "hello", Ending::Late),
        ] {
            let url = says(bytes, hangs_up).await;
            let answer = call(&url, within, keep).await.unwrap();
            assert!(answer.status.is_success());
            assert_eq!((answer.said(9).as_str(), answer.ending), (body, ending));
        }
    }

    #[tokio::test]
    async fn without_a_status_it_is_said_what_came_instead() {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", nobody.local_addr().unwrap());
        let late = call(&url, Duration::from_millis(50), 0).await.unwrap_err();
        assert!(matches!(late, Unanswered::Late(_)), "{late:?}");
        drop(nobody);
        let away = call(&url, WITHIN, 0).await.unwrap_err();
        assert!(matches!(away, Unanswered::Unreachable(_)), "{away:?}");
        let url = says(b"HTTP/1.1 2", true).await;
        let broken = call(&url, WITHIN, 0).await.unwrap_err();
        assert!(matches!(broken, Unanswered::BrokenOff(_)), "{broken:?}");
    }

    #[tokio::test]
    async fn where_nobody_may_lead_nobody_is_called() {
        for url in ["http://169.254.169.254/", "http://0.0.0.0:1/"] {
            let refused = call(url, WITHIN, 0).await.unwrap_err();
            let Unanswered::Unreachable(why) = &refused else {
                panic!("{url}: {refused:?}");
            };
            assert!(why.contains("the judge calls for nobody"), "{why}");
        }
        // The system's resolver reads this as an address too, and ours does not.
        let refused = call("http://2852039166/", WITHIN, 0).await.unwrap_err();
        assert!(matches!(refused, Unanswered::Unreachable(_)), "{refused:?}");
        let web = Web::new(MayCall::read(&["127.0.0.1:9".to_owned()]).unwrap()).unwrap();
        let request = Request::get("http://127.0.0.1:8/").body(Full::default());
        let refused = web.call_for_a_rollout(request.unwrap(), WITHIN, 0).await;
        let why = refused.unwrap_err().to_string();
        assert!(why.contains("--may-call"), "{why}");
    }
}
