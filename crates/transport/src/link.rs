//! A socket with its two buffers: what line and frame streams have in common.

use core::future::poll_fn;
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use crate::error::TransportError;
use crate::inbox::{INITIAL, Inbox};
use crate::outbox::Outbox;

/// How long a connection that is being closed may take to fetch what is queued for it.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(5);

/// What a call of `fill` brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// Bytes arrived; there may be messages to take out.
    Bytes,
    /// The peer will send no more.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Link<S> {
    socket: S,
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    /// Whether the socket may still hold what it took: TLS does, where the system takes no more.
    unflushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(crate) const fn new(socket: S, message_limit: usize, outbox_limit: usize) -> Self {
        Self {
            socket,
            inbox: Inbox::new(message_limit),
            outbox: Outbox::new(outbox_limit),
            unflushed: false,
        }
    }

    pub(crate) const fn socket(&self) -> &S {
        &self.socket
    }

    /// The same, where the socket is one of several kinds.
    pub(crate) fn map<T>(self, kind: impl FnOnce(S) -> T) -> Link<T> {
        Link {
            socket: kind(self.socket),
            inbox: self.inbox,
            outbox: self.outbox,
            unflushed: self.unflushed,
        }
    }

    /// The socket, and what was received over it and not taken.
    pub(crate) fn into_parts(self) -> (S, Vec<u8>) {
        let received = self.inbox.pending().to_vec();
        (self.socket, received)
    }

    /// Reads once, and writes what is queued while it waits. Cancelling loses nothing.
    pub(crate) async fn fill(&mut self) -> Result<Filled, TransportError> {
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// Writes everything queued. Cancelling loses nothing.
    pub(crate) async fn flush(&mut self) -> Result<(), TransportError> {
        poll_fn(|cx| self.poll_flush(cx))
            .await
            .map_err(TransportError::Io)
    }

    /// Writes everything queued, says that nothing follows, and waits for the peer to do the same:
    /// a socket closed with bytes unread would reset the connection and take with it what the peer
    /// has not read yet.
    pub(crate) async fn shutdown(mut self, deadline: Duration) {
        let goodbye = async {
            self.flush().await?;
            self.socket.shutdown().await?;
            // What has arrived already goes too: it may be all that there is room for.
            loop {
                let len = self.inbox.pending().len();
                self.inbox.take(len);
                if self.fill().await? == Filled::Closed {
                    return Ok::<_, TransportError>(());
                }
            }
        };
        // Whatever fails here, the connection ends.
        let _ = timeout(deadline, goodbye).await;
    }

    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Filled, TransportError>> {
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            return Poll::Ready(Err(error.into()));
        }
        let len = ready!(match self.inbox.release() {
            true => self.poll_first_read(cx),
            false => self.poll_further_read(cx),
        })?;
        Poll::Ready(Ok(match len {
            0 => Filled::Closed,
            _ => Filled::Bytes,
        }))
    }

    /// Reads where nothing is pending. Until something comes this takes no memory but the stack's.
    fn poll_first_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, TransportError>> {
        let mut room = [MaybeUninit::uninit(); INITIAL];
        let mut buffer = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        self.inbox.fill(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Reads behind the beginning of a message.
    fn poll_further_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, TransportError>> {
        let room = self.inbox.room();
        if room.is_empty() {
            return Poll::Ready(Err(TransportError::Undrained));
        }
        let mut buffer = ReadBuf::new(room);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        let len = buffer.filled().len();
        self.inbox.received(len);
        Poll::Ready(Ok(len))
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outbox.pending().is_empty() && !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        self.outbox.end_burst();
        while !self.outbox.pending().is_empty() {
            let len = ready!(Pin::new(&mut self.socket).poll_write(cx, self.outbox.pending()))?;
            if len == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outbox.wrote(len);
            self.unflushed = true;
        }
        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all that is written, and has it on the wire when it is flushed a second time, as TLS does
    /// where the system takes no more at first.
    #[derive(Default)]
    struct Reluctant {
        held: usize,
        flushed: usize,
        tried: bool,
    }

    impl AsyncRead for Reluctant {
        fn poll_read(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            _buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Reluctant {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.held += bytes.len();
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            if !core::mem::replace(&mut self.tried, true) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.flushed += core::mem::take(&mut self.held);
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_the_socket_has_taken_and_not_sent_is_sent_while_nothing_else_is_said() {
        let mut link = Link::new(Reluctant::default(), 100, 100);
        link.outbox.append(5).unwrap().extend_from_slice(b"hello");
        tokio::select! {
            biased;
            filled = link.fill() => panic!("nobody said anything: {filled:?}"),
            () = async { for _ in 0..3 { tokio::task::yield_now().await } } => {}
        }
        assert_eq!((link.socket().held, link.socket().flushed), (0, 5));
    }
}
