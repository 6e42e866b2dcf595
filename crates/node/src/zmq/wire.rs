//! ZMTP as a subscriber speaks it: bytes in, messages out (ZeroMQ RFC 23 for 3.0, RFC 37 for 3.1, mechanism NULL).
//!
//! Whatever arrives, no more is kept than the beginning of a message's three parts: the rest of a block is
//! counted and let go. Not here: sockets, time, and what a message means.

use thiserror::Error;

/// What is kept of a part of a message. A block's header and the height in its coinbase lie within 145 bytes.
pub(super) const HEAD: usize = 256;
/// The longest part: Bitcoin's largest block has 4,000,000 bytes.
const LONGEST_PART: u64 = 4_000_000;
/// Topic, body, sequence number.
const MOST_PARTS: usize = 3;
/// Length of a greeting.
const GREETING: usize = 64;
/// The version that we speak; a peer that speaks an older one is served in that.
const VERSION: [u8; 2] = [3, 1];
/// The one mechanism that Bitcoin Core's publisher has.
const MECHANISM: &[u8; 20] = b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Bits of a frame's first byte.
mod flag {
    pub(super) const MORE: u8 = 1;
    pub(super) const LONG: u8 = 2;
    pub(super) const COMMAND: u8 = 4;
    pub(super) const ALL: u8 = MORE | LONG | COMMAND;
}

/// What a publisher sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// Its greeting, with the minor number of its version.
    Greeting {
        minor: u8,
    },
    Command(Command),
    /// A message, in its parts.
    Message(Vec<Part>),
}

/// A command that has a meaning here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// The end of the handshake.
    Ready,
    /// To be answered with [`pong`].
    Ping {
        context: Vec<u8>,
    },
    Pong,
    /// Any other, which is passed over.
    Other,
}

/// A part of a message: its beginning, and its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) head: Vec<u8>,
    pub(super) len: u64,
}

impl Part {
    /// The whole part, if it is no longer than what is kept.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        (self.head.len() as u64 == self.len).then_some(&self.head)
    }
}

/// Bytes that are not those of a ZMTP publisher. Its fault, or that of who wrote the address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum WireError {
    #[error("it does not speak ZMTP")]
    NotZmtp,
    #[error("it speaks ZMTP {0}, which is older than 3")]
    TooOld(u8),
    #[error("it wants another mechanism than NULL")]
    Mechanism,
    #[error("it is a socket of the type {0:?}, not a publisher")]
    NotPublisher(String),
    #[error("it refused us: {0}")]
    Refused(String),
    #[error("a frame has the flags {0:#04x}")]
    Flags(u8),
    #[error("a frame of {0} bytes, more than any block has")]
    TooLong(u64),
    #[error("a message of more than {MOST_PARTS} parts")]
    TooManyParts,
    #[error("a command that cannot be read")]
    Command,
}

/// Reads what a publisher sends.
#[derive(Debug)]
pub(super) struct Decoder {
    state: State,
    /// The parts of the present message that have come.
    parts: Vec<Part>,
}

