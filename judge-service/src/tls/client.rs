//! Calls to a judge: its certificate is checked against a file of authorities, or against
//! those that this machine trusts.

use super::{TlsError, pem};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// For `http://` as well as `https://`.
pub type Connector = HttpsConnector<HttpConnector>;

/// Whom to believe to be a judge.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trust<'a> {
    /// A file of authorities; without it those of this machine count.
    pub ca: Option<&'a Path>,
    /// What certificates are to name, if that is not the host of the URL.
    pub name: Option<&'a str>,
}

/// Authorities of this machine are read if `speaks_tls`.
///
/// # Errors
/// A file of authorities that is none, a machine that has none, or a name that is none.
pub fn connector(trust: Trust<'_>, speaks_tls: bool) -> Result<Connector, TlsError> {
    let roots = match trust.ca {
        Some(path) => pem::authorities(path)?,
        None if speaks_tls => of_this_machine()?,
        None => RootCertStore::empty(),
    };
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(trusting(roots)?)
        .https_or_http();
    let builder = match trust.name {
        None => builder,
        Some(name) => {
            let name = ServerName::try_from(name.to_owned())
                .map_err(|_| TlsError::NoName(name.to_owned()))?;
            builder.with_server_name_resolver(FixedServerNameResolver::new(name))
        }
    };
    Ok(builder.enable_http1().build())
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
