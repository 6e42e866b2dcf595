//! Coinbases and blocks of random templates, as `bitcoin` reads them.

mod support;

use bitcoin::consensus::deserialize;
use bitcoin::hashes::Hash;
use bitcoin::hex::DisplayHex;
use bitcoin::script::Instruction;
use bitcoin::{Amount, Block, OutPoint, ScriptBuf, Transaction, TxOut};
use headframe_work::{
    BasisPoints, Coinbase, CoinbaseError, Fee, Header, Job, Payout, PoolTag, PreparedTemplate,
    Template, TemplateError, UnixTime,
};
use proptest::prelude::*;
use support::{Case, case};

const RESERVED: [u8; 32] = [0; 32];

fn header(job: &Job, merkle_root: [u8; 32]) -> Header {
    let template = job.prepared().template();
    Header {
        version: template.version,
        prev_hash: template.prev_hash,
        merkle_root,
        time: template.current_time,
        bits: template.bits,
        nonce: 0x1234_5678,
    }
}

/// The stripped coinbase, as a miner puts it together.
fn stripped(job: &Job, extranonce: &[u8]) -> Vec<u8> {
    [job.coinbase().prefix(), extranonce, job.coinbase().suffix()].concat()
}

/// The block as a node reads it.
fn block(case: &Case) -> Block {
    let job = case.job();
    let root = job.merkle_root(&case.prefix, &case.rolled);
    let block = job.block(header(&job, root), &case.extranonce());
    deserialize(&block.to_bytes()).expect("a node can read the block")
}

proptest! {
    #[test]
    fn a_node_reads_what_was_meant(case in case()) {
        let (template, job) = (&case.template, case.job());
        let full: Transaction = deserialize(&job.coinbase().serialize(&case.extranonce())).unwrap();
        prop_assert_eq!(full.version.0, 2);
        prop_assert_eq!(full.input.len(), 1);
        prop_assert_eq!(full.input[0].previous_output, OutPoint::null());
        prop_assert!(full.is_coinbase());
        prop_assert!((2..=100).contains(&full.input[0].script_sig.len()));
        prop_assert_eq!(full.input[0].sequence.0, template.coinbase_sequence);
        prop_assert_eq!(full.lock_time.to_consensus_u32(), template.coinbase_lock_time);

        let paid: Amount = full.output.iter().map(|output| output.value).sum();
        prop_assert_eq!(paid, template.coinbase_value);
        let payouts = case.payout.outputs(template.coinbase_value);
        let payouts = payouts.map(|(value, script)| TxOut { value, script_pubkey: script.into() });
        let payouts: Vec<_> = payouts.collect();
        prop_assert_eq!(&full.output[..payouts.len()], payouts.as_slice());
        let commitments: Vec<_> = full.output[payouts.len()..].iter().collect();
        let scripts = commitments.iter().map(|output| &output.script_pubkey);
        prop_assert!(scripts.eq(&template.witness_commitment));
        prop_assert!(commitments.iter().all(|output| output.value == Amount::ZERO));

        let witness: Vec<_> = full.input[0].witness.iter().collect();
        prop_assert_eq!(witness, vec![&RESERVED[..]; commitments.len()]);
    }

    /// FR-47, FR-48: what miners hash is the legacy form of what the block has.
    #[test]
    fn the_pieces_are_the_legacy_form(case in case()) {
        let (job, extranonce) = (case.job(), case.extranonce());
        let stripped = stripped(&job, &extranonce);
        prop_assert_eq!(&stripped[..5], [2, 0, 0, 0, 1]);
        let legacy: Transaction = deserialize(&stripped).unwrap();
        let full: Transaction = deserialize(&job.coinbase().serialize(&extranonce)).unwrap();
        prop_assert!(legacy.input[0].witness.is_empty());
        prop_assert_eq!(legacy.compute_txid(), full.compute_txid());
        prop_assert_eq!(headframe_work::sha256d(&stripped), full.compute_txid().to_byte_array());
    }

    /// The script can be read back in one way only, so no two sets of parts make the same one.
    #[test]
    fn the_script_is_pushes_of_its_parts(case in case()) {
        let full: Transaction =
            deserialize(&case.job().coinbase().serialize(&case.extranonce())).unwrap();
        let script = &full.input[0].script_sig;
        let mut instructions = script.instructions().map(Result::unwrap);
        let first = instructions.next();
        let data: Vec<Vec<u8>> = instructions
            .map(|instruction| match instruction {
                Instruction::PushBytes(bytes) => bytes.as_bytes().to_vec(),
                Instruction::Op(opcode) => panic!("{opcode} in the script"),
            })
            .collect();
        let unique = [case.unique.process, case.unique.job.to_be_bytes()].concat();
        let parts = [case.tag.as_str().as_bytes().to_vec(), unique, case.extranonce()];
        if (1..=16).contains(&case.template.height) {
            prop_assert_eq!(script.as_bytes()[0], 0x50 + case.template.height as u8);
        } else {
            let number = first.unwrap().push_bytes().unwrap().as_bytes().to_vec();
            let read = number.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
            prop_assert_eq!(read, u64::from(case.template.height));
            prop_assert!(number.last().is_none_or(|last| last & 0x80 == 0), "negative");
        }
        prop_assert_eq!(data, parts);
        prop_assert_eq!(script.count_sigops_legacy(), 0);
    }

    #[test]
    fn a_block_is_whole(case in case()) {
        let block = block(&case);
        prop_assert_eq!(block.txdata.len(), case.template.transactions.len() + 1);
        prop_assert!(block.check_merkle_root());
        prop_assert!(block.check_witness_commitment());
        let any_witness = block.txdata[1..].iter().any(|tx| !tx.input[0].witness.is_empty());
        prop_assert!(!any_witness || !block.txdata[0].input[0].witness.is_empty());
    }

    #[test]
    fn hexadecimal_and_bytes_are_the_same_block(case in case()) {
        let job = case.job();
        let root = job.merkle_root(&case.prefix, &case.rolled);
        let block = job.block(header(&job, root), &case.extranonce());
        let bytes = block.to_bytes();
        prop_assert_eq!(block.to_hex().to_string(), bytes.to_lower_hex_string());
        let theirs: Block = deserialize(&bytes).unwrap();
        prop_assert_eq!(block.hash(), theirs.block_hash());
        prop_assert_eq!(block.height(), case.template.height);
        prop_assert_eq!(&block.payout, &case.payout);
        prop_assert_eq!(block.header.time, UnixTime::from_secs(theirs.header.time));
    }

    /// A block exactly at each limit is built, and one unit over any of them is refused, with
    /// `bitcoin` as the judge of what the block needs.
    #[test]
    fn the_limits_hold_to_the_unit(case in case()) {
        let block = block(&case);
        let sigops = block.txdata.iter().map(|tx| tx.total_sigop_cost(|_| None)).sum::<usize>();
        let needed = [
            ("weight", u32::try_from(block.weight().to_wu()).unwrap()),
            ("size", u32::try_from(block.total_size()).unwrap()),
            ("sigops", u32::try_from(sigops).unwrap()),
        ];
        let mut exact = case.template.clone();
        for (what, needed) in needed {
            *limit(&mut exact, what) = needed;
        }
        prop_assert!(coinbase(&case, exact.clone()).is_ok());
        for (what, needed) in needed.into_iter().filter(|(_, needed)| *needed > 0) {
            let mut over = exact.clone();
            *limit(&mut over, what) = needed - 1;
            match coinbase(&case, over) {
                Err(Refusal::Coinbase(CoinbaseError::OverBudget { what: which, needed, left })) => {
                    prop_assert_eq!((which, needed), (what, left + 1));
                }
                Err(Refusal::Template(TemplateError::NoRoom { what: which })) => {
                    prop_assert_eq!(which, what);
                }
                other => prop_assert!(false, "{} was not refused: {:?}", what, other),
            }
        }
    }

    #[test]
    fn a_template_that_is_too_big_has_no_room(case in case()) {
        for what in ["weight", "size"] {
            let mut template = case.template.clone();
            *limit(&mut template, what) = 80;
            prop_assert_eq!(
                PreparedTemplate::new(template).unwrap_err(),
                TemplateError::NoRoom { what }
            );
        }
    }
}