#[derive(Debug)]
enum State {
    Greeting(Vec<u8>),
    /// The flags and the length of a frame.
    Header(Vec<u8>),
    Body {
        flags: u8,
        part: Part,
        left: u64,
    },
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self {
            state: State::Greeting(Vec::with_capacity(GREETING)),
            parts: Vec::new(),
        }
    }

    /// The next input in `bytes`, of which what is read is taken off; `None` when all are read.
    ///
    /// # Errors
    ///
    /// The connection is to be given up.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Input>, WireError> {
        loop {
            match &mut self.state {
                State::Greeting(greeting) => {
                    take(bytes, greeting, GREETING);
                    let known = greeting.first().is_none_or(|first| *first == 0xff)
                        && greeting.get(9).is_none_or(|last| *last == 0x7f);
                    if !known {
                        return Err(WireError::NotZmtp);
                    }
                    if greeting.len() < GREETING {
                        return Ok(None);
                    }
                    let minor = read_greeting(greeting)?;
                    self.state = State::Header(Vec::new());
                    return Ok(Some(Input::Greeting { minor }));
                }
                State::Header(header) => {
                    let wanted = |header: &[u8]| match header.first() {
                        Some(flags) if flags & flag::LONG != 0 => 9,
                        Some(_) => 2,
                        None => 1,
                    };
                    take(bytes, header, 1);
                    let wanted = wanted(header);
                    take(bytes, header, wanted);
                    if header.len() < wanted.max(2) {
                        return Ok(None);
                    }
                    self.state = body(header)?;
                }
                State::Body { part, left, .. } => {
                    skip(bytes, part, left);
                    if *left > 0 {
                        return Ok(None);
                    }
                    if let Some(input) = self.end_frame()? {
                        return Ok(Some(input));
                    }
                }
            }
        }
    }

    /// What has come of a message that is not whole: the parts that are, and the one that is coming.
    pub(super) fn unfinished(&self) -> Option<(&[Part], &Part)> {
        match &self.state {
            State::Body { flags, part, .. } if flags & flag::COMMAND == 0 => {
                Some((&self.parts, part))
            }
            State::Greeting(_) | State::Header(_) | State::Body { .. } => None,
        }
    }

    /// The frame in the body's state is whole.
    fn end_frame(&mut self) -> Result<Option<Input>, WireError> {
        let state = core::mem::replace(&mut self.state, State::Header(Vec::new()));
        let State::Body { flags, part, .. } = state else {
            return Ok(None);
        };
        if flags & flag::COMMAND != 0 {
            return read_command(&part).map(|command| Some(Input::Command(command)));
        }
        if self.parts.len() == MOST_PARTS {
            return Err(WireError::TooManyParts);
        }
        self.parts.push(part);
        Ok((flags & flag::MORE == 0).then(|| Input::Message(core::mem::take(&mut self.parts))))
    }
}

/// Moves bytes until `to` has `wanted` of them.
fn take(bytes: &mut &[u8], to: &mut Vec<u8>, wanted: usize) {
    let missing = wanted.saturating_sub(to.len()).min(bytes.len());
    let (taken, rest) = bytes.split_at(missing);
    to.extend_from_slice(taken);
    *bytes = rest;
}

/// Reads on in a part; what is beyond its head is only counted.
fn skip(bytes: &mut &[u8], part: &mut Part, left: &mut u64) {
    let here = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    let (taken, rest) = bytes.split_at(here);
    let kept = (HEAD - part.head.len()).min(here);
    part.head
        .extend_from_slice(taken.get(..kept).unwrap_or(taken));
    *left -= here as u64;
    *bytes = rest;
}

fn read_greeting(greeting: &[u8]) -> Result<u8, WireError> {
    let (Some(&[major, minor]), Some(mechanism)) = (greeting.get(10..12), greeting.get(12..32))
    else {
        return Err(WireError::NotZmtp);
    };
    match (major, mechanism == MECHANISM) {
        (..3, _) => Err(WireError::TooOld(major)),
        (3, true) => Ok(minor),
        // A later major version falls back to ours.
        (_, true) => Ok(VERSION[1]),
        (_, false) => Err(WireError::Mechanism),
    }
}

fn body(header: &[u8]) -> Result<State, WireError> {
    let (flags, len) = match header {
        [flags, len] => (*flags, u64::from(*len)),
        [flags, len @ ..] => {
            let len = <[u8; 8]>::try_from(len).map_err(|_| WireError::Flags(*flags))?;
            (*flags, u64::from_be_bytes(len))
        }
        [] => return Err(WireError::Flags(0)),
    };
    let is_command = flags & flag::COMMAND != 0;
    if flags & !flag::ALL != 0 || is_command && flags & flag::MORE != 0 {
        return Err(WireError::Flags(flags));
    }
    if len > LONGEST_PART || is_command && len > HEAD as u64 {
        return Err(WireError::TooLong(len));
    }
    let head = Vec::new();
    let (part, left) = (Part { head, len }, len);
    Ok(State::Body { flags, part, left })
}

