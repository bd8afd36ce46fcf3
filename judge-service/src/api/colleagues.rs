//! How one of several judges reaches another, and is believed there.

use crate::access::Peers;
use crate::tls::{Connector, TlsError, Trust, connector};
use axum::body::Body;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::sync::Arc;

#[derive(Clone)]
pub struct Colleagues {
    pub(super) peers: Arc<Peers>,
    pub(super) http: Client<Connector, Body>,
}

impl Colleagues {
    /// `trust` says who is a judge where others are at `https://`, if `speaks_tls`.
    ///
    /// # Errors
    /// Authorities that cannot be read, or a name that is none.
    pub fn new(peers: Arc<Peers>, trust: Trust<'_>, speaks_tls: bool) -> Result<Self, TlsError> {
        let connector = connector(trust, speaks_tls)?;
        Ok(Self {
            peers,
            http: Client::builder(TokioExecutor::new()).build(connector),
        })
    }
}
