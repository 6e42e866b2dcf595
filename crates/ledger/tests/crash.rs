//! What a crash leaves: exactly the batches committed before it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use common::{share, units, view, worker};
use headframe_ledger::{
    Bucket, DataDir, DataDirError, FILE_NAME, Ledger as _, Retention, ShareBatch, SqliteLedger,
};
use headframe_work::UnixTime;

/// Batch `number`: three workers, with work that tells every prefix of batches from every other.
fn batch(number: u64) -> ShareBatch {
    let mut batch = ShareBatch::default();
    for name in ["a", "b", "c"] {
        let seconds = u32::try_from(number * 7).unwrap();
        let work = units(u128::from(number + 1) << 64);
        batch.accept(&worker(name), work, share(1_000_000 - number, seconds));
    }
    batch
}

fn open(path: &Path) -> (DataDir, SqliteLedger) {
    let dir = DataDir::open(path).unwrap();
    let ledger = SqliteLedger::open(&dir, Retention::default()).unwrap();
    (dir, ledger)
}

/// Asserts that all tables of the ledger hold the same prefix of batches; returns its length.
fn assert_prefix(path: &Path) -> u64 {
    let (_dir, ledger) = open(path);
    let seen = view(&ledger);
    let batches = seen.totals.sums.accepted.count / 3;
    let each: u128 = (1..=u128::from(batches)).sum::<u128>() << 64;
    assert_eq!(seen.totals.sums.accepted.count, batches * 3);
    assert_eq!(seen.totals.sums.accepted.work, units(3 * each));
    for (record, history) in seen.workers.iter().zip(&seen.histories) {
        assert_eq!(record.sums.accepted.count, batches);
        assert_eq!(record.sums.accepted.work, units(each));
        let minutes: u64 = history.iter().map(|slot| slot.sums.accepted.count).sum();
        assert_eq!(minutes, batches);
    }
    let all = UnixTime::from_secs(0)..UnixTime::from_secs(u32::MAX);
    let pool = ledger.pool_history(all, Bucket::Minute).unwrap();
    let minutes: u128 = pool.iter().map(|s| s.sums.accepted.work.units()).sum();
    assert_eq!(minutes, 3 * each);
    let best = seen.best.first().map(|ranked| ranked.share);
    let expected = batches.checked_sub(1).map(|last| {
        let seconds = u32::try_from(last * 7).unwrap();
        share(1_000_000 - last, seconds)
    });
    assert_eq!(best, expected);
    batches
}

const CHILD: &str = "HEADFRAME_TEST_CRASH_DIR";
const ABORT_AT: &str = "HEADFRAME_TEST_CRASH_AT";

/// Not a test by itself: what the next one runs as another process. It commits batches, says so
/// after each, and aborts from a second thread in the middle of one of them.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let abort_at: u64 = std::env::var(ABORT_AT).unwrap().parse().unwrap();
    let (_dir, mut ledger) = open(Path::new(&path));
    let (begun, begin) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        begin.recv().unwrap();
        // Lands in a different place of the commit for each number, without asking a clock.
        for turn in 0..abort_at * 3_000 {
            std::hint::black_box(turn);
        }
        std::process::abort();
    });
    for number in 0.. {
        if number == abort_at {
            begun.send(()).unwrap();
        }
        ledger.record(&batch(number)).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "committed {number}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn an_abort_in_the_middle_of_a_commit_loses_only_that_batch() {
    for abort_at in 1..=12 {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(CHILD, dir.path())
            .env(ABORT_AT, abort_at.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let acknowledged = said
            .lines()
            .map_while(Result::ok)
            .filter(|line| line.contains("committed "))
            .count() as u64;
        assert!(!child.wait().unwrap().success());
        assert!(acknowledged >= abort_at);
        let kept = assert_prefix(dir.path());
        assert!(
            kept == acknowledged || kept == acknowledged + 1,
            "{acknowledged} acknowledged, {kept} kept"
        );
    }
}

/// A power cut may leave any prefix of what was being appended to the write-ahead log.
#[test]
fn a_log_cut_anywhere_leaves_a_prefix() {
    let live = tempfile::tempdir().unwrap();
    let (_dir, mut ledger) = open(live.path());
    for number in 0..8 {
        ledger.record(&batch(number)).unwrap();
    }
    let [file, log] = [FILE_NAME.to_owned(), format!("{FILE_NAME}-wal")];
    let [file_bytes, log_bytes] =
        [&file, &log].map(|name| fs::read(live.path().join(name)).unwrap());
    let mut lengths_seen = std::collections::BTreeSet::new();
    for cut in (0..=log_bytes.len())
        .step_by(1_999)
        .chain([log_bytes.len()])
    {
        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join(&file), &file_bytes).unwrap();
        fs::write(copy.path().join(&log), &log_bytes[..cut]).unwrap();
        lengths_seen.insert(assert_prefix(copy.path()));
    }
    assert_eq!(lengths_seen, (0..=8).collect());
}

#[test]
fn a_crash_releases_the_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holder", "--nocapture", "--test-threads=1"])
        .env(CHILD, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    assert!(
        said.lines()
            .map_while(Result::ok)
            .any(|line| line.contains("held"))
    );
    let error = DataDir::open(dir.path()).unwrap_err();
    assert!(matches!(error, DataDirError::InUse { pid, .. } if pid == Some(child.id())));
    child.kill().unwrap();
    child.wait().unwrap();
    DataDir::open(dir.path()).unwrap();
}

/// Not a test by itself: holds the directory until its standard input ends.
#[test]
fn holder() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let _dir = DataDir::open(Path::new(&path)).unwrap();
    let mut out = std::io::stdout().lock();
    writeln!(out, "held").unwrap();
    out.flush().unwrap();
    let _until_its_end = std::io::stdin().lines().count();
}
