//! The pool on Bitcoin Core's mining interface alone, where BITCOIN_NODE names the program that serves it: blocks of
//! all kinds, and a node that dies, freezes and comes back.

use bitcoin::Address;
use headframe_conformance::sv1::{Client, Job};
use headframe_conformance::wait::{until, until_true};
use headframe_conformance::wallet::{Coin, Kind};
use headframe_conformance::{Bitcoind, Chain, Key, Pool, Protocol, Way};
use serde_json::Value;

use crate::blocks::find_blocks_on;
use crate::fee::split_fees_on;
use crate::full_template::fill_a_block_on;
use crate::node_down::{BACK, GONE, find_block_without_node};

/// Blocks until a coinbase can be spent.
const MATURITY: u32 = 100;

fn regtest() -> Option<Bitcoind> {
    Bitcoind::start_for(Chain::Regtest, Way::Ipc)
}

fn address_of(number: u8, node: &Bitcoind) -> Address {
    Key::number(number).address(Kind::P2wpkh, node.chain().network())
}

/// A node with a block, since one without says that it is still syncing.
fn node_with_a_block() -> Option<Bitcoind> {
    let node = regtest()?;
    node.mine(1, &address_of(2, &node));
    Some(node)
}

#[test]
fn sv2_standard_finds_blocks_by_ipc() {
    if let Some(node) = regtest() {
        let usual = [(true, Kind::P2wpkh), (false, Kind::P2sh)];
        find_blocks_on(&node, Protocol::Sv2Standard, &usual);
    }
}

#[test]
fn sv2_extended_finds_blocks_by_ipc() {
    if let Some(node) = regtest() {
        let usual = [(false, Kind::P2tr), (true, Kind::P2wsh)];
        find_blocks_on(&node, Protocol::Sv2Extended, &usual);
    }
}

#[test]
fn sv1_finds_blocks_by_ipc() {
    if let Some(node) = regtest() {
        find_blocks_on(&node, Protocol::Sv1, &[(true, Kind::P2pkh)]);
    }
}

#[test]
fn a_block_of_several_outputs_is_accepted_by_ipc() {
    if let Some(node) = regtest() {
        split_fees_on(&node);
    }
}

#[test]
fn a_template_full_of_segwit_transactions_gives_a_valid_block_by_ipc() {
    if let Some(node) = regtest() {
        fill_a_block_on(&node);
    }
}

/// Fees that appear bring another job, and the one before still gives a block: the node keeps its template.
#[test]
fn fees_bring_a_job_and_the_one_before_still_gives_a_block() {
    let Some(node) = regtest() else {
        return;
    };
    let key = Key::number(3);
    let own = key.address(Kind::P2wpkh, node.chain().network());
    node.mine(1 + MATURITY, &own);
    let pool = Pool::on(&node);
    let mut miner = Client::mining(pool.listen(), &address_of(1, &node).to_string());
    let first = miner.job();
    assert!(first.branches.is_empty());

    let coin = Coin::of(&node.block(&node.hash_at(1)).txdata[0], 0);
    let fee = coin.output.value / 10;
    let outputs = coin.shared_among(&[own.script_pubkey()], fee);
    node.send(&key.spend(&coin, outputs));
    let second = job_after(&mut miner, |job| !job.branches.is_empty());
    assert_eq!(second.prev_hash, first.prev_hash);

    let solution = miner.solve(&first);
    assert_eq!(miner.submit(&solution)["result"], true);
    pool.log().line("accepted by");
    assert_eq!(node.tip(), solution.hash.to_string());
    assert_eq!(node.block(&node.tip()).txdata.len(), 1);
}

fn job_after(miner: &mut Client, is_it: impl Fn(&Job) -> bool) -> Job {
    until("another job", || Some(miner.job()).filter(|job| is_it(job)))
}