fn read_command(part: &Part) -> Result<Command, WireError> {
    let body = part.whole().ok_or(WireError::Command)?;
    let (name, rest) = counted(body).ok_or(WireError::Command)?;
    match name {
        b"READY" => read_ready(rest),
        b"PING" => {
            let context = rest.get(2..).ok_or(WireError::Command)?.to_vec();
            Ok(Command::Ping { context })
        }
        b"PONG" => Ok(Command::Pong),
        b"ERROR" => {
            let (reason, _) = counted(rest).ok_or(WireError::Command)?;
            Err(WireError::Refused(printable(reason)))
        }
        _ => Ok(Command::Other),
    }
}

/// The properties of a READY, of which one is the type of the socket.
fn read_ready(mut rest: &[u8]) -> Result<Command, WireError> {
    while !rest.is_empty() {
        let (name, value) = counted(rest).ok_or(WireError::Command)?;
        let (len, value) = value.split_first_chunk().ok_or(WireError::Command)?;
        let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| WireError::Command)?;
        let (value, after) = value.split_at_checked(len).ok_or(WireError::Command)?;
        let is_type = name.eq_ignore_ascii_case(b"Socket-Type");
        if is_type && !matches!(value, b"PUB" | b"XPUB") {
            return Err(WireError::NotPublisher(printable(value)));
        }
        rest = after;
    }
    Ok(Command::Ready)
}

/// Bytes after one that has their number, and what follows.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*len))
}

fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).escape_debug().collect()
}

/// What a connection begins with, on both sides.
pub(super) fn greeting() -> [u8; GREETING] {
    let mut greeting = [0; GREETING];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10..12].copy_from_slice(&VERSION);
    greeting[12..32].copy_from_slice(MECHANISM);
    greeting
}

/// The end of our side's handshake.
pub(super) fn ready() -> Vec<u8> {
    command(b"READY", b"\x0bSocket-Type\0\0\0\x03SUB")
}

/// Asks for the messages whose first part begins with `topic`, of a peer whose version is 3 and `minor`.
pub(super) fn subscribe(minor: u8, topic: &[u8]) -> Vec<u8> {
    match minor {
        0 => frame(0, &[b"\x01", topic].concat()),
        1.. => command(b"SUBSCRIBE", topic),
    }
}

/// Asks whether the peer is there. Who does not hear from us again within a minute may close.
pub(super) fn ping() -> Vec<u8> {
    const TTL_IN_TENTHS: [u8; 2] = 600_u16.to_be_bytes();
    command(b"PING", &TTL_IN_TENTHS)
}

/// The answer to a ping.
pub(super) fn pong(context: &[u8]) -> Vec<u8> {
    command(b"PONG", context)
}

fn command(name: &[u8], body: &[u8]) -> Vec<u8> {
    let count = [u8::try_from(name.len()).unwrap_or(u8::MAX)];
    frame(flag::COMMAND, &[&count, name, body].concat())
}

fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    match u8::try_from(body.len()) {
        Ok(len) => [&[flags, len], body].concat(),
        Err(_) => [
            &[flags | flag::LONG][..],
            &(body.len() as u64).to_be_bytes(),
            body,
        ]
        .concat(),
    }
}

/// Whatever a publisher sends, in one piece or in many, it is read alike, and little of it is kept.
pub(super) fn fuzz(data: &[u8]) {
    let (first, data) = data.split_first().unwrap_or((&0, data));
    let size = usize::from(*first % 64) + 1;
    assert_eq!(inputs([data]), inputs(data.chunks(size)));
}

