//! A session joined to its socket: the same few operations for both protocols.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use headframe_api::Encryption;
use headframe_channels::{Channel, ChannelId, ExtranoncePrefix, Past};
use headframe_mining::server::{
    ParkedSession, PoolRules, PoolWork, Protocol, SessionEvent, SessionId, Sv1Fault, Sv1Session,
    Sv2Fault, Sv2Session,
};
use headframe_sv2_wire::mining::{
    OpenExtendedMiningChannel, OpenStandardMiningChannel, UpdateChannel,
};
use headframe_sv2_wire::{Frame, Message as _, Str255, codes};
use headframe_transport::{Endpoint, Filled, FrameStream, LineStream, TransportError};

use crate::limits::Cost;
use crate::random::random_bytes;
use crate::trace::{Speaker, Tap};

/// A connection of either protocol.
#[derive(Debug)]
pub(crate) enum Wire {
    Sv1(Box<(LineStream, Sv1Session)>),
    Sv2(Box<(FrameStream, Sv2Session)>),
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    /// The peer closed it.
    #[error("the miner closed the connection")]
    Closed,
    /// The session is over, and the peer was told why.
    #[error("the miner was refused")]
    Finished,
    /// The pool stops.
    #[error("the pool stops")]
    Shutdown,
    /// The operator wants its worker closed.
    #[error("the operator closed it")]
    Dismissed,
    /// The node is away for too long.
    #[error("the miner is released while the node is away")]
    Released,
    /// The peer broke the protocol.
    #[error("the miner {0}")]
    Fault(String),
    /// The peer sent what is no message.
    #[error("the miner {0}")]
    Undecodable(String),
    /// The peer's address is banned for what it did.
    #[error("its address is banned")]
    Banned,
    /// It goes on guessing a password.
    #[error("its address has said too many wrong passwords")]
    Guesses,
    /// The pool's own fault: its task panicked.
    #[error("the pool failed to serve it")]
    Panicked,
    /// The socket failed, or what came over it could not be read.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl From<Sv1Fault> for End {
    fn from(fault: Sv1Fault) -> Self {
        let text = fault.to_string();
        match fault {
            Sv1Fault::Unreadable(_) | Sv1Fault::TooLong { .. } => Self::Undecodable(text),
            Sv1Fault::Silent => Self::Fault(text),
        }
    }
}

impl From<Sv2Fault> for End {
    fn from(fault: Sv2Fault) -> Self {
        let text = fault.to_string();
        match fault {
            Sv2Fault::Unreadable(_) => Self::Undecodable(text),
            Sv2Fault::NotSetUp(_)
            | Sv2Fault::SetUpTwice
            | Sv2Fault::Misplaced(_)
            | Sv2Fault::SilentAtSetup
            | Sv2Fault::LacksExtension
            | Sv2Fault::TooManyRequests
            | Sv2Fault::NoChannel => Self::Fault(text),
        }
    }
}

impl End {
    /// Who ended it. A connection that is lost is the client's.
    pub(crate) fn by(&self) -> Speaker {
        match self {
            Self::Closed | Self::Transport(TransportError::Io(_)) => Speaker::Client,
            Self::Finished
            | Self::Shutdown
            | Self::Released
            | Self::Dismissed
            | Self::Fault(_)
            | Self::Undecodable(_)
            | Self::Banned
            | Self::Guesses
            | Self::Panicked
            | Self::Transport(_) => Speaker::Pool,
        }
    }

    /// Whether it came of bytes that cannot be decoded.
    pub(crate) fn is_undecodable(&self) -> bool {
        match self {
            Self::Undecodable(_)
            | Self::Transport(
                TransportError::FrameTooLong { .. }
                | TransportError::LineTooLong { .. }
                | TransportError::Open(_),
            ) => true,
            Self::Closed
            | Self::Finished
            | Self::Shutdown
            | Self::Released
            | Self::Dismissed
            | Self::Fault(_)
            | Self::Banned
            | Self::Guesses
            | Self::Panicked
            | Self::Transport(
                TransportError::Io(_)
                | TransportError::Seal(_)
                | TransportError::SlowReader { .. }
                | TransportError::Undrained,
            ) => false,
        }
    }
}

impl Wire {
    pub(crate) fn sv1(stream: LineStream, rules: Arc<PoolRules>, work: Arc<PoolWork>) -> Self {
        let id = SessionId::new(random_bytes());
        let session = Sv1Session::new(rules, work, Instant::now()).resumable(id);
        Self::Sv1(Box::new((stream, session)))
    }

