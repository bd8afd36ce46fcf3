//! Where the judge listens: TCP, with TLS around it if there is a certificate.

use super::Peer;
use crate::tls::{ServerTls, TlsStream, client_name};
use socket2::{SockRef, TcpKeepalive};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Sleep, sleep};

/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Handshakes under way; past that, the oldest is given up for the next: whoever opens
/// connections and says nothing must not keep others out.
const HANDSHAKES: usize = 1_024;

/// Whoever has not said what a request begins with after this has nothing to say.
const FIRST_BYTES: Duration = Duration::from_secs(10);

/// A connection whose other end is gone without a word is noticed after a minute: a long
/// poll may wait for half of one, and a stream for days.
const SILENT: Duration = Duration::from_secs(30);
const BETWEEN_PROBES: Duration = Duration::from_secs(10);

/// How HTTP/2 begins. Any request by HTTP/1.1 is longer, and no method begins so.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Between two looks at a beginning that may become either.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// HTTP/1, as TLS calls it.
const HTTP1: &[u8] = b"http/1.1";

const WARN_AGAIN: Duration = Duration::from_secs(10);

/// After the system refused to give a connection: it has no file left, say.
const PAUSE: Duration = Duration::from_millis(500);

pub struct Door {
    tcp: TcpListener,
    tls: Option<Arc<ServerTls>>,
    shaking: Shaking,
    /// Of certificates of clients.
    refused: Arc<Seldom>,
}

/// Whoever floods this judge is not to flood its log as well.
#[derive(Default)]
struct Seldom(Mutex<Option<Instant>>);

/// Handshakes under way.
struct Shaking {
    most: usize,
    under_way: JoinSet<Option<Guest>>,
    /// The oldest first; some are over.
    in_order: VecDeque<AbortHandle>,
    warned: Seldom,
}

/// A connection that may speak.
pub struct Guest {
    stream: Stream,
    peer: Peer,
    /// Until its first words.
    first: Option<First>,
}

/// How long a connection has to say something, and bytes that it has yet to say.
struct First {
    within: Pin<Box<Sleep>>,
    unsaid: usize,
}

enum Stream {
    Plain(TcpStream),
    Tls(TlsStream<TcpStream>),
}

impl Door {
    #[must_use]
    pub fn new(tcp: TcpListener, tls: Option<Arc<ServerTls>>) -> Self {
        Self {
            tcp,
            tls,
            shaking: Shaking::new(HANDSHAKES),
            refused: Arc::default(),
        }
    }

