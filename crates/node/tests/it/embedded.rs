//! The embedded chain takes a good block and refuses each bad one for Bitcoin Core's reason.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::block::{
    bytes, hex, renew_commitment, renew_merkle_root, solve, solved, unsolve, unsolved,
};
use bitcoin::absolute::LockTime;
use bitcoin::block::Version;
use bitcoin::hashes::Hash;
use bitcoin::opcodes::OP_TRUE;
use bitcoin::script::Builder;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, Txid,
    Witness,
};
use headframe_node::embedded::{
    ChainError, ChainSettings, Difficulty, EmbeddedChain, PREMINE, StoreError,
};
use headframe_node::{BlockFate, Cause, CheckAnswer, SubmitAnswer};
use headframe_work::UnixTime;

pub(crate) const REGTEST: ChainSettings = ChainSettings {
    difficulty: Difficulty::Regtest,
};
const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn chain() -> EmbeddedChain {
    EmbeddedChain::open(None, REGTEST).unwrap()
}

/// A time `seconds` after the tests' now.
fn later(seconds: u32) -> UnixTime {
    NOW.saturating_add(Duration::from_secs(seconds.into()))
}

fn mine(chain: &EmbeddedChain, now: UnixTime) -> Block {
    let block = solved(&chain.template_at(now));
    assert_eq!(chain.submit_at(&bytes(&block), now), SubmitAnswer::Accepted);
    block
}

/// Mines a block at each of the times, and gives the last.
fn mine_at(chain: &EmbeddedChain, times: impl IntoIterator<Item = UnixTime>) -> Block {
    let blocks: Vec<Block> = times.into_iter().map(|time| mine(chain, time)).collect();
    blocks.last().expect("there are times").clone()
}

#[test]
fn the_premine_is_the_same_everywhere() {
    let (one, other) = (chain(), chain());
    assert_eq!(one.tip().height, PREMINE);
    assert_eq!(one.tip(), other.tip());
    let genesis = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206";
    let first: Block = bitcoin::consensus::deserialize(&one.block(1).unwrap()).unwrap();
    assert_eq!(first.header.prev_blockhash.to_string(), genesis);
    // BIP34 heights up to 16 are opcodes.
    assert_eq!(first.txdata[0].input[0].script_sig.as_bytes()[0], 0x51);
    let last: Block = bitcoin::consensus::deserialize(&one.block(PREMINE).unwrap()).unwrap();
    assert_eq!(last.block_hash(), one.tip().hash);
    assert_eq!(one.block(PREMINE + 1), None);
    assert_eq!(one.block(u32::MAX), None);
}

#[test]
fn every_template_has_segwit_transactions_with_fees() {
    let chain = chain();
    let mut seen = HashSet::new();
    for step in 0..300 {
        let template = chain.template_at(later(step));
        assert_eq!(template.transactions.len(), 3, "height {}", template.height);
        let fees: Amount = template
            .transactions
            .iter()
            .map(|transaction| transaction.fee)
            .sum();
        let subsidy = Amount::from_sat(5_000_000_000 >> (template.height / 150));
        assert_eq!(template.coinbase_value, subsidy + fees);
        for transaction in &template.transactions {
            assert!(transaction.fee > Amount::ZERO);
            assert_ne!(
                transaction.txid.to_raw_hash(),
                transaction.wtxid.to_raw_hash()
            );
            assert!(seen.insert(transaction.txid), "no transaction comes twice");
        }
        mine(&chain, later(step));
    }
}

#[test]
fn an_accepted_block_is_the_tip_and_known_from_then_on() {
    let chain = chain();
    let mut tips = chain.subscribe();
    let block = mine(&chain, NOW);
    assert!(tips.has_changed().unwrap());
    let tip = *tips.borrow_and_update();
    assert_eq!((tip.height, tip.hash), (PREMINE + 1, block.block_hash()));
    assert_eq!(chain.block(PREMINE + 1), Some(bytes(&block)));
    assert_eq!(
        chain.submit_at(&bytes(&block), NOW),
        SubmitAnswer::AlreadyKnown
    );
    assert_eq!(
        chain.check_at(&bytes(&block), NOW),
        CheckAnswer::AlreadyKnown
    );
    assert_eq!(
        chain.fate(block.block_hash()),
        BlockFate::InChain { confirmations: 1 }
    );
    mine(&chain, later(1));
    assert_eq!(
        chain.fate(block.block_hash()),
        BlockFate::InChain { confirmations: 2 }
    );
    assert_eq!(chain.fate(BlockHash::all_zeros()), BlockFate::Unknown);
}

