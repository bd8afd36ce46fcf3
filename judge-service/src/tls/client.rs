//! Calls to a judge: its certificate is checked against a file of authorities, or against
//! those that this machine trusts.

use super::{TlsError, pem};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// For `http://` as well as `https://`.
pub type Connector = HttpsConnector<HttpConnector>;

/// `ca` names the authorities; without it, those of this machine are read if
/// `speaks_tls`.
///
/// # Errors
/// A file of authorities that is none, or a machine that has none.
pub fn connector(ca: Option<&Path>, speaks_tls: bool) -> Result<Connector, TlsError> {
    let roots = match ca {
        Some(path) => pem::authorities(path)?,
        None if speaks_tls => of_this_machine()?,
        None => RootCertStore::empty(),
    };
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(trusting(roots)?)
        .https_or_http()
        .enable_http1()
        .build())
}

/// For calls to others than judges. On a machine that has no authorities nobody at
/// `https://` is trusted, and a call says so.
///
/// # Errors
/// A machine on which TLS cannot be spoken.
pub fn trusting_this_machine() -> Result<ClientConfig, TlsError> {
    let roots = of_this_machine().unwrap_or_else(|error| {
        tracing::warn!(%error, "https:// of others is not trusted");
        RootCertStore::empty()
    });
    trusting(roots)
}

/// One that trusts these authorities.
///
/// # Errors
/// A machine on which TLS cannot be spoken.
pub fn trusting(roots: RootCertStore) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Unspoken(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn of_this_machine() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::NoAuthorities(why.join("; ")));
    }
    Ok(roots)
}
