//! Two calls of the Kubernetes API.

use super::FIELD_MANAGER;
use super::account::{Account, Credentials};
use super::refusal::Refusal;
use super::writer::ObjectName;
use crate::domain::plan::revision_in;
use crate::tls::trusting;
use crate::web::causes;
use axum::http::{Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use serinus_core::plan::Revision;
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Above what etcd keeps of an object, 1.5 MiB.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

type Http = HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>;

pub struct Client {
    account: Account,
    /// With the certificates that it trusts, which may be replaced.
    http: Option<(Option<Bytes>, Http)>,
}

/// An object as it was read.
#[derive(Debug, Clone, Default)]
pub struct There {
    pub plan: Option<Value>,
    /// Which of its versions it is.
    version: Option<String>,
}

// === impl There ===

impl There {
    /// Of its plan, if that has one.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        revision_in(self.plan.as_ref()?)
    }
}

// === impl Client ===

impl Client {
    #[must_use]
    pub fn new(account: Account) -> Self {
        Self {
            account,
            http: None,
        }
    }

    /// What the object has now.
    ///
    /// # Errors
    /// Why it is not known.
    pub async fn read(&mut self, object: &ObjectName) -> Result<There, Refusal> {
        let whole = self.call(Method::GET, object, "", None).await?;
        let version = whole.pointer("/metadata/resourceVersion");
        Ok(There {
            plan: whole.pointer("/spec/pluginConfig/plan").cloned(),
            version: version.and_then(Value::as_str).map(str::to_owned),
        })
    }

    /// Owns the object's field `plan` from now on, or still. It is not changed when it is
    /// another by now than what was read.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn apply(
        &mut self,
        object: &ObjectName,
        plan: &Value,
        read: &There,
        force: bool,
    ) -> Result<(), Refusal> {
        let mut metadata = json!({"name": object.name, "namespace": object.namespace});
        if let (Some(version), Some(fields)) = (&read.version, metadata.as_object_mut()) {
            fields.insert("resourceVersion".to_owned(), version.as_str().into());
        }
        let body = json!({
            "apiVersion": "extensions.istio.io/v1alpha1",
            "kind": "WasmPlugin",
            "metadata": metadata,
            "spec": {"pluginConfig": {"plan": plan}},
        });
        let query = format!("?fieldManager={FIELD_MANAGER}&force={force}");
        self.call(Method::PATCH, object, &query, Some(body.to_string()))
            .await
            .map(drop)
    }

    async fn call(
        &mut self,
        method: Method,
        object: &ObjectName,
        query: &str,
        body: Option<String>,
    ) -> Result<Value, Refusal> {
        let credentials = self.account.credentials().map_err(Refusal::Away)?;
        let ObjectName { namespace, name } = object;
        let url = format!(
            "{}/apis/extensions.istio.io/v1alpha1/namespaces/{namespace}/wasmplugins/{name}{query}",
            self.account.api()
        );
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(header::ACCEPT, "application/json");
        if let Some(token) = &credentials.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            // JSON is YAML.
            request = request.header(header::CONTENT_TYPE, "application/apply-patch+yaml");
        }
        let request = request
            .body(Full::from(body.unwrap_or_default()))
            .map_err(|error| Refusal::Away(error.to_string()))?;
        let http = self.http(credentials).map_err(Refusal::Away)?;
        let answered = tokio::time::timeout(ANSWER_WITHIN, exchange(http, request)).await;
        let (code, body) = answered
            .map_err(|_| format!("not within {ANSWER_WITHIN:?}"))
            .and_then(|answered| answered)
            .map_err(Refusal::Away)?;
        if !code.is_success() {
            return Err(Refusal::of(code, &body));
        }
        serde_json::from_slice(&body)
            .map_err(|error| Refusal::Other(code, format!("what it answered is no JSON: {error}")))
    }

    /// Connections are kept while the certificates that they rest on are the same.
    fn http(&mut self, credentials: Credentials) -> Result<&Http, String> {
        let known = self.http.take();
        let kept = known.filter(|(authority, _)| *authority == credentials.authority);
        let (authority, http) = match kept {
            Some(kept) => kept,
            None => {
                let http = http(credentials.authority.as_deref())?;
                (credentials.authority, http)
            }
        };
        Ok(&self.http.insert((authority, http)).1)
    }
}

async fn exchange(
    http: &Http,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), String> {
    let answer = http
        .request(request)
        .await
        .map_err(|error| causes(&error))?;
    let code = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER);
    let body = body.collect().await.map_err(|error| error.to_string())?;
    Ok((code, body.to_bytes()))
}

fn http(authority: Option<&[u8]>) -> Result<Http, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.unwrap_or_default()) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|error| format!("ca.crt has a certificate that cannot be read: {error}"))?;
    }
    if authority.is_some() && roots.is_empty() {
        return Err("ca.crt has no certificate".to_owned());
    }
    let tls = trusting(roots).map_err(|error| error.to_string())?;
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .build();
    Ok(HyperClient::builder(TokioExecutor::new()).build(connector))
}
