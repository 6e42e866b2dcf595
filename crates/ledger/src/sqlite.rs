//! The ledger on disk: SQLite with a write-ahead log, every commit synced.
//!
//! SQLite has no 128-bit integers. Work is kept as 16 big-endian bytes, which sort as numbers do
//! and which the function `work_add` of this connection adds exactly; see `functions`. Another
//! program can read the file while the pool runs, and should not write it.

/// What happens to sums that are there already: they grow, exactly. SQL's own `+` would not do, since
/// work is a `u128`.
macro_rules! add_to_sums {
    ($insert:literal) => {
        concat!(
            $insert,
            "
    ON CONFLICT DO UPDATE SET
        count = count_add(count, excluded.count),
        work = work_add(work, excluded.work)"
        )
    };
}

mod bans;
mod blocks;
mod columns;
mod error;
mod functions;
mod migrations;
mod read;
mod upkeep;
mod write;

use core::fmt;
use core::time::Duration;
use std::path::{Path, PathBuf};

use bitcoin::BlockHash;
use headframe_work::UnixTime;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::data_dir::create_private;
use crate::{
    Ban, BlockRecord, BlockUpdate, Bucket, DataDir, FoundBlock, Ledger, LedgerError, RankedShare,
    Retention, ShareBatch, Slot, TimeRange, Totals, Upkeep, WorkerId, WorkerRecord,
};
use error::Failure;

/// The name of the ledger's file in the data directory.
pub const FILE_NAME: &str = "ledger.sqlite";

/// How long a transaction waits for another program that holds the file, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements that stay prepared: more than there are.
const STATEMENTS: usize = 64;

/// The pool's row among the workers, and its number in the sums.
const POOL: i64 = 0;

/// The ledger in a file of the data directory.
pub struct SqliteLedger {
    path: PathBuf,
    connection: Connection,
    retention: Retention,
}

impl SqliteLedger {
    /// Opens the ledger in a data directory that this process holds, creating it or bringing it to
    /// this version's form.
    ///
    /// # Errors
    /// The operator's: the file is another program's, a newer version's, or damaged; it cannot be
    /// written, or not durably. The error says what to do.
    pub fn open(dir: &DataDir, retention: Retention) -> Result<Self, LedgerError> {
        let path = dir.join(FILE_NAME);
        let opened = open_file(&path).and_then(|mut connection| {
            migrations::check_identity(&connection)?;
            set_up(&connection)?;
            migrations::migrate(&mut connection)?;
            Ok(connection)
        });
        match opened {
            Ok(connection) => Ok(Self {
                path,
                connection,
                retention,
            }),
            Err(failure) => Err(failure.at(&path)),
        }
    }

    /// The blocks found last, the latest first, at most `limit`, of the ledger in a directory that another
    /// process may hold; none where there is no ledger. Nothing is written.
    ///
    /// # Errors
    /// The operator's: as [`open`](Self::open), and [`LedgerError::TooOld`].
    pub fn blocks_in(directory: &Path, limit: usize) -> Result<Vec<BlockRecord>, LedgerError> {
        let path = directory.join(FILE_NAME);
        let read = || {
            let Some(connection) = open_to_read(&path)? else {
                return Ok(Vec::new());
            };
            match migrations::check_version(&connection)? {
                true => blocks::latest(&connection, limit),
                false => Ok(Vec::new()),
            }
        };
        read().map_err(|failure: Failure| failure.at(&path))
    }

    /// Runs `work` in a transaction that takes the write lock at once.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, &Retention) -> Result<T, Failure>,
    ) -> Result<T, LedgerError> {
        let retention = &self.retention;
        let run = || {
            let transaction = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction, retention)?;
            transaction.commit()?;
            Ok(done)
        };
        run().map_err(|failure: Failure| failure.at(&self.path))
    }

    /// Runs `work` on one state of the file.
    fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, LedgerError> {
        let run = || {
            let transaction = self.connection.unchecked_transaction()?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        run().map_err(|failure: Failure| failure.at(&self.path))
    }
}

