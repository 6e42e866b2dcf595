//! What every source of templates has to do, whatever node it stands before: the same tests for each. The Template
//! Provider's adapter goes through them in `crates/server/tests/provider`, which has this text and an arena of its own.
//!
//! Those of Bitcoin Core run where the environment variables BITCOIND and BITCOIN_NODE name its programs.

use bitcoin::hashes::Hash;
use bitcoin::{Amount, BlockHash, Txid};
use headframe_node::embedded::PREMINE;
use headframe_node::{BlockFate, Cause, CheckAnswer, Node, SubmitAnswer};

use crate::support::arena::{Arena, on_sink, template};
use crate::support::block::{hex, renew_merkle_root, solve, solved, unsolve, unsolved};

macro_rules! battery {
    ($source:ident as $module:ident: $($test:ident),* $(,)?) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    let source = crate::support::arena::Source::$source;
                    if let Some(arena) = crate::support::arena::Arena::start(source) {
                        super::$test(&arena).await;
                    }
                }
            )*
        }
    };
}

/// What not every source can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ability {
    /// Its node keeps blocks beside its best chain, and says so. The embedded chain has one chain.
    Branches,
    /// It says why it refuses a block and whether it knows one, judges blocks without work, and tells of its mempool. A
    /// provider has no words for that: it is sent solutions, and names tips.
    Questions,
    /// It tells the fee of each transaction, where a provider tells what a block pays.
    Fees,
    /// It is given a block once. Where a provider and its node have it both, either may be first.
    OneWay,
}

for_each_source!(
    the_first_template_is_the_chain_s_next_block,
    a_block_is_accepted_and_the_next_template_builds_on_it,
    a_block_full_of_segwit_transactions_is_accepted,
    a_block_on_an_older_template_of_the_same_tip_is_accepted,
    a_block_with_a_rolled_version_and_time_is_accepted,
    a_block_that_signals_something_else_is_accepted,
    a_block_that_breaks_a_rule_is_refused_for_its_reason,
    what_is_no_block_is_refused,
    a_block_without_work_is_judged,
    a_block_beside_the_tip_is_followed,
    transactions_of_the_mempool_are_known,
);

async fn submit(node: &mut Node, block_hex: String) -> SubmitAnswer {
    on_sink(node, move |sink| sink.submit(&block_hex.as_str().into())).await
}

/// Submits a block that has to be taken.
async fn accept(arena: &Arena, node: &mut Node, block_hex: String) {
    match submit(node, block_hex).await {
        SubmitAnswer::Accepted => {}
        SubmitAnswer::AlreadyKnown if !arena.can(Ability::OneWay) => {}
        answer => panic!("{answer:?}"),
    }
}

async fn fate(node: &mut Node, hash: BlockHash) -> BlockFate {
    on_sink(node, move |sink| sink.fate(hash)).await.unwrap()
}

async fn the_first_template_is_the_chain_s_next_block(arena: &Arena) {
    let mut node = arena.connect();
    let update = template(&mut node).await;
    let (found, expected) = (&*update.template, arena.expected());
    assert_eq!(update.cause, Cause::NewTip);
    assert_eq!(found.height, PREMINE + 1);
    assert_eq!(found.prev_hash, expected.prev_hash);
    assert_eq!(found.bits, expected.bits);
    assert_eq!(found.coinbase_sequence, expected.coinbase_sequence);
    assert_eq!(found.coinbase_lock_time, expected.coinbase_lock_time);
    assert!(found.min_time <= found.current_time);
    let status = node.status.borrow().clone();
    assert!(status.is_ready());
    let tip = status.tip.unwrap();
    assert_eq!((tip.height, tip.hash), (PREMINE, found.prev_hash));
    on_sink(&mut node, |sink| sink.stand_by()).await.unwrap();
}

