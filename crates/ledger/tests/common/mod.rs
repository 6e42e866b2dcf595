//! What the tests of the ledger share.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use headframe_ledger::{
    BestShare, BlockRecord, Bucket, Ledger, RankedShare, Slot, Totals, WorkerId, WorkerRecord,
};
use headframe_work::{UnixTime, Work};

/// 2024-01-01 00:00 UTC.
pub(crate) const DAWN: u32 = 1_704_067_200;

pub(crate) fn at(seconds: u32) -> UnixTime {
    UnixTime::from_secs(DAWN + seconds)
}

pub(crate) fn worker(name: &str) -> WorkerId {
    WorkerId::new(name, "bc1qexample").unwrap()
}

pub(crate) fn units(units: u128) -> Work {
    Work::from_units(units)
}

/// A share whose hash, as a number, is `number`.
pub(crate) fn share(number: u64, seconds: u32) -> BestShare {
    BestShare {
        hash: hash(number),
        at: at(seconds),
    }
}

pub(crate) fn hash(number: u64) -> BlockHash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    BlockHash::from_byte_array(bytes)
}

/// All that a ledger shows.
#[derive(Debug, PartialEq)]
pub(crate) struct View {
    pub(crate) totals: Totals,
    pub(crate) workers: Vec<WorkerRecord>,
    pub(crate) best: Vec<RankedShare>,
    pub(crate) blocks: Vec<BlockRecord>,
    pub(crate) unsettled: Vec<BlockRecord>,
    pub(crate) pool: Vec<Slot>,
    pub(crate) histories: Vec<Vec<Slot>>,
}

pub(crate) fn view(ledger: &dyn Ledger) -> View {
    let all = UnixTime::from_secs(0)..UnixTime::from_secs(u32::MAX);
    let workers = ledger.workers(usize::MAX).unwrap();
    View {
        totals: ledger.totals().unwrap(),
        best: ledger.best_shares().unwrap(),
        blocks: ledger.blocks(usize::MAX).unwrap(),
        unsettled: ledger.unsettled_blocks().unwrap(),
        pool: ledger.pool_history(all.clone(), Bucket::Minute).unwrap(),
        histories: workers
            .iter()
            .map(|record| {
                ledger
                    .worker_history(&record.worker, all.clone(), Bucket::Minute)
                    .unwrap()
            })
            .collect(),
        workers,
    }
}
