//! Calls to other people's HTTP servers: webhooks, gates, Prometheus. Redirects are not
//! followed: where a call may go is what was configured, and nothing that an answer says.

use axum::http::{Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;

/// What is read of an answer.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// An HTTP client for `http://` and `https://`; clones share its connections.
#[derive(Clone)]
pub struct Web(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Web {
    /// Trusts what the system trusts. Where there are no certificates, `https://` fails,
    /// and says so.
    #[must_use]
    pub fn new() -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let native =
            HttpsConnectorBuilder::new().with_provider_and_native_roots(Arc::clone(&provider));
        let connector = match native {
            Ok(native) => native.https_or_http().enable_http1().build(),
            Err(error) => {
                tracing::warn!(%error, "the system has no certificates: https:// of others is not trusted");
                HttpsConnectorBuilder::new()
                    .with_tls_config(nobody_trusted(provider))
                    .https_or_http()
                    .enable_http1()
                    .build()
            }
        };
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }

    /// # Errors
    /// Why there is no answer, in words.
    pub async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        within: Duration,
    ) -> Result<(StatusCode, Bytes), String> {
        let answered = async {
            let answer = self
                .0
                .request(request)
                .await
                .map_err(|error| whole(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LONGEST_ANSWER);
            let body = body.collect().await.map_err(|error| error.to_string())?;
            Ok((status, body.to_bytes()))
        };
        match tokio::time::timeout(within, answered).await {
            Ok(answered) => answered,
            Err(_) => Err(format!("no answer within {within:?}")),
        }
    }
}

impl Default for Web {
    fn default() -> Self {
        Self::new()
    }
}

fn nobody_trusted(provider: Arc<rustls::crypto::CryptoProvider>) -> ClientConfig {
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    match versions {
        Ok(versions) => versions
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth(),
        // ring has every version that is safe.
        Err(_) => ClientConfig::builder()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth(),
    }
}

/// With what it comes from: "client error (Connect)" alone says little.
pub(crate) fn whole(error: &dyn std::error::Error) -> String {
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
