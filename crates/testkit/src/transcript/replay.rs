//! A transcript's client against a pool.
//!
//! What the pool sends goes to a scripted miner as well, which knows the jobs, finds the shares, and
//! panics where the pool asks of a client what deployed ones cannot bear.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use headframe_channels::{DifficultySettings, RejectReason, SV1_VERSION_MASK};
use headframe_mining::server::{SessionEvent, ShareEvent, Sv2Rules};
use headframe_sv2_wire::Frame;
use headframe_work::Rung;
use serde_json::{Map, Value};

use super::names::Names;
use super::{
    Event, Message, Protocol, Rules, Share, Step, Transcript, TranscriptError, error, fields,
};
use crate::{Chance, EASY_BITS, MinerJob, Nonce, Pool, PoolSettings};

/// The hub numbers its work anew after so long without another template, as the pool's does.
const REFRESH: Duration = Duration::from_secs(30);
/// The hardest shares, so that a device that asks for its own difficulty finds some: 4,096 hashes,
/// where a block takes 65,536.
const HARDEST: i32 = -20;
const START: i32 = -24;

/// Plays the client's side of `transcript` to a pool, and compares the pool's.
///
/// Of a trace the client's messages before its first share are played, and nothing is compared: the
/// pool must not end the connection.
///
/// # Errors
///
/// The first line that the pool does not act on as the transcript has it.
///
/// # Panics
///
/// Where the pool breaks what the specification or deployed firmware asks of it.
pub fn replay(transcript: &Transcript) -> Result<(), TranscriptError> {
    let mut replay = Replay::new(transcript);
    for line in &transcript.lines {
        let result = match transcript.is_trace() {
            true if is_share(&line.step) => break,
            true => replay.follow(line.at, &line.step),
            false => replay.take(line.at, &line.step),
        };
        result.map_err(|fault| error(line.number, fault))?;
    }
    let end = transcript.lines.last().map_or(0, |line| line.number) + 1;
    match transcript.is_trace() {
        true => Ok(()),
        false => replay.end().map_err(|fault| error(end, fault)),
    }
}

fn is_share(step: &Step) -> bool {
    match step {
        Step::Client(Message::Line(line), _) => {
            let text = line
                .as_str()
                .map_or_else(|| line.to_string(), str::to_owned);
            text.contains("mining.submit")
        }
        Step::Client(Message::Fields(name, _), _) => name.starts_with("SubmitShares"),
        Step::Client(Message::Frame(_), _) | Step::Pool(_) | Step::Event(_) => false,
    }
}

struct Replay {
    protocol: Protocol,
    pool: Pool,
    began: Instant,
    refresh_at: Instant,
    chance: Chance,
    names: Names,
    /// What the pool sent and no line has taken yet.
    heard: VecDeque<Value>,
    /// The job and nonce of the last share.
    last: Option<Nonce>,
    /// Shares that were sent on the connection.
    sequence: u32,
}

impl Replay {
    fn new(transcript: &Transcript) -> Self {
        let pool = Pool::new(&settings(transcript.header.rules));
        let mut replay = Self {
            protocol: transcript.header.protocol,
            began: pool.now,
            refresh_at: pool.now + REFRESH,
            pool,
            chance: Chance::new(7),
            names: Names::default(),
            heard: VecDeque::new(),
            last: None,
            sequence: 0,
        };
        replay.connect();
        replay
    }

    /// A line of a golden transcript.
    fn take(&mut self, at: Duration, step: &Step) -> Result<(), String> {
        self.advance(self.began + at);
        match step {
            Step::Pool(message) => return self.compare(message),
            Step::Event(Event::Wait) => self.heard.clear(),
            Step::Event(_) | Step::Client(..) => self.expect_silence()?,
        }
        match step {
            Step::Event(Event::Closed) => return self.expect_closed(),
            Step::Event(event) => self.act(*event)?,
            Step::Client(message, None) => self.send(message)?,
            Step::Client(message, Some(share)) => self.submit(message, *share)?,
            Step::Pool(_) => {}
        }
        self.listen();
        Ok(())
    }

