//! What a client asks of a server.

use std::borrow::Cow;

use crate::envelope::Envelope;
use crate::params::{Params, cut};
use crate::value::Value;
use crate::{
    Configure, Difficulty, Fault, Id, LineError, MAX_JOB_ID_LEN, MAX_WORKER_NAME_LEN, Submit,
    Subscribe, hex, json,
};

/// How much of an unknown method's name is kept, in bytes.
pub const MAX_METHOD_LEN: usize = 64;

/// How much of a password is kept, in bytes.
pub const MAX_PASSWORD_LEN: usize = 255;

/// The capability that is a wish.
const SUGGESTED_TARGET: &str = "suggested_target";

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
    /// `mining.ping` or `client.ping`. Answered by the text `pong`.
    Ping,
    /// `mining.get_version` or `client.get_version`. Answered by the server's name and version.
    GetVersion,
    /// `mining.get_transactions`: what is in a job. Answered by a number, as ckpool does: the
    /// transactions themselves are as long as a block.
    GetTransactions {
        /// The job's id, cut to [`MAX_JOB_ID_LEN`] bytes; the newest job where it is missing.
        job_id: Option<Cow<'a, str>>,
    },
    /// `mining.capabilities`: what the client can do, BFGMiner's draft. Answered by `true`.
    Capabilities {
        /// The target that it would like, most significant byte first.
        suggested_target: Option<[u8; 32]>,
    },
    /// `mining.multi_version`: how many versions of a job the client could work on at once, of Antminers
    /// before BIP310. Answered by `true`; the one version of a job is one of them.
    MultiVersion,
    /// What only servers tell, handed back by a confused proxy: `mining.set_difficulty` and the
    /// like, parameters dropped. Owed `true` where it has an id, and means nothing: were it taken
    /// for a wish, an echo would bring back a difficulty that is over.
    Echo {
        /// The method's name.
        name: Cow<'a, str>,
    },
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
        let Some(Value::Text(name)) = envelope.method else {
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
            Self::GetTransactions { .. } => "mining.get_transactions",
            Self::Capabilities { .. } => "mining.capabilities",
            Self::MultiVersion => "mining.multi_version",
            Self::Echo { name } | Self::Unknown { name } => name,
        }
    }

    fn parse(name: Cow<'a, str>, mut params: Params<'a>) -> Result<Self, Fault> {
        Ok(match &*name {
            "mining.subscribe" => Self::Subscribe(Subscribe::parse(params)),
            "mining.authorize" | "mining.auth" => Self::Authorize(Authorize::parse(params)?),
            "mining.configure" => Self::Configure(Configure::parse(params)?),
            "mining.submit" => Self::Submit(Submit::parse(params)?),
            "mining.suggest_difficulty" => {
                Self::SuggestDifficulty(params.difficulty("difficulty")?)
            }
            "mining.suggest_target" => Self::SuggestTarget(parse_target(params.optional())?),
            "mining.extranonce.subscribe" => Self::ExtranonceSubscribe,
            "mining.ping" | "client.ping" => Self::Ping,
            "mining.get_version" | "client.get_version" => Self::GetVersion,
            "mining.get_transactions" => Self::GetTransactions {
                job_id: optional_text(&mut params, MAX_JOB_ID_LEN),
            },
            "mining.capabilities" => Self::Capabilities {
                suggested_target: suggested_target(params.optional()),
            },
            "mining.multi_version" => Self::MultiVersion,
            "mining.notify"
            | "mining.set_difficulty"
            | "mining.set_target"
            | "mining.set_extranonce"
            | "mining.set_version_mask"
            | "mining.show_message"
            | "client.show_message"
            | "mining.reconnect"
            | "client.reconnect" => Self::Echo { name },
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
            Self::GetTransactions { job_id: Some(id) } => json::push_str(out, id),
            Self::Capabilities {
                suggested_target: Some(target),
            } => {
                out.push(b'{');
                json::push_str(out, SUGGESTED_TARGET);
                out.push(b':');
                json::push_hex(out, target);
                out.push(b'}');
            }
            Self::GetTransactions { job_id: None }
            | Self::Capabilities {
                suggested_target: None,
            }
            | Self::ExtranonceSubscribe
            | Self::MultiVersion
            | Self::Ping
            | Self::GetVersion
            | Self::Echo { .. }
            | Self::Unknown { .. } => {}
        }
    }
}

impl<'a> Authorize<'a> {
    fn parse(mut params: Params<'a>) -> Result<Self, Fault> {
        Ok(Self {
            worker: params.text("username", MAX_WORKER_NAME_LEN)?,
            password: params.text_cut(MAX_PASSWORD_LEN),
        })
    }

    fn push_params(&self, out: &mut Vec<u8>) {
        json::push_str(out, &self.worker);
        out.push(b',');
        json::push_str(out, &self.password);
    }
}

/// The next parameter as text cut to `max` bytes; none if it is missing or empty.
fn optional_text<'a>(params: &mut Params<'a>, max: usize) -> Option<Cow<'a, str>> {
    let text = params.text_cut(max);
    (!text.is_empty()).then_some(text)
}

/// The target among a client's capabilities. What cannot be read is no wish.
fn suggested_target(capabilities: Option<Value<'_>>) -> Option<[u8; 32]> {
    let Some(Value::Object(members)) = capabilities else {
        return None;
    };
    let mut members = members.into_iter();
    let (_, target) = members.find(|(name, _)| name == SUGGESTED_TARGET)?;
    parse_target(Some(target)).ok()
}

/// A target is 64 digits; leading zeros may be missing.
fn parse_target(target: Option<Value<'_>>) -> Result<[u8; 32], Fault> {
    let field = "target";
    let malformed = Fault::Malformed {
        field,
        expected: "up to 64 hexadecimal digits",
    };
    let text = target.ok_or(Fault::Missing { field })?.into_text();
    let text = text.ok_or(malformed)?;
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    let mut target = [0; 32];
    hex::decode_exact(&format!("{digits:0>64}"), &mut target)
        .filter(|()| !digits.is_empty())
        .ok_or(malformed)?;
    Ok(target)
}
