//! A connection of a Stratum V2 miner or proxy (spec §5).
//!
//! Standard and extended channels, many on one connection, each addressed by its own id. Not here
//! yet: messages to groups, extensions, custom jobs; what asks for them is refused or ignored as
//! the specification says.

mod acks;
mod jobs;
mod open;
mod setup;
mod submit;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headframe_channels::{Channel, ChannelId, ExtranoncePrefix};
use headframe_sv2_wire::mining::MiningMessage;
use headframe_sv2_wire::{DecodeError, Frame, Incoming};
use headframe_work::Payout;

use self::acks::Acks;
use self::setup::Setup;
use super::desk::Desk;
use super::seat::Seat;
use super::{PoolRules, PoolWork, SessionEvent};

/// A client that is connected says who it is within this time.
const SETUP_WITHIN: Duration = Duration::from_secs(10);
/// A client that is set up has a channel within this time; a proxy may have to wait for its first
/// miner (MP-32).
const CHANNEL_WITHIN: Duration = Duration::from_secs(120);

/// A time that no connection sees: the timer where there is nothing to look at.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The server's end of a Stratum V2 mining connection.
#[derive(Debug)]
pub struct Sv2Session {
    desk: Desk,
    /// What the client said of itself; `None` until it did.
    setup: Option<Setup>,
    seats: BTreeMap<ChannelId, Seat>,
    groups: HashMap<GroupKind, Group>,
    /// The id of the next channel or group: they share one space (MP-16), and none is used twice
    /// (MP-15).
    next_id: u32,
    /// Channels opened since the tip changed.
    opened_on_tip: u32,
    /// No seat is to be looked at before this time.
    look_at: Instant,
    acks: Acks,
    output: Vec<u8>,
    /// When a client without a channel is sent away.
    patience: Option<Instant>,
    is_finished: bool,
}

/// Channels that could share a job.
#[derive(Debug)]
struct Group {
    id: ChannelId,
    members: BTreeSet<ChannelId>,
}

/// What the channels of a group have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
struct GroupKind {
    extranonce_len: usize,
    payout: Payout,
}

impl GroupKind {
    fn of(channel: &Channel) -> Self {
        Self {
            extranonce_len: channel.extranonce_len(),
            payout: channel.payout().clone(),
        }
    }
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
            seats: BTreeMap::new(),
            groups: HashMap::new(),
            next_id: 1,
            opened_on_tip: 0,
            look_at: now + NEVER,
            acks: Acks::default(),
            output: Vec::new(),
            patience: Some(now + SETUP_WITHIN),
            is_finished: false,
        }
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
        if self.is_finished {
            return Ok(());
        }
        match Incoming::<MiningMessage<'_>>::decode(frame)? {
            Incoming::Common(message) => self.handle_common(now, &message),
            Incoming::Protocol(message) if self.setup.is_none() => {
                Err(Sv2Fault::NotSetUp(message.info().name))
            }
            Incoming::Protocol(message) => self.handle_mining(now, &message),
            Incoming::Misplaced(_, info) => Err(Sv2Fault::Misplaced(info.name)),
            Incoming::Extensions(_)
            | Incoming::UnknownMessage(_)
            | Incoming::UnknownExtension(_) => match self.setup {
                // An extension that is not served is not answered (EX-30, FR-57, FR-58).
                Some(_) => Ok(()),
                None => Err(Sv2Fault::NotSetUp("an extension's message")),
            },
        }
    }

    /// The pool has other work. What the session has already is not sent again.
    pub fn handle_work(&mut self, now: Instant, work: &Arc<PoolWork>) {
        let tip = self.desk.work.tip();
        if !self.desk.handle_work(work) {
            return;
        }
        if work.tip() != tip {
            self.opened_on_tip = 0;
        }
        let seats: Vec<ChannelId> = self.seats.keys().copied().collect();
        for id in seats {
            self.send_pool_job(now, id);
        }
    }

    /// The ledger has committed all shares up to number `sequence`.
    pub fn handle_committed(&mut self, sequence: u64) {
        self.acks.release(sequence, &mut self.output);
    }

    /// Does what is due at `now`.
    ///
    /// # Errors
    ///
    /// When the client has been silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Sv2Fault> {
        if self.patience.is_some_and(|end| now >= end) {
            self.is_finished = true;
            return Err(match self.setup {
                Some(_) => Sv2Fault::NoChannel,
                None => Sv2Fault::SilentAtSetup,
            });
        }
        let overdue = self.acks.release_overdue(now, &mut self.output);
        self.tell_not_durable(overdue);
        if now >= self.look_at {
            self.look_at_seats(now);
        }
        Ok(())
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_finished {
            return None;
        }
        let seats = (!self.seats.is_empty()).then_some(self.look_at);
        [seats, self.patience, self.acks.next_deadline()]
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
        let mut rest = self.output.as_slice();
        while let Some((frame, after)) = Frame::split(rest) {
            send(&rest[..rest.len() - after.len()]);
            debug_assert_eq!(frame.header().payload_len(), frame.payload().len());
            rest = after;
        }
        self.output.clear();
    }

    /// Whether the connection is to be closed once the output is written.
    pub fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// The connection is gone: every prefix goes back, every seat is empty.
    pub fn handle_closed(&mut self) {
        let seats: Vec<ChannelId> = self.seats.keys().copied().collect();
        for id in seats {
            self.leave(id);
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

    /// What is due for the channels. Looking at all of them is left until one is due, since there may
    /// be thousands.
    fn look_at_seats(&mut self, now: Instant) {
        for seat in self.seats.values_mut() {
            seat.handle_timeout(now);
        }
        self.send_own_jobs(now);
        let work = &self.desk.work;
        let seats = self.seats.values().map(|seat| seat.poll_timeout(work));
        self.look_at = seats.min().unwrap_or(now + NEVER);
    }

    fn tell_not_durable(&mut self, shares: impl Iterator<Item = (ChannelId, u32)>) {
        for (seat, shares) in shares {
            self.desk.tell(SessionEvent::NotDurable { seat, shares });
        }
    }

    /// An id that was never used; whoever opens a channel has checked that there is one.
    fn next_id(&mut self) -> ChannelId {
        let id = ChannelId::new(self.next_id);
        self.next_id += 1;
        id
    }

    fn leave(&mut self, id: ChannelId) {
        let Some(seat) = self.seats.remove(&id) else {
            return;
        };
        self.acks.forget(id);
        let kind = GroupKind::of(&seat.channel);
        if let Some(group) = self.groups.get_mut(&kind) {
            group.members.remove(&id);
            if group.members.is_empty() {
                self.groups.remove(&kind);
            }
        }
        self.desk.tell(SessionEvent::Left { seat: id });
        let prefix = seat.channel.prefix();
        self.desk.tell(SessionEvent::PrefixReturned(prefix));
    }
}