/// Makes one thing wrong in a good block, and the rest right again.
pub(crate) type Fault = fn(&mut Block);

/// Each fault, what Bitcoin Core calls it, and how it comes about in a block on the height after
/// the premine.
pub(crate) const FAULTS: &[(&str, &str, Fault)] = &[
    ("merkle root", "bad-txnmrklroot", |block| {
        block.header.merkle_root = bitcoin::TxMerkleNode::all_zeros();
    }),
    (
        "a list lengthened under its root",
        "bad-txns-duplicate",
        |block| {
            block.txdata.pop();
            block.txdata.push(block.txdata[2].clone());
            renew_commitment(block);
        },
    ),
    (
        "a transaction twice",
        "bad-txns-inputs-missingorspent",
        |block| {
            block.txdata.push(block.txdata[3].clone());
            renew_commitment(block);
        },
    ),
    ("no coinbase", "bad-cb-missing", |block| {
        block.txdata.remove(0);
        renew_merkle_root(block);
    }),
    ("no transaction at all", "bad-txnmrklroot", |block| {
        block.txdata.clear();
    }),
    ("a second coinbase", "bad-cb-multiple", |block| {
        let mut second = block.txdata[0].clone();
        second.output[0].value = Amount::ZERO;
        block.txdata.push(second);
        renew_commitment(block);
    }),
    ("a coinbase script of 101 bytes", "bad-cb-length", |block| {
        let script = &mut block.txdata[0].input[0].script_sig;
        let filler = vec![0x51; 101 - script.len()];
        *script = ScriptBuf::from_bytes([script.as_bytes(), &filler].concat());
        renew_merkle_root(block);
    }),
    (
        "a stripped size over a million",
        "bad-blk-length",
        |block| {
            pad(&mut block.txdata[0], 1_000_000);
            renew_merkle_root(block);
        },
    ),
    ("a weight over four million", "bad-blk-weight", |block| {
        block.txdata[1].input[0].witness = Witness::from_slice(&[vec![0; 3_998_500]]);
        renew_commitment(block);
    }),
    ("80,001 signature operations", "bad-blk-sigops", |block| {
        let checks = ScriptBuf::from_bytes(vec![0xac; 20_001]);
        block.txdata[0].output[0].script_pubkey = checks;
        renew_merkle_root(block);
    }),
    (
        "an output of more than all money",
        "bad-txns-vout-toolarge",
        |block| {
            block.txdata[1].output[0].value = Amount::MAX_MONEY + Amount::ONE_SAT;
            renew_commitment(block);
        },
    ),
    (
        "outputs of more than all money",
        "bad-txns-txouttotal-toolarge",
        |block| {
            block.txdata[2].output[0].value = Amount::MAX_MONEY;
            block.txdata[2].output[1].value = Amount::ONE_SAT;
            renew_commitment(block);
        },
    ),
    ("no outputs", "bad-txns-vout-empty", |block| {
        block.txdata[1].output.clear();
        renew_commitment(block);
    }),
    (
        "one coin spent twice by one transaction",
        "bad-txns-inputs-duplicate",
        |block| {
            let input = block.txdata[1].input[0].clone();
            block.txdata[1].input.push(input);
            renew_commitment(block);
        },
    ),
    ("a null input", "bad-txns-prevout-null", |block| {
        block.txdata[3].input[0].previous_output = OutPoint::null();
        renew_commitment(block);
    }),
    ("harder bits", "bad-diffbits", |block| {
        block.header.bits = CompactTarget::from_consensus(0x207f_fffe);
    }),
    ("a time not after the median", "time-too-old", |block| {
        block.header.time = 1_296_688_602 + 105 * 600;
    }),
    (
        "a time two hours and a second ahead",
        "time-too-new",
        |block| {
            block.header.time = NOW.as_secs() + 7_201;
        },
    ),
    ("version 3", "bad-version(0x00000003)", |block| {
        block.header.version = Version::from_consensus(3);
    }),
    (
        "a lock time that has not come",
        "bad-txns-nonfinal",
        |block| {
            block.txdata[0].lock_time = LockTime::from_consensus(PREMINE + 1);
            renew_merkle_root(block);
        },
    ),
    ("another height", "bad-cb-height", |block| {
        block.txdata[0].input[0].script_sig = Builder::new()
            .push_int(i64::from(PREMINE))
            .push_slice(b"pool")
            .into_script();
        renew_merkle_root(block);
    }),
    ("no reserved value", "bad-witness-nonce-size", |block| {
        block.txdata[0].input[0].witness = Witness::new();
    }),
    (
        "a reserved value of 31 bytes",
        "bad-witness-nonce-size",
        |block| {
            block.txdata[0].input[0].witness = Witness::from_slice(&[[0u8; 31]]);
        },
    ),
    (
        "another reserved value",
        "bad-witness-merkle-match",
        |block| {
            block.txdata[0].input[0].witness = Witness::from_slice(&[[1u8; 32]]);
        },
    ),
    (
        "a witness that was not committed to",
        "bad-witness-merkle-match",
        |block| {
            block.txdata[1].input[0].witness.push([0x51]);
        },
    ),
    ("no commitment", "unexpected-witness", |block| {
        block.txdata[0].output.pop();
        block.txdata[0].input[0].witness = Witness::new();
        renew_merkle_root(block);
    }),
    (
        "a coin that is not there",
        "bad-txns-inputs-missingorspent",
        |block| {
            block.txdata[3].input[1].previous_output.vout = 7;
            renew_commitment(block);
        },
    ),
    (
        "a coin that is spent in this block",
        "bad-txns-inputs-missingorspent",
        |block| {
            block.txdata[3].input[1] = block.txdata[1].input[0].clone();
            renew_commitment(block);
        },
    ),
    (
        "a child before its parent",
        "bad-txns-inputs-missingorspent",
        |block| {
            block.txdata.swap(1, 3);
            renew_commitment(block);
        },
    ),
    ("more out than in", "bad-txns-in-belowout", |block| {
        block.txdata[2].output[0].value += Amount::ONE_BTC;
        renew_commitment(block);
    }),
    (
        "a satoshi too much for the miner",
        "bad-cb-amount",
        |block| {
            block.txdata[0].output[0].value += Amount::ONE_SAT;
            renew_merkle_root(block);
        },
    ),
    (
        "a wrong witness",
        "block-script-verify-flag-failed",
        |block| {
            block.txdata[1].input[0].witness = Witness::from_slice(&[[0x52u8]]);
            renew_commitment(block);
        },
    ),
    ("a relative lock time", "bad-txns-nonfinal", |block| {
        block.txdata[2].input[0].sequence = Sequence::from_consensus(60_000);
        renew_commitment(block);
    }),
];