    /// Lets a connection in; a handshake goes on beside those of others.
    fn open(&mut self, stream: TcpStream, address: SocketAddr) -> Option<Guest> {
        // A plan's last packet is not to wait for anything.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection stays with Nagle's algorithm");
        }
        let alive = TcpKeepalive::new().with_time(SILENT);
        let alive = alive.with_interval(BETWEEN_PROBES);
        if let Err(error) = SockRef::from(&stream).set_tcp_keepalive(&alive) {
            tracing::debug!(%error, "a connection is not asked whether it is alive");
        }
        let Some(tls) = &self.tls else {
            return Some(Guest::plain(stream, address));
        };
        let handshake = TlsStream::accept(stream, tls.config());
        let refused = Arc::clone(&self.refused);
        self.shaking.begin(async move {
            match tokio::time::timeout(HANDSHAKE, handshake).await {
                Ok(Ok(stream)) => Some(Guest::tls(stream, address)),
                Ok(Err(error)) if is_of_a_certificate(&error) && refused.is_due() => {
                    tracing::warn!(%address, %error, "a client's certificate was refused");
                    None
                }
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

    /// The next one that may speak.
    pub async fn accept(&mut self) -> Guest {
        loop {
            let guest = tokio::select! {
                Some(done) = self.shaking.under_way.join_next() => done.ok().flatten(),
                accepted = self.tcp.accept() => match accepted {
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
                return guest;
            }
        }
    }
}

// === impl Seldom ===

impl Seldom {
    fn is_due(&self) -> bool {
        let mut before = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = before.is_none_or(|before| before.elapsed() >= WARN_AGAIN);
        if is_due {
            *before = Some(Instant::now());
        }
        is_due
    }
}

/// An expired one, say: its owner may only see that it is not let in.
fn is_of_a_certificate(error: &io::Error) -> bool {
    let cause = error.get_ref();
    let cause = cause.and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}

// === impl Shaking ===

impl Shaking {
    fn new(most: usize) -> Self {
        Self {
            most,
            under_way: JoinSet::new(),
            in_order: VecDeque::new(),
            warned: Seldom::default(),
        }
    }

    fn begin(&mut self, handshake: impl Future<Output = Option<Guest>> + Send + 'static) {
        self.in_order.retain(|one| !one.is_finished());
        if self.in_order.len() >= self.most
            && let Some(oldest) = self.in_order.pop_front()
        {
            if self.warned.is_due() {
                tracing::warn!("too many handshakes are under way: the oldest are given up");
            }
            oldest.abort();
        }
        self.in_order.push_back(self.under_way.spawn(handshake));
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

impl Guest {
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Waits for its first word, of which nothing is taken: whether that is surely not
    /// HTTP/2's.
    ///
    /// # Errors
    /// It says nothing in time, or is gone.
    pub async fn speaks_http1(&mut self) -> io::Result<bool> {
        let stream = match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => return Ok(stream.session().alpn_protocol() == Some(HTTP1)),
        };
        let looking = async {
            loop {
                let mut words = [0; PREFACE.len()];
                let said = stream.peek(&mut words).await?;
                let said = words.get(..said).unwrap_or_default();
                if said.is_empty() || !PREFACE.starts_with(said) {
                    return Ok::<_, io::Error>(true);
                }
                if said.len() == PREFACE.len() {
                    return Ok(false);
                }
                // It is readable all the while.
                sleep(LOOK_AGAIN).await;
            }
        };
        let is_http1 = match &mut self.first {
            None => looking.await?,
            Some(first) => tokio::select! {
                speaks = looking => speaks?,
                () = first.within.as_mut() => return Err(io::ErrorKind::TimedOut.into()),
            },
        };
        if is_http1 {
            // How long a head may take hyper knows.
            self.first = None;
        }
        Ok(is_http1)
    }

    fn plain(stream: TcpStream, address: SocketAddr) -> Self {
        Self {
            stream: Stream::Plain(stream),
            peer: Peer {
                address,
                by_tls: false,
                certificate: None,
            },
            first: Some(First::within(FIRST_BYTES)),
        }
    }

    fn tls(stream: TlsStream<TcpStream>, address: SocketAddr) -> Self {
        let certificate = client_name(stream.session());
        Self {
            stream: Stream::Tls(stream),
            peer: Peer {
                address,
                by_tls: true,
                certificate,
            },
            first: Some(First::within(FIRST_BYTES)),
        }
    }
}

impl First {
    fn within(time: Duration) -> Self {
        Self {
            within: Box::pin(sleep(time)),
            unsaid: PREFACE.len(),
        }
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        let Some(first) = &mut self.first else {
            return read;
        };
        if read.is_pending() {
            return match first.within.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            };
        }
        let said = buffer.filled().len() - before;
        first.unsaid = first.unsaid.saturating_sub(said);
        // At its end it says nothing more.
        if first.unsaid == 0 || said == 0 {
            self.first = None;
        }
        read
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    async fn connected(first: Duration) -> (TcpStream, Guest) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let client = client.await.unwrap();
        let mut guest = Door::new(listener, None).accept().await;
        guest.first = Some(First::within(first));
        (client, guest)
    }

    #[tokio::test]
    async fn who_says_nothing_is_let_go_and_who_spoke_may_be_silent() {
        let soon = Duration::from_millis(50);
        let (_client, mut guest) = connected(soon).await;
        let late = guest.read_u8().await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);

        let (mut client, mut guest) = connected(Duration::from_secs(60)).await;
        client.write_all(&[7; PREFACE.len()]).await.unwrap();
        for _ in 1..PREFACE.len() {
            assert_eq!(guest.read_u8().await.unwrap(), 7);
            assert!(guest.first.is_some(), "a word is no request");
        }
        guest.read_u8().await.unwrap();
        assert!(guest.first.is_none(), "nothing is waited for any more");
    }

    #[tokio::test]
    async fn its_first_word_says_what_it_speaks() {
        let preface = std::str::from_utf8(PREFACE).unwrap();
        for (word, http1) in [("GET /", true), ("POST", true), (preface, false)] {
            let (mut client, mut guest) = connected(FIRST_BYTES).await;
            client.write_all(word.as_bytes()).await.unwrap();
            assert_eq!(guest.speaks_http1().await.unwrap(), http1, "{word}");
            let mut read = vec![0; word.len()];
            guest.read_exact(&mut read).await.unwrap();
            assert_eq!(read, word.as_bytes(), "nothing of it was taken");
        }
        // What may become either holds nothing up for ever.
        for word in ["", "P", "PRI * HTTP"] {
            let (mut client, mut guest) = connected(Duration::from_millis(50)).await;
            client.write_all(word.as_bytes()).await.unwrap();
            let late = guest.speaks_http1().await.unwrap_err();
            assert_eq!(late.kind(), io::ErrorKind::TimedOut, "{word}");
        }
        // A word in two parts is one.
        let (mut client, mut guest) = connected(FIRST_BYTES).await;
        client.write_all(b"P").await.unwrap();
        let (speaks, sent) = tokio::join!(guest.speaks_http1(), client.write_all(b"OST"));
        sent.unwrap();
        assert!(speaks.unwrap());
    }

    #[tokio::test]
    async fn a_connection_is_asked_whether_it_is_alive() {
        let (_client, guest) = connected(FIRST_BYTES).await;
        let Stream::Plain(stream) = &guest.stream else {
            panic!("it is plain");
        };
        let socket = SockRef::from(stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), SILENT);
    }

    #[test]
    fn what_is_seldom_said_is_said_once_at_first() {
        let seldom = Seldom::default();
        assert!(seldom.is_due() && !seldom.is_due());
        let other = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert!(!is_of_a_certificate(&other));
        let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        assert!(is_of_a_certificate(&io::Error::other(expired)));
    }

    #[tokio::test]
    async fn the_oldest_handshake_is_given_up_for_the_next() {
        let mut shaking = Shaking::new(2);
        let mut begin = || {
            let (held, is_dropped) = oneshot::channel::<()>();
            shaking.begin(async move {
                let _held = held;
                std::future::pending().await
            });
            is_dropped
        };
        let (first, mut second) = (begin(), begin());
        let mut third = begin();
        first.await.unwrap_err();
        for other in [&mut second, &mut third] {
            assert_eq!(other.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        }
        begin();
        second.await.unwrap_err();
    }
}
