//! What a session tells the miner.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use headframe_work::Target;

use super::{MiningWork, Reconnect, SolutionError};

/// Something that happened on the connection.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// The channel is open, or the worker authorised: shares will be counted.
    Ready,
    /// Work to be mined from now on instead of what was mined before. Solutions of earlier work may
    /// still be submitted unless [`MiningWork::clean`] says that it is void.
    Work(Arc<MiningWork>),
    /// All work is void and there is none to take its place: stop hashing.
    NoWork,
    /// The target of work that is yet to come. Work in progress keeps its own.
    Target(Target),
    /// Shares were good.
    ShareAccepted {
        /// When each of them was sent, oldest first; at least one.
        sent: Vec<Instant>,
    },
    /// A share was not good.
    ShareRejected {
        /// The pool's reason, with what could deceive a reader escaped; at most 255 characters of
        /// the pool's. Only for people and counters.
        code: String,
        /// When it was sent.
        sent: Instant,
    },
    /// Something that the person at the miner may want to read, escaped.
    Notice(String),
    /// The pool wants the client to connect again. The driver decides; see [`ReconnectGuard`].
    ///
    /// [`ReconnectGuard`]: super::ReconnectGuard
    Reconnect(Reconnect),
    /// The session is over. Nothing else follows.
    Closed(CloseReason),
}

/// Why a session ended without anybody breaking the protocol. Texts are the pool's, escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// The pool does not take this client (`SetupConnection.Error`, or `mining.subscribe` refused).
    SetupRefused {
        /// The pool's reason.
        reason: String,
    },
    /// The pool does not take this user: no channel, or no authorisation.
    UserRefused {
        /// The pool's reason.
        reason: String,
    },
    /// The pool serves extended channels only, and a standard one was wanted.
    ExtendedChannelsOnly,
    /// The pool insists on protocol extensions that this client does not have.
    ExtensionsRequired,
    /// The pool closed the channel.
    ChannelClosed {
        /// The pool's reason.
        reason: String,
    },
    /// The pool did not say what it owes, or nothing at all.
    TimedOut {
        /// What was waited for.
        waiting_for: &'static str,
    },
    /// The miner closed the channel.
    Done,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetupRefused { reason } => write!(f, "the pool refuses this client: {reason}"),
            Self::UserRefused { reason } => write!(f, "the pool refuses this user name: {reason}"),
            Self::ExtendedChannelsOnly => f.write_str("the pool serves extended channels only"),
            Self::ExtensionsRequired => {
                f.write_str("the pool requires extensions that this client does not have")
            }
            Self::ChannelClosed { reason } => write!(f, "the pool closed the channel: {reason}"),
            Self::TimedOut { waiting_for } => write!(f, "the pool did not send {waiting_for}"),
            Self::Done => f.write_str("the miner closed the channel"),
        }
    }
}

/// What became of a solution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submission {
    /// It is on its way to the pool.
    Sent {
        /// The hash meets the network's target: this is a block, if the pool is quick.
        block: bool,
    },
    /// Its work became void in the meantime and it is no block: not sent.
    Void,
    /// It is wrong, and was not sent.
    Wrong(SolutionError),
}