fn pad(transaction: &mut Transaction, length: usize) {
    transaction.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x51; length]);
}

#[test]
fn each_fault_is_refused_for_its_own_reason() {
    let chain = chain();
    let good = unsolved(&chain.template_at(NOW));
    for (name, reason, fault) in FAULTS {
        let mut block = good.clone();
        fault(&mut block);
        solve(&mut block);
        let refused = SubmitAnswer::Refused((*reason).to_owned());
        assert_eq!(chain.submit_at(&bytes(&block), NOW), refused, "{name}");
        let proposed = CheckAnswer::Refused((*reason).to_owned());
        unsolve(&mut block);
        assert_eq!(chain.check_at(&bytes(&block), NOW), proposed, "{name}");
        assert_eq!(chain.tip().height, PREMINE, "{name}");
    }
    let mut block = good;
    solve(&mut block);
    assert_eq!(chain.submit_at(&bytes(&block), NOW), SubmitAnswer::Accepted);
}

#[test]
fn proof_of_work_counts_on_submit_only() {
    let chain = chain();
    let mut block = unsolved(&chain.template_at(NOW));
    unsolve(&mut block);
    assert_eq!(chain.check_at(&bytes(&block), NOW), CheckAnswer::Valid);
    assert_eq!(
        chain.submit_at(&bytes(&block), NOW),
        SubmitAnswer::Refused("high-hash".to_owned())
    );
}

#[test]
fn a_block_cut_short_or_lengthened_is_no_block() {
    let chain = chain();
    let block = bytes(&solved(&chain.template_at(NOW)));
    let refused = SubmitAnswer::Refused("Block decode failed".to_owned());
    for length in 0..block.len() {
        assert_eq!(chain.submit_at(&block[..length], NOW), refused);
    }
    let longer = [&block[..], &[0]].concat();
    assert_eq!(chain.submit_at(&longer, NOW), refused);
    let mut sink = chain.node(Duration::from_secs(60)).sink;
    assert_eq!(sink.submit(&"not hex".into()), refused);
    assert_eq!(sink.submit(&"".into()), refused);
}

