//! A connection of a Stratum V2 miner or proxy (spec §5).
//!
//! Standard and extended channels, many on one connection; those of a group are addressed together.
//! Not here yet: custom jobs; what asks for them is refused.

mod acks;
mod bearing;
mod demands;
mod extensions;
mod groups;
mod jobs;
mod open;
mod round;
mod seats;
mod setup;
mod submit;
mod workers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use headframe_channels::{Channel, ChannelId, ExtranoncePrefix, Past};
use headframe_sv2_wire::mining::MiningMessage;
use headframe_sv2_wire::{DecodeError, Frame, Incoming};

use self::acks::Acks;
pub use self::demands::NotClosed;
use self::extensions::{Extensions, MAX_REQUESTS};
use self::groups::Groups;
use self::open::Opened;
use self::round::Round;
use self::seats::Seats;
use self::setup::Setup;
use self::workers::Workers;
use super::desk::Desk;
use super::{PoolRules, PoolWork, SessionEvent};

/// A client that is connected says who it is within this time.
const SETUP_WITHIN: Duration = Duration::from_secs(10);
/// A client that is set up has a channel within this time; a proxy may have to wait for its first
/// miner (MP-32).
const CHANNEL_WITHIN: Duration = Duration::from_secs(120);

/// The id of a connection's first channel.
const FIRST_ID: u32 = 1;

/// Channels to which their jobs go right behind the tip, in one piece with it.
const FEW_CHANNELS: usize = 4;

/// The server's end of a Stratum V2 mining connection.
#[derive(Debug)]
pub struct Sv2Session {
    desk: Desk,
    /// What the client said of itself; `None` until it did.
    setup: Option<Setup>,
    seats: Seats,
    groups: Groups,
    extensions: Extensions,
    workers: Workers,
    /// The id of the next channel or group: they share one space (MP-16), and none is used twice
    /// (MP-15).
    next_id: u32,
    /// Channels opened since the tip changed.
    opened_on_tip: u32,
    /// The jobs of the pool's present work go out.
    jobs: Round,
    /// The next tip's jobs are sent ahead.
    staging: Round,
    acks: Acks,
    output: Vec<u8>,
    /// A channel that is open and whose client does not know it yet.
    opening: Option<Opened>,
    /// When a client without a channel is sent away.
    patience: Option<Instant>,
    is_finished: bool,
}

