//! What a commit costs: 1,000 shares of 100 workers, merged and made durable, against a bare
//! transaction that makes one page durable.
#![allow(missing_docs, reason = "divan's macros expand to public items")]

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use headframe_ledger::{
    BestShare, COMMIT_SHARES, DataDir, Ledger as _, Retention, ShareBatch, SqliteLedger, WorkerId,
};
use headframe_work::{UnixTime, Work};

fn main() {
    divan::main();
}

fn workers() -> Vec<WorkerId> {
    (0..100)
        .map(|number| WorkerId::new(&format!("bc1qexample.worker{number}"), "bc1qexample"))
        .collect::<Result<_, _>>()
        .expect("the names are short")
}

fn fill(batch: &mut ShareBatch, workers: &[WorkerId], at: UnixTime) {
    for (number, worker) in (0..COMMIT_SHARES).zip(workers.iter().cycle()) {
        let mut hash = [0xab; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        let hash = BlockHash::from_byte_array(hash);
        batch.accept(worker, Work::from_units(1 << 40), BestShare { hash, at });
    }
}

/// Merging alone, in memory.
#[divan::bench]
fn merge_1000_shares_of_100_workers(bencher: divan::Bencher<'_, '_>) {
    let workers = workers();
    let mut batch = ShareBatch::default();
    bencher.bench_local(|| {
        batch.clear();
        fill(&mut batch, &workers, UnixTime::from_secs(1_700_000_000));
    });
}

#[divan::bench]
fn commit_1000_shares_of_100_workers(bencher: divan::Bencher<'_, '_>) {
    let place = tempfile::tempdir().expect("a temporary directory");
    let dir = DataDir::open(place.path()).expect("an unused directory");
    let mut ledger = SqliteLedger::open(&dir, Retention::default()).expect("a new ledger");
    let mut batch = ShareBatch::default();
    fill(&mut batch, &workers(), UnixTime::from_secs(1_700_000_000));
    bencher.bench_local(|| ledger.record(&batch).expect("space on the disk"));
}

/// The floor: SQLite's own durable commit of one row.
#[divan::bench]
fn bare_commit_of_one_row(bencher: divan::Bencher<'_, '_>) {
    let place = tempfile::tempdir().expect("a temporary directory");
    let bare = rusqlite::Connection::open(place.path().join("bare")).expect("a new file");
    bare.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA synchronous = full;
         CREATE TABLE t (x INTEGER); INSERT INTO t VALUES (0)",
    )
    .expect("plain SQL");
    bencher.bench_local(|| bare.execute("UPDATE t SET x = x + 1", []));
}
