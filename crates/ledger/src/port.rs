//! The trait that all who keep or read the pool's memory use.

use bitcoin::BlockHash;
use headframe_work::UnixTime;

use crate::{
    Ban, BlockRecord, BlockUpdate, Bucket, FoundBlock, LedgerError, RankedShare, ShareBatch, Slot,
    Sums, TimeRange, WorkerId, WorkerRecord,
};

/// The memory of a pool. Every method is one transaction: it happens whole or not at all, and when
/// a writing one returns `Ok`, what it wrote survives a power cut (as far as the implementation
/// writes to a disk at all).
///
/// The calls block on the disk. They belong on a thread of their own.
pub trait Ledger: Send {
    /// Adds a batch of shares to the sums of their workers and of the pool.
    ///
    /// # Errors
    /// The operator's (disk, permissions). Nothing of the batch was kept then, and the same batch
    /// can be given again, with more merged into it.
    fn record(&mut self, batch: &ShareBatch) -> Result<(), LedgerError>;

    /// Remembers a block, as [`BlockFate::Found`](crate::BlockFate::Found). Returns false, and
    /// changes nothing, if a block of that hash is known, so that a journal can be replayed.
    ///
    /// # Errors
    /// The operator's (disk, permissions).
    fn record_block(&mut self, block: &FoundBlock) -> Result<bool, LedgerError>;

    /// Takes in news of a block.
    ///
    /// # Errors
    /// [`LedgerError::UnknownBlock`] if there is no such block; else the operator's.
    fn update_block(&mut self, hash: BlockHash, update: &BlockUpdate) -> Result<(), LedgerError>;

    /// Remembers a ban, in the place of an earlier one of the same address.
    ///
    /// # Errors
    /// The operator's (disk, permissions).
    fn record_ban(&mut self, ban: &Ban) -> Result<(), LedgerError>;

    /// Rolls up or drops what [`Retention`](crate::Retention) no longer keeps at time `now`. Each
    /// call does a bounded piece of that, so that no share waits long behind it; call it about once
    /// a minute, and again between batches while it returns [`Upkeep::More`].
    ///
    /// # Errors
    /// The operator's (disk, permissions).
    fn upkeep(&mut self, now: UnixTime) -> Result<Upkeep, LedgerError>;

    /// What the pool did over its whole life.
    ///
    /// # Errors
    /// The operator's (disk, a damaged file), as for all that read.
    fn totals(&self) -> Result<Totals, LedgerError>;

    /// The pool's sums along time, ordered; slots without shares are left out.
    ///
    /// # Errors
    /// As [`totals`](Self::totals).
    fn pool_history(&self, range: TimeRange, bucket: Bucket) -> Result<Vec<Slot>, LedgerError>;

    /// A worker's sums along time, as [`pool_history`](Self::pool_history); none for an unknown one.
    ///
    /// # Errors
    /// As [`totals`](Self::totals).
    fn worker_history(
        &self,
        worker: &WorkerId,
        range: TimeRange,
        bucket: Bucket,
    ) -> Result<Vec<Slot>, LedgerError>;

    /// The workers last seen, the latest first, at most `limit`.
    ///
    /// # Errors
    /// As [`totals`](Self::totals).
    fn workers(&self, limit: usize) -> Result<Vec<WorkerRecord>, LedgerError>;

    /// One worker.
    ///
    /// # Errors
    /// As [`totals`](Self::totals).
    fn worker(&self, worker: &WorkerId) -> Result<Option<WorkerRecord>, LedgerError>;

    /// The pool's [`BEST_SHARES`](crate::BEST_SHARES) best shares, the best first.
    ///
    /// # Errors
    /// As [`totals`](Self::totals).
    fn best_shares(&self) -> Result<Vec<RankedShare>, LedgerError>;

    /// The blocks found last, the latest first, at most `limit`.
    ///
    /// # Errors
    /// As [`totals`](Self::totals).
    fn blocks(&self, limit: usize) -> Result<Vec<BlockRecord>, LedgerError>;

    /// The blocks to which something may still happen
    /// ([`BlockFate::is_settled`](crate::BlockFate::is_settled)), the latest first.
    ///
    /// # Errors
    /// As [`totals`](Self::totals).
    fn unsettled_blocks(&self) -> Result<Vec<BlockRecord>, LedgerError>;

    /// The bans that at `now` have not ended [`BAN_REMEMBERED`](crate::BAN_REMEMBERED) ago, at most
    /// [`MAX_BANS`](crate::MAX_BANS), the one that ends last first.
    ///
    /// # Errors
    /// As [`totals`](Self::totals).
    fn bans(&self, now: UnixTime) -> Result<Vec<Ban>, LedgerError>;
}

/// What the pool did over its whole life.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// All shares of all workers, also of those no longer remembered.
    pub sums: Sums,
    /// When the first share, sighting or block was recorded.
    pub since: Option<UnixTime>,
    /// When the last accepted share came.
    pub last_accepted: Option<UnixTime>,
    /// How many workers are remembered.
    pub workers: usize,
}

/// Whether upkeep has caught up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// Nothing left to do for now.
    Done,
    /// There may be more; call again when there is time.
    More,
}
