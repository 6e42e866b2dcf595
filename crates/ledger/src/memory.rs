//! A ledger that forgets everything when the process ends: for demonstrations and tests.
//!
//! It keeps what [`SqliteLedger`](crate::SqliteLedger) keeps, for as long, and the same tests run
//! over both. None of its calls fails but for an unknown block.

use core::time::Duration;
use std::collections::BTreeMap;

use bitcoin::BlockHash;
use headframe_work::UnixTime;

use crate::ban::MAX_BANS;
use crate::batch::WorkerSums;
use crate::best::{BestList, keep_better};
use crate::block::MAX_BLOCKS;
use crate::history::{SlotBuilder, Span, floor_to, starts_touching};
use crate::retention::coarser;
use crate::{
    Ban, BestShare, BlockRecord, BlockUpdate, Bucket, FoundBlock, Ledger, LedgerError, RankedShare,
    Retention, ShareBatch, Sighting, Slot, Sums, TimeRange, Totals, Upkeep, WorkerId, WorkerRecord,
};

/// The ledger in memory.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    retention: Retention,
    pool: Option<Life>,
    workers: BTreeMap<WorkerId, Life>,
    /// Sums by span, start and worker; no worker is the pool.
    slots: BTreeMap<(Span, UnixTime, Option<WorkerId>), Sums>,
    best: BestList,
    /// In the order of their recording.
    blocks: Vec<BlockRecord>,
    /// The one that ends last first.
    bans: Vec<Ban>,
}

/// A worker, or the pool, over its whole life.
#[derive(Debug)]
struct Life {
    sums: Sums,
    best: Option<BestShare>,
    first_seen: UnixTime,
    last_seen: UnixTime,
    last_accepted: Option<UnixTime>,
    sighting: Option<Sighting>,
}

impl MemoryLedger {
    /// An empty ledger.
    pub fn new(retention: Retention) -> Self {
        Self {
            retention,
            ..Self::default()
        }
    }

    fn add(&mut self, worker: &WorkerId, news: &WorkerSums) {
        if !self.workers.contains_key(worker) {
            self.make_room();
        }
        self.workers
            .entry(worker.clone())
            .or_insert_with(|| Life::new(news.first_seen))
            .add(news);
        self.pool
            .get_or_insert_with(|| Life::new(news.first_seen))
            .add(news);
        for (minute, sums) in &news.minutes {
            for owner in [None, Some(worker.clone())] {
                self.slots
                    .entry((Span::Minute, *minute, owner))
                    .or_default()
                    .add(sums);
            }
        }
    }

    /// Forgets the workers least recently seen if there are as many as may be.
    fn make_room(&mut self) {
        let limit = self.retention.workers.max(1);
        if self.workers.len() < limit {
            return;
        }
        let mut by_age: Vec<_> = self
            .workers
            .iter()
            .map(|(worker, life)| (life.last_seen, worker.clone()))
            .collect();
        by_age.sort();
        let surplus = self.workers.len() - limit + crate::retention::room(limit);
        for (_, worker) in by_age.into_iter().take(surplus) {
            self.workers.remove(&worker);
            self.slots
                .retain(|(_, _, owner), _| owner.as_ref() != Some(&worker));
        }
    }

    /// Moves or drops the slots of the oldest start of a span; false if none is past its time.
    fn age(&mut self, span: Span, now: UnixTime) -> bool {
        let horizon = self.retention.horizon(span, now);
        let oldest = self
            .slots
            .range((span, UnixTime::from_secs(0), None)..(span, horizon, None))
            .next();
        let Some(start) = oldest.map(|((_, start, _), _)| *start) else {
            return false;
        };
        let next = start.saturating_add(Duration::from_secs(span.seconds().into()));
        let aged: Vec<_> = self
            .slots
            .range((span, start, None)..(span, next, None))
            .map(|(key, _)| key.clone())
            .collect();
        for key in aged {
            let sums = self.slots.remove(&key).unwrap_or_default();
            if let Some(coarse) = coarser(span) {
                let start = floor_to(start, coarse.seconds());
                self.slots
                    .entry((coarse, start, key.2))
                    .or_default()
                    .add(&sums);
            }
        }
        true
    }

    fn history(&self, owner: Option<&WorkerId>, range: &TimeRange, bucket: Bucket) -> Vec<Slot> {
        let mut slots = SlotBuilder::new(bucket);
        for span in Span::COARSEST_FIRST {
            let starts = starts_touching(range, bucket, span);
            if starts.is_empty() {
                continue;
            }
            let [from, to] = [starts.start, starts.end].map(UnixTime::from_secs);
            for ((_, start, who), sums) in self.slots.range((span, from, None)..(span, to, None)) {
                if who.as_ref() == owner {
                    slots.slot(span, *start).add(sums);
                }
            }
        }
        slots.finish()
    }
}

impl Life {
    const fn new(at: UnixTime) -> Self {
        Self {
            sums: Sums {
                accepted: crate::Tally {
                    count: 0,
                    work: headframe_work::Work::ZERO,
                },
                rejected: BTreeMap::new(),
                not_durable: 0,
                blocks: 0,
            },
            best: None,
            first_seen: at,
            last_seen: at,
            last_accepted: None,
            sighting: None,
        }
    }