async fn a_block_is_accepted_and_the_next_template_builds_on_it(arena: &Arena) {
    let mut node = arena.connect();
    let first = template(&mut node).await;
    let block = solved(&first.template);
    if arena.can(Ability::Questions) {
        let unknown = fate(&mut node, block.block_hash()).await;
        assert_eq!(unknown, BlockFate::Unknown);
    }
    accept(arena, &mut node, hex(&block)).await;
    let second = template(&mut node).await;
    assert_eq!(second.cause, Cause::NewTip);
    assert_eq!(second.template.prev_hash, block.block_hash());
    assert_eq!(second.template.height, PREMINE + 2);
    // A provider has named it, which is all that it ever says.
    let again = match arena.can(Ability::Questions) {
        true => SubmitAnswer::AlreadyKnown,
        false => SubmitAnswer::Accepted,
    };
    assert_eq!(submit(&mut node, hex(&block)).await, again);
    let found = fate(&mut node, block.block_hash()).await;
    assert_eq!(found, BlockFate::InChain { confirmations: 1 });
    let next = solved(&second.template);
    accept(arena, &mut node, hex(&next)).await;
    let found = fate(&mut node, block.block_hash()).await;
    assert_eq!(found, BlockFate::InChain { confirmations: 2 });
}

async fn a_block_full_of_segwit_transactions_is_accepted(arena: &Arena) {
    arena.add_transactions();
    let mut node = arena.connect();
    let expected = arena.expected();
    let update = loop {
        let update = template(&mut node).await;
        if update.template.transactions.len() == expected.transactions.len() {
            break update;
        }
    };
    assert_eq!(update.template.coinbase_value, expected.coinbase_value);
    let sorted = |template: &headframe_work::Template| {
        let mut rows: Vec<_> = template
            .transactions
            .iter()
            .map(|tx| {
                let fee = arena.can(Ability::Fees).then_some(tx.fee);
                (tx.txid, tx.wtxid, fee, tx.weight, tx.data.clone())
            })
            .collect();
        rows.sort();
        rows
    };
    assert_eq!(sorted(&update.template), sorted(&expected));
    let block = solved(&update.template);
    accept(arena, &mut node, hex(&block)).await;
}

/// A miner works on for a moment after its job was replaced.
async fn a_block_on_an_older_template_of_the_same_tip_is_accepted(arena: &Arena) {
    let mut node = arena.connect();
    let older = template(&mut node).await;
    if arena.add_transactions() {
        let value = older.template.coinbase_value;
        while template(&mut node).await.template.coinbase_value == value {}
    }
    let block = solved(&older.template);
    accept(arena, &mut node, hex(&block)).await;
}

async fn a_block_with_a_rolled_version_and_time_is_accepted(arena: &Arena) {
    let mut node = arena.connect();
    let update = template(&mut node).await;
    let mut block = unsolved(&update.template);
    let version = update.template.version ^ 0x1fff_e000;
    block.header.version = bitcoin::block::Version::from_consensus(version as i32);
    block.header.time += 60;
    solve(&mut block);
    accept(arena, &mut node, hex(&block)).await;
}

/// A bit that no miner rolls, which the operator has chosen.
async fn a_block_that_signals_something_else_is_accepted(arena: &Arena) {
    if !arena.can(Ability::Questions) {
        return;
    }
    let mut node = arena.connect();
    let update = template(&mut node).await;
    let mut block = unsolved(&update.template);
    let version = update.template.version ^ (1 << 4);
    block.header.version = bitcoin::block::Version::from_consensus(version as i32);
    solve(&mut block);
    let hash = block.block_hash();
    accept(arena, &mut node, hex(&block)).await;
    let found = fate(&mut node, hash).await;
    assert_eq!(found, BlockFate::InChain { confirmations: 1 });
}