#[derive(Debug)]
enum Refusal {
    Template(TemplateError),
    Coinbase(CoinbaseError),
}

fn coinbase(case: &Case, template: Template) -> Result<Coinbase, Refusal> {
    let prepared = PreparedTemplate::new(template).map_err(Refusal::Template)?;
    let len = case.extranonce().len();
    Coinbase::new(&prepared, &case.payout, &case.tag, case.unique, len).map_err(Refusal::Coinbase)
}

fn limit<'a>(template: &'a mut Template, what: &str) -> &'a mut u32 {
    match what {
        "weight" => &mut template.limits.weight,
        "size" => &mut template.limits.size,
        _ => &mut template.limits.sigops,
    }
}

/// BIP34 as Bitcoin Core has it (`CScript() << nHeight`), from its `script.h` and BIP34's own text.
#[test]
fn heights_at_which_the_push_changes() {
    let case = sample();
    for (height, push) in [
        (1, "51"),
        (2, "52"),
        (15, "5f"),
        (16, "60"),
        (17, "0111"),
        (127, "017f"),
        (128, "028000"),
        (255, "02ff00"),
        (256, "020001"),
        (32_767, "02ff7f"),
        (32_768, "03008000"),
        (8_388_607, "03ffff7f"),
        (8_388_608, "0400008000"),
        // Block 227,931, the first that BIP34 binds.
        (227_931, "035b7a03"),
        (2_147_483_648, "050000008000"),
    ] {
        let mut case = case.clone();
        case.template.height = height;
        let job = case.job();
        let script = &job.coinbase().prefix()[42..];
        assert!(
            script.to_lower_hex_string().starts_with(push),
            "{height}: {}",
            script.to_lower_hex_string()
        );
    }
}

