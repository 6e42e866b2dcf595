//! One connection: the only task that reads its socket and owns its session.

use std::collections::HashSet;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use headframe_channels::{ChannelId, ChannelKind};
use headframe_ledger::{ClientKind, Sighting, Text, WorkerId};
use headframe_mining::server::{
    FoundBlock, Joined, LongCoinbase, PoolRules, PoolWork, Protocol, REPLY_WITHIN, SessionEvent,
};
use headframe_transport::{Endpoint, Filled, SHUTDOWN_DEADLINE, TransportError};
use headframe_work::UnixTime;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::yield_now;
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::alarm::Alarm;
use crate::bell::{Bells, Call, HungBell};
use crate::blocks::{Found, FoundSender};
use crate::clock::wall_clock;
use crate::dues::{Creditors, Dues};
use crate::hold::Service;
use crate::hush::Hush;
use crate::ledger::Entry;
use crate::limits::{Guest, Source, Visit};
use crate::news::{News, WarningNews};
use crate::panic::{Panicked, unless_panic};
use crate::proof::{Layouts, ProofDesk};
use crate::trace::{Tap, Tracer};
use crate::wire::{End, Wire};

/// The least time between two looks at a session's timers: one that named a time in the past for
/// ever would otherwise keep its task from the socket.
const TIMER_REST: Duration = Duration::from_millis(1);

/// How often a connection reads once more when the pool stops, as long as there is something.
const LAST_READS: u32 = 64;

/// How long it waits for that: what is on its way may be a block, and nobody sends it a second time.
const LAST_WAIT: Duration = Duration::from_millis(100);

/// What the connections of a listener have of the rest of the pool.
#[derive(Debug, Clone)]
pub(crate) struct PoolLinks {
    /// Those of the listener by which it came.
    pub(crate) rules: Arc<PoolRules>,
    pub(crate) work: watch::Receiver<Arc<PoolWork>>,
    pub(crate) found: FoundSender,
    pub(crate) creditors: Arc<Creditors>,
    pub(crate) tracer: Arc<Tracer>,
    pub(crate) bells: Arc<Bells>,
    pub(crate) shutdown: CancellationToken,
    /// What becomes of miners while the node is away.
    pub(crate) service: watch::Receiver<Service>,
    /// Where clients that bear it are sent when the pool stops; `None`: where they are.
    pub(crate) move_to: Option<Endpoint>,
    /// Lines of the log about miners that come and go.
    pub(crate) arrivals: Arc<Hush>,
    /// Lines of the log about what clients do wrong.
    pub(crate) faults: Arc<Hush>,
    pub(crate) proofs: ProofDesk,
}

/// A connection. Thousands of them wait for most of the time, so what is seldom is boxed while it lasts
/// instead of having its room in each task.
pub(crate) struct Connection {
    peer: SocketAddr,
    wire: Wire,
    pool: Arc<PoolLinks>,
    bell: HungBell,
    dues: Dues,
    guest: Guest,
    tap: Tap,
    /// How the blocks of its channels pay.
    layouts: Layouts,
    /// The session's timers are not looked at before this time.
    timers_at: Instant,
    /// Its place among the pool's connections, for as long as it is there.
    _room: OwnedSemaphorePermit,
}

/// What woke a connection.
enum Wake {
    Call(Call),
    Filled(Filled),
    /// A time has come: a timer's, the board's, or that of a connection which sent too much.
    Due,
}

impl Connection {
    pub(crate) fn new(
        id: u64,
        peer: SocketAddr,
        visit: Visit,
        wire: Wire,
        pool: Arc<PoolLinks>,
        room: OwnedSemaphorePermit,
    ) -> Box<Self> {
        let bell = pool.bells.hang(id);
        // Who comes in usual times has nothing to hear of those before.
        if *pool.service.borrow() != Service::Usual {
            bell.ring(Call::Service);
        }
        Box::new(Self {
            dues: Dues::new(id, Arc::clone(&pool.creditors), Arc::clone(bell.bell())),
            guest: Guest::new(visit, pool.rules.difficulty.shares_per_minute),
            tap: Tap::new(Arc::clone(&pool.tracer), id, wire.protocol()),
            peer,
            wire,
            pool,
            bell,
            layouts: Layouts::NONE,
            timers_at: Instant::now(),
            _room: room,
        })
    }

