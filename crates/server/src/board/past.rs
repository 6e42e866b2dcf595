//! What the ledger remembers of earlier runs, read once at the start.
//!
//! A restart keeps what the dashboard shows: the chart, the counts, the best shares, the blocks
//! with their fate, and the miners that were here lately.

use std::collections::HashMap;
use std::time::Duration;

use headframe_api::{BlockCounts, Protocol};
use headframe_ledger::{
    BlockFate, BlockRecord, Bucket, ClientKind, Ledger, LedgerError, NodeAnswer, RankedShare, Slot,
    Tally, WorkerId, WorkerRecord,
};
use headframe_work::{UnixTime, Work};

use super::bests::Near;
use super::blocks::{self, Found};
use super::counts::Counts;
use super::{convert, miners, odds};
use crate::blocks::INCONCLUSIVE;
use crate::clock::wall_clock;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Blocks that are read, to be counted by fate.
const MAX_BLOCKS: usize = 10_000;

/// What the ledger remembers of earlier runs.
#[derive(Debug, Default)]
pub(crate) struct Past {
    pub(super) totals: Counts,
    /// When the ledger began.
    pub(super) since: Option<UnixTime>,
    pub(super) workers: Vec<WorkerRecord>,
    /// The oldest first.
    pub(super) bests: Vec<Near>,
    /// The oldest first.
    pub(super) blocks: Vec<Found>,
    /// Blocks that are not in the list.
    pub(super) older_blocks: BlockCounts,
    /// Where the last of their rounds ended; `None` when that is not known.
    pub(super) first_round: Option<Work>,
    pub(super) minutes: Vec<Slot>,
    pub(super) ten_minutes: Vec<Slot>,
}

impl Past {
    /// Reads it all. Blocks on the disk.
    pub(crate) fn read(ledger: &dyn Ledger) -> Result<Self, LedgerError> {
        Self::read_at(ledger, wall_clock())
    }

    /// The accepted shares that the ledger holds.
    pub(crate) const fn accepted(&self) -> Tally {
        Tally {
            count: self.totals.accepted,
            work: self.totals.work,
        }
    }

    pub(super) fn read_at(ledger: &dyn Ledger, wall: UnixTime) -> Result<Self, LedgerError> {
        let totals = ledger.totals()?;
        let records = ledger.blocks(MAX_BLOCKS)?;
        let bests = ledger.best_shares()?;
        let curve = Curve::read(ledger, totals.sums.accepted.work, &records, &bests)?;
        let workers = ledger.workers(miners::MAX_GONE)?;
        let mut older = found(&records, &workers, &curve);
        let listed = older.split_off(older.len().saturating_sub(blocks::LISTED));
        let mut older_blocks = BlockCounts::default();
        for found in &older {
            blocks::count(&mut older_blocks, &found.fate);
        }
        let unread = totals.sums.blocks.saturating_sub(records.len() as u64);
        older_blocks.found = older_blocks.found.saturating_add(unread);
        let until = wall.saturating_add(DAY);
        Ok(Self {
            first_round: older
                .iter()
                .rev()
                .find(|found| found.counts())
                .map(|it| it.work_before),
            blocks: listed,
            older_blocks,
            bests: nears(bests, &curve),
            minutes: ledger.pool_history(wall.saturating_sub(DAY)..until, Bucket::Minute)?,
            ten_minutes: ledger
                .pool_history(wall.saturating_sub(WEEK)..until, Bucket::TenMinutes)?,
            totals: Counts::of_sums(&totals.sums),
            since: totals.since,
            workers,
        })
    }
}

fn nears(ranked: Vec<RankedShare>, curve: &Curve) -> Vec<Near> {
    let near = |ranked: RankedShare| Near {
        work: curve.work_at(ranked.share.at),
        worker: ranked.worker.user().to_owned(),
        network_difficulty: None,
        share: ranked.share,
    };
    let mut nears: Vec<_> = ranked.into_iter().map(near).collect();
    nears.sort_by_key(|near| near.share.at);
    nears
}

/// The blocks, turned so that the oldest is the first.
fn found(records: &[BlockRecord], workers: &[WorkerRecord], curve: &Curve) -> Vec<Found> {
    let client = |record: &WorkerRecord| Some(record.sighting.as_ref()?.client);
    let clients: HashMap<&WorkerId, ClientKind> = workers
        .iter()
        .filter_map(|record| Some((&record.worker, client(record)?)))
        .collect();
    let found = |record: &BlockRecord| {
        let client = clients.get(&record.found.worker);
        let protocol = client.map_or(Protocol::Sv1, |client| convert::protocol_of(*client));
        remembered(record, protocol, curve)
    };
    records.iter().rev().map(found).collect()
}

