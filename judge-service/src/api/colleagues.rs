//! How one of several judges reaches another, and is believed there.

use crate::access::Peers;
use crate::tls::{Connector, TlsError, connector};
use axum::body::Body;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::path::Path;
use std::sync::Arc;

#[derive(Clone)]
pub struct Colleagues {
    pub(super) peers: Arc<Peers>,
    pub(super) http: Client<Connector, Body>,
}

impl Colleagues {
    /// `ca` names whom to trust where others are at `https://`; without it, whomever this
    /// machine trusts, if `speaks_tls`.
    ///
    /// # Errors
    /// Authorities that cannot be read.
    pub fn new(peers: Arc<Peers>, ca: Option<&Path>, speaks_tls: bool) -> Result<Self, TlsError> {
        let connector = connector(ca, speaks_tls)?;
        Ok(Self {
            peers,
            http: Client::builder(TokioExecutor::new()).build(connector),
        })
    }
}