/// Why a connection has to end. The client's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Sv2Fault {
    /// Bytes that are no message.
    #[error("sent a message that cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
    /// Something before `SetupConnection` (FR-20).
    #[error("sent {0} before SetupConnection")]
    NotSetUp(&'static str),
    /// `SetupConnection` twice (FR-21).
    #[error("sent SetupConnection twice")]
    SetUpTwice,
    /// A message of another subprotocol, or one that only servers send (FR-59).
    #[error("sent {0}, which is not for a mining server")]
    Misplaced(&'static str),
    /// It went on without an extension that the pool requires (EX-27).
    #[error("did not agree on extension 0x0002, which this pool requires")]
    LacksExtension,
    /// More requests for extensions than any client needs.
    #[error("asked for extensions more than {MAX_REQUESTS} times")]
    TooManyRequests,
    /// The client did not introduce itself.
    #[error("sent no SetupConnection within {} s", SETUP_WITHIN.as_secs())]
    SilentAtSetup,
    /// The client opened no channel.
    #[error("opened no channel within {} s", CHANNEL_WITHIN.as_secs())]
    NoChannel,
}

impl Sv2Session {
    /// A session for a client that connected at `now`.
    pub fn new(rules: Arc<PoolRules>, work: Arc<PoolWork>, now: Instant) -> Self {
        Self {
            desk: Desk::new(rules, work),
            setup: None,
            seats: Seats::new(now),
            groups: Groups::default(),
            extensions: Extensions::default(),
            workers: Workers::default(),
            next_id: FIRST_ID,
            opened_on_tip: 0,
            jobs: Round::NONE,
            staging: Round::NONE,
            acks: Acks::default(),
            output: Vec::new(),
            opening: None,
            patience: Some(now + SETUP_WITHIN),
            is_finished: false,
        }
    }

    /// The channels of the connection.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.seats.values().map(|seat| &seat.channel)
    }

    /// Whether the session needs a prefix from the hub before it takes the next message.
    pub fn wants_prefix(&self) -> bool {
        self.desk.wants_prefix()
    }

    /// Gives the session a prefix for its next channel.
    pub fn add_prefix(&mut self, prefix: ExtranoncePrefix) {
        self.desk.add_prefix(prefix);
    }

    /// Takes a message.
    ///
    /// # Errors
    ///
    /// When the connection has to end. What is to be written before that is in the output.
    pub fn handle_frame(&mut self, now: Instant, frame: Frame<'_>) -> Result<(), Sv2Fault> {
        self.answer_opening();
        if self.is_finished {
            return Ok(());
        }
        match Incoming::<MiningMessage<'_>>::decode(frame)? {
            Incoming::Common(message) => self.handle_common(now, &message),
            Incoming::Protocol(message) if self.setup.is_none() => {
                Err(Sv2Fault::NotSetUp(message.info().name))
            }
            Incoming::Protocol(message) if self.lacks_extension() => {
                Err(self.refuse_unextended(&message))
            }
            Incoming::Protocol(message) => self.handle_mining(now, &message),
            Incoming::Misplaced(_, info) => Err(Sv2Fault::Misplaced(info.name)),
            Incoming::Extensions(message) if self.setup.is_some() => {
                self.handle_extensions(now, &message)
            }
            Incoming::Extensions(_)
            | Incoming::UnknownMessage(_)
            | Incoming::UnknownExtension(_) => match self.setup {
                // What is not known is not answered (FR-57, FR-58).
                Some(_) => Ok(()),
                None => Err(Sv2Fault::NotSetUp("an extension's message")),
            },
        }
    }

    /// The pool has other work. What the session has already is not sent again.
    ///
    /// A tip goes to all channels at once, and so do the jobs of few. Those of many follow, in
    /// [`Self::handle_timeout`].
    pub fn handle_work(&mut self, now: Instant, work: &Arc<PoolWork>) {
        self.answer_opening();
        let tip = self.desk.work.tip();
        if self.is_finished || !self.desk.handle_work(work) {
            return;
        }
        if work.tip() != tip {
            self.opened_on_tip = 0;
            self.begin_tip(now);
        }
        self.jobs = Round::NONE;
        // Who does not hold what a tip is begun with waits for the full job, if that follows at once.
        if !work.is_start() || work.is_ahead() {
            self.jobs.plan(now);
            self.plan_staging(now);
            if self.seats.len() <= FEW_CHANNELS {
                self.send_pool_jobs(now);
            }
        }
    }

    /// This is known of the miner of a channel that was just opened, or nothing is. The answer to its
    /// opening waits for this, so that its first target is the right one, but not longer than until
    /// the session is given anything else or its output is taken.
    pub fn handle_past(&mut self, now: Instant, seat: ChannelId, past: Option<Box<Past>>) {
        if let (Some(resumed), Some(past)) = (self.seats.get_mut(seat), past) {
            resumed.control.handle_past(now, past);
            self.seats.look_by(seat, &self.desk.work);
        }
        if self.opening.is_some_and(|opened| opened.seat == seat) {
            self.answer_opening();
        }
    }

    /// The ledger has committed all shares up to number `sequence`.
    pub fn handle_committed(&mut self, sequence: u64) {
        if self.is_finished {
            return;
        }
        self.acks.release(sequence, &mut self.output);
    }

    /// Does what is due at `now`.
    ///
    /// # Errors
    ///
    /// When the client has been silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Sv2Fault> {
        self.answer_opening();
        if self.is_finished {
            return Ok(());
        }
        if self.patience.is_some_and(|end| now >= end) {
            self.is_finished = true;
            return Err(match self.setup {
                Some(_) if self.lacks_extension() => Sv2Fault::LacksExtension,
                Some(_) => Sv2Fault::NoChannel,
                None => Sv2Fault::SilentAtSetup,
            });
        }
        let overdue = self.acks.release_overdue(now, &mut self.output);
        self.tell_not_durable(overdue);
        if self.seats.next_look().is_some_and(|at| now >= at) {
            self.look_at_seats(now);
        }
        self.send_some(now);
        Ok(())
    }

    /// Whether channels wait for jobs that are due. The others follow with [`Self::send_some`], or one by
    /// one with [`Self::handle_timeout`], of which it is a part.
    pub fn has_more(&self, now: Instant) -> bool {
        self.jobs.is_due(now) || self.staging.is_due(now)
    }

    /// Gives some of the channels that wait for jobs theirs.
    pub fn send_some(&mut self, now: Instant) {
        self.answer_opening();
        if self.jobs.is_due(now) {
            self.send_pool_jobs(now);
        } else if self.staging.is_due(now) {
            self.stage_jobs();
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_finished {
            return None;
        }
        [
            self.seats.next_look(),
            self.jobs.due(),
            self.staging.due(),
            self.patience,
            self.acks.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next thing that the pool is to know.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.desk.poll_event()
    }

    /// Hands out the frames that are to be sent, header and payload, in order.
    pub fn drain_output(&mut self, mut send: impl FnMut(&[u8])) {
        self.answer_opening();
        // Its memory is freed with it, and that of the events: a client that is told nothing holds none.
        let output = core::mem::take(&mut self.output);
        self.desk.release();
        let mut rest = output.as_slice();
        while let Some((frame, after)) = Frame::split(rest) {
            send(&rest[..rest.len() - after.len()]);
            debug_assert_eq!(frame.header().payload_len(), frame.payload().len());
            rest = after;
        }
    }

    /// Whether the connection is to be closed once the output is written.
    pub fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// The connection is gone: every prefix goes back, every seat is empty.
    pub fn handle_closed(&mut self, now: Instant) {
        self.opening = None;
        let seats: Vec<ChannelId> = self.seats.keys().collect();
        for id in seats {
            self.leave(now, id);
        }
        if let Some(prefix) = self.desk.take_prefix() {
            self.desk.tell(SessionEvent::PrefixReturned(prefix));
        }
    }

    fn handle_mining(&mut self, now: Instant, message: &MiningMessage<'_>) -> Result<(), Sv2Fault> {
        match message {
            MiningMessage::OpenStandardMiningChannel(open) => self.handle_open_standard(now, open),
            MiningMessage::OpenExtendedMiningChannel(open) => self.handle_open_extended(now, open),
            MiningMessage::UpdateChannel(update) => self.handle_update(now, update),
            MiningMessage::CloseChannel(close) => {
                self.handle_close(now, ChannelId::new(close.channel_id));
            }
            MiningMessage::SubmitSharesStandard(submit) => {
                self.handle_submit(now, &submit::Submitted::standard(submit));
            }
            MiningMessage::SubmitSharesExtended(submit) => {
                self.handle_submit(now, &submit::Submitted::extended(submit));
            }
            MiningMessage::SetCustomMiningJob(job) => self.refuse_custom_job(job),
            server_message => return Err(Sv2Fault::Misplaced(server_message.info().name)),
        }
        Ok(())
    }

    /// Does what is due for channels.
    fn look_at_seats(&mut self, now: Instant) {
        let due = self.seats.due(now);
        for id in &due {
            if let Some(seat) = self.seats.get_mut(*id) {
                seat.handle_timeout(now);
                if let Some(learnt) = seat.learnt(now) {
                    self.desk.tell(learnt);
                }
            }
        }
        self.send_own_jobs(now, &due);
        self.seats.rest(now, &due, &self.desk.work);
    }

    fn tell_not_durable(&mut self, shares: impl Iterator<Item = (ChannelId, u32)>) {
        for (seat, shares) in shares {
            self.desk.tell(SessionEvent::NotDurable { seat, shares });
        }
    }

    fn has_had_channels(&self) -> bool {
        self.next_id > FIRST_ID
    }

    /// An id that was never used; whoever opens a channel has checked that there is one.
    fn next_id(&mut self) -> ChannelId {
        let id = ChannelId::new(self.next_id);
        self.next_id += 1;
        id
    }

    fn leave(&mut self, now: Instant, id: ChannelId) {
        let Some(seat) = self.seats.remove(id) else {
            return;
        };
        if let Some(farewell) = seat.farewell(now) {
            self.desk.tell(farewell);
        }
        self.acks.forget(id);
        self.groups.leave(id);
        self.workers.leave(&mut self.desk, id);
        let prefix = seat.channel.prefix();
        self.desk.tell(SessionEvent::PrefixReturned(prefix));
    }
}
