//! Shares on their way to the ledger, merged per worker and minute.

use core::time::Duration;
use std::collections::{BTreeMap, HashMap};

use headframe_work::{UnixTime, Work};

use crate::best::{BestList, keep_better};
use crate::history::{Span, floor_to};
use crate::retention::MAX_WORKERS;
use crate::{BestShare, RankedShare, Rejection, Sighting, Sums, Tally, WorkerId};

/// A batch of this many accepted shares is committed at once.
pub const COMMIT_SHARES: u64 = 1_000;

/// An accepted share waits at most this long for its batch to be committed.
pub const COMMIT_INTERVAL: Duration = Duration::from_millis(10);

/// How many minutes of one worker a batch tells apart. A batch grows past a minute or two only
/// while the disk fails; the oldest minutes then become one, and nothing is lost but resolution.
const MAX_MINUTES: usize = 120;

/// Shares merged per worker and minute, to be committed as one. The memory that it takes is
/// bounded by the number of workers, not by that of shares, so that it can keep growing while a
/// disk is full.
#[derive(Debug, Clone, Default)]
pub struct ShareBatch {
    shares: u64,
    accepted: Tally,
    workers: HashMap<WorkerId, WorkerSums>,
    best: BestList,
}

/// What a batch holds of one worker.
#[derive(Debug, Clone)]
pub(crate) struct WorkerSums {
    pub(crate) minutes: BTreeMap<UnixTime, Sums>,
    pub(crate) best: Option<BestShare>,
    pub(crate) first_seen: UnixTime,
    pub(crate) last_seen: UnixTime,
    pub(crate) last_accepted: Option<UnixTime>,
    pub(crate) sighting: Option<Sighting>,
}

impl ShareBatch {
    /// Adds an accepted share; `work` is that of the target it was accepted for, not of its hash.
    pub fn accept(&mut self, worker: &WorkerId, work: Work, share: BestShare) {
        self.shares += 1;
        self.accepted.add(Tally::one(work));
        self.best.offer(worker, share);
        let sums = self.worker(worker, share.at);
        sums.last_accepted = sums.last_accepted.max(Some(share.at));
        keep_better(&mut sums.best, share);
        sums.minute(share.at).accepted.add(Tally::one(work));
    }

    /// Adds a rejected share; `work` is that of the target it was sent for, zero if unknown.
    pub fn reject(&mut self, worker: &WorkerId, at: UnixTime, work: Work, reason: Rejection) {
        self.shares += 1;
        let minute = self.worker(worker, at).minute(at);
        minute
            .rejected
            .entry(reason)
            .or_default()
            .add(Tally::one(work));
    }

    /// Counts an accepted share that was answered before its batch was committed. The share
    /// itself is added with [`accept`](Self::accept).
    pub fn not_durable(&mut self, worker: &WorkerId, at: UnixTime) {
        let minute = self.worker(worker, at).minute(at);
        minute.not_durable = minute.not_durable.saturating_add(1);
    }

    /// Notes what a worker is mining with.
    pub fn sighting(&mut self, worker: &WorkerId, at: UnixTime, sighting: Sighting) {
        self.worker(worker, at).sighting = Some(sighting);
    }

    /// Adds all that another batch holds.
    pub fn append(&mut self, other: Self) {
        self.shares += other.shares;
        self.accepted.add(other.accepted);
        for (worker, news) in &other.workers {
            let sums = self.worker(worker, news.first_seen);
            sums.merge(news);
            sums.sighting = news.sighting.clone().or_else(|| sums.sighting.take());
        }
        for ranked in other.best.shares() {
            self.best.offer(&ranked.worker, ranked.share);
        }
    }

    /// How many shares, accepted and rejected, the batch holds.
    pub const fn shares(&self) -> u64 {
        self.shares
    }

    /// The accepted shares that the batch holds, and their work.
    pub const fn accepted(&self) -> Tally {
        self.accepted
    }

