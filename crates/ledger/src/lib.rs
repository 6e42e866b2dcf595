//! What the pool remembers: sums of work per worker and minute, best shares, found blocks and
//! their fate.
//!
//! One trait free of SQL, [`Ledger`], with two implementations: [`SqliteLedger`] on disk and
//! [`MemoryLedger`] for a pool that has nothing to keep. Shares arrive merged in a [`ShareBatch`];
//! there is no row per share. [`DataDir`] keeps two pools from using one data directory.
//!
//! This crate is NOT on the path of a block: the journal that submits it is elsewhere, and a
//! ledger that fails stops neither mining nor a submission. It owns no thread, no queue and no
//! clock: when a batch is committed is the caller's choice ([`COMMIT_SHARES`] and
//! [`COMMIT_INTERVAL`] are the figures of R-19), and the time is an argument.

mod ban;
mod batch;
mod best;
mod block;
mod data_dir;
mod error;
mod history;
mod memory;
mod port;
mod retention;
mod sqlite;
mod sums;
mod text;
mod worker;

pub use ban::{BAN_REMEMBERED, Ban, MAX_BANS};
pub use batch::{COMMIT_INTERVAL, COMMIT_SHARES, ShareBatch};
pub use best::{BEST_SHARES, BestShare, RankedShare};
pub use block::{
    BlockFate, BlockRecord, BlockUpdate, FoundBlock, MAX_ANSWERS, MAX_BLOCKS, NodeAnswer, Protocol,
};
pub use data_dir::{DataDir, DataDirError};
pub use error::LedgerError;
pub use history::{Bucket, Slot, TimeRange};
pub use memory::MemoryLedger;
pub use port::{Ledger, Totals, Upkeep};
pub use retention::{MAX_WORKERS, Retention};
pub use sqlite::{FILE_NAME, SqliteLedger};
pub use sums::{Rejection, Sums, Tally};
pub use text::Text;
pub use worker::{ClientKind, NameError, Sighting, WorkerId, WorkerRecord};
