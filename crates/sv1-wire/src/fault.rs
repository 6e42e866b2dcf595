//! What can be wrong with a line. The fault is always the peer's.

use thiserror::Error;

use crate::{ErrorCode, Id, Refusal, Reply};

/// A line that could not be read, with the id to answer it by where one was found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{fault}")]
pub struct LineError<'a> {
    /// The line's id; [`Id::NULL`] where none could be read.
    pub id: Id<'a>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a line. The text is fit to be sent to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// Nothing but white space. Some firmware ends its lines in `\r\n\n`; best ignored.
    #[error("empty line")]
    Blank,
    /// Not JSON up to this column (counted from 1), or not UTF-8, or a member that occurs twice.
    #[error("invalid JSON at column {column}")]
    Json {
        /// The byte of the line, counted from 1, at which reading stopped.
        column: usize,
    },
    /// JSON, but no object.
    #[error("not a JSON object")]
    NotAnObject,
    /// The id is neither number, string nor null, or longer than [`MAX_ID_LEN`](crate::MAX_ID_LEN).
    #[error("id must be a number or a short string")]
    Id,
    /// There is no method, or it is no string. To a server this is a client's reply to something
    /// that the server asked, best ignored.
    #[error("no method")]
    NoMethod,
    /// The parameters are no list, where a share needs one. In ckpool's words, as the next two.
    #[error("Params not array")]
    NoList,
    /// A share has fewer than five parameters.
    #[error("Invalid array size")]
    TooFew,
    /// A parameter is missing.
    #[error("No {field}")]
    Missing {
        /// The parameter, by ckpool's name where it has one.
        field: &'static str,
    },
    /// A parameter has the wrong form.
    #[error("{field} must be {expected}")]
    Malformed {
        /// The parameter, in words.
        field: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// A parameter is longer than anybody needs.
    #[error("{field} is longer than {max} bytes")]
    TooLong {
        /// The parameter, in words.
        field: &'static str,
        /// The longest that is taken.
        max: usize,
    },
}

impl Fault {
    /// Whether the line was no Stratum at all, rather than a request with a wrong parameter. Only
    /// this may count against a peer.
    pub const fn is_undecodable(self) -> bool {
        match self {
            Self::Json { .. } | Self::NotAnObject | Self::Id => true,
            Self::Blank
            | Self::NoMethod
            | Self::NoList
            | Self::TooFew
            | Self::Missing { .. }
            | Self::Malformed { .. }
            | Self::TooLong { .. } => false,
        }
    }
}

impl<'a> LineError<'a> {
    /// The reply that tells the peer: -32700 for what is no Stratum, 20 for a wrong parameter.
    pub fn reply(&self) -> Reply<'a> {
        let code = if self.fault.is_undecodable() {
            ErrorCode::PARSE_ERROR
        } else {
            ErrorCode::OTHER
        };
        Reply::refused(
            self.id.clone(),
            Refusal::with_message(code, self.fault.to_string()),
        )
    }

    pub(crate) fn without_id(fault: Fault) -> Self {
        Self {
            id: Id::NULL,
            fault,
        }
    }
}
