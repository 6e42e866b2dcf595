//! Nodes that cannot be mined on: the pool says why and what to do, keeps its ports closed, and does
//! not give up.

use headframe_conformance::bitcoind::free_address;
use headframe_conformance::{Bitcoind, Chain, Pool, pool};

/// Starts a pool on `node` with more settings, and gives it once it has said `reason` on the
/// terminal and on the dashboard. Miners find nobody there.
fn refused(node: &Bitcoind, settings: &[(&str, &str)], reason: &str) -> Pool {
    let listen = free_address();
    let mut all = pool::of_node(node);
    all.extend(pool::owned(settings));
    let mut pool = Pool::listening_at(listen, all);
    pool.log().line(reason);
    let summary = pool.wait_for_trouble().to_string();
    assert!(summary.contains(reason), "the dashboard says so: {summary}");
    assert!(!pool.is_listening(listen));
    assert!(pool.is_running());
    pool
}

#[test]
fn a_node_that_refuses_the_password() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let settings = [
        ("NODE_USER", "alice"),
        ("NODE_PASSWORD", "hunter2"),
        ("NODE_COOKIE_FILE", ""),
    ];
    let mut pool = refused(&node, &settings, "refused the credentials");
    let log = pool.log().lines().join("\n");
    assert!(!log.contains("hunter2"), "a password is not printed");
    assert!(!pool.api("snapshot").to_string().contains("hunter2"));
    pool.stop();
}

#[test]
fn a_node_on_another_network() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let settings = [("NODE_NETWORK", "testnet4")];
    refused(&node, &settings, "is on chain regtest");
}

#[test]
fn a_node_that_is_still_syncing() {
    let Some((node, _peer)) = Bitcoind::start_pair(Chain::Mainnet) else {
        return;
    };
    let pool = refused(&node, &[], "still syncing");
    let state = &pool.api("summary")["node"]["state"];
    assert_eq!(state["kind"], "syncing", "{state}");
    assert!(state["progress_percent"].as_f64() < Some(1.0), "{state}");
}

#[test]
fn a_node_without_a_network() {
    let Some(node) = Bitcoind::start(Chain::Mainnet) else {
        return;
    };
    refused(&node, &[], "not connected to its network");
}

#[test]
fn a_signet_that_cannot_be_mined() {
    let Some(node) = Bitcoind::start(Chain::Signet) else {
        return;
    };
    refused(&node, &[], "only the challenge 51");
}

#[test]
fn a_pool_that_is_not_told_the_network_takes_that_of_its_node() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let pool = Pool::configured(&node, &[("NODE_NETWORK", "")]);
    assert_eq!(pool.wait_for_state("running")["network"], "regtest");
}

#[test]
fn a_node_that_cannot_be_asked_for_its_network_is_asked_again() {
    let Some(mut node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    node.stop();
    let listen = free_address();
    let mut settings = pool::of_node(&node);
    settings.extend(pool::owned(&[("NODE_NETWORK", "")]));
    let mut pool = Pool::listening_at(listen, settings);
    let line = pool.log().line("no cookie file found");
    assert!(line.contains("start bitcoind"), "{line}");
    let summary = pool.wait_for_trouble();
    assert_eq!(summary["state"]["kind"], "setup", "{summary}");
    node.restart();
    pool.wait_for_listener();
    assert_eq!(pool.wait_for_state("running")["network"], "regtest");
}

/// The pool is started first, as at the boot of a machine.
#[test]
fn a_node_that_comes_later() {
    let Some(mut node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    node.stop();
    let listen = free_address();
    let mut pool = Pool::listening_at(listen, pool::of_node(&node));
    pool.wait_for_trouble();
    assert!(!pool.is_listening(listen));
    node.restart();
    pool.wait_for_listener();
    assert!(pool.is_listening(listen));
    pool.wait_for_state("running");
    pool.stop();
}
