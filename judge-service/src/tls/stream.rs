//! TLS on a connection that holds no memory while it waits.
//!
//! rustls with buffers of its own keeps one for each connection and passes every byte
//! through three: with thousands of workers none of that is in a processor's cache when the
//! next report comes. Its unbuffered half leaves the bytes to whoever calls, and so they lie
//! in one place that all connections of a thread share.

#[cfg(test)]
mod tests;

use bytes::{Buf, BytesMut};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    AppDataRecord, ConnectionState, EncodeError, InsufficientSizeError, UnbufferedStatus,
};
use rustls::{CommonState, ServerConfig};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// The largest message of a handshake in records that are nearly full, and one more record.
const SCRATCH: usize = 96 * 1024;

/// What goes into one record.
const MOST_PLAIN: usize = 16 * 1024;

/// Room for a record's head and seal, and for a message of TLS itself before it.
const MOST_SEALED: usize = MOST_PLAIN + 1024;

/// What says that nothing follows, sealed.
const MOST_NOTICE: usize = 1024;

/// With who was refused.
const PATIENCE: Duration = Duration::from_secs(1);

thread_local! {
    static INCOMING: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
    static PLAIN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static OUTGOING: RefCell<Vec<u8>> = RefCell::new(vec![0; MOST_SEALED]);
}

/// The server's end of a connection.
pub struct TlsStream<S> {
    stream: S,
    rest: Rest,
    is_closing: bool,
    /// Elsewhere: of a connection that waits nothing else is looked at.
    session: Box<UnbufferedServerConnection>,
}

/// What could not be passed on at once.
#[derive(Default)]
struct Rest {
    /// Sealed, and not whole yet.
    incoming: Vec<u8>,
    /// Opened, and not asked for yet.
    plain: BytesMut,
    /// Sealed, and not sent yet.
    outgoing: BytesMut,
    /// The other end says no more.
    is_over: bool,
    /// It said what nobody may.
    is_broken: bool,
}

