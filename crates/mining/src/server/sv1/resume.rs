//! A session that goes on over another connection: its jobs and the shares that were found on
//! them.
//!
//! A client is told an id when it subscribes, and names it when it subscribes over its next connection.
//! What was parked under it is its again if the connection before has ended, and if the same address
//! is authorized; else the client gets new work. The id stays that of the session, so that a client
//! whose next connection is lost before it has read anything can still name it. Difficulty does not
//! move along: the pool remembers that by user name.

use core::fmt;
use std::time::Instant;

use bitcoin::BlockHash;
use bitcoin::hex::{DisplayHex, FromHex};
use headframe_channels::{Channel, ExtranoncePrefix, MemoryBudget};
use headframe_sv1_wire::{Id, Subscribe};
use headframe_work::Payout;

use super::Sv1Session;
use crate::server::SessionEvent;
use crate::server::parking::KEPT_FOR;

/// Shares that a parked session may remember: a session that has more, which no device finds within
/// the life of its jobs, is not parked, so that all that are parked take no more than some 160 MB.
const MOST_SHARES: usize = 4_096;

/// Names a session: random, so that nobody but who was told it knows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// An id of random bytes.
    pub const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// The id in the form in which a client is told it; `None` for whatever else clients send.
    fn parse(text: &str) -> Option<Self> {
        <[u8; 16]>::from_hex(text).ok().map(Self)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0.as_hex())
    }
}

impl fmt::Debug for SessionId {
    /// Who reads it in a log could go on with the session.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(hidden)")
    }
}

/// What is left of a session when its connection has ended.
#[derive(Debug)]
pub struct ParkedSession {
    id: SessionId,
    channel: Channel,
    budget: MemoryBudget,
}

impl ParkedSession {
    /// The id under which it is asked for.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Its prefix, which is not to be given to anybody else as long as it may be resumed.
    pub fn prefix(&self) -> ExtranoncePrefix {
        self.channel.prefix()
    }

    /// Whether it has jobs of which a share may come. Their templates are held as long as it is kept, so
    /// that a client which asks for it again and again, and never stays for work, does not keep it.
    fn has_work(&self, now: Instant) -> bool {
        let newest = self.channel.newest_job();
        newest.is_some_and(|job| now.saturating_duration_since(job.sent()) < KEPT_FOR)
    }
}

/// How far a client has come with the session that it wants to go on with.
#[derive(Debug)]
pub(super) enum Resumption {
    /// It subscribed with the id, and is not answered yet.
    Asked { request: Id<'static>, id: SessionId },
    /// It was told the old extranonce; whether the address is the same is not known yet.
    Found(ParkedSession),
}

impl Sv1Session {
    /// Lets the client come back to this session under `id`, and go on with another one. Without it a
    /// session ends with its connection.
    #[must_use]
    pub fn resumable(mut self, id: SessionId) -> Self {
        self.id = Some(id);
        self
    }

    /// The session that the client wants to go on with. To be answered by [`Self::handle_session`]
    /// before the next line is taken.
    pub fn wants_session(&self) -> Option<SessionId> {
        match self.resumption.as_deref() {
            Some(Resumption::Asked { id, .. }) => Some(*id),
            Some(Resumption::Found(_)) | None => None,
        }
    }

    /// The session that the client wants to go on with, if it is parked.
    pub fn handle_session(&mut self, now: Instant, parked: Option<ParkedSession>) {
        let is_asked = |it: &mut Box<Resumption>| matches!(**it, Resumption::Asked { .. });
        let asked = self.resumption.take_if(is_asked).map(|it| *it);
        let Some(Resumption::Asked { request, .. }) = asked else {
            return;
        };
        if let Some(parked) = parked {
            self.id = Some(parked.id());
            (self.prefix, self.is_prefix_worn) = (Some(parked.prefix()), true);
            if let Some(spare) = self.desk.take_prefix() {
                self.desk.tell(SessionEvent::PrefixReturned(spare));
            }
            self.resumption = Some(Box::new(Resumption::Found(parked)));
        }
        self.answer_subscribe(now, request);
    }

    /// Whether the client names a session, whose answer is to be waited for.
    pub(super) fn asks_to_resume(&mut self, request: &Id<'_>, subscribe: &Subscribe<'_>) -> bool {
        let is_first = !self.is_subscribed && self.prefix.is_none() && self.id.is_some();
        let wanted = subscribe.session_id.as_deref().and_then(SessionId::parse);
        let Some(id) = wanted.filter(|_| is_first) else {
            return false;
        };
        let request = request.clone().into_owned();
        self.resumption = Some(Box::new(Resumption::Asked { request, id }));
        true
    }

    /// The channel of the resumed session, if it pays `payout`.
    pub(super) fn take_resumed(&mut self, payout: &Payout) -> Option<Channel> {
        let Resumption::Found(mut parked) = *self.resumption.take()? else {
            return None;
        };
        if parked.channel.payout() != payout {
            return None;
        }
        retire_unless_on(self.desk.work.tip(), &mut parked.channel);
        self.desk.budget = parked.budget;
        Some(parked.channel)
    }

    /// The pool has other work, and the client gets none yet: what it resumed may have become stale.
    pub(super) fn retire_resumed(&mut self) {
        if let Some(seat) = &mut self.seat {
            retire_unless_on(self.desk.work.tip(), &mut seat.channel);
        }
    }

    /// Leaves the session for whoever comes back to it; `false` where there is nothing to come back to.
    pub(super) fn park(&mut self, now: Instant) -> bool {
        let parked = self.unclaimed().or_else(|| self.parked());
        let parked = parked.filter(|parked| parked.has_work(now));
        let is_parked = parked.is_some();
        if let Some(parked) = parked {
            self.desk.tell(SessionEvent::Parked(Box::new(parked)));
        }
        is_parked
    }

    /// The session that the client named, if it left before it said who it is.
    fn unclaimed(&mut self) -> Option<ParkedSession> {
        match *self.resumption.take()? {
            Resumption::Found(parked) => Some(parked),
            Resumption::Asked { .. } => None,
        }
    }

    /// The client's own session.
    fn parked(&mut self) -> Option<ParkedSession> {
        let is_small = self.desk.budget.remembered() <= MOST_SHARES;
        let id = self.id.filter(|_| is_small)?;
        let seat = self.seat.take()?;
        Some(ParkedSession {
            id,
            channel: seat.channel,
            budget: self.desk.budget.clone(),
        })
    }
}

fn retire_unless_on(tip: BlockHash, channel: &mut Channel) {
    if channel.newest_job().is_some_and(|job| job.tip() != tip) {
        channel.retire_jobs();
    }
}