    /// Serves the miner until one side ends it. What panics ends this connection alone.
    pub(crate) async fn run(mut self: Box<Self>) {
        let end = {
            let serving = pin!(self.serve());
            match unless_panic(serving).await {
                Ok(Ok(())) => End::Closed,
                Ok(Err(end)) => end,
                Err(Panicked) => End::Panicked,
            }
        };
        Box::pin(self.end(end)).await;
    }

    async fn end(mut self: Box<Self>, end: End) {
        self.bell.take_down();
        let closed = unless_panic(pin!(self.close(&end))).await;
        if closed == Err(Panicked) {
            self.dues.leave_all();
        }
        self.tell_end(&end);
        self.tap.end(end.by());
        self.wire.shutdown(SHUTDOWN_DEADLINE).await;
        self.dues.settle().await;
    }

    /// Ends the session, and takes what it still has to say.
    async fn close(&mut self, end: &End) {
        if !matches!(end, End::Transport(_) | End::Panicked) {
            self.acknowledge().await;
        }
        if end.is_undecodable() {
            self.guest.handle_undecodable();
        }
        self.warn();
        // A session that panicked may still hold a block.
        self.take_events(wall_clock()).await;
        self.wire.handle_closed(Instant::now());
        self.take_events(wall_clock()).await;
        self.tell_ban().await;
        let now = Instant::now();
        self.dues.offer(now);
        self.dues.tell(now);
        // Who is released has a pool of his own to go to, and whoever is sent away is not to come back.
        if matches!(end, End::Shutdown) {
            self.wire.reconnect(self.pool.move_to.as_ref());
        }
        // What was queued for the miner is written if it can be; an error is already what ends the
        // connection.
        let _ = self.wire.queue_output(&mut self.tap);
    }

    fn tell_end(&self, end: &End) {
        let (peer, faults) = (self.peer, &self.pool.faults);
        match end {
            End::Closed | End::Shutdown | End::Released | End::Dismissed => {
                tracing::debug!("{peer}: {end}");
            }
            End::Finished | End::Fault(_) | End::Undecodable(_) | End::Banned | End::Guesses => {
                faults.tell(format_args!("{peer} sent away: {end}"));
            }
            End::Transport(_) => faults.tell(format_args!("{peer} lost: {end}")),
            End::Panicked => tracing::error!("{peer} sent away: {end}; please report this fault"),
        }
    }

    /// Answers the shares whose answers wait for the ledger, as long as such an answer may take.
    async fn acknowledge(&mut self) {
        self.take_events(wall_clock()).await;
        self.dues.offer(Instant::now());
        let sequence = self.dues.sequence();
        let committed = self.bell.committed_to(sequence);
        if timeout(REPLY_WITHIN, committed).await.is_ok() {
            return self.wire.handle_committed(sequence);
        }
        // The session ends whatever it says to the time.
        let _ = self.wire.handle_timeout(Instant::now());
    }

