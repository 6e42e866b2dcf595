//! What a server answers.

use std::borrow::Cow;

use crate::envelope::Envelope;
use crate::value::Value;
use crate::{Configured, ErrorCode, Fault, Id, LineError, Refusal, Subscribed, json};

/// The longest text answer that is kept, in bytes.
const MAX_TEXT_LEN: usize = 255;

/// The answer to one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply<'a> {
    /// The request's id, as it came.
    pub id: Id<'a>,
    /// What is answered.
    pub answer: Answer<'a>,
}

/// The results that occur in Stratum V1. A client tells them apart by their shape, and by its
/// request's id where it must know more.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer<'a> {
    /// `true` or `false`: authorised, share accepted, suggestion heard.
    Bool(bool),
    /// A list of three: the session that `mining.subscribe` began.
    Subscribed(Subscribed<'a>),
    /// An object: the answers to `mining.configure`.
    Configured(Configured<'a>),
    /// A string: `pong`, or a version.
    Text(Cow<'a, str>),
    /// A whole number: how many transactions a job has.
    Number(i64),
    /// The request was refused.
    Refused(Refusal<'a>),
    /// No result and no error, or a result of a shape that nobody here asks for.
    Nothing,
}

impl<'a> Reply<'a> {
    /// The reply that says yes.
    pub const fn yes(id: Id<'a>) -> Self {
        Self {
            id,
            answer: Answer::Bool(true),
        }
    }

    /// The reply that refuses.
    pub const fn refused(id: Id<'a>, refusal: Refusal<'a>) -> Self {
        Self {
            id,
            answer: Answer::Refused(refusal),
        }
    }

    /// The reply to a method that nobody knows.
    pub const fn unknown_method(id: Id<'a>) -> Self {
        Self::refused(id, Refusal::new(ErrorCode::METHOD_NOT_FOUND))
    }

    /// Appends the reply as one line, `\n` included, always with `id`, `result` and `error`, since
    /// some firmware reads nothing from a reply without all three.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        out.extend_from_slice(self.id.as_json().as_bytes());
        out.extend_from_slice(b",\"result\":");
        let refusal = self.answer.push_result(out);
        out.extend_from_slice(b",\"error\":");
        match refusal {
            None => out.extend_from_slice(b"null"),
            Some(refusal) => refusal.push(out),
        }
        out.extend_from_slice(b"}\n");
    }

    pub(crate) fn from_envelope(envelope: Envelope<'a>) -> Result<Self, LineError<'a>> {
        let id = envelope.id;
        match Answer::parse(envelope.result, envelope.error, envelope.reject_reason) {
            Ok(answer) => Ok(Self { id, answer }),
            Err(fault) => Err(LineError { id, fault }),
        }
    }
}

impl<'a> Answer<'a> {
    fn parse(
        result: Option<Value<'a>>,
        error: Option<Value<'a>>,
        reject_reason: Option<Value<'a>>,
    ) -> Result<Self, Fault> {
        if let Some(error) = error.or(reject_reason) {
            return Ok(Self::Refused(Refusal::parse(error)));
        }
        Ok(match result {
            Some(Value::Bool(yes)) => Self::Bool(yes),
            Some(Value::Array(items)) if items.len() >= 3 => {
                Self::Subscribed(Subscribed::parse(items)?)
            }
            Some(Value::Object(members)) => Self::Configured(Configured::parse(members)?),
            Some(Value::Text(text)) => Self::Text(crate::params::cut(text, MAX_TEXT_LEN)),
            Some(Value::Integer(number)) => Self::Number(number),
            None | Some(Value::Null | Value::Array(_) | Value::Number(_)) => Self::Nothing,
        })
    }

    /// Writes the result, and gives back what belongs into the error.
    fn push_result(&self, out: &mut Vec<u8>) -> Option<&Refusal<'a>> {
        match self {
            Self::Bool(yes) => json::push_display(out, yes),
            Self::Subscribed(subscribed) => subscribed.push_result(out),
            Self::Configured(configured) => configured.push_result(out),
            Self::Text(text) => json::push_str(out, text),
            Self::Number(number) => json::push_display(out, number),
            Self::Nothing => out.extend_from_slice(b"null"),
            Self::Refused(refusal) => {
                out.extend_from_slice(b"null");
                return Some(refusal);
            }
        }
        None
    }
}