#[test]
fn no_bit_after_the_header_can_be_flipped() {
    let chain = chain();
    let good = bytes(&unsolved(&chain.template_at(NOW)));
    assert_eq!(chain.check_at(&good, NOW), CheckAnswer::Valid);
    for bit in 80 * 8..good.len() * 8 {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let answer = chain.check_at(&changed, NOW);
        assert!(
            matches!(answer, CheckAnswer::Refused(_)),
            "bit {bit}: {answer:?}"
        );
    }
}

#[test]
fn no_header_of_a_stranger_does_harm() {
    let chain = chain();
    let good = bytes(&solved(&chain.template_at(NOW)));
    for byte in 0..80 {
        for value in 0..=u8::MAX {
            let mut changed = good.clone();
            changed[byte] = value;
            // A changed version, time or nonce may be valid; on submit it would be taken.
            chain.check_at(&changed, NOW);
        }
    }
    // Every exponent of the compact target, with the largest and the smallest mantissa.
    for exponent in 0..=u8::MAX {
        for mantissa in [[0xff; 3], [0x7f, 0xff, 0xff], [0; 3], [1, 0, 0]] {
            let mut changed = good.clone();
            changed[72..75].copy_from_slice(&mantissa);
            changed[75] = exponent;
            let answer = chain.submit_at(&changed, NOW);
            assert!(matches!(answer, SubmitAnswer::Refused(_)), "{answer:?}");
        }
    }
}

#[test]
fn a_coinbase_needs_a_hundred_blocks_to_be_spent() {
    let chain = chain();
    let template = chain.template_at(NOW);
    for (height, spendable) in [(11, true), (12, false)] {
        let premined: Block =
            bitcoin::consensus::deserialize(&chain.block(height).unwrap()).unwrap();
        let mut block = unsolved(&template);
        let spend = &mut block.txdata[2];
        spend.input[0].previous_output = OutPoint::new(premined.txdata[0].compute_txid(), 0);
        renew_commitment(&mut block);
        let answer = chain.check_at(&bytes(&block), NOW);
        let expected = if spendable {
            CheckAnswer::Valid
        } else {
            CheckAnswer::Refused("bad-txns-premature-spend-of-coinbase".to_owned())
        };
        assert_eq!(answer, expected, "coinbase of block {height}");
    }
}

#[test]
fn a_block_beside_the_tip_is_inconclusive_and_one_from_nowhere_refused() {
    let chain = chain();
    let mut beside = unsolved(&chain.template_at(NOW));
    mine(&chain, NOW);
    beside.header.time += 1;
    solve(&mut beside);
    assert_eq!(
        chain.submit_at(&bytes(&beside), NOW),
        SubmitAnswer::Inconclusive
    );
    assert_eq!(chain.check_at(&bytes(&beside), NOW), CheckAnswer::StaleTip);
    assert_eq!(chain.fate(beside.block_hash()), BlockFate::Unknown);
    let mut nowhere = beside;
    nowhere.header.prev_blockhash = BlockHash::all_zeros();
    solve(&mut nowhere);
    let refused = SubmitAnswer::Refused("prev-blk-not-found".to_owned());
    assert_eq!(chain.submit_at(&bytes(&nowhere), NOW), refused);
    assert_eq!(chain.check_at(&bytes(&nowhere), NOW), CheckAnswer::StaleTip);
}

#[test]
fn an_empty_block_is_a_block() {
    let chain = chain();
    let mut template = chain.template_at(NOW);
    template.transactions.clear();
    template.coinbase_value = Amount::from_sat(5_000_000_000);
    let mut block = unsolved(&template);
    renew_commitment(&mut block);
    solve(&mut block);
    assert_eq!(chain.submit_at(&bytes(&block), NOW), SubmitAnswer::Accepted);
}

#[test]
fn a_miner_paid_in_coins_of_the_chain_waits_for_maturity_too() {
    let chain = chain();
    let mut block = unsolved(&chain.template_at(NOW));
    block.txdata[0].output[0].script_pubkey =
        Builder::new().push_opcode(OP_TRUE).into_script().to_p2wsh();
    renew_merkle_root(&mut block);
    solve(&mut block);
    assert_eq!(chain.submit_at(&bytes(&block), NOW), SubmitAnswer::Accepted);
    for step in 1..50 {
        mine(&chain, later(step));
    }
}