    /// A line of a trace.
    fn follow(&mut self, at: Duration, step: &Step) -> Result<(), String> {
        self.advance(self.began + at);
        if let Step::Client(message, _) = step {
            self.send(message)?;
            self.listen();
        }
        self.heard.clear();
        match self.fault() {
            Some(fault) => Err(format!("the pool ends the connection: {fault}")),
            None => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), String> {
        self.listen();
        self.expect_silence()
    }

    fn act(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::NewBlock => self.pool.new_tip_begun(),
            Event::NewTemplate => self.pool.new_template(),
            Event::Refresh => self.pool.refresh(),
            Event::Disconnect => return self.disconnect(),
            Event::Reconnect if self.is_connected() => return Err("it is connected".to_owned()),
            Event::Reconnect => self.connect(),
            Event::Closed | Event::Wait => {}
        }
        if matches!(event, Event::NewBlock | Event::NewTemplate | Event::Refresh) {
            self.refresh_at = self.pool.now + REFRESH;
        }
        Ok(())
    }

    fn connect(&mut self) {
        self.sequence = 0;
        match self.protocol {
            Protocol::Sv1 => {
                let link = self.pool.connect_sv1();
                self.pool.sv1[link].miner.heard = Some(Vec::new());
            }
            Protocol::Sv2 => {
                let link = self.pool.connect_sv2();
                self.pool.sv2[link].miner.heard = Some(Vec::new());
            }
        }
    }

    fn disconnect(&mut self) -> Result<(), String> {
        match self.protocol {
            _ if !self.is_connected() => return Err("there is no connection".to_owned()),
            Protocol::Sv1 => self.pool.drop_sv1(0),
            Protocol::Sv2 => self.pool.drop_sv2(0),
        }
        Ok(())
    }

    fn is_connected(&self) -> bool {
        !self.pool.sv1.is_empty() || !self.pool.sv2.is_empty()
    }

    fn fault(&self) -> Option<&str> {
        let sv1 = self.pool.sv1.first().map(|link| &link.fault);
        let sv2 = self.pool.sv2.first().map(|link| &link.fault);
        sv1.or(sv2)?.as_deref()
    }

    fn advance(&mut self, end: Instant) {
        while self.refresh_at <= end {
            self.pool
                .advance(self.refresh_at.saturating_duration_since(self.pool.now));
            self.pool.refresh();
            self.refresh_at += REFRESH;
        }
        self.pool
            .advance(end.saturating_duration_since(self.pool.now));
        self.listen();
    }

    /// Takes what came to the client.
    fn listen(&mut self) {
        self.pool.pump();
        self.names.set("now", self.pool.unix_time().into());
        let sv1 = self.pool.sv1.iter_mut().map(|link| &mut link.miner.heard);
        let sv2 = self.pool.sv2.iter_mut().map(|link| &mut link.miner.heard);
        let heard: Vec<Vec<u8>> = sv1.chain(sv2).flatten().flat_map(core::mem::take).collect();
        for bytes in heard {
            self.heard.push_back(match self.protocol {
                Protocol::Sv1 => {
                    serde_json::from_slice(&bytes).expect("the pool's line is no JSON")
                }
                Protocol::Sv2 => message(&bytes),
            });
        }
    }

    fn compare(&mut self, expected: &Message) -> Result<(), String> {
        let actual = self.heard.pop_front();
        let actual = actual.ok_or_else(|| match self.fault() {
            Some(fault) => format!("the pool ended the connection: {fault}"),
            None => "the pool says nothing".to_owned(),
        })?;
        let expected = match expected {
            Message::Line(Value::String(line)) => {
                serde_json::from_str(line).map_err(|error| error.to_string())?
            }
            Message::Line(line) => line.clone(),
            Message::Fields(name, fields) => described(name, fields.clone()),
            Message::Frame(_) => return Err("the pool's messages are known".to_owned()),
        };
        let compared = self.names.compare(&expected, &actual);
        compared.map_err(|difference| format!("the pool says {actual}: {difference}"))
    }

    fn expect_silence(&self) -> Result<(), String> {
        match self.heard.front() {
            None => Ok(()),
            Some(said) => Err(format!("before this the pool says {said}")),
        }
    }

