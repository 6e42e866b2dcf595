//! Nodes that fail in each way that they do, while a miner finds blocks. After each of them all blocks are in
//! the chain, miners have work on its tip, and it is the same pool.
//!
//! Nodes that are killed: `node_down`. Several of which one fails: `several_nodes`. The same by the mining interface:
//! `faults_by_ipc`.

use std::time::Duration;
use std::{fs, thread};

use bitcoin::Address;
use headframe_conformance::sv1::{Client, Job};
use headframe_conformance::wait::{until, until_equal, until_true};
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, Key, Pool, Trouble, Troubled, Way};
use serde_json::{Value, json};

use crate::node_down::{BACK, GONE};

/// A reorganisation that is deeper is none that Bitcoin has seen.
const DEEPEST: u32 = 6;
pub(crate) const HOUR: u64 = 3_600;

pub(crate) fn address(number: u8) -> Address {
    Key::number(number).address(Kind::P2wpkh, bitcoin::Network::Regtest)
}

/// A node with some blocks, so that it is not syncing and none of its coinbases has the pool's height.
fn node() -> Option<Bitcoind> {
    node_for(Way::Rpc)
}

/// The same for pools that reach it in some way.
pub(crate) fn node_for(way: Way) -> Option<Bitcoind> {
    let node = Bitcoind::start_for(Chain::Regtest, way)?;
    node.mine(20, &address(2));
    node.flush();
    Some(node)
}

pub(crate) fn miner(pool: &Pool) -> Client {
    Client::mining(pool.listen(), &address(1).to_string())
}

/// A pool that reaches the node through what can be troubled, and a miner at it.
fn troubled(node: &Bitcoind) -> (Troubled, Pool, Client) {
    let line = Troubled::before(node);
    let url = line.address().to_string();
    let pool = Pool::configured(node, &[("NODE_URL", &url)]);
    let miner = miner(&pool);
    (line, pool, miner)
}

/// A block on the node's tip, and another on that: the pool is as before.
pub(crate) fn mines_on(pool: &mut Pool, node: &Bitcoind, miner: &mut Client) {
    for _ in 0..2 {
        let job = miner.job_on(&node.tip());
        let hash = miner.find_block(&job);
        until_true("the block in the chain", || node.tip() == hash);
    }
    pool.wait_for_state("running");
    assert!(pool.is_running());
}

pub(crate) fn wait_until_accepted(pool: &Pool, hash: &str) {
    until_true("the block as accepted on the dashboard", || {
        let fate = fate(pool, hash);
        fate == "accepted" || fate == "confirmed"
    });
}

/// What the dashboard says has become of a block.
fn fate(pool: &Pool, hash: &str) -> Value {
    let blocks = pool.api("blocks");
    let mut blocks = blocks["blocks"].as_array().into_iter().flatten();
    let block = blocks.find(|block| block["hash"] == hash);
    block.map_or(Value::Null, |block| block["fate"]["kind"].clone())
}

/// A block is found, and whatever the node says of it and of all else is spoiled until the pool says that it has no
/// templates.
fn survives(trouble: Trouble) {
    let Some(node) = node() else {
        return;
    };
    let (line, mut pool, mut miner) = troubled(&node);
    let job = miner.job_on(&node.tip());
    line.begin(trouble);
    let hash = miner.find_block(&job);
    until_true("the block in the chain", || node.tip() == hash);
    line.wait_until_met("submitblock", 1);
    pool.log().line(GONE);
    let told = pool.wait_for_state("node_unusable");
    let reason = told["state"]["reason"].as_str().unwrap_or_default();
    assert!(!reason.is_empty(), "the dashboard says why: {told}");
    line.end();
    pool.log().line(BACK);
    wait_until_accepted(&pool, &hash);
    mines_on(&mut pool, &node, &mut miner);
}

#[test]
fn answers_that_are_cut_in_the_middle() {
    survives(Trouble::Cut);
}

#[test]
fn answers_of_which_half_is_missing() {
    survives(Trouble::Truncated);
}

/// What no node says, in place of everything that is asked.
fn absurd(method: &str, before: usize, result: &mut Value) {
    *result = match method {
        "getblocktemplate" => {
            let mut template = result.take();
            match before % 5 {
                0 => template["height"] = json!(u64::MAX),
                1 => template["coinbasevalue"] = json!(2_100_000_000_000_001_u64),
                2 => template["bits"] = json!("00000000"),
                3 => template["transactions"] = json!({ "0": "ff" }),
                _ => template = json!([template]),
            }
            template
        }
        "getblockchaininfo" => json!({ "chain": ["regtest"], "blocks": -1 }),
        "getblockheader" => json!({ "confirmations": "soon" }),
        "submitblock" => json!({ "accepted": true }),
        _ => json!([null, -1, "\u{0}"]),
    };
}

