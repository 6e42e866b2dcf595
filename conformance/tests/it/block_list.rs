//! `headframe blocks`: what was found is listed, and submitted once more, with a pool and without.

use std::process::Output;

use headframe_conformance::sv1::Client;
use headframe_conformance::wait::until;
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, Key, Pool, Way};
use serde_json::Value;

use crate::node_down::find_block_without_node;

/// What it prints, and whether it was content.
fn run(pool: &Pool, arguments: &[&str]) -> (String, bool) {
    let Output { status, stdout, .. } = pool.command(arguments);
    let text = String::from_utf8(stdout).expect("text");
    (text, status.success())
}

fn blocks(pool: &Pool) -> Vec<Value> {
    let (text, is_well) = run(pool, &["blocks", "--json"]);
    assert!(is_well, "{text}");
    serde_json::from_str(&text).expect("a list")
}

/// The state of the newest block, once it is that.
fn wait_for_state(pool: &Pool, state: &str) -> Value {
    until(&format!("a block that is {state}"), || {
        let first = blocks(pool).into_iter().next()?;
        (first["state"] == state).then_some(first)
    })
}

#[test]
fn blocks_are_listed_and_submitted_again_while_the_pool_runs() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let network = node.chain().network();
    node.mine(1, &Key::number(2).address(Kind::P2wpkh, network));
    let pool = Pool::on(&node);
    let (text, is_well) = run(&pool, &["blocks"]);
    assert!(is_well && text.contains("no block was found yet"), "{text}");
    let address = Key::number(1).address(Kind::P2wpkh, network).to_string();
    let mut miner = Client::mining(pool.listen(), &format!("{address}.rig"));
    let job = miner.job();
    let hash = miner.find_block(&job);
    let block = wait_for_state(&pool, "confirmed");
    assert_eq!(block["hash"], hash);
    assert_eq!(block["height"], 2);
    assert_eq!(block["worker"], format!("{address}.rig"));
    assert_eq!(block["paid_sats"], 5_000_000_000_u64);
    assert_eq!(block["answers"][0]["answer"], "accepted");
    let (text, _) = run(&pool, &["blocks"]);
    assert!(text.starts_with("block 2: confirmed (1)\n"), "{text}");

    let (text, is_well) = run(&pool, &["blocks", "submit", "2"]);
    assert!(is_well && text.contains(": known already"), "{text}");
    let (_, is_well) = run(&pool, &["blocks", "submit", "3"]);
    assert!(!is_well, "there is no such block");
}

/// The pool was killed before any node had the block.
#[test]
fn a_block_that_nobody_has_is_submitted_by_hand_without_a_pool() {
    if let Some(node) = Bitcoind::start(Chain::Regtest) {
        is_submitted_by_hand(node);
    }
}

#[test]
fn a_block_that_nobody_has_is_submitted_by_hand_by_ipc() {
    if let Some(node) = Bitcoind::start_for(Chain::Regtest, Way::Ipc) {
        is_submitted_by_hand(node);
    }
}

fn is_submitted_by_hand(mut node: Bitcoind) {
    let network = node.chain().network();
    node.mine(1, &Key::number(2).address(Kind::P2wpkh, network));
    let mut pool = Pool::on(&node);
    let hash = find_block_without_node(&mut node, &pool);
    pool.kill();
    let (_, end) = hash.split_at(hash.len() - 8);
    let (text, is_well) = run(&pool, &["blocks", "submit", end]);
    assert!(!is_well && text.contains(": no answer: "), "{text}");
    node.restart();
    assert!(!node.has_in_chain(&hash));
    let (text, is_well) = run(&pool, &["blocks", "submit", end]);
    assert!(is_well && text.contains(": accepted"), "{text}");
    assert_eq!(node.tip(), hash);
    // What is in the data directory is as the pool left it.
    assert_ne!(blocks(&pool)[0]["state"], "accepted");
}