    fn expect_closed(&mut self) -> Result<(), String> {
        let is_finished = self
            .pool
            .sv2
            .first()
            .is_some_and(|link| link.session.is_finished());
        match self.fault().is_some() || is_finished {
            true => self.disconnect(),
            false => Err("the pool keeps the connection".to_owned()),
        }
    }

    fn send(&mut self, message: &Message) -> Result<(), String> {
        let bytes = self.bytes(message)?;
        self.send_bytes(bytes)
    }

    fn send_bytes(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        if let Some(fault) = self.fault() {
            return Err(format!("the pool has ended the connection: {fault}"));
        }
        let sv1 = self.pool.sv1.first_mut().map(|link| &mut link.miner.output);
        let sv2 = self.pool.sv2.first_mut().map(|link| &mut link.miner.output);
        let output = sv1.or(sv2).ok_or("there is no connection")?;
        output.push(bytes);
        self.pool.pump();
        Ok(())
    }

    fn bytes(&self, message: &Message) -> Result<Vec<u8>, String> {
        match message {
            Message::Line(Value::String(line)) => Ok(format!("{line}\n").into_bytes()),
            Message::Line(line) => Ok(format!("{}\n", self.names.fill(line)?).into_bytes()),
            Message::Frame(frame) => Ok(frame.clone()),
            Message::Fields(name, fields) => {
                let filled = self.names.fill(&Value::Object(fields.clone()))?;
                let row = fields::row(name).expect("the reader knew it");
                fields::encode(row, filled.as_object().expect("an object is filled"))
            }
        }
    }

    fn submit(&mut self, message: &Message, share: Share) -> Result<(), String> {
        let judged = self.judged().len();
        let blocks = self.blocks();
        let message = match message {
            Message::Line(line) => self.line_of_share(line, share)?,
            Message::Fields(name, fields) => self.fields_of_share(name, fields, share)?,
            Message::Frame(_) => return Err("a share is told by its fields".to_owned()),
        };
        self.send(&message)?;
        let verdict = match self.judged().get(judged) {
            None => return Err("the pool did not judge the share".to_owned()),
            Some(share) => share.outcome.map(|_| ()),
        };
        let expected = match share {
            Share::Accepted | Share::Block => Ok(()),
            Share::Stale => Err(RejectReason::Stale),
            Share::Duplicate => Err(RejectReason::Duplicate),
            Share::Low => Err(RejectReason::LowDifficulty),
        };
        let is_block = self.blocks() > blocks;
        match verdict == expected && is_block == (share == Share::Block) {
            true => Ok(()),
            false => Err(format!(
                "the pool judges {share:?} as {verdict:?}, block {is_block}"
            )),
        }
    }

    /// The verdicts of the pool.
    fn judged(&self) -> Vec<&ShareEvent> {
        self.events()
            .filter_map(|event| match event {
                SessionEvent::Share(share) => Some(share),
                _ => None,
            })
            .collect()
    }

    fn blocks(&self) -> usize {
        let is_block = |event: &&SessionEvent| matches!(event, SessionEvent::Block(_));
        self.events().filter(is_block).count()
    }

    fn events(&self) -> impl Iterator<Item = &SessionEvent> {
        let sv1 = self.pool.sv1.iter().flat_map(|link| &link.events);
        sv1.chain(self.pool.sv2.iter().flat_map(|link| &link.events))
    }

