//! What a server tells a client without being asked.

use std::borrow::Cow;

use crate::envelope::Envelope;
use crate::params::{Params, cut};
use crate::value::Value;
use crate::{Difficulty, Extranonce, Fault, Id, LineError, MAX_METHOD_LEN, Notify, json};

/// The longest message to a person that is kept, in bytes.
const MAX_MESSAGE_LEN: usize = 1024;

/// The longest host name, by DNS.
const MAX_HOST_LEN: usize = 253;

/// The lines that a server sends by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Notification<'a> {
    /// `mining.notify`: a job.
    Notify(Notify<'a>),
    /// `mining.set_difficulty`: the difficulty of the jobs that follow.
    SetDifficulty(Difficulty),
    /// `mining.set_extranonce`: another extranonce for the jobs that follow. Only for clients that asked;
    /// others are confused by it.
    SetExtranonce {
        /// The part that the server fixes.
        extranonce1: Extranonce,
        /// The number of bytes that the miner chooses, at most 32.
        extranonce2_size: u8,
    },
    /// `mining.set_version_mask`: another mask for version rolling (BIP310).
    SetVersionMask(u32),
    /// `client.show_message`: a text for the person at the miner, cut to 1,024 bytes.
    ShowMessage(Cow<'a, str>),
    /// `client.reconnect`: connect again, here or elsewhere.
    Reconnect(Reconnect<'a>),
    /// `mining.ping`, which wants a reply where it has an id.
    Ping,
    /// `client.get_version`, which wants the client's name and version.
    GetVersion,
    /// Anything else, parameters dropped.
    Unknown {
        /// The method's name, cut to [`MAX_METHOD_LEN`] bytes.
        name: Cow<'a, str>,
    },
}

/// The parameters of `client.reconnect`; what is not given is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reconnect<'a> {
    /// The host. Clients are wary of another domain, and ESP-Miner ignores host and port.
    pub host: Option<Cow<'a, str>>,
    /// The port.
    pub port: Option<u16>,
    /// Seconds to wait before.
    pub wait: u32,
}

impl<'a> Notification<'a> {
    /// Appends the notification as one line, `\n` included, with `"id":null`, which some clients need.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_with_id(&Id::NULL, out);
    }

    /// The same with an id, for [`Ping`](Self::Ping) and [`GetVersion`](Self::GetVersion), which are
    /// answered.
    pub fn encode_with_id(&self, id: &Id<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        out.extend_from_slice(id.as_json().as_bytes());
        out.extend_from_slice(b",\"method\":");
        json::push_str(out, self.name());
        out.extend_from_slice(b",\"params\":[");
        self.push_params(out);
        out.extend_from_slice(b"]}\n");
    }

    /// The method's name on the wire.
    pub fn name(&self) -> &str {
        match self {
            Self::Notify(_) => "mining.notify",
            Self::SetDifficulty(_) => "mining.set_difficulty",
            Self::SetExtranonce { .. } => "mining.set_extranonce",
            Self::SetVersionMask(_) => "mining.set_version_mask",
            Self::ShowMessage(_) => "client.show_message",
            Self::Reconnect(_) => "client.reconnect",
            Self::Ping => "mining.ping",
            Self::GetVersion => "client.get_version",
            Self::Unknown { name } => name,
        }
    }

    pub(crate) fn from_envelope(
        method: Value<'a>,
        envelope: Envelope<'a>,
    ) -> Result<(Id<'a>, Self), LineError<'a>> {
        let id = envelope.id;
        let Value::Text(name) = method else {
            let fault = Fault::NoMethod;
            return Err(LineError { id, fault });
        };
        match Self::parse(name, Params::new(envelope.params)) {
            Ok(notification) => Ok((id, notification)),
            Err(fault) => Err(LineError { id, fault }),
        }
    }

    fn parse(name: Cow<'a, str>, mut params: Params<'a>) -> Result<Self, Fault> {
        Ok(match &*name {
            "mining.notify" => Self::Notify(Notify::parse(params)?),
            "mining.set_difficulty" => Self::SetDifficulty(params.difficulty("difficulty")?),
            "mining.set_extranonce" => Self::SetExtranonce {
                extranonce1: params.extranonce("extranonce1")?,
                extranonce2_size: params.extranonce_size("extranonce2 size")?,
            },
            "mining.set_version_mask" => Self::SetVersionMask(params.hex_u32("version mask")?),
            "client.show_message" => Self::ShowMessage(params.text_cut(MAX_MESSAGE_LEN)),
            "client.reconnect" => Self::Reconnect(Reconnect::parse(params)?),
            "mining.ping" => Self::Ping,
            "client.get_version" => Self::GetVersion,
            _ => Self::Unknown {
                name: cut(name, MAX_METHOD_LEN),
            },
        })
    }

    fn push_params(&self, out: &mut Vec<u8>) {
        match self {
            Self::Notify(notify) => notify.push_params(out),
            Self::SetDifficulty(difficulty) => json::push_display(out, difficulty),
            Self::SetExtranonce {
                extranonce1,
                extranonce2_size,
            } => {
                json::push_hex(out, extranonce1.as_bytes());
                out.push(b',');
                json::push_display(out, extranonce2_size);
            }
            Self::SetVersionMask(mask) => json::push_hex_u32(out, *mask),
            Self::ShowMessage(text) => json::push_str(out, text),
            Self::Reconnect(reconnect) => reconnect.push_params(out),
            Self::Ping | Self::GetVersion | Self::Unknown { .. } => {}
        }
    }
}

impl<'a> Reconnect<'a> {
    fn parse(mut params: Params<'a>) -> Result<Self, Fault> {
        if params.len() == 0 {
            return Ok(Self::default());
        }
        let host = params.text_cut(MAX_HOST_LEN);
        let port = params.optional();
        let wait = params.optional().and_then(|wait| wait.as_i64());
        Ok(Self {
            host: (!host.is_empty()).then_some(host),
            port: port.map(|port| parse_port(&port)).transpose()?,
            wait: wait.and_then(|wait| u32::try_from(wait).ok()).unwrap_or(0),
        })
    }

    fn push_params(&self, out: &mut Vec<u8>) {
        if *self == Self::default() {
            return;
        }
        match &self.host {
            Some(host) => json::push_str(out, host),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b',');
        match &self.port {
            Some(port) => json::push_display(out, port),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b',');
        json::push_display(out, self.wait);
    }
}

fn parse_port(port: &Value<'_>) -> Result<u16, Fault> {
    let number = port.as_i64().and_then(|port| u16::try_from(port).ok());
    number.ok_or(Fault::Malformed {
        field: "port",
        expected: "a number up to 65535",
    })
}
