//! A connection that speaks in frames: Stratum V2, sealed with Noise or, in a local network, in clear.

use core::future::poll_fn;
use core::ops::Range;
use core::task::{Context, Poll};
use core::time::Duration;

use headframe_sv2_noise::{
    Opener, RecordLayer, SEALED_HEADER_LEN, Sealer, payload_len, sealed_frame_len,
};
use headframe_sv2_wire::HEADER_LEN;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::error::TransportError;
use crate::link::{Filled, Link};

/// A connection whose messages are Stratum V2 frames.
#[derive(Debug)]
pub struct FrameStream<S = TcpStream> {
    link: Link<S>,
    limit: usize,
    codec: Codec,
}

#[derive(Debug)]
enum Codec {
    Noise {
        opener: Opener,
        sealer: Sealer,
        /// The payload length of the frame whose header was opened and waits for its payload. The header
        /// lies in clear in the last six of its 22 bytes, right before the payload.
        opened: Option<usize>,
    },
    Plain,
}

impl<S: AsyncRead + AsyncWrite + Unpin> FrameStream<S> {
    /// Sealed frames over `socket`, whose handshake is done, with payloads of up to `frame_limit`
    /// bytes and up to `outbox_limit` bytes waiting to be written.
    pub fn sealed(socket: S, record: RecordLayer, frame_limit: usize, outbox_limit: usize) -> Self {
        Self::sealed_from_link(Link::new(socket, 0, outbox_limit), record, frame_limit)
    }

    /// Frames in clear over `socket`, with the same limits.
    pub const fn plain(socket: S, frame_limit: usize, outbox_limit: usize) -> Self {
        Self::plain_from_link(Link::new(socket, 0, outbox_limit), frame_limit)
    }

    pub(crate) fn sealed_from_link(mut link: Link<S>, record: RecordLayer, limit: usize) -> Self {
        link.inbox.set_message_limit(sealed_frame_len(limit));
        let RecordLayer { opener, sealer } = record;
        let codec = Codec::Noise {
            opener,
            sealer,
            opened: None,
        };
        Self { link, limit, codec }
    }

    pub(crate) const fn plain_from_link(mut link: Link<S>, limit: usize) -> Self {
        link.inbox.set_message_limit(HEADER_LEN + limit);
        Self {
            link,
            limit,
            codec: Codec::Plain,
        }
    }

    /// The socket, to ask for its addresses.
    pub const fn socket(&self) -> &S {
        self.link.socket()
    }

    /// Whether frames are sealed.
    pub const fn is_sealed(&self) -> bool {
        matches!(self.codec, Codec::Noise { .. })
    }

    /// Reads once, and writes what is queued while it waits. May be cancelled at any time.
    ///
    /// Before the next call take all frames out with [`FrameStream::next_frame`].
    pub async fn fill(&mut self) -> Result<Filled, TransportError> {
        poll_fn(|context| self.poll_fill(context)).await
    }

    /// [`Self::fill`] for who waits for other things too.
    pub fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, TransportError>> {
        if let Codec::Noise { opener, sealer, .. } = &mut self.codec {
            opener.rest();
            sealer.rest();
        }
        self.link.poll_fill(context)
    }

    /// The next frame in clear, header (6 bytes) and payload, or `None` when `fill` has to bring more.
    ///
    /// Errors when the header announces more than the limit, before anything is done about it, and
    /// when a box does not open.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, TransportError> {
        let frame = self.take_frame()?;
        Ok(frame.map(|range| self.link.inbox.slice(range)))
    }

    /// Queues a frame, header and payload in clear, and seals it. It is written with all else that is
    /// queued, by `fill` or `flush`.
    ///
    /// Errors when the peer has let too much pile up, or the bytes are no frame.
    pub fn queue_frame(&mut self, frame: &[u8]) -> Result<(), TransportError> {
        match &mut self.codec {
            Codec::Noise { sealer, .. } => {
                let sealed = sealed_frame_len(frame.len().saturating_sub(HEADER_LEN));
                let out = self.link.outbox.append(sealed)?;
                sealer.seal_frame(frame, out)?;
            }
            Codec::Plain => self
                .link
                .outbox
                .append(frame.len())?
                .extend_from_slice(frame),
        }
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

    fn take_frame(&mut self) -> Result<Option<Range<usize>>, TransportError> {
        match &mut self.codec {
            Codec::Noise { opener, opened, .. } => {
                take_sealed(&mut self.link, opener, opened, self.limit)
            }
            Codec::Plain => take_plain(&mut self.link, self.limit),
        }
    }
}

fn take_sealed<S>(
    link: &mut Link<S>,
    opener: &mut Opener,
    opened: &mut Option<usize>,
    limit: usize,
) -> Result<Option<Range<usize>>, TransportError> {
    let Some((header, payload)) = link.inbox.pending_mut().split_first_chunk_mut() else {
        return Ok(None);
    };
    let len = match *opened {
        Some(len) => len,
        None => {
            let clear = opener.open_header(header)?;
            let len = within(payload_len(&clear), limit)?;
            header[SEALED_HEADER_LEN - HEADER_LEN..].copy_from_slice(&clear);
            *opened.insert(len)
        }
    };
    let sealed_len = sealed_frame_len(len);
    let Some(sealed) = payload.get_mut(..sealed_len - SEALED_HEADER_LEN) else {
        return Ok(None);
    };
    opener.open_payload(sealed)?;
    *opened = None;
    let start = link.inbox.take(sealed_len).start + SEALED_HEADER_LEN;
    Ok(Some(start - HEADER_LEN..start + len))
}

fn take_plain<S>(link: &mut Link<S>, limit: usize) -> Result<Option<Range<usize>>, TransportError> {
    let Some((header, payload)) = link.inbox.pending().split_first_chunk() else {
        return Ok(None);
    };
    let len = within(payload_len(header), limit)?;
    Ok((payload.len() >= len).then(|| link.inbox.take(HEADER_LEN + len)))
}

const fn within(announced: usize, limit: usize) -> Result<usize, TransportError> {
    match announced <= limit {
        true => Ok(announced),
        false => Err(TransportError::FrameTooLong { announced, limit }),
    }
}