    /// Whether it is time to commit without waiting for more.
    pub const fn is_full(&self) -> bool {
        self.accepted.count >= COMMIT_SHARES
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// An empty batch for what comes next, where this one is heeded: `None` where any empty batch would do.
    pub fn successor(&self) -> Option<Self> {
        let best = self.best.successor();
        best.has_bar().then(|| Self {
            best,
            ..Self::default()
        })
    }

    /// Empties the batch, which was recorded, and keeps its memory.
    pub fn clear(&mut self) {
        (self.shares, self.accepted) = (0, Tally::default());
        self.workers.clear();
        self.best = self.best.successor();
    }

    /// What the batch holds, in the order of the workers' names.
    pub(crate) fn workers(&self) -> impl Iterator<Item = (&WorkerId, &WorkerSums)> {
        let mut workers: Vec<_> = self.workers.iter().collect();
        workers.sort_unstable_by_key(|(worker, _)| *worker);
        workers.into_iter()
    }

    pub(crate) fn best(&self) -> &[RankedShare] {
        self.best.shares()
    }

    fn worker(&mut self, worker: &WorkerId, at: UnixTime) -> &mut WorkerSums {
        let full = self.workers.len() >= MAX_WORKERS && !self.workers.contains_key(worker);
        let worker = if full {
            WorkerId::others()
        } else {
            worker.clone()
        };
        let sums = self
            .workers
            .entry(worker)
            .or_insert_with(|| WorkerSums::new(at));
        sums.first_seen = sums.first_seen.min(at);
        sums.last_seen = sums.last_seen.max(at);
        sums
    }
}

impl WorkerSums {
    pub(crate) const fn new(at: UnixTime) -> Self {
        Self {
            minutes: BTreeMap::new(),
            best: None,
            first_seen: at,
            last_seen: at,
            last_accepted: None,
            sighting: None,
        }
    }

    /// Adds what is new of another worker, for the sums of the pool.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (minute, sums) in &other.minutes {
            self.minute(*minute).add(sums);
        }
        if let Some(share) = other.best {
            keep_better(&mut self.best, share);
        }
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        self.last_accepted = self.last_accepted.max(other.last_accepted);
    }

    /// A block and nothing else; the share that it is comes with its batch.
    pub(crate) fn of_block(at: UnixTime) -> Self {
        let mut news = Self::new(at);
        news.minute(at).blocks = 1;
        news
    }

    fn minute(&mut self, at: UnixTime) -> &mut Sums {
        let minute = floor_to(at, Span::Minute.seconds());
        if self.minutes.len() >= MAX_MINUTES && !self.minutes.contains_key(&minute) {
            self.merge_oldest();
        }
        self.minutes.entry(minute).or_default()
    }

    fn merge_oldest(&mut self) {
        if let Some((_, oldest)) = self.minutes.pop_first()
            && let Some(mut next) = self.minutes.first_entry()
        {
            next.get_mut().add(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash;

    #[test]
    fn two_batches_appended_are_one_batch() {
        let workers = ["a", "b", "c"].map(|name| WorkerId::new(name, "address").unwrap());
        let (mut all, mut first, mut second) = <(ShareBatch, ShareBatch, ShareBatch)>::default();
        for n in 0..600u32 {
            let (worker, at) = (&workers[n as usize % 3], UnixTime::from_secs(1_000 + n));
            let half = if n < 200 { &mut first } else { &mut second };
            for batch in [&mut all, half] {
                match n % 5 {
                    0 => batch.reject(worker, at, Work::from_units(3), Rejection::Stale),
                    1 => batch.not_durable(worker, at),
                    _ => {
                        let hash = bitcoin::BlockHash::from_byte_array([n as u8 ^ 0x5a; 32]);
                        batch.accept(worker, Work::from_units(n.into()), BestShare { hash, at });
                    }
                }
            }
        }
        first.append(second);
        assert_eq!(first.shares(), all.shares());
        assert_eq!(first.accepted(), all.accepted());
        assert_eq!(all.accepted().count, 360);
        let work = (0..600).filter(|n| n % 5 > 1).sum();
        assert_eq!(all.accepted().work, Work::from_units(work));
        let show = |batch: &ShareBatch| format!("{:?}", batch.workers().collect::<Vec<_>>());
        assert_eq!(show(&first), show(&all));
        assert_eq!(first.best(), all.best());
        first.clear();
        assert_eq!(first.accepted(), Tally::default());
    }

    #[test]
    fn a_batch_of_a_long_outage_keeps_every_share_in_bounded_memory() {
        let worker = WorkerId::new("w", "address").unwrap();
        let mut batch = ShareBatch::default();
        for minute in 0..10_000 {
            let at = UnixTime::from_secs(minute * 60);
            batch.reject(&worker, at, Work::from_units(1), Rejection::Stale);
        }
        let (_, sums) = batch.workers().next().unwrap();
        assert_eq!(sums.minutes.len(), MAX_MINUTES);
        let mut total = Sums::default();
        sums.minutes.values().for_each(|minute| total.add(minute));
        assert_eq!(total.stale().count, 10_000);
    }

    #[test]
    fn names_past_the_limit_are_counted_together() {
        let mut batch = ShareBatch::default();
        let at = UnixTime::from_secs(0);
        for number in 0..MAX_WORKERS + 10 {
            let worker = WorkerId::new(&number.to_string(), "address").unwrap();
            batch.reject(&worker, at, Work::from_units(1), Rejection::Stale);
        }
        assert_eq!(batch.workers.len(), MAX_WORKERS + 1);
        let others = &batch.workers[&WorkerId::others()];
        assert_eq!(others.minutes[&at].stale().count, 10);
    }
}
