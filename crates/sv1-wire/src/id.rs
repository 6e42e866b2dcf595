//! The id that ties a reply to its request. It belongs to the peer and is given back as it came.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

use crate::{Fault, MAX_WORKER_NAME_LEN};

/// The longest id in bytes of JSON text, quotes included. Firmware counts from 0 or 1 or sends a
/// short string; apoclypsebm sends the user name. The bound keeps a queued reply small.
pub const MAX_ID_LEN: usize = MAX_WORKER_NAME_LEN + 2;

/// A request's id as JSON text: a number, a string or `null`.
///
/// Equality is that of the text: `1`, `1.0` and `"1"` are three ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Id<'a>(Cow<'a, str>);

impl<'a> Id<'a> {
    /// The id of notifications, and of requests that came without one.
    pub const NULL: Id<'static> = Id(Cow::Borrowed("null"));

    /// A numeric id, as our own client uses.
    pub fn number(number: u64) -> Id<'static> {
        Id(Cow::Owned(number.to_string()))
    }

    /// Whether there is no one to answer: the id was missing or `null`.
    pub fn is_null(&self) -> bool {
        self.0 == "null"
    }

    /// The JSON text, as it came.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The number that this id is, also where a peer made a string of it.
    pub fn as_number(&self) -> Option<u64> {
        self.0.trim_matches('"').parse().ok()
    }

    /// The same id without the borrow from its line, for replies that are sent later.
    pub fn into_owned(self) -> Id<'static> {
        Id(Cow::Owned(self.0.into_owned()))
    }

    pub(crate) fn from_raw(raw: Option<&'a RawValue>) -> Result<Self, Fault> {
        let Some(raw) = raw else {
            return Ok(Self::NULL);
        };
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'"' | b'-' | b'0'..=b'9') if text.len() <= MAX_ID_LEN => {
                Ok(Self(Cow::Borrowed(text)))
            }
            _ => Err(Fault::Id),
        }
    }
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