#[test]
fn transactions_of_the_next_block_are_known() {
    let chain = chain();
    let template = chain.template_at(NOW);
    let unknown = Txid::all_zeros();
    let asked = [
        template.transactions[2].txid,
        unknown,
        template.transactions[0].txid,
    ];
    let found = chain.transactions(&asked);
    assert_eq!(found[0].as_ref(), Some(&template.transactions[2].data));
    assert_eq!(found[1], None);
    assert_eq!(found[2].as_ref(), Some(&template.transactions[0].data));
}

#[test]
fn retargeted_blocks_are_accepted_and_their_bits_follow_the_pace() {
    let settings = ChainSettings {
        difficulty: Difficulty::Retarget {
            block_interval: Duration::from_secs(5),
            easiest: 2,
        },
    };
    let chain = EmbeddedChain::open(None, settings).unwrap();
    let work = |block: &Block| block.header.work();
    let first = mine(&chain, later(0));
    let hard = mine_at(&chain, [later(0); 5]);
    assert!(
        work(&hard) > work(&first),
        "blocks within a second make the next one harder"
    );
    let easier = mine_at(&chain, (0..40).map(|step| later(60 + step * 60)));
    assert!(
        work(&easier) < work(&hard),
        "blocks that take a minute make the next one easier"
    );
}

#[test]
fn eased_bits_are_valid_from_the_template_s_min_time() {
    let settings = ChainSettings {
        difficulty: Difficulty::Retarget {
            block_interval: Duration::from_secs(5),
            easiest: 2,
        },
    };
    let chain = EmbeddedChain::open(None, settings).unwrap();
    let parent = mine_at(&chain, [NOW; 7]);
    let after_parent = |seconds| UnixTime::from_secs(parent.header.time + seconds);
    let late = after_parent(47);
    let hard = chain.template_at(NOW);
    let eased = chain.template_at(late);
    assert_ne!(hard.bits, eased.bits);
    assert_eq!(eased.min_time, after_parent(46));
    let mut early = unsolved(&eased);
    early.header.time = eased.min_time.as_secs() - 1;
    let refused = CheckAnswer::Refused("bad-diffbits".to_owned());
    assert_eq!(chain.check_at(&bytes(&early), late), refused);
    early.header.time += 1;
    assert_eq!(chain.check_at(&bytes(&early), late), CheckAnswer::Valid);
    let mut old_job = unsolved(&hard);
    old_job.header.time = late.as_secs();
    assert_eq!(chain.check_at(&bytes(&old_job), late), CheckAnswer::Valid);
}

#[test]
fn blocks_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let chain = EmbeddedChain::open(Some(directory.path()), REGTEST).unwrap();
    let blocks: Vec<Block> = (0..5).map(|step| mine(&chain, later(step))).collect();
    let tip = chain.tip();
    drop(chain);
    let chain = EmbeddedChain::open(Some(directory.path()), REGTEST).unwrap();
    assert_eq!(chain.tip(), tip);
    for (height, block) in (PREMINE + 1..).zip(&blocks) {
        assert_eq!(chain.block(height), Some(bytes(block)));
    }
    mine(&chain, later(10));
}

#[test]
fn a_torn_last_block_is_cut_off_wherever_it_was_torn() {
    let directory = tempfile::tempdir().unwrap();
    let chain = EmbeddedChain::open(Some(directory.path()), REGTEST).unwrap();
    mine(&chain, NOW);
    let file = directory.path().join("chain.dat");
    let before = fs::read(&file).unwrap().len();
    let kept = chain.tip();
    mine(&chain, later(1));
    drop(chain);
    let whole = fs::read(&file).unwrap();
    let torn = (before..whole.len()).map(|length| whole[..length].to_vec());
    let zeros = [[&whole[..before], &[0; 300]].concat()];
    for content in torn.chain(zeros) {
        fs::write(&file, &content).unwrap();
        let chain = EmbeddedChain::open(Some(directory.path()), REGTEST).unwrap();
        assert_eq!(chain.tip(), kept, "{} bytes", content.len());
        assert_eq!(fs::read(&file).unwrap().len(), before);
    }
    let chain = EmbeddedChain::open(Some(directory.path()), REGTEST).unwrap();
    mine(&chain, later(2));
    drop(chain);
    let chain = EmbeddedChain::open(Some(directory.path()), REGTEST).unwrap();
    assert_eq!(chain.tip().height, PREMINE + 2);
}

