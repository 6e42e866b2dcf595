//! `mining.subscribe` and its reply.

use std::borrow::Cow;

use crate::json;
use crate::params::{Params, cut};
use crate::value::Value;
use crate::{Extranonce, Fault};

/// How much of a user agent is kept, in bytes. It is only shown; a name and a version fit.
pub const MAX_USER_AGENT_LEN: usize = 128;

/// How much of a session id is kept, in bytes.
pub const MAX_SESSION_ID_LEN: usize = 128;

/// The parameters of `mining.subscribe`. Host and port, which some clients add, are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscribe<'a> {
    /// The firmware's name and version, often `name/version`; untrusted text, empty if missing, cut
    /// to [`MAX_USER_AGENT_LEN`] bytes.
    pub user_agent: Cow<'a, str>,
    /// The session that the client would like to go on with, from [`Subscribed::session_id`]; cut to
    /// [`MAX_SESSION_ID_LEN`] bytes.
    pub session_id: Option<Cow<'a, str>>,
}

impl<'a> Subscribe<'a> {
    pub(crate) fn parse(mut params: Params<'a>) -> Self {
        let user_agent = params.text_cut(MAX_USER_AGENT_LEN);
        let session_id = params.text_cut(MAX_SESSION_ID_LEN);
        Self {
            user_agent,
            session_id: (!session_id.is_empty()).then_some(session_id),
        }
    }

    pub(crate) fn push_params(&self, out: &mut Vec<u8>) {
        json::push_str(out, &self.user_agent);
        if let Some(session_id) = &self.session_id {
            out.push(b',');
            json::push_str(out, session_id);
        }
    }
}

/// The result of `mining.subscribe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed<'a> {
    /// Names the session in the pair `["mining.notify", id]`. ESP-Miner takes a pool for dead unless
    /// that pair is there, so it always is; empty where a server gave none.
    pub session_id: Cow<'a, str>,
    /// The part of the extranonce that the server fixed.
    pub extranonce1: Extranonce,
    /// The number of bytes that the miner chooses, at most 32.
    pub extranonce2_size: u8,
}

impl<'a> Subscribed<'a> {
    /// Takes the elements of the result list.
    pub(crate) fn parse(result: Vec<Value<'a>>) -> Result<Self, Fault> {
        let mut params = Params::new(Some(Value::Array(result)));
        let subscriptions = params.optional();
        let session_id = subscriptions.and_then(session_id).unwrap_or_default();
        Ok(Self {
            session_id: cut(session_id, MAX_SESSION_ID_LEN),
            extranonce1: params.extranonce("extranonce1")?,
            extranonce2_size: params.extranonce_size("extranonce2 size")?,
        })
    }

    pub(crate) fn push_result(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"[[[\"mining.notify\",");
        json::push_str(out, &self.session_id);
        out.extend_from_slice(b"]],");
        json::push_hex(out, self.extranonce1.as_bytes());
        out.push(b',');
        json::push_display(out, self.extranonce2_size);
        out.push(b']');
    }
}

/// The id of the `mining.notify` pair, in a list of pairs or as a single pair.
fn session_id(subscriptions: Value<'_>) -> Option<Cow<'_, str>> {
    let items = subscriptions.into_array()?;
    if is_notify(items.first()) {
        return items.into_iter().nth(1)?.into_text();
    }
    let mut pairs = items.into_iter().filter_map(Value::into_array);
    let pair = pairs.find(|pair| is_notify(pair.first()))?;
    pair.into_iter().nth(1)?.into_text()
}

fn is_notify(name: Option<&Value<'_>>) -> bool {
    matches!(name, Some(Value::Text(name)) if name == "mining.notify")
}
