//! What the judge shows: a certificate with its key, and whose certificates of others it
//! takes.

use super::{TlsError, certificate, pem};
use rustls::server::WebPkiClientVerifier;
use rustls::{CommonState, Error, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// In the order of what is liked best: everything on one port.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

pub struct ServerTls {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    config: RwLock<Arc<ServerConfig>>,
    /// When the certificate ends, in seconds since 1970.
    ends: AtomicI64,
}

impl ServerTls {
    /// # Errors
    /// Files that are not there, do not belong together, or do not hold now.
    pub fn open(
        certificate: &Path,
        key: &Path,
        client_ca: Option<&Path>,
    ) -> Result<Self, TlsError> {
        let (config, ends) = read(certificate, key, client_ca)?;
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            client_ca: client_ca.map(Path::to_owned),
            config: RwLock::new(Arc::new(config)),
            ends: AtomicI64::new(ends),
        })
    }

    /// Reads the files again, for connections from now on.
    ///
    /// # Errors
    /// As [`Self::open`]; what was read before goes on to be shown.
    pub fn again(&self) -> Result<(), TlsError> {
        let (config, ends) = read(&self.certificate, &self.key, self.client_ca.as_deref())?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        self.ends.store(ends, Ordering::Relaxed);
        Ok(())
    }

    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.certificate.clone(), self.key.clone()];
        files.extend(self.client_ca.clone());
        files
    }

    /// When the certificate ends, in seconds since 1970.
    #[must_use]
    pub fn ends(&self) -> i64 {
        self.ends.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn read(
    certificate: &Path,
    key: &Path,
    client_ca: Option<&Path>,
) -> Result<(ServerConfig, i64), TlsError> {
    let chain = pem::certificates(certificate)?;
    let mut ends = i64::MAX;
    for one in &chain {
        let now = jiff::Timestamp::now().as_second();
        ends = ends.min(certificate::ends(certificate, one, now)?);
    }
    let private = pem::key(key)?;
    let refused = |file: &Path, why: String| TlsError::Refused {
        file: file.display().to_string(),
        why,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(certificate, error.to_string()))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let roots = Arc::new(pem::authorities(ca)?);
            // People come with a token, and no certificate.
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| refused(ca, error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain, private)
        .map_err(|error| match error {
            Error::InconsistentKeys(_) => TlsError::OtherKey {
                key: key.display().to_string(),
                certificate: certificate.display().to_string(),
            },
            error => refused(key, error.to_string()),
        })?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Ok((config, ends))
}

/// What the client at the other end is called, if it showed a certificate.
#[must_use]
pub fn client_name(session: &CommonState) -> Option<Arc<str>> {
    let shown = session.peer_certificates()?.first()?;
    Some(certificate::name(shown))
}
