//! Conversations of one connection as data: how a real client talks, and what a pool recorded of
//! one.
//!
//! A transcript is a file of JSON Lines (UTF-8, one JSON object a line). Blank lines, and lines that
//! begin with `#`, are skipped. The first line says what it is:
//!
//! ```json
//! {"transcript":1,"protocol":"sv2","about":"one sentence","source":"where the facts are from"}
//! ```
//!
//! `protocol` is `sv1` or `sv2`. `rules` may tell what the pool demands, see [`Rules`]. A
//! trace, which a pool recorded, has `worker`, `began` and `headframe` (its version) as well. Where the
//! worker had several connections at a time, lines of those beside the first have the number of theirs
//! as `connection`, and are passed over here.
//!
//! Every other line happens at `at_ms`, milliseconds since the beginning, and is one of three:
//!
//! * A message. `from` is `client` or `pool`. Of Stratum V2 it has `message`, its name in the
//!   specification, and `fields`: an object of fields by their names there, integers as numbers, U256
//!   and byte strings as lower-case hexadecimal in wire order, OPTION as value or `null`. `frame` is
//!   the whole plaintext frame in hexadecimal, header and payload; a client's line that has no
//!   `fields` is sent as its `frame` says, and so is a `message` called `unknown`. Of Stratum V1 it
//!   has `line`: the line as a string, byte for byte without its end, or as a JSON value that is
//!   compared as one.
//! * A client's share: a message with `mine`, of which the replayer finds what the transcript leaves
//!   out, and which the pool has to judge so: `accepted`, `stale`, `duplicate` (the last share
//!   again), `low` (above its target), `block`. In Stratum V1 it fills `$extranonce2`, `$ntime`,
//!   `$nonce` and `$version_bits`, for the job that the third parameter names.
//! * An `event`: `new_block`, `new_template`, `refresh` (the hub numbers its work anew, as it does
//!   by itself every 30 s), `disconnect` (the client is gone), `reconnect`, `closed` (the pool ends
//!   the connection), `wait` (what the pool sends until `at_ms` is not compared, but a client must be able to
//!   live with it).
//!
//! The pool's messages are compared in order, and none is left out but those of a `wait`. A line
//! gives the fields that matter. A value that the pool chooses is left out or is a name beginning
//! with `$`, which is bound at first sight, is equal from then on, and may stand in the client's messages
//! (`$name+60` is a number near it); `$_` is any value, and `$now` the network's time.
//!
//! Not here: Noise, TLS and all else below messages.

mod fields;
mod names;
mod replay;

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

pub use replay::replay;

/// The only version of the format that there is.
const VERSION: u32 = 1;
/// What a message is called that the specification does not know.
const UNKNOWN: &str = "unknown";

/// A conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// What it is about.
    pub header: Header,
    /// What happens, in order.
    pub lines: Vec<Line>,
}

/// What a transcript is about.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    #[serde(rename = "transcript")]
    version: u32,
    /// The protocol that is spoken.
    pub protocol: Protocol,
    /// The transcript in one sentence.
    pub about: String,
    /// Where its facts are from.
    pub source: String,
    /// What the pool demands.
    #[serde(default)]
    pub rules: Rules,
    /// Whose conversation it was, masked: of a trace.
    pub worker: Option<String>,
    /// When it began, as RFC 3339 has it: of a trace.
    pub began: Option<String>,
    /// The version of the pool: of a trace.
    pub headframe: Option<String>,
}

/// The protocol of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Stratum V1.
    Sv1,
    /// Stratum V2.
    Sv2,
}

/// What the pool demands of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Versions are not to be rolled.
    pub fixed_version: bool,
    /// Standard channels are not served.
    pub extended_channels_only: bool,
    /// Extension 0x0002 has to be agreed on.
    pub worker_names_required: bool,
    /// The hardest shares, as a power of two of difficulty. If not given, they take 4,096 hashes, where
    /// a block takes 65,536.
    pub hardest: Option<i32>,
    /// The first difficulty, as a power of two; if not given, 256 hashes.
    pub start: Option<i32>,
    /// Difficulties that Stratum V1 devices suggest are passed over.
    pub ignores_suggestions: bool,
    /// The network's target in its compact form; if not given, a block takes 65,536 hashes.
    pub bits: Option<u32>,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its number in the file, from 1.
    pub number: usize,
    /// When it happens, since the beginning.
    pub at: Duration,
    /// What happens.
    pub step: Step,
}

