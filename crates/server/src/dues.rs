//! What a connection owes the rest of the pool: shares to the ledger, prefixes to the hub, and to the
//! board who came, who went and what they submitted.
//!
//! All of it is given at once where it is taken, and kept where it is not, so that a miner waits for
//! none of them. What is kept is bounded by the seats that a connection can have: shares become sums, and
//! of a miner who came and went unseen nothing is left but his shares.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headframe_api::Encryption;
use headframe_channels::{ChannelId, ChannelMap, ExtranoncePrefix};
use headframe_ledger::{BestShare, ShareBatch, Sighting, WorkerId};
use headframe_mining::server::{Joined, LongCoinbase, Protocol, ShareEvent};
use headframe_work::{Rung, UnixTime, Work};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::bell::Bell;
use crate::clock::wall_clock;
use crate::hub::HubHandle;
use crate::ledger::{Commit, Entry, LedgerHandle};
use crate::news::{MinerKey, News, ShareTally};
use crate::rejection::rejection;

/// The board hears of a miner's shares at most this often, and what was not taken is offered again.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// Remarks that are kept for the board. They say what the log says too; the oldest are left out.
const MAX_REMARKS: usize = 16;
/// When the miner is gone the board is given this long to take the rest.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);

/// What a connection owes.
#[derive(Debug)]
pub(crate) struct Dues {
    connection: u64,
    creditors: Arc<Creditors>,
    seats: ChannelMap<Box<Seat>>,
    /// What the ledger has not been told of. Boxed as it is given away, and seldom there.
    batch: Option<Box<ShareBatch>>,
    /// The number of the last accepted share, and of the last that the ledger was given.
    sequence: u64,
    given: u64,
    /// Rung by the ledger when it has committed shares.
    bell: Arc<Bell>,
    /// `None` where there is none, which is nearly always.
    backlog: Option<Box<Backlog>>,
    /// When the ledger and the board were told last.
    told: Instant,
    /// Whether something is kept, which is offered again [`TOLD_EVERY`] after that.
    keeps: bool,
}

/// To whom all connections owe.
#[derive(Debug)]
pub(crate) struct Creditors {
    pub(crate) ledger: LedgerHandle,
    pub(crate) hub: HubHandle,
    pub(crate) news: mpsc::Sender<News>,
}

/// What waits for the hub and the board to take it.
#[derive(Debug, Default)]
struct Backlog {
    prefixes: Vec<ExtranoncePrefix>,
    /// Miners that the board believes to be here. They are told before anybody who comes, so that
    /// there are never more than a connection can have seats.
    departures: VecDeque<Departure>,
    /// Shares of miners that went before the board knew them.
    strays: Option<Box<ShareTally>>,
    remarks: VecDeque<News>,
}

/// A miner, as the ledger and the board know it.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) worker: WorkerId,
    pub(crate) protocol: Protocol,
    /// That he is here, until the board knows.
    arrival: Option<Box<News>>,
    /// His difficulty, until the board knows.
    rung: Option<Rung>,
    /// A coinbase that is too long for his device, until the board knows.
    coinbase: Option<Box<LongCoinbase>>,
    tally: Option<Box<ShareTally>>,
}

/// A miner that has gone, until the board knows.
#[derive(Debug)]
struct Departure {
    key: MinerKey,
    tally: Option<Box<ShareTally>>,
    at: UnixTime,
    /// Whether it was only the name of a channel whose workers are here.
    vacated: bool,
}

/// The board's queue has no room.
#[derive(Debug)]
struct Full;

impl Dues {
    pub(crate) fn new(connection: u64, creditors: Arc<Creditors>, bell: Arc<Bell>) -> Self {
        Self {
            connection,
            creditors,
            seats: ChannelMap::new(),
            batch: None,
            sequence: 0,
            given: 0,
            bell,
            backlog: None,
            told: Instant::now(),
            keeps: false,
        }
    }

    /// When [`Self::tell`] is due.
    pub(crate) fn tell_at(&self) -> Option<Instant> {
        self.keeps.then(|| self.told + TOLD_EVERY)
    }

