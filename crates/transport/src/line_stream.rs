//! A connection that speaks in lines: Stratum V1, in clear or in TLS.

use core::future::poll_fn;
use core::ops::Range;
use core::task::{Context, Poll};
use core::time::Duration;

use memchr::memchr;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::TransportError;
use crate::link::{Filled, Link};
use crate::tls::LineSocket;

/// Bytes that a line may have without its end. The longest that a device sends is a `mining.configure`
/// or `mining.submit` of some hundred bytes; a `mining.notify` to one has some thousand.
pub const LINE_LIMIT: usize = 16 * 1024;

/// A connection whose messages are lines, each ended by a line feed.
#[derive(Debug)]
pub struct LineStream<S = LineSocket> {
    link: Link<S>,
    limit: usize,
    /// Pending bytes that are known to hold no line feed, so that a line that comes byte by byte is
    /// searched once.
    searched: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> LineStream<S> {
    /// Lines over `socket`, each of `line_limit` bytes at most, with up to `outbox_limit` bytes
    /// waiting to be written.
    pub const fn new(socket: S, line_limit: usize, outbox_limit: usize) -> Self {
        Self::from_link(Link::new(socket, line_limit, outbox_limit), line_limit)
    }

    pub(crate) const fn from_link(mut link: Link<S>, limit: usize) -> Self {
        link.inbox.set_message_limit(limit);
        Self {
            link,
            limit,
            searched: 0,
        }
    }

    /// The socket, to ask for its addresses.
    pub const fn socket(&self) -> &S {
        self.link.socket()
    }

    /// Reads once, and writes what is queued while it waits. May be cancelled at any time.
    ///
    /// Before the next call take all lines out with [`LineStream::next_line`].
    pub async fn fill(&mut self) -> Result<Filled, TransportError> {
        poll_fn(|context| self.poll_fill(context)).await
    }

    /// [`Self::fill`] for who waits for other things too.
    pub fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, TransportError>> {
        self.link.poll_fill(context)
    }

    /// The next line without its end (`\n` or `\r\n`), or `None` when `fill` has to bring more.
    /// Blank lines are passed over: some clients send them to keep a connection alive.
    ///
    /// Errors when a line is longer than the limit, whether or not its end has arrived.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, TransportError> {
        while let Some(range) = self.take_line()? {
            if !self.link.inbox.slice(range.clone()).trim_ascii().is_empty() {
                return Ok(Some(self.link.inbox.slice(range)));
            }
        }
        Ok(None)
    }

    /// Queues a line; its end is added. It is written with all else that is queued, by `fill` or
    /// `flush`.
    ///
    /// Errors when the peer has let too much pile up.
    pub fn queue_line(&mut self, line: &[u8]) -> Result<(), TransportError> {
        let out = self.link.outbox.append(line.len() + 1)?;
        out.extend_from_slice(line);
        out.push(b'\n');
        Ok(())
    }

    /// Queues lines that have their ends already, as an encoder of several makes them.
    ///
    /// Errors when the peer has let too much pile up.
    pub fn queue_lines(&mut self, lines: &[u8]) -> Result<(), TransportError> {
        self.link
            .outbox
            .append(lines.len())?
            .extend_from_slice(lines);
        Ok(())
    }

    /// Whether something is queued.
    pub fn wants_flush(&self) -> bool {
        !self.link.outbox.pending().is_empty()
    }

    /// Writes everything queued, in one write where the socket takes it. May be cancelled at any time.
    pub async fn flush(&mut self) -> Result<(), TransportError> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// [`Self::flush`] for who waits for other things too.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.link.poll_flush(context).map_err(TransportError::Io)
    }

    /// Writes everything queued and closes the connection, within `deadline`.
    pub async fn shutdown(self, deadline: Duration) {
        self.link.shutdown(deadline).await;
    }

    fn take_line(&mut self) -> Result<Option<Range<usize>>, TransportError> {
        let pending = self.link.inbox.pending();
        // A line of the limit's length may be followed by a carriage return and a line feed.
        let window = &pending[self.searched..pending.len().min(self.limit + 2)];
        let Some(end) = memchr(b'\n', window) else {
            if pending.len() >= self.limit + 2 {
                return Err(self.too_long());
            }
            self.searched = pending.len();
            return Ok(None);
        };
        let end = self.searched + end;
        self.searched = 0;
        let text = pending[..end]
            .strip_suffix(b"\r")
            .unwrap_or(&pending[..end]);
        let text = text.len();
        if text > self.limit {
            return Err(self.too_long());
        }
        let line = self.link.inbox.take(end + 1);
        Ok(Some(line.start..line.start + text))
    }

    const fn too_long(&self) -> TransportError {
        TransportError::LineTooLong { limit: self.limit }
    }
}