    pub(crate) fn sv2(stream: FrameStream, rules: Arc<PoolRules>, work: Arc<PoolWork>) -> Self {
        let session = Sv2Session::new(rules, work, Instant::now());
        Self::Sv2(Box::new((stream, session)))
    }

    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::Sv1(_) => Protocol::Sv1,
            Self::Sv2(_) => Protocol::Sv2,
        }
    }

    /// The channels of the connection.
    pub(crate) fn channels(&self) -> impl Iterator<Item = &Channel> {
        let (one, more) = match self {
            Self::Sv1(wire) => (wire.1.channel(), None),
            Self::Sv2(wire) => (None, Some(wire.1.channels())),
        };
        one.into_iter().chain(more.into_iter().flatten())
    }

    pub(crate) fn encryption(&self) -> Encryption {
        match self {
            Self::Sv1(wire) if wire.0.socket().is_tls() => Encryption::Tls,
            Self::Sv2(wire) if wire.0.is_sealed() => Encryption::Noise,
            Self::Sv1(_) | Self::Sv2(_) => Encryption::None,
        }
    }

    pub(crate) fn wants_prefix(&self) -> bool {
        match self {
            Self::Sv1(wire) => wire.1.wants_prefix(),
            Self::Sv2(wire) => wire.1.wants_prefix(),
        }
    }

    pub(crate) fn add_prefix(&mut self, prefix: ExtranoncePrefix) {
        match self {
            Self::Sv1(wire) => wire.1.add_prefix(prefix),
            Self::Sv2(wire) => wire.1.add_prefix(prefix),
        }
    }

    /// Reads, and writes what is queued meanwhile.
    pub(crate) fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Filled, TransportError>> {
        match self {
            Self::Sv1(wire) => wire.0.poll_fill(context),
            Self::Sv2(wire) => wire.0.poll_fill(context),
        }
    }

    /// Writes what is queued.
    pub(crate) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        match self {
            Self::Sv1(wire) => wire.0.poll_flush(context),
            Self::Sv2(wire) => wire.0.poll_flush(context),
        }
    }

    /// Whether something is queued that is not written.
    pub(crate) fn wants_flush(&self) -> bool {
        match self {
            Self::Sv1(wire) => wire.0.wants_flush(),
            Self::Sv2(wire) => wire.0.wants_flush(),
        }
    }

    /// Gives the session one message that has arrived, and tells what it cost; `None` when there is
    /// none.
    pub(crate) fn handle_message(
        &mut self,
        now: Instant,
        tap: &mut Tap,
    ) -> Result<Option<Cost>, End> {
        match self {
            Self::Sv1(wire) => {
                let (stream, session) = &mut **wire;
                match stream.next_line() {
                    Ok(Some(line)) => {
                        tap.note(Speaker::Client, line);
                        let cost = Cost::MESSAGE.with_len(line.len());
                        session.handle_line(now, line)?;
                        Ok(Some(cost))
                    }
                    Ok(None) => Ok(None),
                    Err(TransportError::LineTooLong { limit }) => {
                        Err(session.handle_too_long(limit).into())
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Self::Sv2(wire) => {
                let (stream, session) = &mut **wire;
                let Some(bytes) = stream.next_frame()? else {
                    return Ok(None);
                };
                tap.note(Speaker::Client, bytes);
                let (frame, _) = Frame::split(bytes).expect("the stream gives whole frames");
                let cost = cost(frame).with_len(bytes.len());
                session.handle_frame(now, frame)?;
                Ok(Some(cost))
            }
        }
    }

    /// The session that a client wants to go on with; to be answered before its next message.
    pub(crate) fn wants_session(&self) -> Option<SessionId> {
        match self {
            Self::Sv1(wire) => wire.1.wants_session(),
            Self::Sv2(_) => None,
        }
    }

    pub(crate) fn handle_session(&mut self, now: Instant, parked: Option<Box<ParkedSession>>) {
        match self {
            Self::Sv1(wire) => wire.1.handle_session(now, parked.map(|parked| *parked)),
            Self::Sv2(_) => {}
        }
    }

    pub(crate) fn handle_work(&mut self, now: Instant, work: &Arc<PoolWork>) {
        match self {
            Self::Sv1(wire) => wire.1.handle_work(now, work),
            Self::Sv2(wire) => wire.1.handle_work(now, work),
        }
    }

    pub(crate) fn handle_past(&mut self, now: Instant, seat: ChannelId, past: Option<Box<Past>>) {
        match self {
            Self::Sv1(wire) => wire.1.handle_past(now, seat, past),
            Self::Sv2(wire) => wire.1.handle_past(now, seat, past),
        }
    }

    /// Says something to the person behind the miner, where the protocol can.
    pub(crate) fn handle_notice(&mut self, text: &str) {
        match self {
            Self::Sv1(wire) => wire.1.handle_notice(text),
            Self::Sv2(_) => {}
        }
    }

    pub(crate) fn handle_committed(&mut self, sequence: u64) {
        match self {
            Self::Sv1(wire) => wire.1.handle_committed(sequence),
            Self::Sv2(wire) => wire.1.handle_committed(sequence),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), End> {
        match self {
            Self::Sv1(wire) => wire.1.handle_timeout(now)?,
            Self::Sv2(wire) => wire.1.handle_timeout(now)?,
        }
        Ok(())
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Sv1(wire) => wire.1.poll_timeout(),
            Self::Sv2(wire) => wire.1.poll_timeout(),
        }
    }

    /// Whether the session has more to say at `now`, which [`Self::send_some`] brings forth.
    pub(crate) fn has_more(&self, now: Instant) -> bool {
        match self {
            Self::Sv1(_) => false,
            Self::Sv2(wire) => wire.1.has_more(now),
        }
    }

    pub(crate) fn send_some(&mut self, now: Instant) {
        match self {
            Self::Sv1(_) => {}
            Self::Sv2(wire) => wire.1.send_some(now),
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<SessionEvent> {
        match self {
            Self::Sv1(wire) => wire.1.poll_event(),
            Self::Sv2(wire) => wire.1.poll_event(),
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Self::Sv1(_) => false,
            Self::Sv2(wire) => wire.1.is_finished(),
        }
    }

    /// Asks the client to connect again, to `place` or where it has dialled, if it is known to bear that.
    pub(crate) fn reconnect(&mut self, place: Option<&Endpoint>) {
        if let Self::Sv2(wire) = self {
            let (host, port) = place.map_or(("", 0), |place| (place.host(), place.port()));
            let host = Str255::new(host).expect("an endpoint's host has 253 bytes at most");
            wire.1.reconnect(host, port);
        }
    }

    /// Closes the channel of a seat, if it is a channel's, nobody else has a seat on it, and its client is known
    /// to bear that. False if not.
    pub(crate) fn close_seat(&mut self, now: Instant, seat: ChannelId) -> bool {
        match self {
            Self::Sv1(_) => false,
            Self::Sv2(wire) => {
                let is_shared = wire.1.names_workers(seat);
                let why = codes::CLOSED_BY_OPERATOR;
                !is_shared && wire.1.close_channel(now, seat, why).is_ok()
            }
        }
    }

    pub(crate) fn handle_closed(&mut self, now: Instant) {
        match self {
            Self::Sv1(wire) => wire.1.handle_closed(now),
            Self::Sv2(wire) => wire.1.handle_closed(now),
        }
    }

    /// Moves what the session has to say into the socket's queue.
    pub(crate) fn queue_output(&mut self, tap: &mut Tap) -> Result<(), TransportError> {
        let mut queued = Ok(());
        match self {
            Self::Sv1(wire) => {
                let (stream, session) = &mut **wire;
                session.drain_output(|lines| {
                    tap.note(Speaker::Pool, lines);
                    queued = stream.queue_lines(lines);
                });
            }
            Self::Sv2(wire) => {
                let (stream, session) = &mut **wire;
                session.drain_output(|frame| {
                    if queued.is_ok() {
                        tap.note(Speaker::Pool, frame);
                        queued = stream.queue_frame(frame);
                    }
                });
            }
        }
        queued
    }

    /// Writes what is queued, and closes.
    pub(crate) async fn shutdown(self, deadline: Duration) {
        match self {
            Self::Sv1(wire) => wire.0.shutdown(deadline).await,
            Self::Sv2(wire) => wire.0.shutdown(deadline).await,
        }
    }
}

fn cost(frame: Frame<'_>) -> Cost {
    const OPEN_STANDARD: u8 = OpenStandardMiningChannel::INFO.message_type;
    const OPEN_EXTENDED: u8 = OpenExtendedMiningChannel::INFO.message_type;
    const UPDATE: u8 = UpdateChannel::INFO.message_type;
    match frame.header().message_type() {
        OPEN_STANDARD | OPEN_EXTENDED => Cost::OPEN,
        UPDATE => Cost::UPDATE,
        _ => Cost::MESSAGE,
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sv1(wire) if wire.0.socket().is_tls() => "SV1 in TLS",
            Self::Sv1(_) => "SV1",
            Self::Sv2(wire) if wire.0.is_sealed() => "SV2",
            Self::Sv2(_) => "SV2 without encryption",
        })
    }
}