    pub(crate) fn seat(&self, seat: ChannelId) -> Option<&Seat> {
        self.seats.get(seat).map(|seat| &**seat)
    }

    /// The user names of those who are here.
    pub(crate) fn users(&self) -> impl Iterator<Item = &str> {
        self.seats.values().map(|seat| seat.worker.user())
    }

    /// The seats of the worker with this user name.
    pub(crate) fn seats_of(&self, user: &str) -> Vec<ChannelId> {
        let seats = self.seats.keys();
        let is_his = |seat: &ChannelId| self.seat(*seat).is_some_and(|it| it.worker.user() == user);
        seats.filter(is_his).collect()
    }

    /// Who mines, for a person; empty where nobody does.
    pub(crate) fn describe_miners(&self) -> String {
        let users: BTreeSet<_> = self.users().collect();
        match (users.first(), users.len()) {
            (None, _) => String::new(),
            (Some(user), 1) => (*user).to_owned(),
            (Some(user), all) => format!("{user} and {} more", all - 1),
        }
    }

    /// The number of the last share that the ledger is owed or was given.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(crate) fn join(
        &mut self,
        worker: WorkerId,
        sighting: Sighting,
        joined: Box<Joined>,
        (peer, encryption): (SocketAddr, Encryption),
    ) {
        let (seat, protocol, at) = (joined.seat, joined.protocol, wall_clock());
        let batch = self.batch.get_or_insert_default();
        batch.sighting(&worker, at, sighting);
        let key = self.key(seat);
        let arrival = News::Joined {
            key,
            worker: worker.clone(),
            joined,
            peer,
            encryption,
            at,
        };
        let mut miner = Seat {
            worker,
            protocol,
            arrival: Some(Box::new(arrival)),
            rung: None,
            coinbase: None,
            tally: None,
        };
        let told = self.tell_departures();
        let told = told.and_then(|()| miner.tell_arrival(key, &self.creditors.news));
        self.seats.insert(seat, Box::new(miner));
        self.keep(told);
    }

    /// Says who has left. A seat that was `vacated` was a channel's, whose workers have their own.
    pub(crate) fn leave(&mut self, seat: ChannelId, vacated: bool) -> Option<WorkerId> {
        let left = self.seats.remove(seat)?;
        if left.arrival.is_some() {
            if let Some(tally) = left.tally {
                let strays = self.backlog().strays.get_or_insert_default();
                strays.append(*tally);
            }
            self.tell_later();
            return Some(left.worker);
        }
        let key = self.key(seat);
        self.backlog().departures.push_back(Departure {
            key,
            tally: left.tally,
            at: wall_clock(),
            vacated,
        });
        let told = self.tell_departures();
        self.keep(told);
        Some(left.worker)
    }

    /// Says that all have left, where the session cannot say who has.
    pub(crate) fn leave_all(&mut self) {
        let seats: Vec<_> = self.seats.keys().collect();
        for seat in seats {
            self.leave(seat, false);
        }
    }

    /// A share was judged at `at`.
    pub(crate) fn note_share(&mut self, share: &ShareEvent, at: UnixTime) {
        let Some(seat) = self.seats.get_mut(share.seat) else {
            return;
        };
        match share.outcome {
            Ok(credit) => {
                let (work, hash) = (credit.work(), credit.hash);
                let best = BestShare { hash, at };
                let batch = self.batch.get_or_insert_default();
                batch.accept(&seat.worker, work, best);
                self.sequence = share.sequence;
                seat.tally().accept(work, best);
            }
            Err(reason) => {
                let (work, reason) = (Work::of_rung(share.rung), rejection(reason));
                let batch = self.batch.get_or_insert_default();
                batch.reject(&seat.worker, at, work, reason);
                *seat.tally().rejected.entry(reason).or_default() += 1;
            }
        }
        self.tell_later();
    }

    pub(crate) fn note_not_durable(&mut self, seat: ChannelId, shares: u32) {
        let Some(seat) = self.seats.get_mut(seat) else {
            return;
        };
        let batch = self.batch.get_or_insert_default();
        for _ in 0..shares {
            batch.not_durable(&seat.worker, wall_clock());
        }
        seat.tally().not_durable += u64::from(shares);
        self.tell_later();
    }

    pub(crate) fn note_difficulty(&mut self, seat: ChannelId, rung: Rung) {
        let key = self.key(seat);
        let Some(miner) = self.seats.get_mut(seat) else {
            return;
        };
        miner.rung = Some(rung);
        let told = miner.tell_arrival(key, &self.creditors.news);
        self.keep(told);
    }

    pub(crate) fn note_long_coinbase(&mut self, seat: ChannelId, coinbase: LongCoinbase) {
        let key = self.key(seat);
        let Some(miner) = self.seats.get_mut(seat) else {
            return;
        };
        miner.coinbase = Some(Box::new(coinbase));
        let told = miner.tell_arrival(key, &self.creditors.news);
        self.keep(told);
    }

    /// Something that the board shows while it is news.
    pub(crate) fn remark(&mut self, news: News) {
        let remarks = &mut self.backlog().remarks;
        if remarks.len() >= MAX_REMARKS {
            remarks.pop_front();
        }
        remarks.push_back(news);
        let told = self.tell_remarks();
        self.keep(told);
    }

    pub(crate) fn give_back_prefix(&mut self, prefix: ExtranoncePrefix) {
        self.backlog().prefixes.push(prefix);
    }

    /// Gives the ledger accepted shares, whose replies wait for it, and the hub what it is owed, as far as
    /// they take it. Nobody waits for what else is owed: it goes with such shares, or when the board is told,
    /// which is at once where that was some time ago, so that the connection need not be woken for it.
    pub(crate) fn offer(&mut self, now: Instant) {
        if let Some(backlog) = &mut self.backlog {
            self.creditors.hub.give_back_prefixes(&mut backlog.prefixes);
            self.backlog.take_if(|backlog| backlog.is_empty());
        }
        if self.sequence > self.given {
            self.offer_batch();
        }
        if self.owes_shares() || self.backlog.is_some() {
            self.tell_later();
        }
        if self.tell_at().is_some_and(|at| at <= now) {
            self.tell(now);
        }
    }

    /// Gives the ledger and the board what they are owed, as far as they take it.
    pub(crate) fn tell(&mut self, now: Instant) {
        (self.told, self.keeps) = (now, false);
        self.offer_batch();
        let told = self.tell_board();
        self.keep(told);
    }

    /// Gives all that is owed, now that the miner is gone and nobody else will: to the ledger and
    /// the hub however long it takes, since shares and prefixes would be lost.
    pub(crate) async fn settle(mut self) {
        if let Some(entry) = self.take_entry() {
            self.creditors.ledger.insist(entry).await;
        }
        if let Some(backlog) = &mut self.backlog {
            let prefixes = backlog.prefixes.drain(..);
            self.creditors.hub.insist_on_prefixes(prefixes).await;
        }
        let settled = async {
            // The board outlives its miners; at shutdown nobody looks at it.
            while self.tell_board().is_err() && self.creditors.news.reserve().await.is_ok() {}
        };
        let _ = timeout(SETTLED_WITHIN, settled).await;
    }

    fn offer_batch(&mut self) {
        let Some(entry) = self.take_entry() else {
            return;
        };
        if let Err(Entry::Shares { batch, .. }) = self.creditors.ledger.offer(entry) {
            self.batch = Some(batch);
            return self.tell_later();
        }
        self.given = self.sequence;
    }

    fn take_entry(&mut self) -> Option<Entry> {
        let batch = self.batch.take_if(|batch| !batch.is_empty())?;
        self.batch = batch.successor().map(Box::new);
        Some(Entry::Shares {
            batch,
            commit: (self.sequence > self.given).then(|| Commit {
                sequence: self.sequence,
                bell: Arc::clone(&self.bell),
            }),
        })
    }

    fn tell_board(&mut self) -> Result<(), Full> {
        self.tell_departures()?;
        self.tell_remarks()?;
        let key = self.key(ChannelId::new(0));
        let news = &self.creditors.news;
        if let Some(backlog) = &mut self.backlog {
            tell_tally(key, &mut backlog.strays, news)?;
        }
        self.backlog.take_if(|backlog| backlog.is_empty());
        for (seat, miner) in self.seats.iter_mut() {
            let key = MinerKey { seat, ..key };
            miner.tell_arrival(key, news)?;
            tell_tally(key, &mut miner.tally, news)?;
        }
        Ok(())
    }

    fn tell_departures(&mut self) -> Result<(), Full> {
        let news = &self.creditors.news;
        let backlog = self.backlog.as_mut();
        backlog.map_or(Ok(()), |backlog| backlog.tell_departures(news))
    }

    fn tell_remarks(&mut self) -> Result<(), Full> {
        let news = &self.creditors.news;
        let backlog = self.backlog.as_mut();
        backlog.map_or(Ok(()), |backlog| backlog.tell_remarks(news))
    }

    fn owes_shares(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| !batch.is_empty())
    }

    fn backlog(&mut self) -> &mut Backlog {
        self.backlog.get_or_insert_default()
    }

    fn keep(&mut self, told: Result<(), Full>) {
        if told.is_err() {
            self.tell_later();
        }
    }

    fn tell_later(&mut self) {
        self.keeps = true;
    }

    fn key(&self, seat: ChannelId) -> MinerKey {
        MinerKey {
            connection: self.connection,
            seat,
        }
    }
}

