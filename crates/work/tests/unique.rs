//! no header twice; and a job that was handed out never changes.

mod support;

use std::collections::HashSet;
use std::sync::Arc;

use bitcoin::ScriptBuf;
use bitcoin::hex::DisplayHex;
use headframe_work::{
    BasisPoints, Fee, Job, Network, PayoutPolicy, PoolTag, PreparedTemplate, UniqueBytes,
};
use proptest::collection::vec;
use proptest::prelude::*;
use support::{Case, case};

/// What decides the merkle root, and with it whether two headers can be the same.
fn coinbase(job: &Job, extranonce: &[u8]) -> Vec<u8> {
    [job.coinbase().prefix(), extranonce, job.coinbase().suffix()].concat()
}

fn with_unique(case: &Case, prepared: &Arc<PreparedTemplate>, unique: UniqueBytes) -> Job {
    let case = Case {
        unique,
        ..case.clone()
    };
    case.job_on(prepared)
}

proptest! {
    /// Two pools with one config and one template: whatever extranonces their miners use, no
    /// coinbase of the one is a coinbase of the other.
    #[test]
    fn two_pools_never_make_the_same_header(
        case in case(),
        theirs: [u8; 4],
        theirs_job: u32,
        extranonces in vec(any::<[u8; 32]>(), 2..10),
    ) {
        prop_assume!(theirs != case.unique.process);
        let prepared = Arc::new(PreparedTemplate::new(case.template.clone()).unwrap());
        let ours = case.job_on(&prepared);
        let theirs = with_unique(&case, &prepared, UniqueBytes { process: theirs, job: theirs_job });
        // The prefixes have one length and differ: no extranonce can make the wholes equal.
        prop_assert_eq!(ours.coinbase().prefix().len(), theirs.coinbase().prefix().len());
        prop_assert_ne!(ours.coinbase().prefix(), theirs.coinbase().prefix());
        let len = ours.coinbase().extranonce_len();
        let mut roots = HashSet::new();
        for extranonce in &extranonces {
            roots.insert(ours.merkle_root(&[], &extranonce[..len]));
        }
        for extranonce in &extranonces {
            prop_assert!(!roots.contains(&theirs.merkle_root(&[], &extranonce[..len])));
        }
    }

    /// The same template handed out again by one process is other work.
    #[test]
    fn a_job_issued_again_is_another(case in case(), again: u32) {
        prop_assume!(again != case.unique.job);
        let prepared = Arc::new(PreparedTemplate::new(case.template.clone()).unwrap());
        let first = case.job_on(&prepared);
        let second = with_unique(&case, &prepared, UniqueBytes { job: again, ..case.unique });
        prop_assert_ne!(first.coinbase().prefix(), second.coinbase().prefix());
        prop_assert_ne!(
            first.merkle_root(&case.prefix, &case.rolled),
            second.merkle_root(&case.prefix, &case.rolled)
        );
    }

    /// Where the extranonce is cut into prefix and rolled part does not matter; each of its bits
    /// does.
    #[test]
    fn every_bit_of_the_extranonce_counts(case in case(), bit: prop::sample::Index) {
        let job = case.job();
        let mut extranonce = case.extranonce();
        prop_assume!(!extranonce.is_empty());
        let root = job.merkle_root(&case.prefix, &case.rolled);
        prop_assert_eq!(job.merkle_root(&extranonce, &[]), root);
        let bit = bit.index(8 * extranonce.len());
        extranonce[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(job.merkle_root(&[], &extranonce), root);
    }
}

#[test]
fn a_change_of_fee_address_and_tag_leaves_jobs_alone() {
    const USER: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4.rig";
    let fee = |percent: u16, byte| Fee {
        rate: BasisPoints::new(percent * 100).unwrap(),
        script: ScriptBuf::from_bytes(vec![0x51, byte]),
        split: None,
    };
    let mut policy = PayoutPolicy {
        network: Network::Mainnet,
        fee: Some(fee(1, 1)),
        plain_names: None,
    };
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let tree = case().new_tree(&mut runner).unwrap();
    let mut case = proptest::strategy::ValueTree::current(&tree);
    case.template.coinbase_value = bitcoin::Amount::from_sat(312_500_000);
    case.template.transactions.clear();
    case.payout = policy.miner(USER).unwrap().payout;
    let prepared = Arc::new(PreparedTemplate::new(case.template.clone()).unwrap());
    let job = case.job_on(&prepared);
    let (before, payout) = (coinbase(&job, &case.extranonce()), job.payout().clone());

    policy.fee = Some(fee(2, 2));
    case.payout = policy.miner(USER).unwrap().payout;
    case.tag = PoolTag::new("another tag").unwrap();
    let newer = case.job_on(&prepared);

    assert_eq!(coinbase(&job, &case.extranonce()), before);
    assert_eq!(job.payout(), &payout);
    let header = headframe_work::Header {
        version: 0x2000_0000,
        prev_hash: case.template.prev_hash,
        merkle_root: job.merkle_root(&case.prefix, &case.rolled),
        time: case.template.current_time,
        bits: case.template.bits,
        nonce: 0,
    };
    let block: bitcoin::Block =
        bitcoin::consensus::deserialize(&job.block(header, &case.extranonce()).to_bytes()).unwrap();
    let paid = |block: &bitcoin::Block| -> Vec<(u64, String)> {
        let outputs = block.txdata[0].output[..2].iter();
        outputs
            .map(|output| {
                let script = output.script_pubkey.as_bytes().to_lower_hex_string();
                (output.value.to_sat(), script)
            })
            .collect()
    };
    assert!(block.check_merkle_root());
    assert_eq!(paid(&block)[0].0, 309_375_000);
    assert_eq!(paid(&block)[1], (3_125_000, "5101".to_owned()));
    let newer: bitcoin::Block =
        bitcoin::consensus::deserialize(&newer.block(header, &case.extranonce()).to_bytes())
            .unwrap();
    assert_eq!(paid(&newer)[1], (6_250_000, "5102".to_owned()));
}
