//! Reading ahead below TLS. rustls asks its stream for 4 KiB at a time, which for a report
//! would be several system calls, and a try at a record that is not whole after each.

use bytes::BytesMut;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// A record as large as they get, with its head.
const AHEAD: usize = 17 * 1024;

/// A stream that keeps what was read and not yet asked for. It holds no memory while
/// nothing is: most connections wait for a plan.
pub struct ReadAhead<S> {
    stream: S,
    ahead: BytesMut,
}

impl<S> ReadAhead<S> {
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: BytesMut::new(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            let mut read = BytesMut::with_capacity(AHEAD);
            let reading = self.stream.read_buf(&mut read);
            ready!(pin!(reading).poll(context))?;
            self.ahead = read;
        }
        let given = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead.split_to(given));
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn nothing_is_lost_and_nothing_is_held_while_it_waits() {
        let (mut far, near) = tokio::io::duplex(64 * 1024);
        let mut ahead = ReadAhead::new(near);
        let sent: Vec<u8> = (0..60_000_u32).map(|index| index as u8).collect();
        far.write_all(&sent).await.unwrap();
        let mut got = vec![0; sent.len()];
        // In pieces of all sizes, across the borders of what was read ahead.
        let (mut start, mut piece) = (0, 1);
        while start < got.len() {
            let end = (start + piece).min(got.len());
            ahead.read_exact(&mut got[start..end]).await.unwrap();
            (start, piece) = (end, piece * 2 % 4_099 + 1);
        }
        assert_eq!(got, sent);
        assert_eq!(ahead.ahead.capacity(), 0);
        let mut more = [0];
        assert!(ahead.read(&mut more).now_or_never().is_none());
        assert_eq!(ahead.ahead.capacity(), 0);
        drop(far);
        assert_eq!(ahead.read(&mut more).await.unwrap(), 0, "it has ended");
    }
}