async fn a_block_that_breaks_a_rule_is_refused_for_its_reason(arena: &Arena) {
    if !arena.can(Ability::Questions) {
        return;
    }
    let mut node = arena.connect();
    let update = template(&mut node).await;
    let mut greedy = unsolved(&update.template);
    greedy.txdata[0].output[0].value += Amount::ONE_SAT;
    renew_merkle_root(&mut greedy);
    solve(&mut greedy);
    let mut without_work = unsolved(&update.template);
    unsolve(&mut without_work);
    for (block, reason) in [(greedy, "bad-cb-amount"), (without_work, "high-hash")] {
        match submit(&mut node, hex(&block)).await {
            SubmitAnswer::Refused(words) if words.starts_with(reason) => {}
            // It was refused to the other before.
            SubmitAnswer::Refused(words) if !arena.can(Ability::OneWay) => {
                assert_eq!(words, "duplicate-invalid");
            }
            other => panic!("{reason}: {other:?}"),
        }
    }
    // None of that hinders the good one.
    let block = solved(&update.template);
    accept(arena, &mut node, hex(&block)).await;
}

async fn what_is_no_block_is_refused(arena: &Arena) {
    let mut node = arena.connect();
    let update = template(&mut node).await;
    let whole = hex(&solved(&update.template));
    let refused = SubmitAnswer::Refused("Block decode failed".to_owned());
    for text in ["", "00", "no digits", &whole[..200]] {
        assert_eq!(submit(&mut node, text.to_owned()).await, refused, "{text}");
        if !arena.can(Ability::Questions) {
            continue;
        }
        let checked = node.check.check(text).await;
        assert!(
            matches!(checked, Ok(CheckAnswer::Refused(_))),
            "{checked:?}"
        );
    }
}

async fn a_block_without_work_is_judged(arena: &Arena) {
    if !arena.can(Ability::Questions) {
        return;
    }
    let mut node = arena.connect();
    let update = template(&mut node).await;
    let mut block = unsolved(&update.template);
    unsolve(&mut block);
    assert_eq!(node.check.check(&hex(&block)).await, Ok(CheckAnswer::Valid));
    let mut greedy = block.clone();
    greedy.txdata[0].output[0].value += Amount::ONE_SAT;
    renew_merkle_root(&mut greedy);
    unsolve(&mut greedy);
    match node.check.check(&hex(&greedy)).await {
        Ok(CheckAnswer::Refused(words)) => assert!(words.starts_with("bad-cb-amount"), "{words}"),
        other => panic!("{other:?}"),
    }
    let found = solved(&update.template);
    accept(arena, &mut node, hex(&found)).await;
    assert_eq!(
        node.check.check(&hex(&block)).await,
        Ok(CheckAnswer::StaleTip)
    );
}

async fn a_block_beside_the_tip_is_followed(arena: &Arena) {
    if !arena.can(Ability::Questions) || !arena.can(Ability::Branches) {
        return;
    }
    let mut node = arena.connect();
    let update = template(&mut node).await;
    let mut block = solved(&update.template);
    accept(arena, &mut node, hex(&block)).await;
    while template(&mut node).await.template.prev_hash != block.block_hash() {}
    block.header.time += 1;
    solve(&mut block);
    match submit(&mut node, hex(&block)).await {
        SubmitAnswer::Inconclusive => {}
        SubmitAnswer::AlreadyKnown if !arena.can(Ability::OneWay) => {}
        answer => panic!("{answer:?}"),
    }
    let found = fate(&mut node, block.block_hash()).await;
    assert_eq!(found, BlockFate::SideBranch);
    block.header.prev_blockhash = BlockHash::all_zeros();
    solve(&mut block);
    let answer = submit(&mut node, hex(&block)).await;
    assert!(matches!(answer, SubmitAnswer::Retry(_)), "{answer:?}");
}

async fn transactions_of_the_mempool_are_known(arena: &Arena) {
    if !arena.can(Ability::Questions) {
        return;
    }
    arena.add_transactions();
    let mut node = arena.connect();
    template(&mut node).await;
    let expected = arena.expected().transactions;
    let mut asked: Vec<Txid> = expected.iter().map(|tx| tx.txid).collect();
    asked.push(Txid::all_zeros());
    let known = node.transactions.transactions(&asked).await.unwrap();
    let mut rows: Vec<_> = expected.into_iter().map(|tx| Some(tx.data)).collect();
    rows.push(None);
    assert_eq!(known, rows);
}