/// What happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The client sends a message. With a share in it, what is to be found.
    Client(Message, Option<Share>),
    /// The pool sends a message.
    Pool(Message),
    /// Something else.
    Event(Event),
}

/// A message of either protocol.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A line of Stratum V1: a string byte for byte, anything else as JSON.
    Line(Value),
    /// A message of Stratum V2 by its fields.
    Fields(&'static str, Map<String, Value>),
    /// A frame of Stratum V2 as it is.
    Frame(Vec<u8>),
}

/// What share is to be found, and how the pool has to judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Share {
    /// A good one, that is no block.
    Accepted,
    /// One that was good once.
    Stale,
    /// The last share again.
    Duplicate,
    /// One above its target.
    Low,
    /// A block.
    Block,
}

/// What happens beside messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Somebody found a block.
    NewBlock,
    /// The node has other transactions.
    NewTemplate,
    /// The hub numbers its work anew.
    Refresh,
    /// The client is gone.
    Disconnect,
    /// The client is back, on a connection of its own.
    Reconnect,
    /// The pool ends the connection.
    Closed,
    /// Time passes, and what the pool sends is not compared.
    Wait,
}

/// Why a transcript cannot be read, or is not what a pool does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct TranscriptError {
    /// The line's number in the file, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLine {
    at_ms: u64,
    connection: Option<u32>,
    from: Option<Side>,
    event: Option<Event>,
    line: Option<Value>,
    message: Option<String>,
    fields: Option<Map<String, Value>>,
    frame: Option<String>,
    mine: Option<Share>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Client,
    Pool,
}

impl Transcript {
    /// Reads a transcript.
    ///
    /// # Errors
    ///
    /// The first line that is none of a transcript, and why.
    pub fn read(text: &str) -> Result<Self, TranscriptError> {
        let mut lines = (1..)
            .zip(text.lines())
            .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let (number, first) = lines.next().unwrap_or((1, ""));
        let header = read_header(first).map_err(|fault| error(number, fault))?;
        let mut transcript = Self {
            header,
            lines: Vec::new(),
        };
        for (number, text) in lines {
            let line = transcript.read_line(number, text);
            let line = line.map_err(|fault| error(number, fault))?;
            transcript.lines.extend(line);
        }
        Ok(transcript)
    }

    /// Whether a pool recorded it, with a real client.
    pub fn is_trace(&self) -> bool {
        self.header.headframe.is_some()
    }

    /// `None` is the line of another connection.
    fn read_line(&self, number: usize, text: &str) -> Result<Option<Line>, String> {
        let raw: RawLine = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let at = Duration::from_millis(raw.at_ms);
        if self.lines.last().is_some_and(|before| before.at > at) {
            return Err(format!("{} ms is before the line above", raw.at_ms));
        }
        if raw.connection.is_some() {
            return Ok(None);
        }
        let step = self.read_step(raw)?;
        Ok(Some(Line { number, at, step }))
    }

    fn read_step(&self, raw: RawLine) -> Result<Step, String> {
        let mine = raw.mine;
        match (&raw.from, raw.event) {
            (None, Some(event)) => Ok(Step::Event(event)),
            (Some(Side::Client), None) => Ok(Step::Client(self.read_message(raw)?, mine)),
            (Some(Side::Pool), None) if mine.is_some() => Err("pools do not mine".to_owned()),
            (Some(Side::Pool), None) => Ok(Step::Pool(self.read_message(raw)?)),
            (Some(_), Some(_)) | (None, None) => {
                Err("either a message, with from, or an event".to_owned())
            }
        }
    }

