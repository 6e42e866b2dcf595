//! Blocks that come when the pool has gone on: of a job that was replaced, and of a tip that has passed.
//! Each is for the node to judge.

use std::thread;

use bitcoin::{Address, Amount};
use headframe_conformance::sv1::{Client, Solution};
use headframe_conformance::wait::{until, until_true};
use headframe_conformance::wallet::{Coin, Kind};
use headframe_conformance::{Bitcoind, Chain, FoundBlock, Key, Pool, Provider, Way};
use serde_json::json;

/// A coinbase matures after so many blocks.
const MATURITY: u32 = 100;
/// Blocks that are raced against another of the same height.
const RACES: usize = 8;

/// A pool whose blocks pay several outputs.
fn pool(node: &Bitcoind) -> Pool {
    with_a_fee(node, |settings| Pool::configured(node, settings))
}

/// The same behind a Template Provider, which reaches the node instead.
fn pool_behind(provider: &Provider, node: &Bitcoind) -> Pool {
    with_a_fee(node, |settings| Pool::behind(provider, settings))
}

fn with_a_fee(node: &Bitcoind, start: impl FnOnce(&[(&str, &str)]) -> Pool) -> Pool {
    let operator = Key::number(2).address(Kind::P2wpkh, node.chain().network());
    start(&[
        ("PAYOUT_FEE_PERCENT", "2"),
        ("PAYOUT_FEE_ADDRESS", &operator.to_string()),
    ])
}

/// A node with a block, for pools that reach it in some way.
fn node_for(way: Way) -> Option<Bitcoind> {
    let node = Bitcoind::start_for(Chain::Regtest, way)?;
    node.mine(1, &rival(&node));
    Some(node)
}

/// Whom the blocks of others pay.
fn rival(node: &Bitcoind) -> Address {
    Key::number(9).address(Kind::P2wpkh, node.chain().network())
}

fn miner(node: &Bitcoind, pool: &Pool) -> Client {
    let address = Key::number(1).address(Kind::P2tr, node.chain().network());
    Client::mining(pool.listen(), &address.to_string())
}

/// A transaction with a fee comes, and all miners have a job with it, when a block of the job before is
/// found.
#[test]
fn a_block_of_a_job_that_was_replaced_on_the_same_tip_is_accepted() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let key = Key::number(9);
    let own = key.address(Kind::P2wpkh, node.chain().network());
    node.mine(1 + MATURITY, &own);
    let pool = pool(&node);
    let mut miner = miner(&node, &pool);
    let stale = miner.job_on(&node.tip());
    let coin = Coin::of(&node.block(&node.hash_at(1)).txdata[0], 0);
    let outputs = coin.shared_among(&[own.script_pubkey()], Amount::from_sat(1_000_000));
    node.send(&key.spend(&coin, outputs));
    let fresh = miner.job();
    assert_eq!(fresh.prev_hash, stale.prev_hash);
    assert!(!fresh.clean, "what was begun may still be a share");

    let solution = miner.solve(&stale);
    assert_eq!(miner.submit(&solution)["result"], true);
    until_true("the block", || node.tip() == solution.hash.to_string());
    let found = FoundBlock::at(&node, node.height());
    assert_eq!(found.payouts().len(), 2);
    assert_eq!(found.fees, Amount::ZERO, "it has no transaction");
}

/// What is found of a tip that has just passed goes to the node, which has it when the other block turns
/// out to be none.
fn is_there_when_the_other_is_given_up(node: &Bitcoind, pool: &Pool) {
    let mut miner = miner(node, pool);
    let job = miner.job_on(&node.tip());
    let solution = miner.solve(&job);
    node.mine(1, &rival(node));
    let other = node.tip();
    miner.job_on(&other);
    // The share may be too late. That is for the pool to say, of the block it is not.
    miner.submit(&solution);
    takes_over(node, &solution, &other);
    until("the block in the chain, on the dashboard", || {
        let blocks = pool.api("blocks");
        let block = blocks["blocks"].as_array()?.first()?.clone();
        (block["fate"]["kind"] == "accepted").then_some(())
    });
}

#[test]
fn a_block_of_the_last_tip_is_there_when_the_other_is_given_up() {
    if let Some(node) = node_for(Way::Rpc) {
        is_there_when_the_other_is_given_up(&node, &pool(&node));
    }
}

#[test]
fn a_block_of_the_last_tip_is_there_when_the_other_is_given_up_by_ipc() {
    for way in [Way::Ipc, Way::IpcWithRpc] {
        if let Some(node) = node_for(way) {
            is_there_when_the_other_is_given_up(&node, &pool(&node));
        }
    }
}

/// At the last second: the block and another of its height are on their way at once, and either may win.
/// The node has it whatever comes first.
fn races_with_a_tip(node: &Bitcoind, pool: &Pool) {
    let mut miner = miner(node, pool);
    for race in 0..RACES {
        let job = miner.job_on(&node.tip());
        let solution = miner.solve_rolled(&job, 0x1fff_e000, 0x0aaa_a000);
        let height = node.height() + 1;
        thread::scope(|threads| {
            threads.spawn(|| node.mine(1, &rival(node)));
            // Which of the two is first differs from race to race.
            thread::sleep(std::time::Duration::from_millis(race as u64 / 2));
            miner.submit(&solution);
        });
        let hash = solution.hash.to_string();
        until_true("the block with the node", || {
            node.try_call("getblockheader", &json!([hash])).is_ok()
        });
        let winner = node.hash_at(height);
        if winner != hash {
            takes_over(node, &solution, &winner);
        }
    }
}

#[test]
fn a_block_that_races_with_a_tip_is_never_lost() {
    if let Some(node) = node_for(Way::Rpc) {
        races_with_a_tip(&node, &pool(&node));
    }
}

#[test]
fn a_block_that_races_with_a_tip_is_never_lost_by_ipc() {
    for way in [Way::Ipc, Way::IpcWithRpc] {
        if let Some(node) = node_for(way) {
            races_with_a_tip(&node, &pool(&node));
        }
    }
}

#[test]
fn a_block_that_races_with_a_tip_is_never_lost_through_our_provider() {
    for way in [Way::Rpc, Way::Ipc] {
        if let Some(node) = node_for(way) {
            let provider = Provider::on(&node);
            races_with_a_tip(&node, &pool_behind(&provider, &node));
        }
    }
}

/// The node holds the block for valid: it becomes the tip when `rival` may not be.
fn takes_over(node: &Bitcoind, solution: &Solution, rival: &str) {
    let hash = solution.hash.to_string();
    until_true("the block with the node", || {
        node.try_call("getblockheader", &json!([hash])).is_ok()
    });
    assert_ne!(node.tip(), hash);
    node.call("invalidateblock", json!([rival]));
    until_true("the block as the tip", || node.tip() == hash);
}
