//! The miners: those that are connected, and those that are remembered.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use headframe_api::{Miner, MinerCounts, MinerState, SilenceCause};
use headframe_ledger::{ClientKind, WorkerId, WorkerRecord};
use headframe_mining::server::LongCoinbase;
use headframe_work::{Rung, UnixTime};

use super::miner::{Connected, HighRejects, Identity, Record};
use crate::news::{MinerKey, ShareTally};

/// Connected miners that are listed. What others do counts for the pool all the same.
const MAX_CONNECTED: usize = 50_000;
/// Miners that are remembered after they have gone; past it the one that is gone longest is
/// forgotten here. The ledger remembers more.
pub(super) const MAX_GONE: usize = 5_000;
/// How long a miner that has gone is shown. After that its sums wait for its return.
const GONE_SHOWN: Duration = Duration::from_secs(24 * 60 * 60);
/// A miner is missed when it was connected for so long in all, ...
const MISSED_AFTER: Duration = Duration::from_secs(60 * 60);
/// ... and had so many shares accepted, the last of them while it would still be shown.
const MISSED_SHARES: u64 = 10;

/// The miners of the pool.
#[derive(Debug, Default)]
pub(super) struct Miners {
    /// Boxed, as the others: a table has room for up to twice as many as there are.
    here: HashMap<MinerKey, Box<Connected>>,
    gone: HashMap<Identity, Box<Gone>>,
    last_id: u64,
}

/// A miner that has gone.
#[derive(Debug)]
struct Gone {
    record: Record,
    left_at: UnixTime,
}

impl Miners {
    /// The miners that the ledger remembers, as gone.
    pub(super) fn remembered(workers: &[WorkerRecord]) -> Self {
        let mut miners = Self::default();
        // Without an address it is not a worker, but the sum of those that the ledger forgot.
        let named = workers
            .iter()
            .filter(|worker| !worker.worker.payout().is_empty());
        for worker in named.take(MAX_GONE) {
            let record = Record::remembered(miners.next_id(), worker);
            // The ledger does not say whether it was a miner, or a channel's name for several.
            if record.has_shares() {
                miners.remember(record, worker.last_seen);
            }
        }
        miners
    }

    /// Seats a miner. If it was here before, it goes on with its sums.
    pub(super) fn join(
        &mut self,
        key: MinerKey,
        worker: WorkerId,
        client: ClientKind,
        seat: impl FnOnce(Record) -> Connected,
    ) {
        let identity = Identity { worker, client };
        if self.here.len() >= MAX_CONNECTED && !self.here.contains_key(&key) {
            return;
        }
        let record = match self.gone.remove(&identity) {
            Some(gone) => gone.record,
            None => Record::new(self.next_id(), identity),
        };
        let connected = seat(record);
        let (now, at) = (connected.since(), connected.silent_since());
        if let Some(before) = self.here.insert(key, Box::new(connected)) {
            self.remember(before.into_record(now), at);
        }
    }

    /// A miner goes. One that `vacated` its seat to the workers that it stood for, without ever having
    /// sent a share, was none.
    pub(super) fn leave(&mut self, key: MinerKey, (now, at): (Instant, UnixTime), vacated: bool) {
        if let Some(left) = self.here.remove(&key) {
            let record = left.into_record(now);
            if !vacated || record.has_shares() {
                self.remember(record, at);
            }
        }
    }

    pub(super) fn handle_shares(
        &mut self,
        key: MinerKey,
        (now, at): (Instant, UnixTime),
        tally: &ShareTally,
    ) {
        if let Some(miner) = self.here.get_mut(&key) {
            miner.handle_shares(now, at, tally);
        }
    }

    pub(super) fn handle_difficulty(&mut self, key: MinerKey, rung: Rung) {
        if let Some(miner) = self.here.get_mut(&key) {
            miner.record.rung = Some(rung);
        }
    }

    pub(super) fn handle_long_coinbase(&mut self, key: MinerKey, coinbase: LongCoinbase) {
        if let Some(miner) = self.here.get_mut(&key) {
            miner.coinbase = Some(Box::new(coinbase));
        }
    }

    /// The user name of a connected miner.
    pub(super) fn user(&self, key: MinerKey) -> Option<&str> {
        let miner = self.here.get(&key)?;
        Some(miner.record.identity.worker.user())
    }

