//! What can go wrong in a client session, by whose fault it is.

use headframe_sv2_wire::DecodeError;
use thiserror::Error;

/// The pool broke the protocol. Nothing sensible can follow: close the connection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SessionError {
    /// A message of the mining protocol does not have the form that the specification gives it.
    #[error("the pool sent a malformed message: {0}")]
    Malformed(#[from] DecodeError),
    /// A message of job declaration or template distribution on a mining connection.
    #[error("the pool sent {message}, which belongs to another protocol")]
    Misplaced {
        /// The message's name.
        message: &'static str,
    },
    /// A message that only clients send.
    #[error("the pool sent {message}, which only clients send")]
    WrongDirection {
        /// The message's name.
        message: &'static str,
    },
    /// A message that has no meaning at this point.
    #[error("the pool sent {message} out of order")]
    OutOfOrder {
        /// The message's name.
        message: &'static str,
    },
    /// A protocol version that was not offered.
    #[error("the pool chose protocol version {version}, which was not offered")]
    Version {
        /// The version of the answer.
        version: u16,
    },
    /// A standard channel where an extended one was asked for, or the other way round.
    #[error("the pool opened another kind of channel than it was asked for")]
    ChannelKind,
    /// Sizes of the extranonce that nobody can mine with.
    #[error("the pool assigned an extranonce of {fixed} fixed and {rolled} own bytes")]
    Extranonce {
        /// Bytes that the pool fixed.
        fixed: usize,
        /// Bytes left to the miner.
        rolled: usize,
    },
    /// A group whose id is that of the open channel (MP-128).
    #[error("the pool used channel id {id} for a group")]
    GroupIsChannel {
        /// The id.
        id: u32,
    },
    /// Line after line that is no Stratum V1.
    #[error("the pool does not speak Stratum V1")]
    NotStratum,
}

/// The operator gave a setting that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{setting} has {len} bytes; at most {max} can be sent")]
pub struct SettingsError {
    /// The setting.
    pub setting: &'static str,
    /// Its length in bytes.
    pub len: usize,
    /// The most that the protocol can carry.
    pub max: usize,
}

/// A solution does not belong to its work: the miner's fault, and nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SolutionError {
    /// Version bits were changed that the work does not allow to change (MP-69, MP-98).
    #[error("version bits outside the mask were changed")]
    Version,
    /// The rolled extranonce has not the length that the work asks for (MP-72).
    #[error("the extranonce has {len} bytes instead of {expected}")]
    ExtranonceLen {
        /// The solution's length.
        len: usize,
        /// The work's length.
        expected: usize,
    },
    /// The time is before the work's first, or ahead of the time that has passed (MP-64).
    #[error("the time lies outside what the work allows")]
    Ntime,
    /// The hash meets neither the share target nor the network's.
    #[error("the hash meets no target")]
    Target,
}