    fn fields_of_share(
        &mut self,
        name: &'static str,
        given: &Map<String, Value>,
        share: Share,
    ) -> Result<Message, String> {
        let filled = self.names.fill(&Value::Object(given.clone()))?;
        let mut fields = filled.as_object().expect("an object is filled").clone();
        let number = |name: &str| fields.get(name).and_then(Value::as_u64).map(|n| n as u32);
        let link = self.pool.sv2.first().ok_or("there is no connection")?;
        let channel = number("channel_id").ok_or("a share is of a channel")?;
        let channel = link
            .miner
            .channels
            .get(&channel)
            .ok_or("there is no such channel")?;
        let job = match number("job_id") {
            None => channel.jobs.last(),
            Some(id) => channel.jobs.iter().rfind(|job| job.id == id),
        };
        let job = job.ok_or("the client has no such job")?.clone();
        let extranonce = fields.get("extranonce").and_then(Value::as_str);
        let given = Given {
            rolled: SV1_VERSION_MASK,
            version: number("version"),
            time: number("ntime"),
            extranonce: extranonce.and_then(fields::bytes),
        };
        let is_extended = channel.is_extended;
        let nonce = self.find(&job, &given, share)?;
        let sequence = self.sequence;
        self.sequence += 1;
        let mut put = |name: &str, value: Value| {
            fields.entry(name).or_insert(value);
        };
        put("sequence_number", sequence.into());
        put("job_id", nonce.job_id.into());
        put("nonce", nonce.header.nonce.into());
        put("ntime", nonce.header.time.into());
        put("version", nonce.version().into());
        if is_extended {
            put("extranonce", fields::hex(&nonce.extranonce).into());
        }
        Ok(Message::Fields(name, fields))
    }

    fn line_of_share(&mut self, line: &Value, share: Share) -> Result<Message, String> {
        let link = self.pool.sv1.first().ok_or("there is no connection")?;
        let id = line.pointer("/params/1").ok_or("a share is of a job")?;
        let id = self.names.fill(id)?;
        let is_named =
            |job: &&MinerJob| id.as_str().is_some_and(|id| hex_number(id) == Some(job.id));
        let jobs = link.miner.voided.iter().chain(&link.miner.jobs);
        let job = jobs.rev().find(is_named);
        let job = job.ok_or("the client has no such job")?.clone();
        let has_bits = line.pointer("/params/5").is_some();
        let mask = link.miner.version_mask.unwrap_or(SV1_VERSION_MASK);
        let given = Given {
            rolled: if has_bits { mask } else { 0 },
            ..Given::default()
        };
        let nonce = self.find(&job, &given, share)?;
        let word = |number: u32| Value::String(format!("{number:08x}"));
        self.names
            .set("extranonce2", fields::hex(&nonce.extranonce).into());
        self.names.set("ntime", word(nonce.header.time));
        self.names.set("nonce", word(nonce.header.nonce));
        self.names.set("version_bits", word(nonce.version() & mask));
        Ok(Message::Line(line.clone()))
    }

    fn find(&mut self, job: &MinerJob, given: &Given, share: Share) -> Result<Nonce, String> {
        if share == Share::Duplicate {
            return self
                .last
                .clone()
                .ok_or_else(|| "there is no share before".to_owned());
        }
        let (target, network) = (job.target, job.network_target());
        let nonce = search(job, given, &mut self.chance, |hash| match share {
            Share::Block => network.is_met_by(hash),
            Share::Low => !target.is_met_by(hash) && !network.is_met_by(hash),
            Share::Accepted | Share::Stale | Share::Duplicate => {
                target.is_met_by(hash) && !network.is_met_by(hash)
            }
        });
        Ok(self.last.insert(nonce).clone())
    }
}

/// What a transcript tells of a share.
#[derive(Default)]
struct Given {
    /// Version bits that are rolled, where the version is not given.
    rolled: u32,
    version: Option<u32>,
    time: Option<u32>,
    extranonce: Option<Vec<u8>>,
}

fn search(
    job: &MinerJob,
    given: &Given,
    chance: &mut Chance,
    is_wanted: impl Fn(bitcoin::BlockHash) -> bool,
) -> Nonce {
    let random = chance.bytes::<32>()[..job.rolled_len()].to_vec();
    let extranonce = given.extranonce.clone().unwrap_or(random);
    let rolled = job.version & !given.rolled | chance.number() as u32 & given.rolled;
    let version = given.version.unwrap_or(rolled);
    let time = given.time.unwrap_or(job.time);
    let mut header = job.header(&extranonce, version, time, chance.number() as u32);
    while !is_wanted(header.block_hash()) {
        header.nonce = header.nonce.wrapping_add(1);
    }
    Nonce {
        job_id: job.id,
        extranonce,
        header,
    }
}

fn hex_number(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 16).ok()
}

