//! Why a miner stops, or has to connect again.

use headframe_mining::client::{CloseReason, SessionError, SettingsError};
use headframe_transport::{DialError, TransportError};
use thiserror::Error;

/// What ended a connection, or the miner. Each text says by itself what happened.
#[derive(Debug, Error)]
pub enum MinerError {
    /// There is no connection, or the pool could not prove who it is.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The pool closed the connection.
    #[error("the pool closed the connection")]
    Closed,
    /// The pool broke the protocol.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The pool ended the session, or refused to begin one.
    #[error("{0}")]
    Ended(CloseReason),
    /// A setting cannot be sent.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The operating system gives no threads.
    #[error("cannot start a thread: {0}")]
    Threads(std::io::Error),
    /// As many attempts as were allowed have failed.
    #[error("gave up after {failures} attempts: {last}")]
    GaveUp {
        /// Failures in a row.
        failures: u32,
        /// The last of them.
        last: Box<Self>,
    },
}

impl MinerError {
    /// Whether a pool that never served us is not worth another attempt: a key that is not its own, a
    /// name or client that it refuses, a setting that cannot be sent. It depends on the protocol's
    /// state and never on a code's text (FR-42).
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Dial(DialError::Handshake { .. }) => true,
            Self::Ended(reason) => match reason {
                CloseReason::SetupRefused { .. }
                | CloseReason::UserRefused { .. }
                | CloseReason::ExtendedChannelsOnly => true,
                CloseReason::ChannelClosed { .. }
                | CloseReason::TimedOut { .. }
                | CloseReason::Done => false,
            },
            Self::Settings(_) | Self::Threads(_) | Self::GaveUp { .. } => true,
            Self::Dial(_) | Self::Transport(_) | Self::Closed | Self::Session(_) => false,
        }
    }
}
