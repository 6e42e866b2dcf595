//! Blocks of mainnet: what was mined with other software is what this crate would have made.
//!
//! The bytes prove themselves: their hash meets the target that they state.

mod support;

use std::sync::Arc;

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash;
use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::{Amount, Block, Network as Net, ScriptBuf, Transaction, constants};
use headframe_work::{
    BlockLimits, Coinbase, Difficulty, Header, Network, Payout, PoolTag, PreparedTemplate, Rung,
    Target, Template, UniqueBytes, UnixTime, Work, merkle_root, sha256d,
};

/// A block of mainnet with what is known of it from outside.
struct Real {
    height: u32,
    hash: &'static str,
    bytes: Vec<u8>,
}

impl Real {
    fn block(&self) -> Block {
        deserialize(&self.bytes).expect("the bytes are a block")
    }
}

/// The first block; the first with a payment, from Satoshi to Hal Finney; one with a tree of two
/// levels; and a full one of the last weeks before Taproot, 1.4 MB of which half are witnesses.
fn blocks() -> [Real; 4] {
    let hex = |text: &str| Vec::from_hex(text.trim_end()).expect("the file is hexadecimal");
    [
        Real {
            height: 0,
            hash: "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
            bytes: serialize(&constants::genesis_block(Net::Bitcoin)),
        },
        Real {
            height: 170,
            hash: "00000000d1145790a8694403d4063f323d499e655c83426834d4ce2f8dd4a2ee",
            bytes: hex(include_str!("data/mainnet_170.hex")),
        },
        Real {
            height: 100_000,
            hash: "000000000003ba27aa200b1cecaad478d2b00432346c3f1f3986da1afd33e506",
            bytes: hex(include_str!("data/mainnet_100000.hex")),
        },
        Real {
            height: 702_861,
            hash: "000000000000000000000c835b2adcaedc20fdf6ee440009c249452c726dafae",
            bytes: bitcoin_test_data::blocks::mainnet_702861().to_vec(),
        },
    ]
}

fn header(block: &Block) -> Header {
    Header {
        version: u32::from_le_bytes(block.header.version.to_consensus().to_le_bytes()),
        prev_hash: block.header.prev_blockhash,
        merkle_root: block.header.merkle_root.to_byte_array(),
        time: UnixTime::from_secs(block.header.time),
        bits: block.header.bits,
        nonce: block.header.nonce,
    }
}

/// The template that the block's miner must have had.
fn template(height: u32, block: &Block) -> Template {
    let coinbase = &block.txdata[0];
    Template {
        network: Network::Mainnet,
        height,
        version: header(block).version,
        fixed_version_bits: 0,
        prev_hash: block.header.prev_blockhash,
        bits: block.header.bits,
        min_time: UnixTime::from_secs(block.header.time),
        current_time: UnixTime::from_secs(block.header.time),
        coinbase_value: coinbase.output.iter().map(|output| output.value).sum(),
        coinbase_sequence: coinbase.input[0].sequence.0,
        coinbase_lock_time: coinbase.lock_time.to_consensus_u32(),
        witness_commitment: commitment(coinbase),
        transactions: block.txdata[1..]
            .iter()
            .map(|transaction| headframe_work::TemplateTransaction {
                fee: Amount::ZERO,
                ..support::template_transaction(transaction)
            })
            .collect(),
        limits: BlockLimits::default(),
    }
}

fn commitment(coinbase: &Transaction) -> Option<ScriptBuf> {
    let mut scripts = coinbase.output.iter().map(|output| &output.script_pubkey);
    scripts
        .rfind(|script| {
            script
                .as_bytes()
                .starts_with(&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed])
        })
        .cloned()
}

fn prepared(real: &Real) -> Arc<PreparedTemplate> {
    let template = template(real.height, &real.block());
    Arc::new(PreparedTemplate::new(template).expect("the block exists"))
}

#[test]
fn headers_hash_to_their_blocks_and_prove_their_work() {
    for real in blocks() {
        let header = header(&real.block());
        assert_eq!(header.to_bytes(), real.bytes[..Header::LEN]);
        assert_eq!(header.hash().to_string(), real.hash);
        let target = Target::from_compact(header.bits);
        assert!(target.is_met_by(&header.hash()), "{}", real.height);
        assert_eq!(prepared(&real).target(), target);
        assert!(Difficulty::of_hash(&header.hash()) > Difficulty::of_target(target));
        assert!(
            !target.is_met_by(
                &Header {
                    nonce: header.nonce ^ 1,
                    ..header
                }
                .hash()
            )
        );
    }
}