fn inputs<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Input>, Option<WireError>) {
    let mut decoder = Decoder::new();
    let mut read = Vec::new();
    for mut piece in pieces {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(input)) => read.push(input),
                Ok(None) => break,
                Err(error) => return (read, Some(error)),
            }
            assert!(decoder.parts.len() <= MOST_PARTS);
        }
    }
    (read, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What libzmq 4.3.5 sends to a subscriber that connects to its PUB socket, and a message of three parts.
    fn from_libzmq() -> Vec<u8> {
        let mut bytes = greeting().to_vec();
        bytes.extend(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB");
        bytes.extend(b"\x01\x09hashblock\x01\x02\xab\xcd\0\x04\x07\0\0\0");
        bytes
    }

    #[test]
    fn a_publisher_s_bytes_are_read_however_they_are_cut() {
        let bytes = from_libzmq();
        let part = |head: &[u8]| Part {
            head: head.to_vec(),
            len: head.len() as u64,
        };
        let expected = vec![
            Input::Greeting { minor: 1 },
            Input::Command(Command::Ready),
            Input::Message(vec![
                part(b"hashblock"),
                part(b"\xab\xcd"),
                part(b"\x07\0\0\0"),
            ]),
        ];
        for size in 1..=bytes.len() {
            let read = inputs(bytes.chunks(size));
            assert_eq!(read, (expected.clone(), None), "in pieces of {size}");
        }
    }

    #[test]
    fn of_a_block_no_more_is_kept_than_its_beginning() {
        let mut decoder = Decoder::new();
        let mut bytes = greeting().to_vec();
        bytes.extend([flag::LONG]);
        bytes.extend(LONGEST_PART.to_be_bytes());
        bytes.extend(vec![7; 4_000_000]);
        let mut read = &bytes[..];
        decoder.next(&mut read).unwrap();
        let Ok(Some(Input::Message(parts))) = decoder.next(&mut read) else {
            panic!("a message");
        };
        assert_eq!((parts[0].head.len(), parts[0].len), (HEAD, LONGEST_PART));
        assert!(parts[0].head.capacity() <= 2 * HEAD);
        assert_eq!(parts[0].whole(), None);
    }

    #[test]
    fn what_no_publisher_sends_is_refused_with_the_reason() {
        let rows: [(&[u8], WireError); 9] = [
            (b"\x08\0", WireError::Flags(8)),
            (b"\x05\0", WireError::Flags(5)),
            (b"\x02\0\0\0\0\0\x3d\x09\x01", WireError::TooLong(4_000_001)),
            (b"\x06\0\0\0\0\0\0\x01\x01", WireError::TooLong(257)),
            (
                b"\x02\xff\xff\xff\xff\xff\xff\xff\xff",
                WireError::TooLong(u64::MAX),
            ),
            (b"\x01\0\x01\0\x01\0\0\0", WireError::TooManyParts),
            (b"\x04\x03\x05RE", WireError::Command),
            (
                b"\x04\x0c\x05ERROR\x05Enter",
                WireError::Refused("Enter".to_owned()),
            ),
            (
                b"\x04\x19\x05READY\x0bsocket-type\0\0\0\x03REP",
                WireError::NotPublisher("REP".to_owned()),
            ),
        ];
        for (bytes, error) in rows {
            let whole = [&greeting(), bytes].concat();
            assert_eq!(inputs([&whole[..]]).1, Some(error), "{bytes:02x?}");
        }
    }

    #[test]
    fn a_greeting_that_is_none_is_refused_at_its_first_byte() {
        assert_eq!(inputs([&b"HTTP/1.1"[..]]).1, Some(WireError::NotZmtp));
        let mut old = greeting();
        old[10] = 1;
        assert_eq!(inputs([&old[..]]).1, Some(WireError::TooOld(1)));
        let mut other = greeting();
        other[12..17].copy_from_slice(b"CURVE");
        assert_eq!(inputs([&other[..]]).1, Some(WireError::Mechanism));
    }

    #[test]
    fn a_ping_brings_its_context_and_an_unknown_command_nothing() {
        let bytes = [
            &greeting()[..],
            b"\x04\x09\x04PING\0\x0aab",
            b"\x04\x05\x04JOIN",
        ]
        .concat();
        let (read, error) = inputs([&bytes[..]]);
        assert_eq!(error, None);
        let context = b"ab".to_vec();
        assert_eq!(read[1], Input::Command(Command::Ping { context }));
        assert_eq!(read[2], Input::Command(Command::Other));
        assert_eq!(pong(b"ab"), b"\x04\x07\x04PONGab");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_alike_in_any_pieces(
            tail in proptest::collection::vec(0_u8..8, 0..300), size in 0_u8..64,
        ) {
            fuzz(&[&[size][..], &greeting(), &tail].concat());
            fuzz(&tail);
        }
    }
}