/// A frame as what a transcript has of it.
fn message(frame: &[u8]) -> Value {
    let frame = Frame::split(frame).expect("a whole frame").0;
    let (name, fields) = fields::decode(frame).expect("the pool sends what there is");
    described(name, fields)
}

fn described(name: &str, fields: Map<String, Value>) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), Value::Object(fields))]))
}

fn settings(rules: Rules) -> PoolSettings {
    let max = Rung::from_exponent(rules.hardest.unwrap_or(HARDEST));
    let start = Rung::from_exponent(rules.start.unwrap_or(START));
    PoolSettings {
        difficulty: DifficultySettings {
            shares_per_minute: 12.0,
            start,
            min: Rung::EASIEST,
            max,
        },
        sv2: Sv2Rules {
            fixed_version: rules.fixed_version,
            extended_channels_only: rules.extended_channels_only,
            worker_names_required: rules.worker_names_required,
        },
        ignores_suggestions: rules.ignores_suggestions,
        bits: rules.bits.unwrap_or(EASY_BITS),
        ..PoolSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(lines: &str) -> Result<(), TranscriptError> {
        replay(&Transcript::read(lines).expect("it is a transcript"))
    }

    fn sv1(lines: &[&str]) -> Result<(), String> {
        let header = r#"{"transcript":1,"protocol":"sv1","about":"a","source":"b"}"#;
        played(&format!("{header}\n{}", lines.join("\n"))).map_err(|error| error.to_string())
    }

    const PING: &str = r#"{"at_ms":0,"from":"client","line":{"id":1,"method":"mining.ping"}}"#;
    const PONG: &str = r#"{"at_ms":0,"from":"pool","line":{"id":1,"result":"pong","error":null}}"#;

    /// What a pool says too much, too little or otherwise is told by its line.
    #[test]
    fn a_difference_is_told_by_its_line() {
        assert_eq!(sv1(&[PING, PONG]), Ok(()));
        let said = r#"{"error":null,"id":1,"result":"pong"}"#;
        assert_eq!(
            sv1(&[PING, PING, PONG]),
            Err(format!("line 3: before this the pool says {said}"))
        );
        assert_eq!(
            sv1(&[PING]),
            Err(format!("line 3: before this the pool says {said}"))
        );
        assert_eq!(
            sv1(&[PING, PONG, PONG]),
            Err("line 4: the pool says nothing".to_owned())
        );
        assert_eq!(
            sv1(&[PING, &PONG.replace("pong", "pang")]),
            Err(format!(
                "line 3: the pool says {said}: result: \"pong\" instead of \"pang\""
            ))
        );
        let closed = r#"{"at_ms":0,"event":"closed"}"#;
        assert_eq!(
            sv1(&[closed]),
            Err("line 2: the pool keeps the connection".to_owned())
        );
    }

    /// Of a trace, whose pool chose other values, only what the client says is played, and only up
    /// to its first share.
    #[test]
    fn a_trace_is_played_up_to_its_first_share() {
        let trace = |line: &str| {
            let header = r#"{"transcript":1,"protocol":"sv1","about":"a","source":"b","worker":"x","began":"y","headframe":"1"}"#;
            let pool = r#"{"at_ms":1,"from":"pool","line":"whatever it said"}"#;
            let share = r#"{"at_ms":2,"from":"client","line":"{\"id\":4,\"method\":\"mining.submit\",\"params\":[]}"}"#;
            let after = line.replace("\"at_ms\":0", "\"at_ms\":9");
            played(&format!("{header}\n{line}\n{pool}\n{share}\n{after}"))
        };
        assert_eq!(trace(PING), Ok(()));
    }

    /// A trace of a client that the pool turns away is told.
    #[test]
    fn a_trace_that_ends_in_a_refusal_is_told() {
        let header = r#"{"transcript":1,"protocol":"sv2","about":"a","source":"b","worker":"x","began":"y","headframe":"1"}"#;
        let frame = r#"{"at_ms":1,"from":"client","message":"unknown","frame":"07007f000000"}"#;
        let error = played(&format!("{header}\n{frame}")).unwrap_err();
        assert_eq!(error.line, 2);
        assert!(error.fault.contains("before SetupConnection"), "{error}");
    }
}