/// The difficulties are those that block explorers show; the work is Bitcoin Core's, in hashes.
#[test]
fn difficulties_and_work_are_those_of_bitcoin_core() {
    let shown = [1.0, 1.0, 14_484.162_361_225_4, 18_997_641_161_758.95];
    for (real, shown) in blocks().iter().zip(shown) {
        let block = real.block();
        let target = Target::from_compact(block.header.bits);
        let difficulty = Difficulty::of_target(target).as_f64();
        assert_eq!(difficulty, block.header.difficulty_float());
        assert!((difficulty / shown - 1.0).abs() < 1e-14, "{difficulty}");
        let work = Work::of_target(target);
        assert!((work.difficulty_sum() / difficulty - 1.0).abs() < 1e-9);
        let hashes: f64 = block.header.work().to_string().parse().unwrap();
        assert!((work.expected_hashes() / hashes - 1.0).abs() < 1e-9);
        // The rung that a pool would give to a miner who wants no share that is not a block.
        let rung = Rung::within(target).expect("not that hard");
        assert!(rung.difficulty().as_f64() >= difficulty);
        assert!(rung.easier(1).difficulty().as_f64() < difficulty);
    }
}

#[test]
fn merkle_paths_lead_from_coinbases_to_roots() {
    for (real, levels) in blocks().iter().zip([0, 1, 2, 12]) {
        let (block, prepared) = (real.block(), prepared(real));
        assert_eq!(prepared.merkle_path().len(), levels);
        let txid = block.txdata[0].compute_txid().to_byte_array();
        let root = merkle_root(txid, prepared.merkle_path());
        assert_eq!(root, block.header.merkle_root.to_byte_array());
    }
}

#[test]
fn blocks_are_put_together_byte_by_byte() {
    for real in blocks() {
        let block = real.block();
        let ours = headframe_work::Block {
            header: header(&block),
            coinbase: serialize(&block.txdata[0]),
            prepared: prepared(&real),
            payout: Payout::new(block.txdata[0].output[0].script_pubkey.clone(), None),
        };
        assert_eq!(ours.height(), real.height);
        assert_eq!(ours.hash().to_string(), real.hash);
        assert!(ours.to_bytes() == real.bytes, "{}", real.height);
        assert!(
            ours.to_hex().to_string() == real.bytes.to_lower_hex_string(),
            "{}",
            real.height
        );
    }
}

#[test]
fn templates_leave_what_the_coinbases_took() {
    for real in blocks() {
        let (block, budget) = (real.block(), prepared(&real).budget());
        let coinbase = &block.txdata[0];
        let whole = BlockLimits::default();
        let left_weight = u64::from(whole.weight) - block.weight().to_wu();
        assert_eq!(budget.weight, left_weight + coinbase.weight().to_wu());
        let left_size = whole.size as usize - real.bytes.len();
        assert_eq!(budget.size, (left_size + coinbase.total_size()) as u64);
    }
}

/// The coinbases were made by other software, so that their scripts are theirs; all else is ours
/// byte by byte: where the script begins, and what follows it.
#[test]
fn coinbases_are_theirs_but_for_the_script() {
    for real in blocks() {
        let block = real.block();
        let theirs = &block.txdata[0];
        let mut stripped = theirs.clone();
        stripped.input[0].witness.clear();
        let stripped = serialize(&stripped);
        let (before, rest) = stripped.split_at(41);
        let script_len = theirs.input[0].script_sig.len();
        assert_eq!(usize::from(rest[0]), script_len);

        let paid: Vec<_> = theirs
            .output
            .iter()
            .filter(|output| output.value > Amount::ZERO)
            .collect();
        assert_eq!(paid.len(), 1, "these blocks pay one address");
        let payout = Payout::new(paid[0].script_pubkey.clone(), None);
        let tag = PoolTag::new("").expect("no tag is a tag");
        let unique = UniqueBytes {
            process: [0; 4],
            job: 0,
        };
        let ours = Coinbase::new(&prepared(&real), &payout, &tag, unique, 12).expect("it fits");
        assert_eq!(ours.prefix()[4..41], before[4..], "{}", real.height);
        if theirs.output.len() <= 2 {
            assert_eq!(
                ours.suffix().to_lower_hex_string(),
                rest[1 + script_len..].to_lower_hex_string(),
                "{}",
                real.height
            );
        }

        // Cut where an extranonce could have been, they hash to their txid.
        let (prefix, extranonce) = stripped.split_at(46);
        let (extranonce, suffix) = extranonce.split_at(2);
        let whole = [prefix, extranonce, suffix].concat();
        assert_eq!(sha256d(&whole), theirs.compute_txid().to_byte_array());
    }
}

/// The commitment that the tests of this crate compute is the one that mainnet has.
#[test]
fn the_commitment_is_over_the_witnesses() {
    let [.., real] = blocks();
    let template = template(real.height, &real.block());
    assert!(template.witness_commitment.is_some());
    assert_eq!(
        Some(support::commitment(&template.transactions)),
        template.witness_commitment
    );
}
