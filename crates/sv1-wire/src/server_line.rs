//! Any line that a client may receive.

use crate::envelope::Envelope;
use crate::{Id, LineError, Notification, Reply};

/// One line from a server: the answer to a request, or something it says by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerLine<'a> {
    /// The answer to a request.
    Reply(Reply<'a>),
    /// A notification, or a question where the id is not null.
    Notification {
        /// To be given back with the answer to a question.
        id: Id<'a>,
        /// What the server says.
        notification: Notification<'a>,
    },
}

impl<'a> ServerLine<'a> {
    /// Reads one line, with or without its end. A line with a method is a notification.
    ///
    /// # Errors
    ///
    /// A [`LineError`] that says what is wrong. One bad line is no reason to leave a server.
    pub fn parse(line: &'a [u8]) -> Result<Self, LineError<'a>> {
        let mut envelope = Envelope::parse(line)?;
        match envelope.method.take() {
            None => Reply::from_envelope(envelope).map(Self::Reply),
            Some(method) => {
                let (id, notification) = Notification::from_envelope(method, envelope)?;
                Ok(Self::Notification { id, notification })
            }
        }
    }

    /// Appends the line, `\n` included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Reply(reply) => reply.encode(out),
            Self::Notification { id, notification } => notification.encode_with_id(id, out),
        }
    }
}