impl Backlog {
    fn tell_departures(&mut self, news: &mpsc::Sender<News>) -> Result<(), Full> {
        while let Some(departure) = self.departures.front_mut() {
            let Departure {
                key, at, vacated, ..
            } = *departure;
            tell_tally(key, &mut departure.tally, news)?;
            let place = news.try_reserve().map_err(|_| Full)?;
            place.send(News::Left { key, at, vacated });
            self.departures.pop_front();
        }
        Ok(())
    }

    fn tell_remarks(&mut self, news: &mpsc::Sender<News>) -> Result<(), Full> {
        while !self.remarks.is_empty() {
            let place = news.try_reserve().map_err(|_| Full)?;
            if let Some(remark) = self.remarks.pop_front() {
                place.send(remark);
            }
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
            && self.departures.is_empty()
            && self.strays.is_none()
            && self.remarks.is_empty()
    }
}

impl Seat {
    /// What the board is to be told of his shares.
    fn tally(&mut self) -> &mut ShareTally {
        self.tally.get_or_insert_default()
    }

    /// That he is here, at which difficulty, and what is too long for his device.
    fn tell_arrival(&mut self, key: MinerKey, news: &mpsc::Sender<News>) -> Result<(), Full> {
        if self.arrival.is_some() {
            let place = news.try_reserve().map_err(|_| Full)?;
            if let Some(arrival) = self.arrival.take() {
                place.send(*arrival);
            }
        }
        if let Some(rung) = self.rung {
            let place = news.try_reserve().map_err(|_| Full)?;
            place.send(News::Difficulty { key, rung });
            self.rung = None;
        }
        if let Some(coinbase) = self.coinbase.as_deref().copied() {
            let place = news.try_reserve().map_err(|_| Full)?;
            place.send(News::LongCoinbase { key, coinbase });
            self.coinbase = None;
        }
        Ok(())
    }
}

fn tell_tally(
    key: MinerKey,
    tally: &mut Option<Box<ShareTally>>,
    news: &mpsc::Sender<News>,
) -> Result<(), Full> {
    if tally.is_some() {
        let place = news.try_reserve().map_err(|_| Full)?;
        if let Some(tally) = tally.take() {
            place.send(News::Shares { key, tally });
        }
    }
    Ok(())
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

    /// Adds the shares of somebody else, whose best is nobody's then.
    fn append(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.work += other.work;
        for (reason, shares) in other.rejected {
            *self.rejected.entry(reason).or_default() += shares;
        }
        self.not_durable += other.not_durable;
    }
}

#[cfg(test)]
mod tests;
