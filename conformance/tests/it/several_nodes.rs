//! Several nodes: which one is mined on, and that a block goes to all of them.
//!
//! The nodes know nothing of each other, so that what one has it has from the pool.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bitcoin::Address;
use headframe_conformance::line::Line;
use headframe_conformance::sv1::Client;
use headframe_conformance::wait::{until, until_true};
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, Key, Pool};
use serde_json::Value;

/// A node that was not well is taken back after a minute.
const TAKEN_BACK: Duration = Duration::from_secs(120);

fn address() -> Address {
    Key::number(1).address(Kind::P2wpkh, bitcoin::Network::Regtest)
}

/// Nodes on one block, each for itself; `None` where there is no Bitcoin Core.
fn nodes<const N: usize>() -> Option<[Bitcoind; N]> {
    let nodes: Option<Vec<_>> = (0..N).map(|_| Bitcoind::start(Chain::Regtest)).collect();
    let nodes: [Bitcoind; N] = nodes?.try_into().expect("there are as many");
    nodes[0].mine(1, &address());
    for other in &nodes[1..] {
        other.copy_chain(&nodes[0]);
    }
    nodes.iter().for_each(Bitcoind::flush);
    Some(nodes)
}

fn place(node: &Bitcoind) -> (SocketAddr, PathBuf) {
    (node.address(), node.cookie_file())
}

fn pool_on(nodes: &[Bitcoind]) -> Pool {
    let places: Vec<_> = nodes.iter().map(place).collect();
    Pool::on_several("regtest", &places)
}

/// Waits until the node at this place is mined on.
fn wait_until_mined_on(pool: &Pool, place: usize) {
    until_true(&format!("node {place} to be mined on"), || {
        pool.api("summary")["nodes"][place]["mined_on"] == true
    });
}