impl fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqliteLedger({})", self.path.display())
    }
}

impl Ledger for SqliteLedger {
    fn record(&mut self, batch: &ShareBatch) -> Result<(), LedgerError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.write(|transaction, retention| write::batch(transaction, retention, batch))
    }

    fn record_block(&mut self, block: &FoundBlock) -> Result<bool, LedgerError> {
        self.write(|transaction, retention| blocks::insert(transaction, retention, block))
    }

    fn update_block(&mut self, hash: BlockHash, update: &BlockUpdate) -> Result<(), LedgerError> {
        let known = self.write(|transaction, _| blocks::update(transaction, hash, update))?;
        known.ok_or(LedgerError::UnknownBlock(hash))
    }

    fn record_ban(&mut self, ban: &Ban) -> Result<(), LedgerError> {
        self.write(|transaction, _| bans::insert(transaction, ban))
    }

    fn upkeep(&mut self, now: UnixTime) -> Result<Upkeep, LedgerError> {
        self.write(|transaction, retention| upkeep::piece(transaction, retention, now))
    }

    fn totals(&self) -> Result<Totals, LedgerError> {
        self.read(read::totals)
    }

    fn pool_history(&self, range: TimeRange, bucket: Bucket) -> Result<Vec<Slot>, LedgerError> {
        self.read(|connection| read::history(connection, POOL, &range, bucket))
    }

    fn worker_history(
        &self,
        worker: &WorkerId,
        range: TimeRange,
        bucket: Bucket,
    ) -> Result<Vec<Slot>, LedgerError> {
        self.read(|connection| match read::worker_id(connection, worker)? {
            Some(id) => read::history(connection, id, &range, bucket),
            None => Ok(Vec::new()),
        })
    }

    fn workers(&self, limit: usize) -> Result<Vec<WorkerRecord>, LedgerError> {
        self.read(|connection| read::workers(connection, limit))
    }

    fn worker(&self, worker: &WorkerId) -> Result<Option<WorkerRecord>, LedgerError> {
        self.read(|connection| read::worker(connection, worker))
    }

    fn best_shares(&self) -> Result<Vec<RankedShare>, LedgerError> {
        self.read(read::best_shares)
    }

    fn blocks(&self, limit: usize) -> Result<Vec<BlockRecord>, LedgerError> {
        self.read(|connection| blocks::latest(connection, limit))
    }

    fn unsettled_blocks(&self) -> Result<Vec<BlockRecord>, LedgerError> {
        self.read(blocks::unsettled)
    }

    fn bans(&self, now: UnixTime) -> Result<Vec<Ban>, LedgerError> {
        self.read(|connection| bans::remembered(connection, now))
    }
}

