//! One connection: the only task that reads its socket and owns its session.

use std::collections::HashMap;
use std::future::{pending, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headframe_channels::{ChannelId, ChannelKind, RejectReason};
use headframe_ledger::{BestShare, ClientKind, ShareBatch, Sighting, Text, WorkerId};
use headframe_mining::server::{
    FoundBlock, Joined, PoolRules, PoolWork, Protocol, REPLY_WITHIN, SessionEvent, ShareEvent,
};
use headframe_transport::{Filled, SHUTDOWN_DEADLINE};
use headframe_work::Work;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::blocks::{Found, FoundSender};
use crate::clock::wall_clock;
use crate::hub::HubHandle;
use crate::hush::Hush;
use crate::ledger::{Commit, Entry, LedgerHandle};
use crate::news::{MinerKey, News, ShareTally};
use crate::rejection::rejection;
use crate::wire::{End, Wire};

/// The board hears of a miner's shares at most this often.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// The least time between two looks at a session's timers: one that named a time in the past for
/// ever would otherwise keep its task from the socket.
const TIMER_REST: Duration = Duration::from_millis(1);

/// What a connection has of the rest of the pool.
#[derive(Debug, Clone)]
pub(crate) struct PoolLinks {
    pub(crate) rules: Arc<PoolRules>,
    pub(crate) hub: HubHandle,
    pub(crate) work: watch::Receiver<Arc<PoolWork>>,
    pub(crate) ledger: LedgerHandle,
    pub(crate) found: FoundSender,
    pub(crate) news: mpsc::Sender<News>,
    pub(crate) shutdown: CancellationToken,
    /// Lines of the log about miners that come and go.
    pub(crate) arrivals: Arc<Hush>,
    /// Lines of the log about what clients do wrong.
    pub(crate) faults: Arc<Hush>,
}

/// A connection.
pub(crate) struct Connection {
    id: u64,
    peer: SocketAddr,
    wire: Wire,
    pool: PoolLinks,
    seats: HashMap<ChannelId, Seat>,
    /// Shares that the ledger has not been told of, and the number of the last.
    batch: ShareBatch,
    sequence: u64,
    committed: (watch::Sender<u64>, watch::Receiver<u64>),
    /// When the board is to be told of shares; `None` while there are none.
    tell_at: Option<Instant>,
    /// The session's timers are not looked at before this time.
    timers_at: Instant,
}

/// A miner, as the ledger and the board know it.
struct Seat {
    worker: WorkerId,
    protocol: Protocol,
    tally: ShareTally,
}

/// What woke a connection.
enum Wake {
    Shutdown,
    Work,
    Committed,
    Filled(Filled),
    Timeout,
    Tell,
}

impl Connection {
    pub(crate) fn new(id: u64, peer: SocketAddr, wire: Wire, pool: PoolLinks) -> Self {
        Self {
            id,
            peer,
            wire,
            pool,
            seats: HashMap::new(),
            batch: ShareBatch::default(),
            sequence: 0,
            committed: watch::channel(0),
            tell_at: None,
            timers_at: Instant::now(),
        }
    }

    /// Serves the miner until one side ends it.
    pub(crate) async fn run(mut self) {
        let end = match self.serve().await {
            Ok(()) => End::Closed,
            Err(end) => end,
        };
        if !matches!(end, End::Transport(_)) {
            self.acknowledge().await;
        }
        self.wire.handle_closed();
        self.take_events().await;
        // Nothing may be lost now that nobody will try again. What was queued for the miner is
        // written if it can be; an error is already what ends the connection.
        if let Some(entry) = self.take_entry() {
            self.pool.ledger.insist(entry).await;
        }
        let _ = self.wire.queue_output();
        let (peer, faults) = (self.peer, &self.pool.faults);
        match &end {
            End::Closed | End::Shutdown => tracing::debug!("{peer}: {end}"),
            End::Finished | End::Fault(_) => faults.tell(format_args!("{peer} sent away: {end}")),
            End::Transport(_) => faults.tell(format_args!("{peer} lost: {end}")),
        }
        self.wire.shutdown(SHUTDOWN_DEADLINE).await;
    }

    /// Answers the shares whose answers wait for the ledger, as long as such an answer may take.
    async fn acknowledge(&mut self) {
        self.take_events().await;
        self.offer_shares();
        let sequence = self.sequence;
        let is_committed = self
            .committed
            .1
            .wait_for(|committed| *committed >= sequence);
        if let Ok(Ok(_)) = timeout(REPLY_WITHIN, is_committed).await {
            return self.wire.handle_committed(sequence);
        }
        // The session ends whatever it says to the time.
        let _ = self.wire.handle_timeout(Instant::now());
    }

    async fn serve(&mut self) -> Result<(), End> {
        loop {
            self.take_messages().await?;
            self.settle().await?;
            if self.wire.is_finished() {
                return Err(End::Finished);
            }
            match self.wake().await? {
                Wake::Shutdown => return Err(self.take_leave().await),
                Wake::Filled(Filled::Closed) => return Ok(()),
                Wake::Filled(Filled::Bytes) => {}
                Wake::Work => {
                    let work = Arc::clone(&self.pool.work.borrow_and_update());
                    self.wire.handle_work(Instant::now(), &work);
                }
                Wake::Committed => {
                    let sequence = *self.committed.1.borrow_and_update();
                    self.wire.handle_committed(sequence);
                }
                Wake::Timeout => {
                    self.timers_at = Instant::now() + TIMER_REST;
                    self.wire.handle_timeout(Instant::now())?;
                }
                Wake::Tell => self.tell_shares(),
            }
        }
    }

    /// What has arrived when the pool stops is still judged: it may be a block.
    async fn take_leave(&mut self) -> End {
        tokio::select! {
            biased;
            filled = self.wire.fill() => match filled {
                Ok(_) => self.take_messages().await.err().unwrap_or(End::Shutdown),
                Err(error) => error.into(),
            },
            () = ready(()) => End::Shutdown,
        }
    }

    /// Waits for the next thing to do. New work comes before new shares.
    async fn wake(&mut self) -> Result<Wake, End> {
        let timers = self.wire.poll_timeout();
        let timers = timers.map(|at| at.max(self.timers_at));
        let tell_at = self.tell_at;
        tokio::select! {
            biased;
            () = self.pool.shutdown.cancelled() => Ok(Wake::Shutdown),
            Ok(()) = self.pool.work.changed() => Ok(Wake::Work),
            Ok(()) = self.committed.1.changed() => Ok(Wake::Committed),
            () = sleep_until_some(timers) => Ok(Wake::Timeout),
            () = sleep_until_some(tell_at) => Ok(Wake::Tell),
            filled = self.wire.fill() => Ok(Wake::Filled(filled?)),
        }
    }

    /// Gives the session every message that has arrived.
    async fn take_messages(&mut self) -> Result<(), End> {
        loop {
            if self.wire.wants_prefix()
                && let Some(prefix) = self.pool.hub.lease_prefix().await
            {
                self.wire.add_prefix(prefix);
            }
            if self.wire.is_finished() || !self.wire.handle_message(Instant::now())? {
                return Ok(());
            }
            self.take_events().await;
        }
    }

    /// Tells the pool what happened, and queues what the miner is told. Blocks go first.
    async fn settle(&mut self) -> Result<(), End> {
        self.take_events().await;
        self.offer_shares();
        Ok(self.wire.queue_output()?)
    }

    async fn take_events(&mut self) {
        while let Some(event) = self.wire.poll_event() {
            match event {
                SessionEvent::Block(found) => self.hand_in(*found).await,
                SessionEvent::Share(share) => self.note_share(&share),
                SessionEvent::NotDurable { seat, shares } => self.note_not_durable(seat, shares),
                SessionEvent::Joined(joined) => self.join(joined).await,
                SessionEvent::Left { seat } => self.leave(seat).await,
                SessionEvent::PrefixReturned(prefix) => {
                    self.pool.hub.give_back_prefix(prefix).await;
                }
                SessionEvent::Difficulty { seat, rung } => {
                    let key = self.key(seat);
                    self.tell(News::Difficulty { key, rung }).await;
                }
                SessionEvent::NameRefused { user, reason } => {
                    let (peer, at) = (self.peer, wall_clock());
                    let faults = &self.pool.faults;
                    faults.tell(format_args!("{peer} is not served as {user:?}: {reason}"));
                    self.tell(News::NameRefused {
                        user,
                        reason,
                        peer,
                        at,
                    })
                    .await;
                }
                SessionEvent::NoJob { error, .. } => {
                    warn!("no job for {}: {error}", self.peer);
                    let (reason, at) = (error.to_string(), wall_clock());
                    self.tell(News::NoJob { reason, at }).await;
                }
            }
        }
    }

    async fn hand_in(&mut self, found: FoundBlock) {
        let seat = self.seats.get(&found.seat);
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

    fn note_share(&mut self, share: &ShareEvent) {
        let Some(seat) = self.seats.get_mut(&share.seat) else {
            return;
        };
        let at = wall_clock();
        match share.outcome {
            Ok(credit) => {
                let (work, hash) = (credit.work(), credit.hash);
                let best = BestShare { hash, at };
                self.batch.accept(&seat.worker, work, best);
                self.sequence = share.sequence;
                seat.tally.accept(work, best);
            }
            Err(reason) => {
                let work = Work::of_rung(share.rung);
                self.batch.reject(&seat.worker, at, work, rejection(reason));
                seat.tally.reject(reason);
            }
        }
        self.tell_at
            .get_or_insert_with(|| Instant::now() + TOLD_EVERY);
    }

    fn note_not_durable(&mut self, seat: ChannelId, shares: u32) {
        let Some(seat) = self.seats.get_mut(&seat) else {
            return;
        };
        for _ in 0..shares {
            self.batch.not_durable(&seat.worker, wall_clock());
        }
        seat.tally.not_durable += u64::from(shares);
        self.tell_at
            .get_or_insert_with(|| Instant::now() + TOLD_EVERY);
    }

    async fn join(&mut self, joined: Box<Joined>) {
        let address = joined.miner.address.to_string();
        let worker = match WorkerId::new(&joined.miner.user, &address) {
            Ok(worker) => worker,
            Err(error) => return warn!("{} cannot be recorded: {error}", joined.miner.user),
        };
        let (client, at) = (client_kind(&joined), wall_clock());
        let user_agent = Text::clip(joined.device.as_str());
        self.batch
            .sighting(&worker, at, Sighting { client, user_agent });
        self.pool.arrivals.tell(format_args!(
            "miner connected: {} ({}, {}), pays {address}",
            joined.miner.user,
            describe(client),
            self.peer,
        ));
        let (seat, protocol) = (joined.seat, joined.protocol);
        let tally = ShareTally::default();
        self.seats.insert(
            seat,
            Seat {
                worker,
                protocol,
                tally,
            },
        );
        self.tell(News::Joined {
            key: self.key(seat),
            joined,
            peer: self.peer,
            is_sealed: self.wire.is_sealed(),
            at,
        })
        .await;
    }

    async fn leave(&mut self, seat: ChannelId) {
        let Some(mut left) = self.seats.remove(&seat) else {
            return;
        };
        let arrivals = &self.pool.arrivals;
        arrivals.tell(format_args!("miner gone: {}", left.worker.user()));
        let (key, tally) = (self.key(seat), core::mem::take(&mut left.tally));
        self.tell(News::Shares { key, tally }).await;
        self.tell(News::Left {
            key,
            at: wall_clock(),
        })
        .await;
    }

    /// Gives the ledger what there is, or keeps it for a little later if the ledger is behind.
    fn offer_shares(&mut self) {
        let Some(entry) = self.take_entry() else {
            return;
        };
        if let Err(Entry::Shares { batch, .. }) = self.pool.ledger.offer(entry) {
            self.batch = batch;
            self.tell_at
                .get_or_insert_with(|| Instant::now() + TOLD_EVERY);
        }
    }

    fn take_entry(&mut self) -> Option<Entry> {
        if self.batch.is_empty() {
            return None;
        }
        Some(Entry::Shares {
            batch: core::mem::take(&mut self.batch),
            commit: Commit {
                sequence: self.sequence,
                committed: self.committed.0.clone(),
            },
        })
    }

    /// Tells the board of shares, or keeps them for a little later if the board is behind.
    fn tell_shares(&mut self) {
        self.tell_at = None;
        let connection = self.id;
        for (&seat, miner) in &mut self.seats {
            if miner.tally.is_empty() {
                continue;
            }
            let Ok(place) = self.pool.news.try_reserve() else {
                self.tell_at = Some(Instant::now() + TOLD_EVERY);
                return;
            };
            let key = MinerKey { connection, seat };
            let tally = core::mem::take(&mut miner.tally);
            place.send(News::Shares { key, tally });
        }
    }

    async fn tell(&self, news: News) {
        // The board outlives its miners; at shutdown nobody looks at it.
        let _ = self.pool.news.send(news).await;
    }

    fn key(&self, seat: ChannelId) -> MinerKey {
        MinerKey {
            connection: self.id,
            seat,
        }
    }
}

impl ShareTally {
    fn accept(&mut self, work: Work, share: BestShare) {
        self.accepted += 1;
        self.work += work;
        self.last_accepted = Some(share.at);
        if self.best.is_none_or(|best| share.beats(&best)) {
            self.best = Some(share);
        }
    }

    fn reject(&mut self, reason: RejectReason) {
        *self.rejected.entry(rejection(reason)).or_default() += 1;
    }

    fn is_empty(&self) -> bool {
        self.accepted == 0 && self.rejected.is_empty() && self.not_durable == 0
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

async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}
