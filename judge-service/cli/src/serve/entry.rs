//! Who gets in: tokens, certificates, and by which names the judge is called.

use clap::Args;
use serinus_judge::access::{Peers, Tokens};
use serinus_judge::api::{Admission, Colleagues};
use serinus_judge::domain::Millis;
use serinus_judge::tls::{ServerTls, Trust};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, Args)]
pub struct EntryOptions {
    /// Ask everybody for a token of this file, which `serinus token new --to FILE` writes;
    /// it is read again when it changes, and at SIGHUP
    #[arg(long, env = "SERINUS_TOKENS", value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Speak TLS, with this certificate (PEM, with those between it and its authority); it
    /// is read again when it changes, and at SIGHUP
    #[arg(
        long,
        env = "SERINUS_TLS_CERTIFICATE",
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_certificate: Option<PathBuf>,
    /// The key of the certificate (PEM)
    #[arg(
        long,
        env = "SERINUS_TLS_KEY",
        value_name = "FILE",
        requires = "tls_certificate"
    )]
    tls_key: Option<PathBuf>,
    /// Take who shows a certificate of these authorities (PEM) for a proxy, without a token
    #[arg(
        long,
        env = "SERINUS_CLIENT_CA",
        value_name = "FILE",
        requires_all = ["tls_certificate", "tokens"]
    )]
    client_ca: Option<PathBuf>,
    /// Whom to trust (PEM) where other judges of the same PostgreSQL are at https://
    /// [default: whomever this machine trusts]
    #[arg(long, env = "SERINUS_PEER_CA", value_name = "FILE")]
    peer_ca: Option<PathBuf>,
    /// The name in the certificates of other judges, where --advertise is an address that
    /// they do not have, such as a pod's
    #[arg(long, env = "SERINUS_PEER_NAME", value_name = "NAME")]
    peer_name: Option<String>,
    /// A name by which a judge without tokens is called, and one of metrics on this machine,
    /// beside localhost and addresses;
    /// may be given more than once
    #[arg(long, env = "SERINUS_HOST", value_name = "NAME", value_delimiter = ',')]
    host: Vec<String>,
    /// Listen on an address that other machines reach, without asking anybody for a token
    #[arg(long, env = "SERINUS_ALLOW_REMOTE")]
    allow_remote: bool,
    /// Give metrics out on an address of --metrics-listen that other machines reach, where
    /// nobody is asked for a token
    #[arg(long, env = "SERINUS_ALLOW_REMOTE_METRICS")]
    allow_remote_metrics: bool,
}

pub struct Entry {
    tokens: Option<Arc<Tokens>>,
    pub tls: Option<Arc<ServerTls>>,
    peer_ca: Option<PathBuf>,
    peer_name: Option<String>,
    hosts: Option<Vec<String>>,
    /// Names by which metrics may be asked for, beside localhost and addresses; `None` for
    /// any.
    pub metrics_hosts: Option<Vec<String>>,
}

impl EntryOptions {
    /// # Errors
    /// A file that does not serve, or a door that would be open to everybody.
    pub fn open(self, listen: SocketAddr, metrics: Option<SocketAddr>) -> Result<Entry, String> {
        let local = listen.ip().is_loopback();
        if !local && self.tokens.is_none() && !self.allow_remote {
            return Err(format!(
                "{listen} can be reached from other machines, and nobody would be asked for a token: name a file of --tokens (`serinus token new` makes them), listen on 127.0.0.1, or say --allow-remote"
            ));
        }
        let open = metrics.filter(|at| !at.ip().is_loopback() && !self.allow_remote_metrics);
        if let Some(at) = open {
            return Err(format!(
                "--metrics-listen: {at} can be reached from other machines, and nobody is asked for a token there: ask {listen} with a viewer's token, listen on 127.0.0.1, or say --allow-remote-metrics"
            ));
        }
        let tokens = match &self.tokens {
            None => None,
            Some(path) => {
                let tokens = Tokens::open(path).map_err(|error| format!("--tokens: {error}"))?;
                Some(Arc::new(tokens))
            }
        };
        let tls = match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                let tls = ServerTls::open(certificate, key, self.client_ca.as_deref());
                Some(Arc::new(tls.map_err(|error| {
                    format!("--tls-certificate, --tls-key, --client-ca: {error}")
                })?))
            }
            _ => None,
        };
        if !local && tokens.is_some() && tls.is_none() {
            tracing::warn!(
                "tokens come here without TLS: whoever is on their way can read them (--tls-certificate)"
            );
        }
        // Where other machines may come, the judge does not know what they call it.
        let checks = tokens.is_none() && (local || !self.host.is_empty());
        // Whoever scrapes from elsewhere calls it by a name that nobody told the judge.
        let metrics_local = metrics.is_some_and(|at| at.ip().is_loopback());
        Ok(Entry {
            metrics_hosts: metrics_local.then(|| self.host.clone()),
            tokens,
            tls,
            peer_ca: self.peer_ca,
            peer_name: self.peer_name,
            hosts: checks.then_some(self.host),
        })
    }
}

impl Entry {
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    pub fn admission(&self, peers: Option<Arc<Peers>>, clock: fn() -> Millis) -> Admission {
        let admission = Admission::new(self.tokens.clone(), peers, clock);
        let admission = admission.by_tls(self.tls.clone());
        match &self.hosts {
            None => admission,
            Some(hosts) => admission.known_as(hosts.clone()),
        }
    }

    /// # Errors
    /// Authorities that cannot be read; an address of this judge's own that is no URL.
    pub fn colleagues(&self, peers: Arc<Peers>, own: &str) -> Result<Colleagues, String> {
        let by_tls = own.starts_with("https://");
        if !by_tls && !own.starts_with("http://") {
            return Err(format!(
                "--advertise: `{own}` is no URL; http://judge-1:8090 is one"
            ));
        }
        let trust = Trust {
            ca: self.peer_ca.as_deref(),
            name: self.peer_name.as_deref(),
        };
        Colleagues::new(peers, trust, by_tls)
            .map_err(|error| format!("--peer-ca, --peer-name: {error}"))
    }

    /// Those that are read again.
    pub fn files(&self) -> Vec<PathBuf> {
        let tokens = self.tokens.iter().map(|tokens| tokens.path().to_owned());
        let tls = self.tls.iter().flat_map(|tls| tls.files());
        tokens.chain(tls).collect()
    }

    /// Reads them again. What is wrong is said, and what was good goes on to be.
    pub fn again(&self) {
        if let Some(tokens) = &self.tokens {
            match tokens.again() {
                Ok(()) => tracing::info!(tokens = tokens.count(), "tokens were read"),
                Err(error) => {
                    tracing::error!(%error, "the tokens of before go on to be good");
                }
            }
        }
        if let Some(tls) = &self.tls {
            match tls.again() {
                Ok(()) => tracing::info!("the certificate was read"),
                Err(error) => {
                    tracing::error!(%error, "the certificate of before goes on to be shown");
                }
            }
        }
    }
}