fn open_file(path: &Path) -> Result<Connection, Failure> {
    create_private(path).map_err(Failure::Open)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// `None` where there is no file.
fn open_to_read(path: &Path) -> Result<Option<Connection>, Failure> {
    if !path.try_exists().map_err(Failure::Open)? {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(Some(connection))
}

fn set_up(connection: &Connection) -> Result<(), Failure> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // Only macOS heeds these: its fsync does not reach the disk's platters by itself.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    functions::register(connection)?;
    assert_durable(connection)
}

/// asserted at start, for a file system without shared memory makes SQLite fall back to
/// another journal without an error.
fn assert_durable(connection: &Connection) -> Result<(), Failure> {
    const FULL: i64 = 2;
    let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    if journal == "wal" && synchronous == FULL {
        return Ok(());
    }
    Err(Failure::NotDurable(format!(
        "wanted journal_mode wal and synchronous {FULL}, got {journal} and {synchronous}"
    )))
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash as _;
    use bitcoin::{Amount, CompactTarget};
    use headframe_work::Work;

    use super::*;
    use crate::BestShare;

    fn batch(number: u8, names: usize) -> ShareBatch {
        let mut batch = ShareBatch::default();
        let share = BestShare {
            hash: BlockHash::from_byte_array([number; 32]),
            at: UnixTime::from_secs(60 * u32::from(number)),
        };
        for name in 0..names {
            let worker = WorkerId::new(&format!("{number}-{name}"), "address").unwrap();
            batch.accept(&worker, Work::from_units(1), share);
        }
        batch
    }

    fn count(ledger: &SqliteLedger) -> u64 {
        ledger.totals().unwrap().sums.accepted.count
    }

    #[test]
    fn a_full_disk_keeps_what_was_there_and_the_batch_can_be_given_again() {
        let place = tempfile::tempdir().unwrap();
        let dir = DataDir::open(place.path()).unwrap();
        let mut ledger = SqliteLedger::open(&dir, Retention::default()).unwrap();
        ledger.record(&batch(1, 3)).unwrap();
        let pages: i64 = ledger
            .connection
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap();
        let limit = |ledger: &SqliteLedger, pages: i64| {
            ledger
                .connection
                .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
                .unwrap();
        };
        limit(&ledger, pages);
        let large = batch(2, 1_000);
        let error = ledger.record(&large).unwrap_err();
        assert!(matches!(error, LedgerError::DiskFull { .. }), "{error}");
        assert!(error.is_transient());
        assert_eq!(count(&ledger), 3);
        limit(&ledger, 1_000_000);
        ledger.record(&large).unwrap();
        assert_eq!(count(&ledger), 1_003);
    }

    #[test]
    fn another_programs_file_is_left_as_it_is() {
        let place = tempfile::tempdir().unwrap();
        let dir = DataDir::open(place.path()).unwrap();
        let foreign = Connection::open(dir.join(FILE_NAME)).unwrap();
        foreign.execute_batch("CREATE TABLE t (x)").unwrap();
        drop(foreign);
        let before = std::fs::read(dir.join(FILE_NAME)).unwrap();
        let refused = SqliteLedger::open(&dir, Retention::default()).unwrap_err();
        assert!(matches!(refused, LedgerError::Foreign { .. }));
        assert_eq!(std::fs::read(dir.join(FILE_NAME)).unwrap(), before);

        std::fs::write(
            dir.join(FILE_NAME),
            "not a database, but long enough to be one".repeat(99),
        )
        .unwrap();
        let refused = SqliteLedger::open(&dir, Retention::default()).unwrap_err();
        assert!(matches!(refused, LedgerError::Foreign { .. }), "{refused}");
    }

    #[test]
    fn a_newer_file_is_refused_and_says_which_version_it_needs() {
        let place = tempfile::tempdir().unwrap();
        let dir = DataDir::open(place.path()).unwrap();
        let ledger = SqliteLedger::open(&dir, Retention::default()).unwrap();
        ledger
            .connection
            .pragma_update(None, "user_version", 99)
            .unwrap();
        drop(ledger);
        let refused = SqliteLedger::open(&dir, Retention::default()).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("ledger version 99, this one knows up to 3")
        );
    }

    /// A block of which no more is said than the first version kept.
    fn plain_block(byte: u8) -> FoundBlock {
        FoundBlock {
            height: 7,
            hash: BlockHash::from_byte_array([byte; 32]),
            found_at: UnixTime::from_secs(60),
            worker: WorkerId::new("user", "address").unwrap(),
            paid: Amount::from_sat(50),
            fee: None,
            bits: None,
            protocol: None,
            work_before: None,
            job: "job".into(),
        }
    }

    #[test]
    fn blocks_of_the_first_version_are_kept_and_newer_ones_say_more() {
        let place = tempfile::tempdir().unwrap();
        let dir = DataDir::open(place.path()).unwrap();
        let old = Connection::open(dir.join(FILE_NAME)).unwrap();
        old.execute_batch(include_str!("sqlite/v1.sql")).unwrap();
        old.execute_batch(
            "INSERT INTO blocks (hash, height, found_at, user, payout, paid, job, fate, settled)
             VALUES (zeroblob(32), 7, 60, 'user', 'address', 50, 'job', 'accepted', 0);
             PRAGMA application_id = 0x68646672;
             PRAGMA user_version = 1",
        )
        .unwrap();
        drop(old);
        let mut ledger = SqliteLedger::open(&dir, Retention::default()).unwrap();
        let before = ledger.blocks(2).unwrap().remove(0);
        let expected = plain_block(0);
        assert_eq!(before.found, expected);
        assert_eq!(before.fate, crate::BlockFate::Accepted);
        let newer = FoundBlock {
            hash: BlockHash::from_byte_array([1; 32]),
            fee: Some(Amount::from_sat(3)),
            bits: Some(CompactTarget::from_consensus(0x1d00_ffff)),
            protocol: Some(crate::Protocol::Sv2),
            work_before: Some(Work::from_units(u128::MAX)),
            ..expected
        };
        assert!(ledger.record_block(&newer).unwrap());
        assert_eq!(ledger.blocks(1).unwrap()[0].found, newer);
    }

    #[test]
    fn blocks_are_read_while_another_process_writes_and_nothing_is_changed() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(SqliteLedger::blocks_in(place.path(), 9).unwrap(), []);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
        let dir = DataDir::open(place.path()).unwrap();
        let mut ledger = SqliteLedger::open(&dir, Retention::default()).unwrap();
        let block = plain_block(7);
        ledger.record_block(&block).unwrap();
        // Not yet in the file itself, and the writer has it open.
        let read = SqliteLedger::blocks_in(place.path(), 9).unwrap();
        assert_eq!(read, ledger.blocks(9).unwrap());
        drop(ledger);
        assert_eq!(SqliteLedger::blocks_in(place.path(), 9).unwrap(), read);
    }

    #[test]
    fn a_file_of_an_older_version_is_not_read_past_its_pool() {
        let place = tempfile::tempdir().unwrap();
        let old = Connection::open(place.path().join(FILE_NAME)).unwrap();
        old.execute_batch(include_str!("sqlite/v1.sql")).unwrap();
        old.execute_batch("PRAGMA application_id = 0x68646672; PRAGMA user_version = 1")
            .unwrap();
        drop(old);
        let refused = SqliteLedger::blocks_in(place.path(), 9).unwrap_err();
        assert!(matches!(refused, LedgerError::TooOld { found: 1, .. }));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let place = tempfile::tempdir().unwrap();
        let dir = DataDir::open(place.path()).unwrap();
        std::fs::create_dir(dir.join(FILE_NAME)).unwrap();
        let refused = SqliteLedger::open(&dir, Retention::default()).unwrap_err();
        assert!(matches!(refused, LedgerError::NoPermission { .. }));
        assert!(refused.to_string().contains(FILE_NAME));
    }

    #[test]
    fn a_damaged_value_is_an_error_and_not_a_panic() {
        let place = tempfile::tempdir().unwrap();
        let dir = DataDir::open(place.path()).unwrap();
        let mut ledger = SqliteLedger::open(&dir, Retention::default()).unwrap();
        ledger.record(&batch(1, 1)).unwrap();
        for damage in [
            "UPDATE sums SET work = x'00'",
            "UPDATE sums SET work = zeroblob(16), count = -1",
            "UPDATE sums SET count = 1, kind = 'nonsense' || worker || span",
        ] {
            ledger.connection.execute_batch(damage).unwrap();
            let error = ledger.totals().unwrap_err();
            assert!(
                matches!(error, LedgerError::Damaged { .. }),
                "{damage}: {error}"
            );
        }
    }

    #[test]
    fn commits_are_synced_and_logged() {
        let place = tempfile::tempdir().unwrap();
        let dir = DataDir::open(place.path()).unwrap();
        let ledger = SqliteLedger::open(&dir, Retention::default()).unwrap();
        assert!(assert_durable(&ledger.connection).is_ok());
        ledger
            .connection
            .pragma_update(None, "synchronous", "normal")
            .unwrap();
        assert!(matches!(
            assert_durable(&ledger.connection),
            Err(Failure::NotDurable(_))
        ));
        let in_memory = Connection::open_in_memory().unwrap();
        assert!(matches!(set_up(&in_memory), Err(Failure::NotDurable(_))));
    }
}
