//! Shares of other Stratum V2 software: coinbase pieces, merkle roots, headers, hashes, targets.

mod support;

use bitcoin::hashes::Hash;
use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::{Amount, BlockHash, CompactTarget, ScriptBuf};
use headframe_work::{
    Coinbase, Hashrate, Header, Payout, PoolTag, PreparedTemplate, Rung, Target, Template,
    UniqueBytes, UnixTime, merkle_root, sha256d,
};
use proptest::strategy::{Strategy, ValueTree};
use serde_json::Value;

fn vectors() -> Vec<Value> {
    let text = include_str!("../../testkit/vectors/share_kat.json");
    serde_json::from_str(text).expect("the vectors are JSON")
}

/// The vectors with a share in them.
fn shares() -> Vec<Value> {
    let shares: Vec<_> = vectors()
        .into_iter()
        .filter(|vector| vector["header80"].is_string())
        .collect();
    assert_eq!(shares.len(), 4);
    shares
}

fn bytes(vector: &Value, key: &str) -> Vec<u8> {
    let text = vector[key].as_str().expect("a string");
    Vec::from_hex(text).expect("hexadecimal")
}

fn header(bytes: &[u8]) -> Header {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    let hash = |at: usize| bytes[at..at + 32].try_into().expect("32 bytes");
    Header {
        version: number(0),
        prev_hash: BlockHash::from_byte_array(hash(4)),
        merkle_root: hash(36),
        time: UnixTime::from_secs(number(68)),
        bits: CompactTarget::from_consensus(number(72)),
        nonce: number(76),
    }
}

#[test]
fn merkle_roots() {
    for share in shares() {
        let pieces = [
            "coinbase_tx_prefix",
            "full_extranonce",
            "coinbase_tx_suffix",
        ];
        let coinbase = pieces.map(|key| bytes(&share, key)).concat();
        assert_eq!(share["merkle_path"].as_array().map(Vec::len), Some(0));
        let root = merkle_root(sha256d(&coinbase), &[]);
        assert_eq!(root.to_vec(), bytes(&share, "merkle_root_wire"));
    }
}

#[test]
fn headers_and_hashes() {
    for share in shares() {
        let wire = bytes(&share, "header80");
        let header = header(&wire);
        assert_eq!(header.to_bytes().to_vec(), wire);
        assert_eq!(
            header.merkle_root.to_vec(),
            bytes(&share, "merkle_root_wire")
        );
        assert_eq!(
            header.hash().to_string(),
            share["hash_display"].as_str().unwrap()
        );
        // One of the four has another hash in the source that it is from, and says so.
        assert_eq!(
            share["hash_display"] == share["expected"],
            share["ok"] == true
        );
    }
}

/// Only the script differs from what this crate makes.
#[test]
fn coinbase_pieces() {
    for share in shares() {
        let (prefix, suffix) = (
            bytes(&share, "coinbase_tx_prefix"),
            bytes(&share, "coinbase_tx_suffix"),
        );
        let transaction: bitcoin::Transaction = bitcoin::consensus::deserialize(
            &[&prefix, &bytes(&share, "full_extranonce"), &suffix]
                .map(Vec::as_slice)
                .concat(),
        )
        .unwrap();
        let [paid, commitment] = transaction.output.as_slice() else {
            panic!("two outputs")
        };
        let template = Template {
            coinbase_value: paid.value,
            coinbase_sequence: transaction.input[0].sequence.0,
            coinbase_lock_time: transaction.lock_time.to_consensus_u32(),
            witness_commitment: Some(commitment.script_pubkey.clone()),
            transactions: vec![],
            ..sample()
        };
        let ours = coinbase(template, paid.script_pubkey.clone());
        assert_eq!(
            ours.suffix().to_lower_hex_string(),
            suffix.to_lower_hex_string()
        );
        assert_eq!(ours.prefix()[..41], prefix[..41]);
        assert_eq!(paid.value, Amount::from_int_btc(50));
    }
}

/// The targets of the SV2 specification's formula lie between a rung and the next: a pool gives the
/// easier one, never less than half as hard as asked for.
#[test]
fn targets_of_hashrates() {
    let vectors = vectors();
    let cases = vectors
        .iter()
        .find(|vector| vector["name"] == "hash_rate_to_target")
        .unwrap();
    let cases = cases["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let rate = Hashrate::from_hashes_per_second(case[0].as_f64().unwrap()).unwrap();
        let rung = Rung::for_hashrate(rate, case[1].as_f64().unwrap());
        let target = <[u8; 32]>::from_hex(case[2].as_str().unwrap()).unwrap();
        let target = Target::from_be_bytes(target);
        assert!(rung.target() >= target, "{rung}");
        assert!(rung.harder(1).target() < target, "{rung}");
    }
}

fn sample() -> Template {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    support::template()
        .new_tree(&mut runner)
        .expect("nothing is filtered")
        .current()
}

fn coinbase(template: Template, script: ScriptBuf) -> Coinbase {
    let prepared = PreparedTemplate::new(template).expect("a good template");
    let tag = PoolTag::new("Sv2///").expect("a short tag");
    let unique = UniqueBytes {
        process: [0; 4],
        job: 0,
    };
    Coinbase::new(&prepared, &Payout::new(script, None), &tag, unique, 32).expect("it fits")
}
