//! What can be wrong with bytes (the peer's fault) or with a value that is to become bytes (ours).

use thiserror::Error;

/// A peer sent a message that does not have the form that the specification gives it.
///
/// Always the peer's fault; the specification's answer is to close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{message}.{field}: {error}")]
pub struct DecodeError {
    /// The message's name as the specification writes it, e.g. `SetupConnection.Success`.
    pub message: &'static str,
    /// The field at which decoding stopped.
    pub field: &'static str,
    /// What was wrong with it.
    pub error: FieldError,
}

/// What is wrong with one field of a message that a peer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FieldError {
    /// The field, or the length or count that it announces, reaches beyond the end of the payload.
    #[error("{needed} bytes needed, {left} left")]
    Truncated {
        /// Bytes that the field takes by its type, length or count.
        needed: usize,
        /// Bytes that the payload still has.
        left: usize,
    },
    /// A length prefix above what the field's type allows (a `B0_32` of more than 32 bytes).
    #[error("length {len} exceeds {max}")]
    TooLong {
        /// The announced length in bytes.
        len: usize,
        /// The most that the type allows.
        max: usize,
    },
    /// The count of an `OPTION` is neither 0 nor 1.
    #[error("option count {count} is neither 0 nor 1")]
    OptionCount {
        /// The announced count.
        count: u8,
    },
}

impl FieldError {
    /// Names the place where the error occurred.
    pub(crate) fn at(self, message: &'static str, field: &'static str) -> DecodeError {
        DecodeError {
            message,
            field,
            error: self,
        }
    }
}

/// A value is too long for its wire type. Our caller's fault, found before anything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{len} is too long for the wire: at most {max} fit")]
pub struct TooLong {
    /// Bytes, or elements of a sequence, that were given.
    pub len: usize,
    /// The most that the type can carry.
    pub max: usize,
}

/// A message is longer than the 2²⁴−1 bytes that a frame can carry. Our caller's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a payload of {len} bytes does not fit a frame: at most 16777215 do")]
pub struct FrameTooLong {
    /// The payload's length in bytes.
    pub len: usize,
}

/// A header was joined to a payload of another length than it announces. Our caller's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the header announces {announced} bytes, the payload has {actual}")]
pub struct LengthMismatch {
    /// `msg_length` of the header.
    pub announced: usize,
    /// The payload's length in bytes.
    pub actual: usize,
}