    async fn serve(&mut self) -> Result<(), End> {
        let timer = pin!(Alarm::unset());
        let mut alarm = Alarm::new(timer);
        loop {
            if self.tap.is_outdated() {
                self.tap.look(|| self.dues.users().collect());
            }
            self.take_messages().await?;
            self.warn();
            self.settle().await?;
            if self.pool.proofs.wants(self.layouts) {
                self.pool.proofs.offer(&self.wire, &mut self.layouts);
            }
            if self.wire.is_finished() {
                return Err(End::Finished);
            }
            if self.guest.ban().is_some() {
                return Err(End::Banned);
            }
            if self.guest.guesses() {
                return Err(End::Guesses);
            }
            let wake = self.wake(&mut alarm).await?;
            match wake {
                Wake::Call(Call::Shutdown) => {
                    return Err(Box::pin(self.take_leave(End::Shutdown)).await);
                }
                Wake::Call(Call::Service) => {
                    let service = *self.pool.service.borrow();
                    self.wire.handle_notice(notice(service));
                    if service == Service::Released {
                        return Err(Box::pin(self.take_leave(End::Released)).await);
                    }
                }
                Wake::Call(Call::Close) => Box::pin(self.close_workers()).await?,
                Wake::Filled(Filled::Closed) => return Ok(()),
                Wake::Filled(Filled::Bytes) => {}
                Wake::Call(Call::Work) => {
                    let work = Arc::clone(&self.pool.work.borrow());
                    self.wire.handle_work(Instant::now(), &work);
                }
                Wake::Call(Call::Committed) => {
                    self.wire.handle_committed(self.bell.committed());
                }
                Wake::Due => self.handle_time(Instant::now())?,
            }
            if self.wire.has_more(Instant::now()) {
                Box::pin(self.send_some()).await?;
            }
        }
    }

    /// Gives some of very many channels the jobs that they wait for. The tip, which all of them have been
    /// told, is written before, and other connections come before, whose miners may not know it yet. Nor are
    /// there more jobs for a miner that has not taken those before: of thousands it may need seconds for them.
    async fn send_some(&mut self) -> Result<(), End> {
        self.settle().await?;
        match self.poll_now(Wire::poll_flush).await {
            Poll::Ready(written) => written?,
            Poll::Pending => return Ok(()),
        }
        self.bell.answer();
        yield_now().await;
        self.wire.send_some(Instant::now());
        Ok(())
    }