#[test]
fn the_longest_script_fits() {
    let mut case = sample();
    case.template.height = u32::MAX;
    case.tag = PoolTag::new(&"x".repeat(PoolTag::MAX_LEN)).unwrap();
    case.rolled = vec![0xff; Coinbase::MAX_EXTRANONCE_LEN];
    let full: Transaction = deserialize(&case.job().coinbase().serialize(&case.rolled)).unwrap();
    assert_eq!(full.input[0].script_sig.len(), 81);
    let prepared = PreparedTemplate::new(case.template.clone()).unwrap();
    for len in [Coinbase::MAX_EXTRANONCE_LEN + 1, 76, 256, usize::MAX] {
        assert_eq!(
            Coinbase::new(&prepared, &case.payout, &case.tag, case.unique, len),
            Err(CoinbaseError::ExtranonceTooLong { len })
        );
    }
}

/// Devices have little room (docs/stratum-v1.md). A block that pays its miner alone stays below 250
/// bytes, and one with a fee, whatever address and tag; what is hashed is as long as it is told.
#[test]
fn a_coinbase_is_short() {
    let taproot = |byte: u8| ScriptBuf::from_bytes([&[0x51, 32][..], &[byte; 32]].concat());
    let half = BasisPoints::new(5_000).unwrap();
    let fee = |split: bool| Fee {
        rate: BasisPoints::new(100).unwrap(),
        script: taproot(2),
        split: split.then(|| (half, taproot(3))),
    };
    for (fee, len) in [(None, 200), (Some(fee(false)), 243), (Some(fee(true)), 286)] {
        let mut case = sample();
        case.template.height = 8_388_607;
        case.template.coinbase_value = Amount::ONE_BTC;
        let commitment = [&[0x6a, 36, 0xaa, 0x21, 0xa9, 0xed][..], &[0; 32]].concat();
        case.template.witness_commitment = Some(ScriptBuf::from_bytes(commitment));
        case.tag = PoolTag::new(&"x".repeat(PoolTag::MAX_LEN)).unwrap();
        case.payout = Payout::new(taproot(1), fee);
        (case.prefix, case.rolled) = (vec![0; 4], vec![0; 8]);
        let job = case.job();
        assert_eq!(job.coinbase().stripped_len(), len);
        assert_eq!(stripped(&job, &case.extranonce()).len(), len);
    }
}

/// Bytes that would be signature operations, were they not inside pushes: OP_CHECKSIG (0xac) to
/// OP_CHECKMULTISIGVERIFY (0xaf).
#[test]
fn no_byte_of_the_script_is_a_signature_operation() {
    for byte in 0..=0xff {
        let mut case = sample();
        case.unique.process = [byte; 4];
        case.unique.job = u32::from_be_bytes([byte; 4]);
        case.template.height = u32::from_be_bytes([0, byte, byte, byte]);
        case.rolled = vec![byte; Coinbase::MAX_EXTRANONCE_LEN];
        let full: Transaction =
            deserialize(&case.job().coinbase().serialize(&case.rolled)).unwrap();
        assert_eq!(full.input[0].script_sig.count_sigops_legacy(), 0);
    }
}

#[test]
fn tags_that_people_cannot_read_are_refused() {
    for tag in ["a\nb", "\u{7f}", "größe", &"x".repeat(33)] {
        assert!(PoolTag::new(tag).is_err(), "{tag}");
    }
    for tag in ["", "headframe", "/headframe/ ~", &"x".repeat(32)] {
        assert_eq!(PoolTag::new(tag).unwrap().as_str(), tag);
    }
}

#[test]
fn templates_that_make_no_block_are_refused() {
    let case = sample();
    let mut template = case.template.clone();
    template.coinbase_value = Amount::from_sat(999);
    template.transactions = vec![support::template_transaction(&Transaction {
        version: bitcoin::transaction::Version::ONE,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![],
        output: vec![],
    })];
    assert!(matches!(
        PreparedTemplate::new(template.clone()).unwrap_err(),
        TemplateError::FeesAboveCoinbaseValue { .. }
    ));
    template.transactions[0].fee = Amount::MAX;
    template.transactions.push(template.transactions[0].clone());
    assert!(PreparedTemplate::new(template.clone()).is_err());
    for bits in [0, 0x0080_0000, 0x1d80_0001, 0xff00_ffff] {
        template.bits = bitcoin::CompactTarget::from_consensus(bits);
        assert_eq!(
            PreparedTemplate::new(template.clone()).unwrap_err(),
            TemplateError::ImpossibleBits { bits }
        );
    }
}

/// One case of [`case`], always the same, without an extranonce.
fn sample() -> Case {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let tree = case().new_tree(&mut runner).expect("nothing is filtered");
    let mut case = proptest::strategy::ValueTree::current(&tree);
    (case.prefix, case.rolled) = (vec![], vec![]);
    case
}
