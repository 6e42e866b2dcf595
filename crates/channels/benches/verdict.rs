//! What a verdict on a share costs, against the digest calls that it cannot do without, and against
//! SRI's `channels_sv2`.
//!
//! `cargo bench -p headframe-channels`; the figures stand in docs/benchmarks.md. The shares are
//! accepted ones, so that each is remembered too.

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use divan::{Bencher, black_box};
use headframe_channels::{Channel, ChannelKind, JobId, Share, ShareVerdict};
use headframe_work::{Header, Job, Rung, UnixTime};
use mining_sv2::{SubmitSharesExtendedOwned, SubmitSharesStandard};
use sha2::{Digest, Sha256};
use support::TIME;

fn main() {
    divan::main();
}

/// Levels of the merkle tree of a full block.
const BRANCHES: usize = 12;
const TRANSACTIONS: u32 = (1 << BRANCHES) - 1;
/// Nearly every hash is a share.
const RUNG: Rung = Rung::EASIEST;
/// And none is a block.
const BITS: u32 = 0x1703_4219;
/// After so many shares a channel begins anew: before either implementation has its memory full.
const SHARES: u32 = 50_000;

fn sha256d(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

fn job() -> Job {
    let job = support::job(&support::template(1, BITS, TRANSACTIONS), 1, 12);
    assert_eq!(job.prepared().merkle_path().len(), BRANCHES);
    job
}

fn channel(kind: ChannelKind, job: &Job, now: Instant) -> Channel {
    let mut channel = support::ours(kind);
    channel.send_job(support::terms(1, RUNG, now), job);
    channel
}

/// One bare SHA-256d of 80 bytes: the floor of a standard share.
#[divan::bench]
fn standard_1_floor(bencher: Bencher<'_, '_>) {
    let header = [0x5a; Header::LEN];
    bencher.bench(|| sha256d(black_box(&header)));
}

#[divan::bench]
fn standard_2_ours(bencher: Bencher<'_, '_>) {
    judge(bencher, ChannelKind::Standard, &[]);
}

#[divan::bench]
fn standard_3_channels_sv2(bencher: Bencher<'_, '_>) {
    let prepared = support::template(1, BITS, TRANSACTIONS);
    let new = || support::their_standard(&prepared, RUNG.target());
    let (mut channel, mut job_id) = new();
    let mut nonce = 0;
    bencher.bench_local(|| {
        nonce += 1;
        if nonce % SHARES == 0 {
            (channel, job_id) = new();
        }
        let share = SubmitSharesStandard {
            channel_id: 1,
            sequence_number: nonce,
            job_id,
            nonce,
            ntime: TIME,
            version: 0x2000_0000,
        };
        channel.validate_share(black_box(share)).is_ok()
    });
}

/// The bare digest calls of an extended share over buffers that are ready: coinbase, branches,
/// header.
#[divan::bench]
fn extended_1_floor(bencher: Bencher<'_, '_>) {
    let job = job();
    let coinbase = [job.coinbase().prefix(), &[7; 12], job.coinbase().suffix()].concat();
    assert!((240..=260).contains(&coinbase.len()), "{}", coinbase.len());
    let pairs = [[0x22; 64]; BRANCHES];
    let header = [0x33; Header::LEN];
    bencher.bench(|| {
        black_box(sha256d(black_box(&coinbase)));
        for pair in &pairs {
            black_box(sha256d(black_box(pair)));
        }
        sha256d(black_box(&header))
    });
}

#[divan::bench]
fn extended_2_ours(bencher: Bencher<'_, '_>) {
    judge(bencher, ChannelKind::Extended, &[7; 8]);
}

#[divan::bench]
fn extended_3_channels_sv2(bencher: Bencher<'_, '_>) {
    let job = job();
    let new = || {
        let mut channel = support::theirs(RUNG.target());
        let id = support::send(&mut channel, &job);
        (channel, id)
    };
    let (mut channel, mut job_id) = new();
    let mut nonce = 0;
    bencher.bench_local(|| {
        nonce += 1;
        if nonce % SHARES == 0 {
            (channel, job_id) = new();
        }
        let share = SubmitSharesExtendedOwned {
            channel_id: 1,
            sequence_number: nonce,
            job_id,
            nonce,
            ntime: TIME,
            version: 0x2000_0000,
            extranonce: vec![7; 8].try_into().expect("short"),
        };
        channel.validate_share(black_box(share)).is_ok()
    });
}

fn judge(bencher: Bencher<'_, '_>, kind: ChannelKind, extranonce: &[u8]) {
    let job = job();
    let now = Instant::now();
    let mut ours = channel(kind, &job, now);
    let mut nonce = 0;
    bencher.bench_local(|| {
        nonce += 1;
        if nonce % SHARES == 0 {
            ours = channel(kind, &job, now);
        }
        let share = Share {
            job_id: JobId::new(1).expect("not 0"),
            version: 0x2000_0000,
            time: UnixTime::from_secs(TIME),
            nonce,
            extranonce,
        };
        let verdict = ours.judge(black_box(now), black_box(&share));
        matches!(verdict, ShareVerdict::Accepted(_))
    });
}
