//! The JSON object around every line, in either direction, before anybody asks what it means.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::value::Value;
use crate::{Fault, Id, LineError};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A line's members. A missing member and one that is `null` are the same.
pub(crate) struct Envelope<'a> {
    pub(crate) id: Id<'a>,
    pub(crate) method: Option<Value<'a>>,
    pub(crate) params: Option<Value<'a>>,
    pub(crate) result: Option<Value<'a>>,
    pub(crate) error: Option<Value<'a>>,
    pub(crate) reject_reason: Option<Value<'a>>,
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Value<'a>>,
    #[serde(borrow)]
    params: Option<Value<'a>>,
    #[serde(borrow)]
    result: Option<Value<'a>>,
    #[serde(borrow)]
    error: Option<Value<'a>>,
    #[serde(borrow, rename = "reject-reason")]
    reject_reason: Option<Value<'a>>,
}

impl<'a> Envelope<'a> {
    /// Reads the first JSON object of a line and ignores what follows it: a carriage return, a NUL,
    /// or whatever else a device leaves in its buffer.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, LineError<'a>> {
        let members = parse_members(line).map_err(LineError::without_id)?;
        Ok(Self {
            id: Id::from_raw(members.id).map_err(LineError::without_id)?,
            method: members.method,
            params: members.params,
            result: members.result,
            error: members.error,
            reject_reason: members.reject_reason,
        })
    }
}

fn parse_members(line: &[u8]) -> Result<Members<'_>, Fault> {
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    let line = line.trim_ascii();
    match line.first() {
        None => return Err(Fault::Blank),
        Some(b'{') => {}
        Some(_) => return Err(Fault::NotAnObject),
    }
    let mut json = serde_json::Deserializer::from_slice(line);
    Members::deserialize(&mut json).map_err(|error| Fault::Json {
        column: error.column(),
    })
}
