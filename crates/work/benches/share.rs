//! What judging a share costs, against the bare digest calls that it cannot do without, and
//! against the other SHA-256 libraries that could make them.
//!
//! `cargo bench -p headframe-work`; the figures stand in docs/benchmarks.md.

use std::sync::Arc;

use bitcoin::hashes::{Hash, sha256, sha256d};
use bitcoin::{Amount, BlockHash, CompactTarget, ScriptBuf, Txid, Wtxid};
use divan::{Bencher, black_box};
use headframe_work::{
    BlockLimits, Header, Job, Network, Payout, PoolTag, PreparedTemplate, Target, Template,
    TemplateTransaction, UniqueBytes, UnixTime,
};
use sha2::{Digest, Sha256};

fn main() {
    divan::main();
}

/// Levels of the merkle tree of a full block.
const BRANCHES: usize = 12;
const COINBASE: usize = 250;
const EXTRANONCE: [u8; 12] = [7; 12];

/// SHA-256 twice, as each library offers it.
trait Sha256d {
    fn sha256d(bytes: &[u8]) -> [u8; 32];
}

struct Sha2;
struct Ring;
struct BitcoinHashes;

impl Sha256d for Sha2 {
    fn sha256d(bytes: &[u8]) -> [u8; 32] {
        Sha256::digest(Sha256::digest(bytes)).into()
    }
}

impl Sha256d for Ring {
    fn sha256d(bytes: &[u8]) -> [u8; 32] {
        use ring::digest::{SHA256, digest};
        let hash = digest(&SHA256, digest(&SHA256, bytes).as_ref());
        hash.as_ref().try_into().expect("32 bytes")
    }
}

impl Sha256d for BitcoinHashes {
    fn sha256d(bytes: &[u8]) -> [u8; 32] {
        sha256::Hash::hash(bytes).hash_again().to_byte_array()
    }
}

/// The hash of a header.
#[divan::bench(types = [Sha2, Ring, BitcoinHashes])]
fn header_80_bytes<L: Sha256d>(bencher: Bencher<'_, '_>) {
    let header = [0x5a; Header::LEN];
    bencher.bench(|| L::sha256d(black_box(&header)));
}

/// The digest calls of a share on an extended channel, over buffers that are ready: coinbase, twelve
/// branches, header. Nothing that judges a share can be faster with that library, but for the
/// midstate of the coinbase.
#[divan::bench(types = [Sha2, Ring, BitcoinHashes])]
fn bare_digests_of_a_share<L: Sha256d>(bencher: Bencher<'_, '_>) {
    let coinbase = [0x11; COINBASE];
    let pairs = [[0x22; 64]; BRANCHES];
    let header = [0x33; Header::LEN];
    bencher.bench(|| {
        black_box(L::sha256d(black_box(&coinbase)));
        for pair in &pairs {
            black_box(L::sha256d(black_box(pair)));
        }
        L::sha256d(black_box(&header))
    });
}

/// The same by this crate, with everything around it: joining the coinbase, the merkle path, the
/// header, the comparison with the target.
#[divan::bench]
fn share_on_an_extended_channel(bencher: Bencher<'_, '_>) {
    let job = job();
    let template = job.prepared().template();
    bencher.bench(|| {
        let (prefix, rolled) = black_box(&EXTRANONCE).split_at(4);
        let header = Header {
            version: black_box(template.version),
            prev_hash: template.prev_hash,
            merkle_root: job.merkle_root(prefix, rolled),
            time: black_box(template.current_time),
            bits: template.bits,
            nonce: black_box(0x1234_5678),
        };
        let hash = header.hash();
        (hash, job.prepared().target().is_met_by(&hash))
    });
}

/// What is not hashing.
#[divan::bench]
fn comparison_with_a_target(bencher: Bencher<'_, '_>) {
    let hash = BlockHash::from_raw_hash(sha256d::Hash::from_byte_array([0x44; 32]));
    let target = Target::DIFFICULTY_1;
    bencher.bench(|| black_box(&target).is_met_by(black_box(&hash)));
}

/// A job with a coinbase of 250 bytes and a tree of twelve levels.
fn job() -> Job {
    let transaction = |number: u32| {
        let hash = sha256d::Hash::hash(&number.to_le_bytes());
        TemplateTransaction {
            data: vec![0; 200],
            txid: Txid::from_raw_hash(hash),
            wtxid: Wtxid::from_raw_hash(hash),
            fee: Amount::from_sat(1_000),
            sigops: 4,
            weight: 800,
        }
    };
    let template = Template {
        network: Network::Mainnet,
        height: 900_000,
        version: 0x2000_0000,
        fixed_version_bits: 0,
        prev_hash: BlockHash::all_zeros(),
        bits: CompactTarget::from_consensus(0x1702_3a04),
        min_time: UnixTime::from_secs(1_750_000_000),
        current_time: UnixTime::from_secs(1_750_000_000),
        coinbase_value: Amount::from_sat(320_000_000),
        coinbase_sequence: 0xffff_fffe,
        coinbase_lock_time: 899_999,
        transactions: (1..1 << BRANCHES).map(transaction).collect(),
        witness_commitment: Some(ScriptBuf::from_bytes(vec![0x6a; 38])),
        limits: BlockLimits::default(),
    };
    let build = |script_len| {
        let prepared = PreparedTemplate::new(template.clone()).expect("a good template");
        let payout = Payout::new(ScriptBuf::from_bytes(vec![0x51; script_len]), None);
        let tag = PoolTag::new("headframe").expect("a short tag");
        let unique = UniqueBytes {
            process: [1; 4],
            job: 1,
        };
        Job::new(Arc::new(prepared), payout, &tag, unique, EXTRANONCE.len()).expect("it fits")
    };
    let len = |job: &Job| {
        job.coinbase().prefix().len() + EXTRANONCE.len() + job.coinbase().suffix().len()
    };
    let job = build(34 + COINBASE - len(&build(34)));
    job.expect_extranonces();
    assert_eq!(
        (len(&job), job.prepared().merkle_path().len()),
        (COINBASE, BRANCHES)
    );
    job
}
