//! What can go wrong with the ledger, and what to do about it.

use std::path::PathBuf;

use bitcoin::BlockHash;

/// A ledger that could not do as asked. All but [`UnknownBlock`](Self::UnknownBlock) are for the
/// operator, and say what to do.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The disk is full, or the quota used up.
    #[error("no space left to write {path}; free some space, shares are kept in memory until then")]
    DiskFull {
        /// The ledger file.
        path: PathBuf,
    },
    /// The file or its directory cannot be opened or written.
    #[error(
        "cannot open or write {path} ({detail}); give the user that runs the pool the right to read and write it and its directory"
    )]
    NoPermission {
        /// The ledger file.
        path: PathBuf,
        /// SQLite's words.
        detail: String,
    },
    /// Something else holds the file.
    #[error(
        "{path} is in use by another program; close it (a database browser, a backup) and try again"
    )]
    Busy {
        /// The ledger file.
        path: PathBuf,
    },
    /// The disk failed to read or write.
    #[error(
        "the disk failed on {path} ({detail}); check that it has free space, and the system's log"
    )]
    Disk {
        /// The ledger file.
        path: PathBuf,
        /// SQLite's words.
        detail: String,
    },
    /// The file is damaged.
    #[error(
        "{path} is damaged ({detail}); move it and its -wal and -shm files away and the pool starts a new one, or restore a backup"
    )]
    Damaged {
        /// The ledger file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The file is another program's.
    #[error("{path} is not a headframe ledger; move it away or choose another data directory")]
    Foreign {
        /// The ledger file.
        path: PathBuf,
    },
    /// A newer version of the pool wrote the file.
    #[error(
        "{path} was written by a newer headframe (ledger version {found}, this one knows up to {known}); run that newer version, or move the file away to start a new one"
    )]
    TooNew {
        /// The ledger file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// An older version of the pool wrote the file, and it is only to be read.
    #[error(
        "{path} was written by an older headframe (ledger version {found}, this one reads {known}); start the pool once, which brings it up to date"
    )]
    TooOld {
        /// The ledger file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version that this program reads.
        known: i64,
    },
    /// The file system cannot do what durable commits need.
    #[error(
        "{path} cannot be written durably ({detail}); put the data directory on a local disk, not on a network share"
    )]
    NotDurable {
        /// The ledger file.
        path: PathBuf,
        /// What was asked for and what SQLite gave.
        detail: String,
    },
    /// News of a block that was never recorded: ours.
    #[error("block {0} is not in the ledger")]
    UnknownBlock(BlockHash),
    /// Anything else that SQLite says.
    #[error("the ledger {path} failed: {detail}")]
    Other {
        /// The ledger file.
        path: PathBuf,
        /// SQLite's words.
        detail: String,
    },
}

impl LedgerError {
    /// Whether the same call may succeed later without anyone touching the file: space is freed,
    /// another program lets go.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::Busy { .. })
    }
}