fn answers_for(pool: &Pool, hash: &str) -> Vec<String> {
    let blocks = pool.api("blocks");
    let mut blocks = blocks["blocks"].as_array().into_iter().flatten();
    let block = blocks.find(|block| block["hash"] == hash);
    let answers = block.and_then(|block| block["answers"].as_array().cloned());
    let answers = answers.into_iter().flatten();
    answers
        .map(|it| it["answer"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn a_block_goes_to_all_nodes_and_each_answer_is_told() {
    let Some(nodes) = nodes::<3>() else {
        return;
    };
    let pool = pool_on(&nodes);
    let mut miner = Client::mining(pool.listen(), &address().to_string());
    let job = miner.job();
    let hash = miner.find_block(&job);
    for node in &nodes {
        until_true("the block in the chain", || node.has_in_chain(&hash));
    }
    until_true("three answers", || {
        answers_for(&pool, &hash) == ["accepted", "accepted", "accepted"]
    });
    // The file beside the block is written when the ledger has the block.
    let path = pool.data_directory().join("blocks");
    until_true("the answer beside the block", || {
        let name = pool.journal().into_iter().find(|name| name.contains(&hash));
        let answer = name.map(|name| path.join(name).with_extension("answer"));
        let text = answer.and_then(|path| std::fs::read_to_string(path).ok());
        text.is_some_and(|text| text.lines().count() == 4 && text.starts_with("accepted\n"))
    });
}

/// It comes back with another cookie, and without the block.
#[test]
fn a_preferred_node_that_is_killed_is_left_at_once_and_taken_back() {
    let Some(mut nodes) = nodes::<2>() else {
        return;
    };
    let pool = pool_on(&nodes);
    wait_until_mined_on(&pool, 0);
    let mut miner = Client::mining(pool.listen(), &address().to_string());
    let job = miner.job();
    nodes[0].kill();
    wait_until_mined_on(&pool, 1);
    let endpoint = nodes[1].address().to_string();
    assert_eq!(pool.api("summary")["node"]["endpoint"], endpoint);
    assert_eq!(pool.state(), "running");
    let hash = miner.find_block(&job);
    until_true("the block in the chain", || nodes[1].has_in_chain(&hash));
    miner.job_on(&hash);

    let printed = pool.log().printed();
    nodes[0].restart();
    until_true("the block to be brought to the node", || {
        nodes[0].has_in_chain(&hash)
    });
    let taken_back = format!(
        "mining with the node at {}, which is preferred",
        nodes[0].address()
    );
    pool.log().line_within(TAKEN_BACK, printed, &taken_back);
    wait_until_mined_on(&pool, 0);
    let gone = pool.log().lines().join("\n");
    assert!(
        !gone.contains("gives no templates"),
        "there was work always: {gone}"
    );
    let mut came = Client::mining(pool.listen(), &address().to_string());
    assert_eq!(came.job().prev_hash.to_string(), hash);
}

/// A frozen node breaks no connection, and takes no block.
#[test]
fn a_preferred_node_that_is_frozen_delays_no_block() {
    let Some(nodes) = nodes::<2>() else {
        return;
    };
    let pool = pool_on(&nodes);
    wait_until_mined_on(&pool, 0);
    let mut miner = Client::mining(pool.listen(), &address().to_string());
    let job = miner.job();
    nodes[0].freeze();
    // Nobody has found out yet.
    let first = miner.find_block(&job);
    until_true("the block in the chain", || nodes[1].has_in_chain(&first));
    // The other node is ahead now, and mined on.
    let job = miner.job_on(&first);
    let second = miner.find_block(&job);
    until_true("the next block in the chain", || {
        nodes[1].has_in_chain(&second)
    });
    pool.log().line("it does not answer");
    nodes[0].thaw();
    until_true("both blocks with the node that was frozen", || {
        nodes[0].tip() == second
    });
    until_true("its answers", || {
        answers_for(&pool, &second).len() == 2 && answers_for(&pool, &first).len() == 2
    });
}

#[test]
fn a_node_that_is_behind_is_not_mined_on() {
    let Some(nodes) = nodes::<2>() else {
        return;
    };
    let pool = pool_on(&nodes);
    wait_until_mined_on(&pool, 0);
    let mut miner = Client::mining(pool.listen(), &address().to_string());
    miner.job();
    nodes[1].mine(2, &address());
    miner.job_on(&nodes[1].tip());
    wait_until_mined_on(&pool, 1);
    let reason = |pool: &Pool| pool.api("summary")["nodes"][0]["reason"].clone();
    assert_eq!(reason(&pool), "It is 2 blocks behind another node.");
    let alarms = pool.api("summary")["alarms"].to_string();
    assert!(alarms.contains("node_not_well"), "{alarms}");
    nodes[0].copy_chain(&nodes[1]);
    until_true("the node to have caught up", || {
        pool.api("summary")["nodes"][0]["standing"] == "recovering"
    });
}

#[test]
fn a_backup_of_another_network_is_refused_with_the_reason() {
    let Some(nodes) = nodes::<1>() else {
        return;
    };
    let Some(stranger) = Bitcoind::start(Chain::OpenSignet) else {
        return;
    };
    let pool = Pool::on_several("regtest", &[place(&stranger), place(&nodes[0])]);
    let mut miner = Client::mining(pool.listen(), &address().to_string());
    let job = miner.job();
    assert_eq!(job.prev_hash.to_string(), nodes[0].tip());
    let health: Value = until("what is wrong with the node", || {
        let health = pool.api("summary")["nodes"][0].clone();
        (health["standing"] == "failed").then_some(health)
    });
    let reason = health["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("chain signet"), "{health}");
    let hash = miner.find_block(&job);
    until_true("the block in the chain", || nodes[0].has_in_chain(&hash));
}

#[test]
fn a_line_that_is_cut_is_no_loss() {
    let Some(nodes) = nodes::<2>() else {
        return;
    };
    let line = Line::to(nodes[0].address());
    let preferred = (line.address(), nodes[0].cookie_file());
    let pool = Pool::on_several("regtest", &[preferred, place(&nodes[1])]);
    wait_until_mined_on(&pool, 0);
    let mut miner = Client::mining(pool.listen(), &address().to_string());
    let job = miner.job();
    line.cut();
    wait_until_mined_on(&pool, 1);
    let hash = miner.find_block(&job);
    until_true("the block in the chain", || nodes[1].has_in_chain(&hash));
    assert!(!nodes[0].has_in_chain(&hash));
    line.mend();
    until_true("the block on the other side of the line", || {
        nodes[0].has_in_chain(&hash)
    });
}

#[test]
fn when_no_node_is_left_it_is_told_of_each_and_a_block_waits_for_any() {
    let Some(mut nodes) = nodes::<2>() else {
        return;
    };
    let pool = pool_on(&nodes);
    wait_until_mined_on(&pool, 0);
    let mut miner = Client::mining(pool.listen(), &address().to_string());
    let job = miner.job();
    nodes.iter_mut().for_each(Bitcoind::kill);
    let told = pool.wait_for_state("node_unusable");
    let reason = told["state"]["reason"].as_str().unwrap_or_default();
    for node in &nodes {
        let name = format!("the node at {}: ", node.address());
        assert!(reason.contains(&name), "{reason}");
    }
    assert!(told["state"]["release_at"].is_u64(), "{told}");
    let hash = miner.find_block(&job);
    pool.log().line("is not delivered yet");
    nodes[1].restart();
    until_true("the block in the chain", || nodes[1].has_in_chain(&hash));
    pool.wait_for_state("running");
    wait_until_mined_on(&pool, 1);
    miner.job_on(&hash);
}
