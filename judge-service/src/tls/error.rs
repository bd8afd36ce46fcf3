//! What is wrong with a certificate, a key or an authority.

use crate::private_file::TooOpen;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("failed to read {file}: {why}")]
    Unreadable { file: String, why: String },
    #[error("{0}")]
    Open(#[from] TooOpen),
    #[error("{file} has no {what} in PEM (a block that begins with `-----BEGIN`)")]
    Empty { file: String, what: &'static str },
    #[error("{file}: the certificate is none that can be read: {why}")]
    Malformed { file: String, why: String },
    #[error("{file}: the certificate ended on {on}; a new one is needed")]
    Expired { file: String, on: String },
    #[error("{file}: the certificate begins on {on}, which is still to come")]
    Early { file: String, on: String },
    #[error("the key in {key} is not that of the certificate in {certificate}")]
    OtherKey { key: String, certificate: String },
    #[error("{file}: {why}")]
    Refused { file: String, why: String },
    #[error("`{0}` is no name that a certificate has; judge.example.com is one")]
    NoName(String),
    #[error("TLS cannot be spoken on this machine: {0}")]
    Unspoken(String),
    #[error("this machine has no certificates of authorities; `--ca FILE` names one: {0}")]
    NoAuthorities(String),
}