    /// What there is to know of all miners together at `now`. Each is looked at once, since there may be
    /// tens of thousands, far apart in memory.
    pub(super) fn census(
        &self,
        now: Instant,
        wall: UnixTime,
        resumed: Option<Instant>,
    ) -> Census<'_> {
        let mut census = Census::default();
        for miner in self.here.values() {
            census.take_in(miner, miner.state(now, resumed));
        }
        let gone = self.gone.values().filter(|gone| gone.is_shown(wall));
        census.counts.gone = gone.count() as u64;
        census
    }

    /// All miners as they are at `now`.
    pub(super) fn shown(
        &self,
        now: Instant,
        wall: UnixTime,
        resumed: Option<Instant>,
    ) -> Vec<Miner> {
        let here = self.here.values();
        let here = here.map(|miner| miner.shown(now, miner.state(now, resumed)));
        let gone = self.gone.values().filter(|gone| gone.is_shown(wall));
        let gone = gone.map(|gone| gone.record.shown(MinerState::Gone));
        here.chain(gone).collect()
    }

    /// Miners that have gone and that nobody of the same name replaces: how many, and the one that
    /// is gone longest. Those that were only tried out are not missed.
    pub(super) fn gone(&self, wall: UnixTime, at_least: Duration) -> Option<Missing<'_>> {
        let records = self.gone.values().filter(|gone| {
            gone.is_shown(wall)
                && gone.left_at <= wall.saturating_sub(at_least)
                && gone.was_steady(wall)
        });
        let records: Vec<_> = records.map(|gone| (gone.left_at, &gone.record)).collect();
        let workers = records.iter().map(|(_, record)| &record.identity.worker);
        let mut missed: HashSet<&WorkerId> = workers.collect();
        if missed.is_empty() {
            return None;
        }
        for miner in self.here.values() {
            missed.remove(&miner.record.identity.worker);
        }
        let is_missed = |record: &Record| missed.contains(&record.identity.worker);
        Missing::of(records.into_iter().filter(|(_, record)| is_missed(record)))
    }

    fn remember(&mut self, record: Record, left_at: UnixTime) {
        let identity = record.identity.clone();
        let mut gone = Box::new(Gone { record, left_at });
        if let Some(twin) = self.gone.remove(&identity) {
            gone.record.merge(&twin.record);
            gone.left_at = gone.left_at.max(twin.left_at);
        }
        self.gone.insert(identity, gone);
        if self.gone.len() > MAX_GONE {
            let oldest = self.gone.iter().min_by_key(|(_, gone)| gone.left_at);
            if let Some(identity) = oldest.map(|(identity, _)| identity.clone()) {
                self.gone.remove(&identity);
            }
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

impl Gone {
    fn is_shown(&self, wall: UnixTime) -> bool {
        wall.saturating_sub(GONE_SHOWN) < self.left_at
    }

    /// Whether it mined as one does that is to go on, and not only for a trial.
    fn was_steady(&self, wall: UnixTime) -> bool {
        let record = &self.record;
        let worked_lately = |at| wall.saturating_sub(GONE_SHOWN) < at;
        record.stayed >= MISSED_AFTER
            && record.counts.accepted >= MISSED_SHARES
            && record.last_share_at.is_some_and(worked_lately)
    }
}

/// What one look at all miners finds.
#[derive(Debug, Default)]
pub(super) struct Census<'a> {
    pub(super) counts: MinerCounts,
    /// The one that is silent longest, of those that are connected.
    quietest: Option<&'a Connected>,
    /// How many have many of their shares rejected, and the worst of them.
    high_rejects: (usize, Option<(&'a str, HighRejects)>),
}

impl<'a> Census<'a> {
    /// Miners that are connected and silent: how many, the one that is so longest, and why that one
    /// probably is.
    pub(super) fn quiet(&self) -> Option<(Missing<'a>, SilenceCause)> {
        let quietest = self.quietest?;
        let cause = quietest.silence().causes.into_iter().next()?;
        let missing = Missing {
            count: self.counts.quiet as usize,
            first: quietest.record.identity.worker.user(),
            since: quietest.silent_since(),
        };
        Some((missing, cause))
    }

    /// Connected miners many of whose shares are rejected: how many, and the worst.
    pub(super) fn high_rejects(&self) -> Option<(usize, &'a str, HighRejects)> {
        let (count, worst) = self.high_rejects;
        worst.map(|(user, high)| (count, user, high))
    }

    fn take_in(&mut self, miner: &'a Connected, state: MinerState) {
        let Identity { worker, client } = &miner.record.identity;
        self.counts.connected += 1;
        *match client {
            ClientKind::Sv1 => &mut self.counts.sv1,
            ClientKind::Sv2Standard => &mut self.counts.sv2_standard,
            ClientKind::Sv2Extended => &mut self.counts.sv2_extended,
        } += 1;
        if state == MinerState::Quiet {
            self.counts.quiet += 1;
            let since = |miner: &Connected| (miner.silent_since(), miner.record.id);
            let quietest = self.quietest.get_or_insert(miner);
            if since(miner) < since(quietest) {
                *quietest = miner;
            }
        }
        if let Some(high) = miner.high_rejects() {
            let (count, worst) = &mut self.high_rejects;
            *count += 1;
            if worst.is_none_or(|(_, worst)| high.percent > worst.percent) {
                *worst = Some((worker.user(), high));
            }
        }
    }
}

/// Miners that are missed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Missing<'a> {
    pub(super) count: usize,
    /// The one that is missed longest, and since when.
    pub(super) first: &'a str,
    pub(super) since: UnixTime,
}

impl<'a> Missing<'a> {
    fn of(missed: impl Iterator<Item = (UnixTime, &'a Record)>) -> Option<Self> {
        let mut count = 0;
        let counted = missed.inspect(|_| count += 1);
        let (since, first) = counted.min_by_key(|(since, record)| (*since, record.id))?;
        Some(Self {
            count,
            first: first.identity.worker.user(),
            since,
        })
    }
}
