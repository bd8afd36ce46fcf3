//! Where the judge listens: TCP, with TLS around it if there is a certificate.

use super::Peer;
use crate::tls::{ServerTls, client_name};
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Handshakes under way; past that, others wait in the system's queue.
const HANDSHAKES: usize = 1_024;

/// After the system refused to give a connection: it has no file left, say.
const PAUSE: Duration = Duration::from_millis(500);

pub struct Door {
    tcp: TcpListener,
    tls: Option<Arc<ServerTls>>,
    shaking: JoinSet<Option<Guest>>,
}

/// A connection that may speak.
pub struct Guest {
    stream: Stream,
    peer: Peer,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Door {
    #[must_use]
    pub fn new(tcp: TcpListener, tls: Option<Arc<ServerTls>>) -> Self {
        Self {
            tcp,
            tls,
            shaking: JoinSet::new(),
        }
    }

    /// Lets a connection in; a handshake goes on beside those of others.
    fn open(&mut self, stream: TcpStream, address: SocketAddr) -> Option<Guest> {
        // A plan's last packet is not to wait for anything.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection stays with Nagle's algorithm");
        }
        let Some(tls) = &self.tls else {
            return Some(Guest::plain(stream, address));
        };
        let handshake = tls.acceptor().accept(stream);
        self.shaking.spawn(async move {
            match tokio::time::timeout(HANDSHAKE, handshake).await {
                Ok(Ok(stream)) => Some(Guest::tls(stream, address)),
                Ok(Err(error)) => {
                    tracing::debug!(%address, %error, "a TLS handshake failed");
                    None
                }
                Err(_) => {
                    tracing::debug!(%address, "a TLS handshake took too long");
                    None
                }
            }
        });
        None
    }
}

impl Listener for Door {
    type Io = Guest;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guest, SocketAddr) {
        loop {
            let guest = tokio::select! {
                Some(done) = self.shaking.join_next() => done.ok().flatten(),
                accepted = self.tcp.accept(), if self.shaking.len() < HANDSHAKES => match accepted {
                    Ok((stream, address)) => self.open(stream, address),
                    Err(error) if is_of_the_connection(&error) => None,
                    Err(error) => {
                        tracing::error!(%error, "failed to take a connection");
                        tokio::time::sleep(PAUSE).await;
                        None
                    }
                },
            };
            if let Some(guest) = guest {
                let address = guest.peer.address;
                return (guest, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// Whoever called has hung up: that says nothing about others.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().peer.clone()
    }
}

impl Guest {
    fn plain(stream: TcpStream, address: SocketAddr) -> Self {
        Self {
            stream: Stream::Plain(stream),
            peer: Peer {
                address,
                by_tls: false,
                certificate: None,
            },
        }
    }

    fn tls(stream: TlsStream<TcpStream>, address: SocketAddr) -> Self {
        let certificate = client_name(stream.get_ref().1);
        Self {
            stream: Stream::Tls(Box::new(stream)),
            peer: Peer {
                address,
                by_tls: true,
                certificate,
            },
        }
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
