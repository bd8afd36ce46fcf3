//! Calls to a judge that speaks TLS.

use crate::failure::{During, Result};
use axum::body::Bytes;
use axum::http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serinus_judge::tls::{Connector, Trust, connector};
use std::path::Path;

/// Trusts one authority, as the judge's own client does.
pub struct Secure(Client<Connector, Full<Bytes>>);

/// Status, content type and body.
pub type Said = (u16, String, String);

impl Secure {
    /// # Errors
    /// When the authority cannot be read.
    pub fn new(ca: &Path) -> Result<Self> {
        let trust = Trust {
            ca: Some(ca),
            name: None,
        };
        let connector = connector(trust, true).during("trust an authority")?;
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// # Errors
    /// When nothing is answered.
    pub async fn call(
        &self,
        method: &str,
        url: &str,
        token: Option<&str>,
        body: Option<&str>,
    ) -> Result<Said> {
        let mut request = Request::builder().method(method).uri(url);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = Full::from(body.unwrap_or_default().to_owned());
        let request = request.body(body).during("make a request")?;
        let answer = self
            .0
            .request(request)
            .await
            .during(&format!("call {url}"))?;
        let status = answer.status().as_u16();
        let kind = answer.headers().get("content-type");
        let kind = kind
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let body = answer
            .into_body()
            .collect()
            .await
            .during("read an answer")?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Ok((status, kind, text))
    }
}
