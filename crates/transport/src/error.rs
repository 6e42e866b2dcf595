//! What goes wrong on an established connection.

use std::io;

use headframe_sv2_noise::{OpenError, SealError};
use thiserror::Error;

/// Why a connection has to be closed. Nothing more is to be read from it; what was queued may still
/// be flushed.
#[derive(Debug, Error)]
pub enum TransportError {
    /// The peer's: a header announces more than this side takes. Nothing was allocated for it.
    #[error("the peer announced a frame of {announced} bytes; the limit is {limit}")]
    FrameTooLong {
        /// Payload bytes by the header.
        announced: usize,
        /// Payload bytes that are taken.
        limit: usize,
    },
    /// The network's or the peer's: the socket failed.
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    /// The peer's: no end of line within the limit.
    #[error("the peer sent a line of more than {limit} bytes")]
    LineTooLong {
        /// Bytes that a line may have.
        limit: usize,
    },
    /// The peer's, or of somebody on the way: a box did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Ours: what was queued is no frame, or the connection has used all its nonces.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The peer's: it does not read what it is sent.
    #[error("the peer does not read: {queued} bytes wait for it, and the limit is {limit}")]
    SlowReader {
        /// Bytes that wait, with those that did not fit.
        queued: usize,
        /// Bytes that may wait.
        limit: usize,
    },
    /// Ours: `fill` was called with a buffer full of messages that were not taken out.
    #[error("the receive buffer is full of messages that were not taken out")]
    Undrained,
}