    fn add(&mut self, news: &WorkerSums) {
        for sums in news.minutes.values() {
            self.sums.add(sums);
        }
        if let Some(share) = news.best {
            keep_better(&mut self.best, share);
        }
        self.first_seen = self.first_seen.min(news.first_seen);
        self.last_seen = self.last_seen.max(news.last_seen);
        self.last_accepted = self.last_accepted.max(news.last_accepted);
        if news.sighting.is_some() {
            self.sighting.clone_from(&news.sighting);
        }
    }

    fn record(&self, worker: &WorkerId) -> WorkerRecord {
        WorkerRecord {
            worker: worker.clone(),
            sums: self.sums.clone(),
            best: self.best,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            last_accepted: self.last_accepted,
            sighting: self.sighting.clone(),
        }
    }
}

impl Ledger for MemoryLedger {
    fn record(&mut self, batch: &ShareBatch) -> Result<(), LedgerError> {
        for (worker, news) in batch.workers() {
            self.add(worker, news);
        }
        for ranked in batch.best() {
            self.best.offer(&ranked.worker, ranked.share);
        }
        Ok(())
    }

    fn record_block(&mut self, block: &FoundBlock) -> Result<bool, LedgerError> {
        if self.blocks.iter().any(|kept| kept.found.hash == block.hash) {
            return Ok(false);
        }
        self.blocks.push(BlockRecord::new(block.clone()));
        self.add(&block.worker, &WorkerSums::of_block(block.found_at));
        Ok(true)
    }

    fn update_block(&mut self, hash: BlockHash, update: &BlockUpdate) -> Result<(), LedgerError> {
        self.blocks
            .iter_mut()
            .find(|block| block.found.hash == hash)
            .ok_or(LedgerError::UnknownBlock(hash))?
            .update(update);
        Ok(())
    }

    fn record_ban(&mut self, ban: &Ban) -> Result<(), LedgerError> {
        self.bans.retain(|kept| kept.address != ban.address);
        self.bans.push(ban.clone());
        self.bans
            .sort_by_key(|ban| (core::cmp::Reverse(ban.until), ban.address));
        self.bans.truncate(MAX_BANS);
        Ok(())
    }

    fn upkeep(&mut self, now: UnixTime) -> Result<Upkeep, LedgerError> {
        self.bans.retain(|ban| ban.is_remembered(now));
        let surplus = self.blocks.len().saturating_sub(MAX_BLOCKS);
        self.blocks.drain(..surplus);
        let mut more = false;
        for span in Span::COARSEST_FIRST {
            more |= self.age(span, now);
        }
        Ok(if more { Upkeep::More } else { Upkeep::Done })
    }

    fn totals(&self) -> Result<Totals, LedgerError> {
        Ok(Totals {
            sums: self
                .pool
                .as_ref()
                .map(|pool| pool.sums.clone())
                .unwrap_or_default(),
            since: self.pool.as_ref().map(|pool| pool.first_seen),
            last_accepted: self.pool.as_ref().and_then(|pool| pool.last_accepted),
            workers: self.workers.len(),
        })
    }

    fn pool_history(&self, range: TimeRange, bucket: Bucket) -> Result<Vec<Slot>, LedgerError> {
        Ok(self.history(None, &range, bucket))
    }

    fn worker_history(
        &self,
        worker: &WorkerId,
        range: TimeRange,
        bucket: Bucket,
    ) -> Result<Vec<Slot>, LedgerError> {
        Ok(self.history(Some(worker), &range, bucket))
    }

    fn workers(&self, limit: usize) -> Result<Vec<WorkerRecord>, LedgerError> {
        let mut latest: Vec<_> = self.workers.iter().collect();
        latest.sort_by_key(|(worker, life)| (core::cmp::Reverse(life.last_seen), *worker));
        Ok(latest
            .into_iter()
            .take(limit)
            .map(|(worker, life)| life.record(worker))
            .collect())
    }

    fn worker(&self, worker: &WorkerId) -> Result<Option<WorkerRecord>, LedgerError> {
        Ok(self.workers.get(worker).map(|life| life.record(worker)))
    }

    fn best_shares(&self) -> Result<Vec<RankedShare>, LedgerError> {
        Ok(self.best.shares().to_vec())
    }

    fn blocks(&self, limit: usize) -> Result<Vec<BlockRecord>, LedgerError> {
        Ok(self.blocks.iter().rev().take(limit).cloned().collect())
    }

    fn unsettled_blocks(&self) -> Result<Vec<BlockRecord>, LedgerError> {
        let open = |block: &&BlockRecord| !block.fate.is_settled();
        Ok(self.blocks.iter().rev().filter(open).cloned().collect())
    }

    fn bans(&self, now: UnixTime) -> Result<Vec<Ban>, LedgerError> {
        let remembered = |ban: &&Ban| ban.is_remembered(now);
        Ok(self.bans.iter().filter(remembered).cloned().collect())
    }
}