    fn handle_time(&mut self, now: Instant) -> Result<(), End> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.timers()) {
            self.timers_at = now + TIMER_REST;
            self.wire.handle_timeout(now)?;
        }
        if is_due(self.dues.tell_at()) {
            self.dues.tell(now);
        }
        Ok(())
    }

    /// When the session's timers are looked at next. They give jobs too, of which a miner that has not taken those
    /// before has enough.
    fn timers(&self) -> Option<Instant> {
        if self.wire.wants_flush() && self.wire.has_more(Instant::now()) {
            return None;
        }
        let timers = self.wire.poll_timeout();
        timers.map(|at| at.max(self.timers_at))
    }

    /// What is on its way when the pool stops, or sends its miners away, is still judged: it may be a
    /// block.
    async fn take_leave(&mut self, why: End) -> End {
        self.take_all(LAST_WAIT).await.err().unwrap_or(why)
    }

    /// Takes what arrives for so long, also of who is held. Only to look whether there is something misses what the system
    /// has and the runtime has not heard of.
    async fn take_all(&mut self, wait: Duration) -> Result<(), End> {
        self.guest.let_off();
        self.take_messages().await?;
        let end = tokio::time::Instant::now() + wait;
        for _ in 0..LAST_READS {
            let filled = poll_fn(|context| self.wire.poll_fill(context));
            let Ok(filled) = timeout_at(end, filled).await else {
                return Ok(());
            };
            if filled? == Filled::Closed {
                return Ok(());
            }
            self.take_messages().await?;
        }
        Ok(())
    }

    /// Closes those of this connection whom the operator wants closed: their channels where the client bears
    /// that, and the connection where nobody else is on it. What has arrived is judged and answered before.
    async fn close_workers(&mut self) -> Result<(), End> {
        for closing in self.bell.take_closings() {
            if !self.dues.users().any(|user| user == closing.user()) {
                continue;
            }
            // Others on this connection wait for their jobs meanwhile.
            self.take_all(Duration::ZERO).await?;
            self.guest.hold_again();
            self.acknowledge().await;
            let now = Instant::now();
            let seats = self.dues.seats_of(closing.user());
            let (closed, kept): (Vec<_>, Vec<_>) = seats
                .into_iter()
                .partition(|seat| self.wire.close_seat(now, *seat));
            closing.note_channels(closed.len());
            self.take_events(wall_clock()).await;
            let others = self.dues.users().filter(|user| *user != closing.user());
            let others: HashSet<_> = others.collect();
            match (kept.is_empty(), others.len()) {
                (true, _) => {}
                (false, 0) => {
                    closing.note_connection();
                    return Err(Box::pin(self.take_leave(End::Dismissed)).await);
                }
                (false, others) => closing.note_kept(others),
            }
        }
        Ok(())
    }

    /// Does something with the socket as far as that goes without waiting.
    async fn poll_now<T>(
        &mut self,
        poll: impl Fn(&mut Wire, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        poll_fn(|context| Poll::Ready(poll(&mut self.wire, context))).await
    }

    /// Waits for the next thing to do, or only looks for it while channels wait for jobs. New work comes
    /// before new shares.
    fn wake(&mut self, alarm: &mut Alarm<'_>) -> impl Future<Output = Result<Wake, End>> {
        let has_more = self.wire.has_more(Instant::now());
        // As they are now: when its time has come a connection is held no more, and is to be woken.
        let held_until = self.guest.held_until();
        let due = [self.timers(), self.dues.tell_at(), held_until];
        let due = due.into_iter().flatten().min();
        let is_held = held_until.is_some();
        poll_fn(move |context| {
            if let Poll::Ready(call) = self.bell.poll_call(context.waker()) {
                return Poll::Ready(Ok(Wake::Call(call)));
            }
            if alarm.poll(context, due).is_ready() {
                return Poll::Ready(Ok(Wake::Due));
            }
            let filled = self.poll_read(context, is_held)?;
            // With that is written what there was to say of work.
            self.bell.answer();
            if let Poll::Ready(filled) = filled {
                return Poll::Ready(Ok(Wake::Filled(filled)));
            }
            match has_more && !self.wire.wants_flush() {
                true => Poll::Ready(Ok(Wake::Due)),
                false => Poll::Pending,
            }
        })
    }

    /// Reads. A connection that is held is only written to.
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        is_held: bool,
    ) -> Poll<Result<Filled, TransportError>> {
        if is_held {
            let _ = self.wire.poll_flush(context)?;
            return Poll::Pending;
        }
        self.wire.poll_fill(context)
    }

    /// Gives the session every message that has arrived, unless the connection is held. They have come
    /// together, at one time.
    async fn take_messages(&mut self) -> Result<(), End> {
        let (now, at) = (Instant::now(), wall_clock());
        loop {
            if self.wire.wants_prefix()
                && let Some(prefix) = Box::pin(self.pool.creditors.hub.lease_prefix()).await
            {
                self.wire.add_prefix(prefix);
            }
            let is_heard = self.guest.held_until().is_none() && !self.guest.guesses();
            if self.wire.is_finished() || !is_heard {
                return Ok(());
            }
            let Some(cost) = self.wire.handle_message(now, &mut self.tap)? else {
                return Ok(());
            };
            self.guest.handle_message(now, cost);
            if let Some(id) = self.wire.wants_session() {
                let session = Box::pin(self.pool.creditors.hub.resume(id)).await;
                self.wire.handle_session(Instant::now(), session);
            }
            self.take_events(at).await;
        }
    }

    /// Tells the pool what happened, and queues what the miner is told. Blocks go first.
    async fn settle(&mut self) -> Result<(), End> {
        self.take_events(wall_clock()).await;
        self.dues.offer(Instant::now());
        Ok(self.wire.queue_output(&mut self.tap)?)
    }

    /// Nothing of this waits for anybody but who takes blocks, until the last event is taken.
    async fn take_events(&mut self, at: UnixTime) {
        let mut newcomers = Vec::new();
        let found = self.take_events_at_hand(at, &mut newcomers);
        if found.is_some() || !newcomers.is_empty() {
            Box::pin(self.take_seldom_events(at, found, newcomers)).await;
        }
    }

    /// A block, if there is one, and those behind it; and who has come, and what follows from that.
    async fn take_seldom_events(
        &mut self,
        at: UnixTime,
        mut found: Option<Box<FoundBlock>>,
        mut newcomers: Vec<(ChannelId, Arc<str>)>,
    ) {
        loop {
            while let Some(block) = found {
                self.hand_in(*block).await;
                found = self.take_events_at_hand(at, &mut newcomers);
            }
            if newcomers.is_empty() {
                return;
            }
            for (seat, user) in core::mem::take(&mut newcomers) {
                let past = self.pool.creditors.hub.recall(&user).await;
                self.wire.handle_past(Instant::now(), seat, past);
            }
            found = self.take_events_at_hand(at, &mut newcomers);
        }
    }

    /// All up to the next block, which it gives. Who has come is added to `newcomers`.
    fn take_events_at_hand(
        &mut self,
        at: UnixTime,
        newcomers: &mut Vec<(ChannelId, Arc<str>)>,
    ) -> Option<Box<FoundBlock>> {
        while let Some(event) = self.wire.poll_event() {
            match event {
                SessionEvent::Block(found) => return Some(found),
                SessionEvent::Share(share) => {
                    self.guest.handle_share(share.outcome);
                    self.dues.note_share(&share, at);
                }
                SessionEvent::NotDurable { seat, shares } => {
                    self.dues.note_not_durable(seat, shares);
                }
                SessionEvent::Joined(joined) => {
                    newcomers.push((joined.seat, Arc::clone(&joined.miner.user)));
                    self.join(joined);
                }
                SessionEvent::Learnt { user, past } => self.pool.creditors.hub.remember(user, past),
                SessionEvent::Vacated { seat } => self.vacate(seat),
                SessionEvent::Left { seat } => self.leave(seat),
                SessionEvent::PrefixReturned(prefix) => self.dues.give_back_prefix(prefix),
                SessionEvent::Parked(session) => {
                    if let Err(prefix) = self.pool.creditors.hub.park(session) {
                        self.dues.give_back_prefix(prefix);
                    }
                }
                SessionEvent::Difficulty { seat, rung } => self.dues.note_difficulty(seat, rung),
                SessionEvent::NameRefused { user, reason } => {
                    self.tap.handle_user(&user);
                    let peer = self.peer;
                    let faults = &self.pool.faults;
                    faults.tell(format_args!("{peer} is not served as {user:?}: {reason}"));
                    self.dues.remark(News::NameRefused {
                        user,
                        reason,
                        peer,
                        at,
                    });
                }
                SessionEvent::LongCoinbase { seat, coinbase } => {
                    self.note_long_coinbase(seat, coinbase);
                }
                SessionEvent::PasswordRefused { user, guess } => {
                    self.guest.handle_guess(guess);
                    let (peer, faults) = (self.peer, &self.pool.faults);
                    faults.tell(format_args!(
                        "{peer} is not served as {user:?}: wrong password"
                    ));
                }
                SessionEvent::NoJob { error, .. } => {
                    warn!("no job for {}: {error}", self.peer);
                    let reason = error.to_string();
                    self.dues.remark(News::NoJob { reason, at });
                }
            }
        }
        None
    }

    /// What the connection did is half of what bans: the operator hears of it, and the person behind the
    /// miner where the protocol can.
    fn warn(&mut self) {
        let Some(warning) = self.guest.take_warning() else {
            return;
        };
        let (peer, miners) = (self.peer, self.dues.describe_miners());
        let who = match miners.as_str() {
            "" => String::new(),
            miners => format!(" ({miners})"),
        };
        let faults = &self.pool.faults;
        faults.tell(format_args!("{peer}{who} is close to a ban: {warning}"));
        self.wire
            .handle_notice(&format!("this miner is close to a ban: {warning}"));
        self.dues.remark(News::Warned(Box::new(WarningNews {
            warning,
            miners,
            at: wall_clock(),
        })));
    }

    /// The ban that has come of what the connection did. The ledger keeps it across a restart.
    async fn tell_ban(&mut self) {
        let Some(ban) = self.guest.ban().cloned() else {
            return;
        };
        warn!(
            "{} is banned for {} min: {}",
            Source::of(ban.address),
            (ban.until.as_secs() - ban.since.as_secs()) / 60,
            ban.reason
        );
        self.dues.remark(News::Banned(ban.clone()));
        self.pool.creditors.ledger.insist(Entry::Ban(ban)).await;
    }

    async fn hand_in(&mut self, found: FoundBlock) {
        let seat = self.dues.seat(found.seat);
        let found = Found {
            block: found.block,
            hash: found.hash,
            // A block goes on its way even if nobody knew whose it is.
            worker: seat.map_or_else(nobody, |seat| seat.worker.clone()),
            protocol: seat.map_or(Protocol::Sv2, |seat| seat.protocol),
            at: wall_clock(),
        };
        if self.pool.found.send(found).await.is_err() {
            warn!("a block came after the pool had stopped");
        }
    }

    fn join(&mut self, joined: Box<Joined>) {
        self.tap.handle_user(&joined.miner.user);
        self.guest.handle_opened();
        self.pool.proofs.join(&mut self.layouts, &joined);
        let address = joined.miner.address.to_string();
        let worker = match WorkerId::sharing(Arc::clone(&joined.miner.user), &address) {
            Ok(worker) => worker,
            Err(error) => return warn!("{} cannot be recorded: {error}", joined.miner.user),
        };
        let client = client_kind(&joined);
        self.pool.arrivals.tell(format_args!(
            "miner connected: {} ({}, {}), pays {address}",
            joined.miner.user,
            describe(client),
            self.peer,
        ));
        let user_agent = Text::clip(joined.device.as_str());
        let sighting = Sighting { client, user_agent };
        let peer = (self.peer, self.wire.encryption());
        self.dues.join(worker, sighting, joined, peer);
    }

    fn note_long_coinbase(&mut self, seat: ChannelId, coinbase: LongCoinbase) {
        if let Some(seat) = self.dues.seat(seat) {
            let LongCoinbase { len, limit } = coinbase;
            self.pool.faults.tell(format_args!(
                "{}: the coinbase has {len} bytes, and its device is known to hash {limit} at most",
                seat.worker.user()
            ));
        }
        self.dues.note_long_coinbase(seat, coinbase);
    }

    /// The miners of a channel have seats of their own, and its name needs none.
    fn vacate(&mut self, seat: ChannelId) {
        self.guest.handle_closed();
        self.dues.leave(seat, true);
    }

    fn leave(&mut self, seat: ChannelId) {
        self.guest.handle_closed();
        if let Some(worker) = self.dues.leave(seat, false) {
            let arrivals = &self.pool.arrivals;
            arrivals.tell(format_args!("miner gone: {}", worker.user()));
        }
    }
}

/// What people are told of it who have a device that can.
fn notice(service: Service) -> &'static str {
    match service {
        Service::Usual => "the pool's Bitcoin node is back, and mining goes on as usual",
        Service::Held => "the pool's Bitcoin node is away; mining goes on with the last work",
        Service::Released => {
            "the pool's Bitcoin node is away; miners are released to their other pools until it is back"
        }
    }
}

fn nobody() -> WorkerId {
    WorkerId::new("unknown", "unknown").expect("short printable names are names")
}

fn client_kind(joined: &Joined) -> ClientKind {
    match (joined.protocol, joined.kind) {
        (Protocol::Sv1, _) => ClientKind::Sv1,
        (Protocol::Sv2, ChannelKind::Standard) => ClientKind::Sv2Standard,
        (Protocol::Sv2, ChannelKind::Extended) => ClientKind::Sv2Extended,
    }
}

fn describe(client: ClientKind) -> &'static str {
    match client {
        ClientKind::Sv1 => "SV1",
        ClientKind::Sv2Standard => "SV2 standard channel",
        ClientKind::Sv2Extended => "SV2 extended channel",
    }
}

#[cfg(test)]
mod tests;