#[test]
fn answers_that_are_absurd() {
    survives(Trouble::Changed(absurd));
}

/// As where another node was started at the place of the first. It does not take the blocks, which are for that one:
/// what it says is the other node's.
#[test]
fn answers_of_another_network() {
    let Some(node) = node() else {
        return;
    };
    let (line, mut pool, mut miner) = troubled(&node);
    let job = miner.job_on(&node.tip());
    line.begin(Trouble::Changed(|method, _, result| {
        if method == "getblockchaininfo" {
            result["chain"] = json!("signet");
        }
    }));
    line.cut();
    pool.log().line("is on chain signet");
    until_true("the reason on the dashboard", || {
        let state = pool.api("summary")["state"].take();
        let reason = state["reason"].as_str().unwrap_or_default();
        state["kind"] == "node_unusable" && reason.contains("signet")
    });
    let hash = miner.find_block(&job);
    until_true("the block in the chain", || node.tip() == hash);
    line.end();
    pool.log().line(BACK);
    wait_until_accepted(&pool, &hash);
    mines_on(&mut pool, &node, &mut miner);
}

/// Each answer comes a second late: miners have their work later, and nobody holds the node for gone.
#[test]
fn answers_that_are_slow() {
    let Some(node) = node() else {
        return;
    };
    let (line, mut pool, mut miner) = troubled(&node);
    line.begin(Trouble::Late(Duration::from_secs(1)));
    mines_on(&mut pool, &node, &mut miner);
    line.wait_until_met("submitblock", 2);
    wait_until_accepted(&pool, &node.tip());
    let log = pool.log().lines().join("\n");
    assert!(!log.contains(GONE), "{log}");
}

/// A small computer that needs 20 s for a template: its miners stay, their blocks go to it at once, and they have work on
/// the new tip when it has a template there.
#[test]
fn a_node_that_needs_twenty_seconds_for_a_template() {
    let Some(node) = node() else {
        return;
    };
    let (line, mut pool, mut miner) = troubled(&node);
    line.begin(Trouble::Changed(|method, _, _| {
        if method == "getblocktemplate" {
            thread::sleep(Duration::from_secs(20));
        }
    }));
    mines_on(&mut pool, &node, &mut miner);
    line.wait_until_met("getblocktemplate", 1);
    wait_until_accepted(&pool, &node.tip());
    let log = pool.log().lines().join("\n");
    assert!(!log.contains(GONE), "{log}");
}

/// Of two nodes the preferred one begins to talk nonsense: the other is mined on, and a block goes to both.
#[test]
fn a_node_that_is_absurd_beside_one_that_is_not() {
    let (Some(node), Some(other)) = (node(), Bitcoind::start(Chain::Regtest)) else {
        return;
    };
    other.copy_chain(&node);
    let line = Troubled::before(&node);
    let places = [
        (line.address(), node.cookie_file()),
        (other.address(), other.cookie_file()),
    ];
    let mut pool = Pool::on_several("regtest", &places);
    until_true("the preferred node to be mined on", || {
        pool.api("summary")["nodes"][0]["mined_on"] == true
    });
    let mut miner = miner(&pool);
    let job = miner.job_on(&node.tip());
    line.begin(Trouble::Changed(absurd));
    line.cut();
    until_true("the other node to be mined on", || {
        pool.api("summary")["nodes"][1]["mined_on"] == true
    });
    let hash = miner.find_block(&job);
    for node in [&node, &other] {
        until_true("the block in the chain", || node.tip() == hash);
    }
    let job = miner.job_on(&hash);
    line.end();
    let next = miner.find_block(&job);
    for node in [&node, &other] {
        until_true("the next block in the chain", || node.tip() == next);
    }
    let log = pool.log().lines().join("\n");
    assert!(!log.contains(GONE), "there was work always: {log}");
    assert!(pool.is_running());
}

/// No connection breaks and no answer comes. The block is kept, and is with the node when it goes on.
#[test]
fn a_node_that_is_frozen_has_the_block_when_it_goes_on() {
    let Some(node) = node() else {
        return;
    };
    let mut pool = Pool::on(&node);
    let mut miner = miner(&pool);
    let job = miner.job_on(&node.tip());
    node.freeze();
    let hash = miner.find_block(&job);
    until_true("the block in the journal", || {
        pool.journal().iter().any(|file| file.contains(&hash))
    });
    node.thaw();
    until_true("the block in the chain", || node.tip() == hash);
    wait_until_accepted(&pool, &hash);
    mines_on(&mut pool, &node, &mut miner);
}