/// A node that was killed has forgotten what it held for the pool: the block goes to it whole.
#[test]
fn a_block_found_while_the_node_is_down_is_submitted_when_it_returns_by_ipc() {
    let Some(mut node) = node_with_a_block() else {
        return;
    };
    let pool = Pool::on(&node);
    let hash = find_block_without_node(&mut node, &pool);
    node.restart();
    until_true("the block in the chain", || node.has_in_chain(&hash));
    pool.log().line("accepted by");
    pool.log().line(BACK);
    pool.wait_for_state("running");
}

#[test]
fn a_block_found_while_the_node_is_down_outlives_the_pool_by_ipc() {
    let Some(mut node) = node_with_a_block() else {
        return;
    };
    let mut pool = Pool::on(&node);
    let hash = find_block_without_node(&mut node, &pool);
    pool.kill();
    node.restart();
    pool.restart();
    until_true("the block in the chain", || node.has_in_chain(&hash));
}

/// A node that freezes is told to the miners' operator, and takes the block that was found meanwhile.
#[test]
fn a_block_found_while_the_node_is_frozen_is_accepted_when_it_goes_on() {
    let Some(node) = node_with_a_block() else {
        return;
    };
    let pool = Pool::on(&node);
    let mut miner = Client::mining(pool.listen(), &address_of(1, &node).to_string());
    let job = miner.job();
    node.freeze();
    pool.log().line(GONE);
    let told = pool.wait_for_state("node_unusable");
    let reason = told["state"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("no answer"), "{told}");
    let solution = miner.solve(&job);
    assert_eq!(miner.submit(&solution)["result"], true);
    node.thaw();
    let hash = solution.hash.to_string();
    until_true("the block in the chain", || node.has_in_chain(&hash));
    pool.log().line(BACK);
    pool.wait_for_state("running");
}

/// A block goes to a node of each kind, whichever gave the template; one that freezes is left for the other.
#[test]
fn a_node_by_ipc_and_one_by_rpc_stand_in_for_each_other() {
    let Some(node) = node_with_a_block() else {
        return;
    };
    let Some(backup) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    backup.copy_chain(&node);
    let pool = Pool::with_backup(&node, &backup);
    let mined_on = |place: usize| {
        until_true(&format!("node {place} to be mined on"), || {
            pool.api("summary")["nodes"][place]["mined_on"] == true
        });
    };
    mined_on(0);
    let mut miner = Client::mining(pool.listen(), &address_of(1, &node).to_string());
    let job = miner.job();
    let hash = miner.find_block(&job);
    for node in [&node, &backup] {
        until_true("the block in the chain", || node.has_in_chain(&hash));
    }
    let job = job_after(&mut miner, |job| job.prev_hash.to_string() == hash);

    node.freeze();
    mined_on(1);
    let hash = miner.find_block(&job);
    until_true("the block in the chain", || backup.has_in_chain(&hash));
    node.thaw();
    until_true("the block in the chain", || node.has_in_chain(&hash));
}

#[test]
fn the_dashboard_says_how_the_node_is_reached() {
    let Some(node) = node_with_a_block() else {
        return;
    };
    let pool = Pool::on(&node);
    let summary: Value = until("a node that is ready", || {
        let summary = pool.api("summary");
        (summary["node"]["state"]["kind"] == "ready").then_some(summary)
    });
    assert_eq!(summary["node"]["kind"], "ipc", "{summary}");
    let socket = node.socket().expect("it serves the interface");
    assert_eq!(summary["node"]["endpoint"], socket.display().to_string());
}

/// What the operator reads when the node does not serve the interface.
#[test]
fn a_socket_that_is_not_there_is_told_with_what_to_do() {
    let pool = Pool::with_settings(&[
        ("NODE_NETWORK", "regtest"),
        ("NODE_IPC", "/nowhere/node.sock"),
    ]);
    let logged = pool.log().line("/nowhere/node.sock");
    assert!(!logged.is_empty());
    pool.log().line("ipcbind=unix");
}
