//! The faults of `faults` on Bitcoin Core's mining interface, alone and with RPC beside it, where BITCOIN_NODE names
//! the program that serves it. What cannot be said wrongly over a socket of one computer is not among them.
//!
//! A node that is killed, or freezes: `ipc`.

use std::fs;
use std::time::Duration;

use headframe_conformance::sv1::Client;
use headframe_conformance::wait::until_true;
use headframe_conformance::wallet::Coin;
use headframe_conformance::{Bitcoind, Key, Pool, SocketTrouble, TroubledSocket, Way};
use serde_json::json;

use crate::faults::{
    HOUR, address, has_a_wrong_clock, indexes_anew, is_reorganised, miner, mines_on, node_for,
    wait_until_accepted,
};
use crate::node_down::{BACK, GONE};

/// Blocks until a coinbase can be spent.
const MATURITY: u32 = 100;

#[test]
fn a_node_that_indexes_its_blocks_anew_by_ipc() {
    if let Some(node) = node_for(Way::Ipc) {
        indexes_anew(node);
    }
}

/// The socket knows no cookie, and the RPC beside it has another one.
#[test]
fn a_node_that_indexes_its_blocks_anew_with_another_cookie_beside_ipc() {
    if let Some(node) = node_for(Way::IpcWithRpc) {
        indexes_anew(node);
    }
}

#[test]
fn reorganisations_of_each_depth_by_ipc() {
    if let Some(node) = node_for(Way::Ipc) {
        is_reorganised(&node);
    }
}

#[test]
fn reorganisations_of_each_depth_by_ipc_with_rpc() {
    if let Some(node) = node_for(Way::IpcWithRpc) {
        is_reorganised(&node);
    }
}

#[test]
fn a_node_s_clock_that_is_wrong_by_ipc() {
    if let Some(node) = node_for(Way::Ipc) {
        has_a_wrong_clock(&node);
    }
}

#[test]
fn a_node_s_clock_that_is_wrong_by_ipc_with_rpc() {
    if let Some(node) = node_for(Way::IpcWithRpc) {
        has_a_wrong_clock(&node);
    }
}

/// The clock goes back by an hour, while the node waits for what is new until a time by its clock: fees come all the
/// same. By RPC it is the node that gives no others until its clock has come so far again.
#[test]
fn a_clock_that_goes_back_keeps_no_fees_from_miners_by_ipc() {
    let Some(node) = node_for(Way::Ipc) else {
        return;
    };
    node.mine(MATURITY, &address(2));
    let pool = Pool::on(&node);
    let mut miner = miner(&pool);
    let job = miner.job_on(&node.tip());
    let now = u64::from(job.time);
    node.call("setmocktime", json!([now - HOUR]));
    let coin = Coin::of(&node.block(&node.hash_at(1)).txdata[0], 0);
    let fee = coin.output.value / 10;
    let outputs = coin.shared_among(&[address(3).script_pubkey()], fee);
    node.send(&Key::number(2).spend(&coin, outputs));
    until_true("a job with the fee", || {
        let job = miner.job();
        assert_eq!(job.prev_hash.to_string(), node.tip());
        !job.branches.is_empty()
    });
}

/// A pool that reaches the node's socket through what can be troubled, and a miner at it.
fn troubled(node: &Bitcoind) -> (TroubledSocket, Pool, Client) {
    let line = TroubledSocket::before(node);
    let path = line.path().display().to_string();
    let pool = Pool::configured(node, &[("NODE_IPC", &path)]);
    let miner = miner(&pool);
    (line, pool, miner)
}

/// A block is found, and the answer to it, and all after it, ends in the middle. The templates by which the node knows
/// it are gone with the connection.
fn survives_answers_that_are_cut(way: Way) {
    let Some(node) = node_for(way) else {
        return;
    };
    let (line, mut pool, mut miner) = troubled(&node);
    let job = miner.job_on(&node.tip());
    line.begin(SocketTrouble::Cut);
    let hash = miner.find_block(&job);
    until_true("the block in the chain", || node.tip() == hash);
    pool.log().line(GONE);
    let told = pool.wait_for_state("node_unusable");
    let reason = told["state"]["reason"].as_str().unwrap_or_default();
    assert!(!reason.is_empty(), "the dashboard says why: {told}");
    // It tries again and again.
    line.wait_until_met(3);
    line.end();
    pool.log().line(BACK);
    wait_until_accepted(&pool, &hash);
    mines_on(&mut pool, &node, &mut miner);
}

#[test]
fn answers_that_are_cut_in_the_middle_by_ipc() {
    survives_answers_that_are_cut(Way::Ipc);
}

#[test]
fn answers_that_are_cut_in_the_middle_by_ipc_with_rpc() {
    survives_answers_that_are_cut(Way::IpcWithRpc);
}

/// Each answer comes a second late: miners have their work later, and nobody holds the node for gone.
#[test]
fn answers_that_are_slow_by_ipc() {
    let Some(node) = node_for(Way::Ipc) else {
        return;
    };
    let (line, mut pool, mut miner) = troubled(&node);
    line.begin(SocketTrouble::Late(Duration::from_secs(1)));
    mines_on(&mut pool, &node, &mut miner);
    line.wait_until_met(2);
    wait_until_accepted(&pool, &node.tip());
    let log = pool.log().lines().join("\n");
    assert!(!log.contains(GONE), "{log}");
}

/// Whoever is connected stays so; the node makes another when it starts.
#[test]
fn a_socket_that_is_removed_and_made_again() {
    let Some(mut node) = node_for(Way::Ipc) else {
        return;
    };
    let mut pool = Pool::on(&node);
    let mut miner = miner(&pool);
    let socket = node.socket().expect("it serves the interface");
    fs::remove_file(&socket).expect("it is there");
    mines_on(&mut pool, &node, &mut miner);
    let job = miner.job_on(&node.tip());
    node.flush();
    node.kill();
    pool.log().line(GONE);
    let hash = miner.find_block(&job);
    node.restart();
    assert!(socket.exists(), "the node made another");
    until_true("the block in the chain", || node.tip() == hash);
    pool.log().line(BACK);
    wait_until_accepted(&pool, &hash);
    mines_on(&mut pool, &node, &mut miner);
}