// === impl TlsStream ===

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Shakes hands.
    ///
    /// # Errors
    /// A client that speaks no TLS, or with which nothing could be agreed upon.
    pub async fn accept(stream: S, config: Arc<ServerConfig>) -> io::Result<Self> {
        let session = UnbufferedServerConnection::new(config).map_err(invalid)?;
        let mut own = Self {
            stream,
            rest: Rest::default(),
            is_closing: false,
            session: Box::new(session),
        };
        match poll_fn(|context| own.poll_shake(context)).await {
            Ok(()) => Ok(own),
            Err(error) => {
                own.linger().await;
                Err(error)
            }
        }
    }

    /// Hears out who was refused: a socket that is closed over bytes that nobody read is
    /// reset, and the reset overtakes the alert that says why.
    async fn linger(&mut self) {
        const MOST: usize = 64 * 1024;
        let hearing = async {
            let _ = self.stream.shutdown().await;
            let mut some = [0; 1024];
            let mut heard = 0;
            while let Ok(more @ 1..) = self.stream.read(&mut some).await {
                heard += more;
                if heard > MOST {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(PATIENCE, hearing).await;
    }

    fn poll_shake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_send(context))?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_take_in(context, None))?;
        }
    }

    /// Reads once, and opens what is whole.
    fn poll_take_in(
        &mut self,
        context: &mut Context<'_>,
        into: Option<&mut ReadBuf<'_>>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_broken {
            return Poll::Ready(Err(invalid("what came cannot be opened")));
        }
        INCOMING.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            let held = self.rest.incoming.len();
            if held >= read.remaining() {
                self.rest.is_broken = true;
                return Poll::Ready(Err(invalid("a message is too long")));
            }
            read.put_slice(&self.rest.incoming);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            let sealed = read.filled_mut();
            if sealed.len() == held {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let opened = self.open(sealed, into);
            self.rest.is_broken = opened.is_err();
            // What TLS itself has to say: a word on what is broken, or on a wish of theirs.
            if let (Ok(_), Poll::Ready(Err(error))) = (&opened, self.poll_send(context)) {
                return Poll::Ready(Err(error));
            }
            let left = sealed.get(opened?..).unwrap_or_default();
            // Behind the end nothing is opened any more. An empty one has no memory.
            let left = if self.rest.is_over { &[] } else { left };
            self.rest.incoming = left.to_vec();
            Poll::Ready(Ok(()))
        })
    }

    /// Opens what is whole, and says how much that was.
    fn open(&mut self, sealed: &mut [u8], mut into: Option<&mut ReadBuf<'_>>) -> io::Result<usize> {
        let rest = &mut self.rest;
        let mut done = 0;
        loop {
            let left = sealed.get_mut(done..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = self.session.process_tls_records(left);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let AppDataRecord {
                            discard: also,
                            payload,
                        } = record.map_err(invalid)?;
                        discard += also;
                        rest.give(payload, into.as_deref_mut());
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut message)) => {
                    rest.send(|room| message.encode(room))?;
                }
                // It is sent in the order in which it was encoded.
                Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
                Ok(ConnectionState::PeerClosed) => rest.is_over = true,
                Ok(
                    ConnectionState::WriteTraffic(_)
                    | ConnectionState::BlockedHandshake
                    | ConnectionState::Closed,
                ) => return Ok(done + discard),
                Ok(_) => return Err(invalid("data came before the handshake was over")),
                Err(error) => {
                    self.tell_why();
                    return Err(invalid(error));
                }
            }
            done += discard;
        }
    }

    /// After an error there is an alert to be sent. Nothing more may be opened then: rustls
    /// gives messages out before it looks at what came.
    fn tell_why(&mut self) {
        while self.session.wants_write() {
            let status = self.session.process_tls_records(&mut []);
            let Ok(ConnectionState::EncodeTlsData(mut message)) = status.state else {
                return;
            };
            if self.rest.send(|room| message.encode(room)).is_err() {
                return;
            }
        }
    }

    /// Seals by `sealing`, which says how long that became.
    fn seal(
        &mut self,
        room: &mut [u8],
        sealing: impl FnOnce(
            &mut rustls::unbuffered::WriteTraffic<'_, rustls::server::ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, rustls::unbuffered::EncryptError>,
    ) -> io::Result<usize> {
        if self.rest.is_broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // Of what is held nothing is whole; rustls must see it all the same.
        loop {
            let status = self.session.process_tls_records(&mut self.rest.incoming);
            match status.state.map_err(invalid)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    return sealing(&mut traffic, room).map_err(invalid);
                }
                ConnectionState::EncodeTlsData(mut message) => {
                    self.rest.send(|room| message.encode(room))?;
                }
                ConnectionState::TransmitTlsData(sent) => sent.done(),
                _ => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }

    /// Sends what waits for that.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outgoing = &mut self.rest.outgoing;
        while !outgoing.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, outgoing))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            outgoing.advance(sent);
            if outgoing.is_empty() {
                *outgoing = BytesMut::new();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> TlsStream<S> {
    /// What was agreed upon.
    pub fn session(&self) -> &CommonState {
        &self.session
    }
}

// === impl Rest ===

impl Rest {
    fn give(&mut self, payload: &[u8], into: Option<&mut ReadBuf<'_>>) {
        // In their order: what was kept before comes first.
        let into = into.filter(|_| self.plain.is_empty());
        let room = into.as_ref().map_or(0, |into| into.remaining());
        let (now, later) = payload.split_at(payload.len().min(room));
        if let Some(into) = into {
            into.put_slice(now);
        }
        self.plain.extend_from_slice(later);
    }

    /// Adds a message of TLS itself.
    fn send(
        &mut self,
        mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
    ) -> io::Result<()> {
        let size = match encode(&mut []) {
            Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
                required_size
            }
            Err(error) => return Err(invalid(error)),
            Ok(_) => return Ok(()),
        };
        let before = self.outgoing.len();
        self.outgoing.resize(before + size, 0);
        let room = self.outgoing.get_mut(before..).unwrap_or_default();
        let written = encode(room).map_err(invalid)?;
        self.outgoing.truncate(before + written);
        Ok(())
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // An answer of TLS's own that could not go at once.
        if let Poll::Ready(Err(error)) = self.poll_send(context) {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        loop {
            let plain = &mut self.rest.plain;
            if !plain.is_empty() {
                let given = plain.len().min(buffer.remaining());
                buffer.put_slice(&plain.split_to(given));
                if plain.is_empty() {
                    *plain = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            let is_done = buffer.filled().len() > before || buffer.remaining() == 0;
            if is_done || self.rest.is_over {
                return Poll::Ready(Ok(()));
            }
            let taken = ready!(self.poll_take_in(context, Some(buffer)));
            // What was opened before something broke is given first.
            let is_some = buffer.filled().len() > before || !self.rest.plain.is_empty();
            if !is_some {
                taken?;
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(context))?;
        let bytes = bytes.get(..MOST_PLAIN).unwrap_or(bytes);
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        OUTGOING.with_borrow_mut(|scratch| {
            let length = self.seal(scratch, |traffic, room| traffic.encrypt(bytes, room))?;
            // Opening may have left an answer, which was sealed before.
            let sent = if self.rest.outgoing.is_empty() {
                let sealed = scratch.get(..length).unwrap_or_default();
                match Pin::new(&mut self.stream).poll_write(context, sealed) {
                    Poll::Ready(sent) => sent?,
                    Poll::Pending => 0,
                }
            } else {
                0
            };
            let left = scratch.get(sent..length).unwrap_or_default();
            self.rest.outgoing.extend_from_slice(left);
            Poll::Ready(Ok(bytes.len()))
        })
    }

    /// As much as goes into one record, of all of them.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices {
            return self.poll_write(context, only);
        }
        PLAIN.with_borrow_mut(|plain| {
            plain.clear();
            for slice in slices {
                let room = MOST_PLAIN - plain.len();
                plain.extend_from_slice(slice.get(..room).unwrap_or(slice));
            }
            self.as_mut().poll_write(context, plain)
        })
    }

    /// HTTP/2 would else write a frame's head and its content one after the other; HTTP/1.1
    /// puts small answers into one buffer itself.
    fn is_write_vectored(&self) -> bool {
        self.session.alpn_protocol() == Some(b"h2")
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_closing {
            self.is_closing = true;
            let mut notice = [0; MOST_NOTICE];
            let length = self.seal(&mut notice, |traffic, room| {
                traffic.queue_close_notify(room)
            });
            // Of a connection that is broken already there is nothing to be said.
            if let Ok(length) = length {
                let notice = notice.get(..length).unwrap_or_default();
                self.rest.outgoing.extend_from_slice(notice);
            }
        }
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
