//! What a template of 4,000 transactions costs the hub before miners can have it, against the bare hashes of its
//! merkle branches.
//!
//! `cargo bench -p headframe-work --bench template`; the figures stand in docs/benchmarks.md.

use std::sync::Arc;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash, CompactTarget, Txid, Wtxid};
use divan::{Bencher, black_box};
use headframe_work::{
    BlockLimits, Network, PreparedTemplate, Template, TemplateTransaction, UnixTime,
    witness_commitment,
};
use sha2::{Digest as _, Sha256};

fn main() {
    divan::main();
}

const TRANSACTIONS: u64 = 4_000;

fn id(number: u64) -> [u8; 32] {
    let mut id = [0x5a; 32];
    id[..8].copy_from_slice(&number.to_le_bytes());
    id
}

/// The digest calls of the branches over memory that is ready: each level has half of the last, and the
/// first of each is missing, since the coinbase is below it.
#[divan::bench]
fn bare_hashes_of_the_branches(bencher: Bencher<'_, '_>) {
    let mut pairs = Vec::new();
    let mut level = TRANSACTIONS + 1;
    while level > 1 {
        level = level.div_ceil(2);
        pairs.extend((1..level).map(|number| {
            let mut pair = [0; 64];
            pair[..32].copy_from_slice(&id(number));
            pair[32..].copy_from_slice(&id(level));
            pair
        }));
    }
    bencher.bench_local(|| {
        for pair in &pairs {
            black_box(Sha256::digest(Sha256::digest(black_box(pair))));
        }
    });
}

/// The branches, the target, the room for the coinbase, and all that is checked on the way.
#[divan::bench]
fn a_template_made_ready(bencher: Bencher<'_, '_>) {
    let transactions: Vec<_> = (0..TRANSACTIONS)
        .map(|number| TemplateTransaction {
            data: vec![0x6a; 800],
            txid: Txid::from_byte_array(id(number)),
            wtxid: Wtxid::from_byte_array(id(number)),
            fee: Amount::from_sat(1_000),
            sigops: 4,
            weight: 900,
        })
        .collect();
    let fees: Amount = transactions.iter().map(|transaction| transaction.fee).sum();
    let template = Arc::new(Template {
        network: Network::Mainnet,
        height: 900_000,
        version: 0x2000_0000,
        fixed_version_bits: 0,
        prev_hash: BlockHash::from_byte_array(id(7)),
        bits: CompactTarget::from_consensus(0x1702_3a04),
        min_time: UnixTime::from_secs(1_800_000_000),
        current_time: UnixTime::from_secs(1_800_000_000),
        coinbase_value: Network::Mainnet.subsidy(900_000) + fees,
        coinbase_sequence: 0xffff_fffe,
        coinbase_lock_time: 899_999,
        witness_commitment: Some(witness_commitment(transactions.iter().map(|it| it.wtxid))),
        transactions,
        limits: BlockLimits::default(),
    });
    bencher.bench_local(|| PreparedTemplate::new(Arc::clone(black_box(&template))));
}
