//! What a session tells its driver.

use headframe_sv2_wire::DecodeError;
use thiserror::Error;

use super::{SolutionFlaw, Solved};
use crate::CoinbaseConstraints;

/// Something that happened on the connection.
#[derive(Debug, Clone)]
pub enum ServerEvent {
    /// The client has introduced itself, in words for the log; what could deceive a reader is escaped.
    Introduced(String),
    /// The client waits for the present template, fitted to these constraints. Told no more often than
    /// [`CHANGE_INTERVAL`](super::CHANGE_INTERVAL) says where it changes them without end.
    Constraints(CoinbaseConstraints),
    /// The client found a block: give it to the node before all else.
    Solved(Box<Solved>),
    /// The client sent a solution of which no block can be made. It stays connected.
    Unsolved {
        /// The template that it named.
        template_id: u64,
        /// Why there is no block.
        flaw: SolutionFlaw,
    },
    /// The session is over once what is queued has been sent; nothing else follows.
    Finished {
        /// Why, in words for the log.
        reason: &'static str,
    },
}

/// The client broke the protocol. Nothing sensible can follow: close the connection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClientFault {
    /// A message has not the form that the specification gives it.
    #[error("it sent a malformed message: {0}")]
    Malformed(#[from] DecodeError),
    /// A message of another protocol, or one that only servers send.
    #[error("it sent {0}, which clients of a template provider do not send")]
    Misplaced(&'static str),
    /// A message before what has to come first.
    #[error("it sent {0} before its time")]
    OutOfOrder(&'static str),
    /// Messages without end.
    #[error("it sends more messages than a client has reason to")]
    Flood,
    /// More requests for transactions than one who reads the answers has reason to send.
    #[error("it asks for more transactions than it reads")]
    TooManyRequests,
    /// It did not introduce itself, or did not say what its coinbase needs.
    #[error("it did not send {0} in time")]
    TimedOut(&'static str),
}
