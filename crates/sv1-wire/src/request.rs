//! What a client asks of a server.

use std::borrow::Cow;

use crate::envelope::Envelope;
use crate::params::{Params, cut};
use crate::{
    Configure, Difficulty, Fault, Id, LineError, MAX_WORKER_NAME_LEN, Submit, Subscribe, hex, json,
};

/// How much of an unknown method's name is kept, in bytes.
pub const MAX_METHOD_LEN: usize = 64;

/// How much of a password is kept, in bytes.
pub const MAX_PASSWORD_LEN: usize = 255;

/// One line from a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Request<'a> {
    /// To be given back in the reply.
    pub id: Id<'a>,
    /// What is asked.
    pub method: Method<'a>,
}

/// The methods that a server understands.
#[derive(Debug, Clone, PartialEq)]
pub enum Method<'a> {
    /// `mining.subscribe`: begin a session. Answered by [`Answer::Subscribed`](crate::Answer).
    Subscribe(Subscribe<'a>),
    /// `mining.authorize`: mine for this name. Answered by a boolean.
    Authorize(Authorize<'a>),
    /// `mining.configure`: negotiate extensions (BIP310). Answered by
    /// [`Answer::Configured`](crate::Answer).
    Configure(Configure<'a>),
    /// `mining.submit`: a share. Answered by `true` or a refusal.
    Submit(Submit<'a>),
    /// `mining.suggest_difficulty`: a wish, repeated by some devices every 30 s. Answered by `true`.
    SuggestDifficulty(Difficulty),
    /// `mining.suggest_target`: the same wish as a 256-bit number, most significant byte first.
    /// Answered by `true`.
    SuggestTarget([u8; 32]),
    /// `mining.extranonce.subscribe`: the client follows `mining.set_extranonce`. Answered by `true`.
    ExtranonceSubscribe,
    /// `mining.ping`. Answered by the text `pong`.
    Ping,
    /// `mining.get_version` or `client.get_version`. Answered by the server's name and version.
    GetVersion,
    /// Anything else, parameters dropped. With an id it is owed a
    /// [`METHOD_NOT_FOUND`](crate::ErrorCode::METHOD_NOT_FOUND), without one it is best ignored.
    Unknown {
        /// The method's name, untrusted, cut to [`MAX_METHOD_LEN`] bytes.
        name: Cow<'a, str>,
    },
}

/// The parameters of `mining.authorize`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorize<'a> {
    /// The worker's name, at most [`MAX_WORKER_NAME_LEN`] bytes.
    pub worker: Cow<'a, str>,
    /// The password, untrusted and mostly `x`; empty if missing, cut to [`MAX_PASSWORD_LEN`] bytes.
    pub password: Cow<'a, str>,
}

impl<'a> Request<'a> {
    /// Reads one line, with or without its end.
    ///
    /// # Errors
    ///
    /// A [`LineError`] whose [`reply`](LineError::reply) tells the client what is wrong, by the id of
    /// its request where that could be read.
    pub fn parse(line: &'a [u8]) -> Result<Self, LineError<'a>> {
        let envelope = Envelope::parse(line)?;
        let id = envelope.id;
        let Some(crate::value::Value::Text(name)) = envelope.method else {
            let fault = Fault::NoMethod;
            return Err(LineError { id, fault });
        };
        match Method::parse(name, Params::new(envelope.params)) {
            Ok(method) => Ok(Self { id, method }),
            Err(fault) => Err(LineError { id, fault }),
        }
    }

    /// Appends the request as one line, `\n` included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        out.extend_from_slice(self.id.as_json().as_bytes());
        out.extend_from_slice(b",\"method\":");
        json::push_str(out, self.method.name());
        out.extend_from_slice(b",\"params\":[");
        self.method.push_params(out);
        out.extend_from_slice(b"]}\n");
    }
}

impl<'a> Method<'a> {
    /// The name on the wire.
    pub fn name(&self) -> &str {
        match self {
            Self::Subscribe(_) => "mining.subscribe",
            Self::Authorize(_) => "mining.authorize",
            Self::Configure(_) => "mining.configure",
            Self::Submit(_) => "mining.submit",
            Self::SuggestDifficulty(_) => "mining.suggest_difficulty",
            Self::SuggestTarget(_) => "mining.suggest_target",
            Self::ExtranonceSubscribe => "mining.extranonce.subscribe",
            Self::Ping => "mining.ping",
            Self::GetVersion => "client.get_version",
            Self::Unknown { name } => name,
        }
    }

    fn parse(name: Cow<'a, str>, mut params: Params<'a>) -> Result<Self, Fault> {
        Ok(match &*name {
            "mining.subscribe" => Self::Subscribe(Subscribe::parse(params)),
            "mining.authorize" => Self::Authorize(Authorize::parse(params)?),
            "mining.configure" => Self::Configure(Configure::parse(params)?),
            "mining.submit" => Self::Submit(Submit::parse(params)?),
            "mining.suggest_difficulty" => {
                Self::SuggestDifficulty(params.difficulty("difficulty")?)
            }
            "mining.suggest_target" => Self::SuggestTarget(parse_target(&mut params)?),
            "mining.extranonce.subscribe" => Self::ExtranonceSubscribe,
            "mining.ping" => Self::Ping,
            "mining.get_version" | "client.get_version" => Self::GetVersion,
            _ => Self::Unknown {
                name: cut(name, MAX_METHOD_LEN),
            },
        })
    }

    fn push_params(&self, out: &mut Vec<u8>) {
        match self {
            Self::Subscribe(subscribe) => subscribe.push_params(out),
            Self::Authorize(authorize) => authorize.push_params(out),
            Self::Configure(configure) => configure.push_params(out),
            Self::Submit(submit) => submit.push_params(out),
            Self::SuggestDifficulty(difficulty) => json::push_display(out, difficulty),
            Self::SuggestTarget(target) => json::push_hex(out, target),
            Self::ExtranonceSubscribe | Self::Ping | Self::GetVersion | Self::Unknown { .. } => {}
        }
    }
}

impl<'a> Authorize<'a> {
    fn parse(mut params: Params<'a>) -> Result<Self, Fault> {
        Ok(Self {
            worker: params.text("worker name", MAX_WORKER_NAME_LEN)?,
            password: params.text_cut(MAX_PASSWORD_LEN),
        })
    }

    fn push_params(&self, out: &mut Vec<u8>) {
        json::push_str(out, &self.worker);
        out.push(b',');
        json::push_str(out, &self.password);
    }
}

/// A target is 64 digits; leading zeros may be missing.
fn parse_target(params: &mut Params<'_>) -> Result<[u8; 32], Fault> {
    let field = "target";
    let text = params.text(field, 66)?;
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    let mut target = [0; 32];
    hex::decode_exact(&format!("{digits:0>64}"), &mut target)
        .filter(|()| !digits.is_empty())
        .ok_or(Fault::Malformed {
            field,
            expected: "up to 64 hexadecimal digits",
        })?;
    Ok(target)
}