#[test]
fn a_head_that_was_cut_off_is_written_again() {
    let directory = tempfile::tempdir().unwrap();
    drop(EmbeddedChain::open(Some(directory.path()), REGTEST).unwrap());
    let file = directory.path().join("chain.dat");
    let head = fs::read(&file).unwrap();
    for length in 0..head.len() {
        fs::write(&file, &head[..length]).unwrap();
        drop(EmbeddedChain::open(Some(directory.path()), REGTEST).unwrap());
        assert_eq!(fs::read(&file).unwrap(), head);
    }
}

fn store_error(directory: &Path, settings: ChainSettings) -> StoreError {
    match EmbeddedChain::open(Some(directory), settings) {
        Err(ChainError::Store(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the chain was opened"),
    }
}

#[test]
fn what_cannot_be_opened_is_said_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let chain = EmbeddedChain::open(Some(path), REGTEST).unwrap();
    assert!(matches!(store_error(path, REGTEST), StoreError::InUse(_)));
    mine(&chain, NOW);
    mine(&chain, later(1));
    drop(chain);
    assert!(matches!(
        store_error(path, ChainSettings::default()),
        StoreError::OtherSettings(_)
    ));
    let file = path.join("chain.dat");
    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    damaged[200] ^= 1;
    fs::write(&file, &damaged).unwrap();
    assert!(matches!(
        store_error(path, REGTEST),
        StoreError::Damaged { offset: 52, .. }
    ));
    assert_eq!(fs::read(&file).unwrap(), damaged);
    fs::write(
        &file,
        b"something else that is long enough to be a head of a chain file",
    )
    .unwrap();
    assert!(matches!(store_error(path, REGTEST), StoreError::Foreign(_)));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(matches!(store_error(path, REGTEST), StoreError::Io { .. }));
}

#[test]
fn blocks_on_disk_are_checked_again() {
    let directory = tempfile::tempdir().unwrap();
    let chain = EmbeddedChain::open(Some(directory.path()), REGTEST).unwrap();
    let file = directory.path().join("chain.dat");
    mine(&chain, NOW);
    drop(chain);
    // The same block once more: whole and intact, but not the next one.
    let mut content = fs::read(&file).unwrap();
    let record = content[52..].to_vec();
    content.extend(record);
    fs::write(&file, content).unwrap();
    match EmbeddedChain::open(Some(directory.path()), REGTEST) {
        Err(ChainError::InvalidBlock { height, reason }) => {
            assert_eq!((height, reason.as_str()), (PREMINE + 2, "duplicate"));
        }
        other => panic!("{:?}", other.err()),
    }
}

#[tokio::test(start_paused = true)]
async fn the_source_tells_tips_and_refreshes_and_loses_none_when_cancelled() {
    let chain = chain();
    let mut node = chain.node(Duration::from_secs(10));
    assert!(node.status.borrow().is_ready());
    let first = node.templates.next().await.unwrap();
    assert_eq!(
        (first.cause, first.template.height),
        (Cause::NewTip, PREMINE + 1)
    );
    let block = solved(&first.template);
    assert_eq!(
        node.sink.submit(&hex(&block).as_str().into()),
        SubmitAnswer::Accepted
    );
    // A future that is dropped before it is ready takes nothing with it.
    drop(node.templates.next());
    let second = node.templates.next().await.unwrap();
    assert_eq!(
        (second.cause, second.template.height),
        (Cause::NewTip, PREMINE + 2)
    );
    assert_eq!(second.template.prev_hash, block.block_hash());
    assert_eq!(node.status.borrow().tip.unwrap().hash, block.block_hash());
    let asked = tokio::time::Instant::now();
    let third = node.templates.next().await.unwrap();
    assert_eq!(third.cause, Cause::Refresh);
    assert_eq!(asked.elapsed().as_secs(), 10);
}

#[test]
fn the_handle_is_shared_by_threads() {
    let chain = chain();
    let template = chain.template();
    let block = bytes(&solved(&template));
    let answers: Vec<SubmitAnswer> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| chain.submit(&block)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let accepted = answers
        .iter()
        .filter(|answer| **answer == SubmitAnswer::Accepted)
        .count();
    let known = answers
        .iter()
        .filter(|answer| **answer == SubmitAnswer::AlreadyKnown)
        .count();
    assert_eq!((accepted, known), (1, 3));
}