fn remembered(record: &BlockRecord, protocol: Protocol, curve: &Curve) -> Found {
    let block = &record.found;
    let attempts = record.answers.iter().map(|answer| answer.times);
    let last_answer = record.answers.iter().max_by_key(|answer| answer.last_at);
    let file = format!("blocks/{}-{}.hex", block.height, block.hash);
    let work = curve.work_at(block.found_at);
    Found {
        answers: last_answers(record),
        fate: record.fate.clone(),
        attempts: attempts.fold(0, u32::saturating_add),
        is_waiting: record.fate == BlockFate::Submitted
            && last_answer.is_some_and(|last| last.answer.as_str() == INCONCLUSIVE),
        ..Found::new(block, protocol, work, Some(file))
    }
}

/// What each node last said to a block, in the order in which they first answered.
fn last_answers(record: &BlockRecord) -> Vec<(String, String)> {
    let mut last: Vec<&NodeAnswer> = Vec::new();
    for answer in &record.answers {
        match last.iter_mut().find(|it| it.node == answer.node) {
            Some(known) if known.last_at <= answer.last_at => *known = answer,
            Some(_) => {}
            None => last.push(answer),
        }
    }
    let last = last.into_iter();
    last.map(|it| (it.node.as_str().to_owned(), it.answer.as_str().to_owned()))
        .collect()
}

/// The pool's work along time. As fine as the ledger remembers it, and even in between.
#[derive(Debug)]
struct Curve {
    total: Work,
    /// Slots by time, each with the work that was done after it.
    slots: Vec<(Slot, Work)>,
}

impl Curve {
    /// Reads as far back as anything is placed on it.
    fn read(
        ledger: &dyn Ledger,
        total: Work,
        blocks: &[BlockRecord],
        bests: &[RankedShare],
    ) -> Result<Self, LedgerError> {
        let listed = blocks.iter().take(blocks::LISTED);
        let times = listed.map(|record| record.found.found_at);
        let Some(first) = times.chain(bests.iter().map(|best| best.share.at)).min() else {
            return Ok(Self {
                total,
                slots: Vec::new(),
            });
        };
        let slots = ledger.pool_history(first..UnixTime::from_secs(u32::MAX), Bucket::Minute)?;
        Ok(Self::new(total, slots))
    }

    fn new(total: Work, slots: Vec<Slot>) -> Self {
        let mut after = Work::ZERO;
        let mut placed: Vec<_> = slots
            .into_iter()
            .rev()
            .map(|slot| {
                let work = slot.sums.accepted.work;
                let placed = (slot, after);
                after += work;
                placed
            })
            .collect();
        placed.reverse();
        Self {
            total,
            slots: placed,
        }
    }

    /// The work that the pool had done by then.
    fn work_at(&self, time: UnixTime) -> Work {
        odds::less(self.total, self.work_after(time))
    }

    fn work_after(&self, time: UnixTime) -> Work {
        let next = self.slots.partition_point(|(slot, _)| slot.start <= time);
        let within = next.checked_sub(1).and_then(|at| self.slots.get(at));
        let Some((slot, after)) = within else {
            let first = self.slots.first();
            return first.map_or(Work::ZERO, |(slot, after)| slot.sums.accepted.work + *after);
        };
        let passed = time.as_secs() - slot.start.as_secs();
        let left = slot.seconds.saturating_sub(passed);
        let units = slot.sums.accepted.work.units() / u128::from(slot.seconds.max(1));
        *after + Work::from_units(units.saturating_mul(left.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headframe_ledger::{Sums, Tally};

    #[test]
    fn the_curve_is_even_within_a_slot_and_flat_between() {
        let slot = |start, seconds, units| Slot {
            start: UnixTime::from_secs(start),
            seconds,
            sums: Sums {
                accepted: Tally::one(Work::from_units(units)),
                ..Sums::default()
            },
        };
        let total = Work::from_units(1_000);
        let curve = Curve::new(total, vec![slot(0, 60, 60), slot(120, 60, 600)]);
        let at = |seconds| curve.work_at(UnixTime::from_secs(seconds)).units();
        // What was done before the first slot is 340.
        let known = [
            (0, 340),
            (30, 370),
            (60, 400),
            (119, 400),
            (150, 700),
            (180, 1_000),
            (999, 1_000),
        ];
        for (seconds, units) in known {
            assert_eq!(at(seconds), units, "{seconds}");
        }
    }
}
