//! What a trace has heard, as the lines of a transcript.

use std::collections::BTreeMap;
use std::time::Instant;

use bitcoin::hex::DisplayHex as _;
use headframe_mining::server::Protocol;
use headframe_work::{Network, UnixTime};
use serde::Serialize;

use crate::clock::Utc;

use super::mask::{Fields, Mask};
use super::{Heard, Note, Speaker, Trace, What};

/// The version of the format.
const VERSION: u32 = 1;

/// A trace that is written down.
#[derive(Debug)]
pub(crate) struct Transcript {
    trace: Trace,
    mask: Mask,
    began: (Instant, UnixTime),
    /// When the last line was. A connection whose worker is known only now brings what was before.
    last_ms: u64,
    /// The number of each connection that goes on. The first is 1, and so is the next when that has ended.
    numbers: BTreeMap<u64, u32>,
    has_header: bool,
    messages: u64,
}

#[derive(Serialize)]
struct Header<'a> {
    transcript: u32,
    protocol: &'a str,
    about: &'a str,
    source: &'a str,
    worker: String,
    began: String,
    headframe: &'a str,
}

/// A line. What is `None` is left out.
#[derive(Default, Serialize)]
struct Line<'a> {
    at_ms: u64,
    /// The number of the connection, if it is not the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Fields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<String>,
}

impl Transcript {
    /// Stands before all else, also while nothing has been said.
    pub(crate) const FIRST_LINE: &'static str =
        "# A conversation of a miner with headframe. Addresses and passwords are masked.\n";

    /// Nothing is written yet.
    pub(crate) fn new(trace: Trace, network: Network, began: (Instant, UnixTime)) -> Self {
        Self {
            trace,
            mask: Mask::new(network),
            began,
            last_ms: 0,
            numbers: BTreeMap::new(),
            has_header: false,
            messages: 0,
        }
    }

    /// Waits for the next lines, each with its end. Cancelling loses nothing.
    pub(crate) async fn next(&mut self) -> String {
        let heard = self.trace.next().await;
        self.write(heard)
    }

    /// The last lines, which say why there are no more.
    pub(crate) fn end(&mut self, why: &str) -> String {
        let messages = self.messages;
        let mut text = String::new();
        if !self.has_header {
            // The reader wants to know a protocol, and there is none to be known.
            text += &self.header(Protocol::Sv2);
        }
        text + &format!("# {why}: {messages} messages\n")
    }

    fn write(&mut self, Heard { note, left_out }: Heard) -> String {
        let mut text = String::new();
        if !self.has_header {
            text += &self.header(note.protocol);
        }
        if left_out > 0 {
            text += &format!("# {left_out} messages were left out: they came too fast\n");
        }
        let since = note.at.saturating_duration_since(self.began.0);
        let at_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.last_ms = self.last_ms.max(at_ms);
        let number = self.number(&note, &mut text);
        match &note.what {
            What::Said(from, bytes) => self.said(note.protocol, *from, bytes, number, &mut text),
            What::Ended(by) => {
                self.numbers.remove(&note.connection);
                let event = match by {
                    Speaker::Client => "disconnect",
                    Speaker::Pool => "closed",
                };
                self.event(event, number, &mut text);
            }
        }
        text
    }

    fn header(&mut self, protocol: Protocol) -> String {
        self.has_header = true;
        let header = Header {
            transcript: VERSION,
            protocol: match protocol {
                Protocol::Sv1 => "sv1",
                Protocol::Sv2 => "sv2",
            },
            about: "what a worker and the pool said to each other; addresses and passwords are masked",
            source: "headframe trace",
            worker: self.mask.text(self.trace.user()),
            began: Utc(self.began.1).rfc_3339(),
            headframe: env!("CARGO_PKG_VERSION"),
        };
        json_line(&header)
    }

    /// The number of the connection, which is told if it takes the place of one that has ended.
    fn number(&mut self, note: &Note, text: &mut String) -> u32 {
        if let Some(number) = self.numbers.get(&note.connection) {
            return *number;
        }
        let is_free = |number: &u32| !self.numbers.values().any(|taken| taken == number);
        let number = (1..).find(is_free).unwrap_or(u32::MAX);
        self.numbers.insert(note.connection, number);
        if self.messages > 0 && number == 1 {
            self.event("reconnect", number, text);
        }
        number
    }

    fn said(
        &mut self,
        protocol: Protocol,
        from: Speaker,
        bytes: &[u8],
        number: u32,
        text: &mut String,
    ) {
        let from = Some(match from {
            Speaker::Client => "client",
            Speaker::Pool => "pool",
        });
        match protocol {
            Protocol::Sv1 => {
                let lines = bytes.split(|byte| *byte == b'\n');
                for line in lines.filter(|line| !line.is_empty()) {
                    let line = Some(self.mask.line(line));
                    let base = self.line(number);
                    *text += &json_line(&Line { from, line, ..base });
                    self.messages += 1;
                }
            }
            Protocol::Sv2 => {
                let masked = self.mask.frame(bytes);
                let line = Line {
                    from,
                    message: Some(masked.name()),
                    fields: masked.fields(),
                    frame: Some(masked.bytes.to_lower_hex_string()),
                    ..self.line(number)
                };
                *text += &json_line(&line);
                self.messages += 1;
            }
        }
    }

    fn event(&self, event: &str, number: u32, text: &mut String) {
        let event = Some(event);
        let base = self.line(number);
        *text += &json_line(&Line { event, ..base });
    }

    fn line<'a>(&self, number: u32) -> Line<'a> {
        Line {
            at_ms: self.last_ms,
            connection: (number > 1).then_some(number),
            ..Line::default()
        }
    }
}

fn json_line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("text and numbers are JSON") + "\n"
}
