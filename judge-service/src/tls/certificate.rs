//! What a certificate says: how long it holds, and what it is called.

use super::TlsError;
use crate::hex::hex;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

/// Names in records are cut at this length.
const LONGEST_NAME: usize = 128;

/// When a certificate ends, in seconds since 1970, if it holds now.
///
/// # Errors
/// One that cannot be read, or does not hold at `now`.
pub fn ends(path: &Path, certificate: &CertificateDer<'_>, now: i64) -> Result<i64, TlsError> {
    let file = path.display().to_string();
    let (_, read) = match X509Certificate::from_der(certificate) {
        Ok(read) => read,
        Err(error) => {
            let why = error.to_string();
            return Err(TlsError::Malformed { file, why });
        }
    };
    let validity = read.validity();
    if now < validity.not_before.timestamp() {
        let on = validity.not_before.to_string();
        return Err(TlsError::Early { file, on });
    }
    if now > validity.not_after.timestamp() {
        let on = validity.not_after.to_string();
        return Err(TlsError::Expired { file, on });
    }
    Ok(validity.not_after.timestamp())
}

/// What a client that shows this certificate is called: its first URI (SPIFFE) or DNS
/// name, else its common name, else its fingerprint.
pub fn name(certificate: &CertificateDer<'_>) -> Arc<str> {
    let named = X509Certificate::from_der(certificate)
        .ok()
        .and_then(|(_, read)| named(&read));
    let name = named.unwrap_or_else(|| fingerprint(certificate));
    let visible = |c: char| if c.is_control() { '?' } else { c };
    let name: String = name.chars().take(LONGEST_NAME).map(visible).collect();
    name.into()
}

fn named(read: &X509Certificate<'_>) -> Option<String> {
    let alternative = read.extensions().iter().find_map(|extension| {
        let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else {
            return None;
        };
        names.general_names.iter().find_map(|name| match name {
            GeneralName::URI(name) | GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
    });
    let common = || {
        let mut names = read.subject().iter_common_name();
        names.find_map(|name| Some(name.as_str().ok()?.to_owned()))
    };
    alternative.or_else(common).filter(|name| !name.is_empty())
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    format!("sha256:{}", hex(&Sha256::digest(certificate.as_ref())))
}
