//! What can go wrong in a client session, by whose fault it is.

use headframe_sv2_wire::DecodeError;
use thiserror::Error;

/// The provider broke the protocol, or what it says does not go with what it said before. Close the
/// connection, and begin anew with another.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProviderFault {
    /// A message has not the form that the specification gives it.
    #[error("it sent a malformed message: {0}")]
    Malformed(#[from] DecodeError),
    /// A message of another protocol, or one that only clients send.
    #[error("it sent {0}, which template providers do not send")]
    Misplaced(&'static str),
    /// A message that has no meaning at this point.
    #[error("it sent {0} out of order")]
    OutOfOrder(&'static str),
    /// A protocol version that was not offered.
    #[error("it chose protocol version {0}, which was not offered")]
    Version(u16),
    /// Template ids have to rise (TD-18).
    #[error("it numbered a template {id} after {last}; numbers have to rise")]
    Id {
        /// The new template's.
        id: u64,
        /// The one before.
        last: u64,
    },
    /// The outputs cannot be read, or are not as many as it says (TD-24).
    #[error("the outputs of its template {id} are not the {count} that it counts")]
    Outputs {
        /// The template.
        id: u64,
        /// What the provider counts.
        count: u32,
    },
    /// The start of the coinbase's script is no height (TD-21).
    #[error("the coinbase prefix of its template {id} is no block height")]
    Height {
        /// The template.
        id: u64,
    },
    /// A template for the present tip has the height of another (TD-48).
    #[error("its template {id} is for height {height}, and the tip it named last for {expected}")]
    OtherTip {
        /// The template.
        id: u64,
        /// The template's height.
        height: u32,
        /// The height of blocks on the tip.
        expected: u32,
    },
    /// A tip names a template that was not given, or not for the future (TD-30).
    #[error("its new tip names template {0}, which it has not sent")]
    UnknownTemplate(u64),
    /// Bits that stand for no target, or a target that is easier than they are.
    #[error("its new tip has bits {bits:08x}, with another target than they stand for")]
    Target {
        /// The compact form as a number.
        bits: u32,
    },
}

/// A solution that was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// No template of this connection makes this block: it was given by another connection, or too long ago.
    #[error("the template provider gave no template for this block on this connection")]
    UnknownTemplate,
    /// The hash does not meet the target that the provider set, which may be lower than the network's (TD-33).
    #[error("the hash does not meet the target that the template provider set")]
    Target,
    /// Version bits were changed that are the template's (TD-40).
    #[error("version bits were changed that are not to be rolled")]
    Version,
    /// The coinbase is longer than a message can carry.
    #[error("the coinbase has {0} bytes, more than a message can carry")]
    TooLong(usize),
    /// The session is not open.
    #[error("the template provider is not connected")]
    NotOpen,
}

/// The operator gave a setting that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{setting} has {len} bytes; at most 255 can be sent")]
pub struct SettingsError {
    /// The setting.
    pub setting: &'static str,
    /// Its length in bytes.
    pub len: usize,
}