    fn read_message(&self, raw: RawLine) -> Result<Message, String> {
        match (self.header.protocol, raw.line, raw.message, raw.fields) {
            (Protocol::Sv1, Some(line), None, None) => Ok(Message::Line(line)),
            (Protocol::Sv1, ..) => Err("a message of Stratum V1 is a line".to_owned()),
            (Protocol::Sv2, None, Some(name), Some(fields)) if name != UNKNOWN => {
                let row =
                    fields::row(&name).ok_or_else(|| format!("there is no message {name}"))?;
                fields::check_names(row, &fields)?;
                Ok(Message::Fields(row.name, fields))
            }
            (Protocol::Sv2, None, Some(_), None) if raw.frame.is_some() => {
                let frame = raw.frame.as_deref().and_then(fields::bytes);
                Ok(Message::Frame(frame.ok_or("the frame is not hexadecimal")?))
            }
            (Protocol::Sv2, ..) => {
                Err("a message of Stratum V2 has message and fields, or frame".to_owned())
            }
        }
    }
}

fn read_header(text: &str) -> Result<Header, String> {
    let header: Header = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match header.version {
        VERSION => Ok(header),
        other => Err(format!("version {other} is not known, {VERSION} is")),
    }
}

fn error(line: usize, fault: impl Into<String>) -> TranscriptError {
    let fault = fault.into();
    TranscriptError { line, fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"transcript":1,"protocol":"sv2","about":"a","source":"b"}"#;

    fn fault(lines: &str) -> String {
        let text = format!("# a comment\n\n{HEADER}\n{lines}\n");
        Transcript::read(&text).unwrap_err().to_string()
    }

    #[test]
    fn each_fault_is_named_by_its_line() {
        assert!(
            Transcript::read("")
                .unwrap_err()
                .to_string()
                .starts_with("line 1: EOF")
        );
        assert_eq!(
            Transcript::read(&HEADER.replace(":1", ":2"))
                .unwrap_err()
                .to_string(),
            "line 1: version 2 is not known, 1 is"
        );
        let wait = r#"{"at_ms":5,"event":"wait"}"#;
        assert_eq!(
            fault(&format!("{wait}\n\n{}", wait.replace('5', "4"))),
            "line 6: 4 ms is before the line above"
        );
        assert_eq!(
            fault(r#"{"at_ms":0,"from":"client","message":"Hello","fields":{}}"#),
            "line 4: there is no message Hello"
        );
        assert_eq!(
            fault(r#"{"at_ms":0,"from":"pool","message":"SetTarget","fields":{"target":1}}"#),
            "line 4: SetTarget has no field target"
        );
        assert_eq!(
            fault(r#"{"at_ms":0,"from":"pool","line":"x"}"#),
            "line 4: a message of Stratum V2 has message and fields, or frame"
        );
        assert!(fault(r#"{"at_ms":0,"form":"pool"}"#).contains("unknown field `form`"));
        assert_eq!(
            fault(r#"{"at_ms":0}"#),
            "line 4: either a message, with from, or an event"
        );
    }

    /// A trace has whole frames, of messages that nobody knows as well.
    #[test]
    fn a_trace_is_a_transcript() {
        let text = concat!(
            r#"{"transcript":1,"protocol":"sv2","about":"a","source":"trace","worker":"bc1q….rig","#,
            r#""began":"2026-11-22T23:00:00Z","headframe":"0.1.0"}"#,
            "\n",
            r#"{"at_ms":3,"from":"client","message":"unknown","frame":"07007f00000000"}"#,
            "\n",
            r#"{"at_ms":4,"from":"pool","message":"SetupConnection.Success","#,
            r#""fields":{"used_version":2,"flags":0},"frame":"000001060000020000000000"}"#,
            "\n",
            r#"{"at_ms":5,"connection":2,"from":"client","line":"another connection's"}"#,
        );
        let text = text.replace("07007f00000000", "07007f000000");
        let trace = Transcript::read(&text).unwrap();
        assert!(trace.is_trace());
        assert_eq!(trace.lines.len(), 2, "the third is of another connection");
        let unknown = Message::Frame(vec![7, 0, 0x7f, 0, 0, 0]);
        assert_eq!(trace.lines[0].step, Step::Client(unknown, None));
        assert!(
            matches!(&trace.lines[1].step, Step::Pool(Message::Fields(name, _)) if *name == "SetupConnection.Success")
        );
    }
}
