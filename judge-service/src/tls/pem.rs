//! PEM files.

use super::TlsError;
use crate::private_file;
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;

/// At least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(path, &error))?;
    let all: Result<Vec<_>, _> = read.collect();
    let all = all.map_err(|error| unreadable(path, &error))?;
    if all.is_empty() {
        return Err(TlsError::Empty {
            file: path.display().to_string(),
            what: "certificate",
        });
    }
    Ok(all)
}

pub fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let key = PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::Empty {
            file: path.display().to_string(),
            what: "private key",
        },
        error => unreadable(path, &error),
    })?;
    private_file::check(path)?;
    Ok(key)
}

/// Whom to trust.
pub fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError::Refused {
            file: path.display().to_string(),
            why: error.to_string(),
        })?;
    }
    Ok(roots)
}

fn unreadable(path: &Path, error: &pem::Error) -> TlsError {
    TlsError::Unreadable {
        file: path.display().to_string(),
        why: match error {
            pem::Error::Io(error) => error.to_string(),
            error => error.to_string(),
        },
    }
}
