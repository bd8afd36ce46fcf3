//! As much of an HTTP client as the load needs: one request after another on a
//! connection, read with as little work as possible, since it has one core.

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CipherSuite, ClientConfig, RootCertStore, SupportedCipherSuite};
use serinus_tests::failure::{During, Result};
use std::cell::RefCell;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

thread_local! {
    /// Of the judge that is measured, if it speaks TLS; the load has one thread.
    static TLS: RefCell<Option<TlsConnector>> = const { RefCell::new(None) };
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
}

pub struct Answer {
    pub status: u16,
    /// Of the buffer: where the body lies.
    body: std::ops::Range<usize>,
}

impl Connection {
    pub async fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        let stream = stream.during("connect to the judge")?;
        stream.set_nodelay(true).during("set TCP_NODELAY")?;
        let tls = TLS.with_borrow(Clone::clone);
        let stream = match tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                let name = ServerName::try_from("localhost")?;
                let shaken = tls.connect(name, stream).await;
                Stream::Tls(Box::new(shaken.during("shake hands with the judge")?))
            }
        };
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    pub async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(request).await,
            Stream::Tls(stream) => stream.write_all(request).await,
        }
        .during("send to the judge")?;
        self.buffer.clear();
        loop {
            if let Some(answer) = read(&self.buffer) {
                return Ok(answer);
            }
            let size = match &mut self.stream {
                Stream::Plain(stream) => stream.read_buf(&mut self.buffer).await,
                Stream::Tls(stream) => stream.read_buf(&mut self.buffer).await,
            };
            if size.during("read from the judge")? == 0 {
                return Err("the judge closed a connection".into());
            }
        }
    }

    pub fn body(&self, answer: &Answer) -> &[u8] {
        &self.buffer[answer.body.clone()]
    }

    /// A waiting connection keeps no buffer of the last plan.
    pub fn shrink(&mut self) {
        self.buffer = Vec::new();
    }
}

/// From now on connections are made by TLS, to a judge with a certificate of this
/// authority; or not.
pub fn speak_tls(authority: Option<&CertificateDer<'static>>) -> Result<()> {
    let connector = match authority {
        None => None,
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.clone()).during("trust an authority")?;
            let mut provider = rustls::crypto::ring::default_provider();
            // As Envoy likes them: AES with 128 bits first.
            let others = |suite: &SupportedCipherSuite| {
                suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256
            };
            provider.cipher_suites.sort_by_key(others);
            let config = ClientConfig::builder_with_provider(Arc::new(provider))
                .with_safe_default_protocol_versions()
                .during("make a client")?
                .with_root_certificates(roots)
                .with_no_client_auth();
            Some(TlsConnector::from(Arc::new(config)))
        }
    };
    TLS.set(connector);
    Ok(())
}

/// The answer, once it is whole.
fn read(buffer: &[u8]) -> Option<Answer> {
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&buffer[..head]).ok()?;
    let status = text.get(9..12)?.parse().ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let start = head + 4;
    let end = start + length.unwrap_or(0);
    (buffer.len() >= end).then_some(Answer {
        status,
        body: start..end,
    })
}
