//! A client whose every part of TLS a test chooses.

use super::authority::Identity;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serinus_tests::failure::{During, Result};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub struct Client {
    config: ClientConfig,
    port: u16,
}

impl Client {
    /// Trusts `ca`, and shows `identity` if there is one.
    pub fn new(port: u16, ca: &str, identity: Option<&Identity>) -> Self {
        let mut roots = RootCertStore::empty();
        let trusted = CertificateDer::from_pem_slice(ca.as_bytes()).unwrap();
        roots.add(trusted).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = CertificateDer::pem_file_iter(&identity.certificate).unwrap();
                let chain = chain.collect::<core::result::Result<_, _>>().unwrap();
                let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        Self { config, port }
    }

    pub async fn connect(&self, protocols: &[&[u8]]) -> Result<TlsStream<TcpStream>> {
        let mut config = self.config.clone();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let name = ServerName::try_from("judge.example")?;
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await.during("shake hands")
    }

    /// The status of the answer.
    pub async fn ask(&self, method: &str, path: &str, token: Option<&str>) -> Result<u16> {
        let mut stream = self.connect(&[b"http/1.1"]).await?;
        let token = token.map(|token| format!("authorization: Bearer {token}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: judge.example\r\n{}content-length: 0\r\nconnection: close\r\n\r\n",
            token.unwrap_or_default()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream
            .read_to_end(&mut answer)
            .await
            .during("read the answer")?;
        let text = String::from_utf8_lossy(&answer);
        let status = text.split(' ').nth(1).ok_or("no answer")?;
        Ok(status.parse()?)
    }
}

/// A server that shows a certificate, and says nothing; its port.
pub async fn stand(identity: &Identity) -> u16 {
    let chain = CertificateDer::pem_file_iter(&identity.certificate).unwrap();
    let chain = chain.collect::<core::result::Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The client hangs up.
            let _ = acceptor.accept(stream).await;
        }
    });
    port
}
