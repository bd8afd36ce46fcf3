//! Asks URLs of others whether they are well.

use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// An HTTP client for plain `http://` URLs; clones share its connections.
#[derive(Clone)]
pub struct Probe(Client<HttpConnector, Empty<axum::body::Bytes>>);

impl Probe {
    #[must_use]
    pub fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    /// # Errors
    /// What came instead of a 2xx, in words.
    pub async fn ask(&self, url: &str) -> Result<(), String> {
        let failed = |what: String| format!("GET {url} {what}");
        let uri = url
            .parse()
            .map_err(|error| failed(format!("is no URL: {error}")))?;
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.0.get(uri))
            .await
            .map_err(|_| failed(format!("was not answered within {ANSWER_WITHIN:?}")))?
            .map_err(|error| failed(format!("failed: {error}")))?;
        let status = answer.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(failed(format!("answered {status}")))
        }
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}