#[test]
fn a_node_that_indexes_its_blocks_anew_with_another_cookie() {
    if let Some(node) = node() {
        indexes_anew(node);
    }
}

/// A block is found while the node is stopped; it comes back without an index, and with another cookie.
pub(crate) fn indexes_anew(mut node: Bitcoind) {
    let mut pool = Pool::on(&node);
    let mut miner = miner(&pool);
    let job = miner.job_on(&node.tip());
    let cookie = fs::read_to_string(node.cookie_file()).expect("a node that runs has one");
    node.stop();
    pool.log().line(GONE);
    let hash = miner.find_block(&job);
    pool.log().line("is not delivered yet");
    node.restart_with_reindex();
    let other = fs::read_to_string(node.cookie_file()).expect("a node that runs has one");
    assert_ne!(other, cookie);
    until_true("the block in the chain", || node.tip() == hash);
    pool.log().line(BACK);
    wait_until_accepted(&pool, &hash);
    mines_on(&mut pool, &node, &mut miner);
}

#[test]
fn reorganisations_of_each_depth() {
    if let Some(node) = node() {
        is_reorganised(&node);
    }
}

/// The node goes over to a longer branch, of which the pool's blocks are no part, and the pool goes with it.
pub(crate) fn is_reorganised(node: &Bitcoind) {
    let Some(other) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    other.copy_chain(node);
    let mut pool = Pool::on(node);
    let mut miner = miner(&pool);
    for depth in 1..=DEEPEST {
        let before = node.height();
        let job = miner.job_on(&node.tip());
        let lost = miner.find_block(&job);
        until_true("the block in the chain", || node.tip() == lost);
        if depth > 1 {
            node.mine(depth - 1, &address(2));
        }
        miner.job_on(&node.tip());
        other.mine(depth + 1, &address(3));
        for height in before + 1..=other.height() {
            let hex = other.call("getblock", json!([other.hash_at(height), 0]));
            node.call("submitblock", json!([hex]));
        }
        assert_eq!(node.tip(), other.tip(), "a reorganisation of {depth}");
        let job = miner.job_on(&node.tip());
        assert!(job.clean, "what builds on the lost branch is void");
        let job = in_time(node, &mut miner, job);
        let hash = miner.find_block(&job);
        until_true("the block in the chain", || node.tip() == hash);
        assert!(!node.has_in_chain(&lost));
        until_equal("what became of it", &json!("orphaned"), || {
            fate(&pool, &lost)
        });
        other.copy_chain(node);
    }
    mines_on(&mut pool, node, &mut miner);
}

/// The job, or the node's own after it: of a branch that replaces five blocks the mining interface says no more than a
/// height and a hash, and what is begun on it at once may be too early for blocks of the same second.
fn in_time(node: &Bitcoind, miner: &mut Client, job: Job) -> Job {
    let median = node.call("getblockheader", json!([node.tip()]))["mediantime"].as_u64();
    match Some(u64::from(job.time)) > median {
        true => job,
        false => miner.job_on(&node.tip()),
    }
}

#[test]
fn a_node_s_clock_that_is_wrong() {
    if let Some(node) = node() {
        has_a_wrong_clock(&node);
    }
}

/// a block's time is the node's, however wrong its clock is, and so the node takes the block.
pub(crate) fn has_a_wrong_clock(node: &Bitcoind) {
    let mut pool = Pool::on(node);
    let mut miner = miner(&pool);
    let now = node.call("getblocktemplate", json!([{ "rules": ["segwit"] }]))["curtime"]
        .as_u64()
        .expect("a time");
    // Three hours are more than a block may be ahead of other clocks.
    for clock in [now + 3 * HOUR, now, now + 5 * HOUR] {
        node.call("setmocktime", json!([clock]));
        node.mine(1, &address(2));
        // What was begun before there was a template has the pool's time.
        let job = until(&format!("work of {clock}"), || {
            let job = miner.job_on(&node.tip());
            (u64::from(job.time).abs_diff(clock) < HOUR / 2).then_some(job)
        });
        let hash = miner.find_block(&job);
        until_true("the block in the chain", || node.tip() == hash);
        wait_until_accepted(&pool, &hash);
    }
    mines_on(&mut pool, node, &mut miner);
}
