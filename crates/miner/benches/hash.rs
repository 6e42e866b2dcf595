//! What a nonce costs, against the SHA-256d of 80 bytes that it stands for.
//!
//! `cargo bench -p headframe-miner`; items per second are hashes per second of one thread.

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use headframe_work::{Header, HeaderSearch, UnixTime, sha256d};

/// Nonces of one iteration, as many as a worker searches in one go.
const NONCES: u32 = 4096;

fn main() {
    divan::main();
}

fn header() -> Header {
    Header {
        version: 0x2000_0000,
        prev_hash: BlockHash::from_byte_array([0x11; 32]),
        merkle_root: [0x22; 32],
        time: UnixTime::from_secs(1_700_000_000),
        bits: CompactTarget::from_consensus(0x1703_4219),
        nonce: 0,
    }
}

/// The whole header for every nonce.
#[divan::bench]
fn bare_sha256d(bencher: Bencher<'_, '_>) {
    let mut bytes = header().to_bytes();
    bencher.counter(ItemsCount::new(NONCES)).bench_local(|| {
        (0..NONCES).fold(0u8, |seen, nonce| {
            bytes[76..].copy_from_slice(&nonce.to_le_bytes());
            seen | sha256d(black_box(&bytes))[31]
        })
    });
}

/// The search, with its first block hashed once.
#[divan::bench]
fn search(bencher: Bencher<'_, '_>) {
    let mut search = HeaderSearch::new(&header());
    bencher
        .counter(ItemsCount::new(NONCES))
        .bench_local(|| black_box(&mut search).find(black_box(0), NONCES, 0));
}
