//! The node dies and comes back: what miners see meanwhile, and what becomes of blocks.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use bitcoin::Address;
use headframe_conformance::sv1::Client;
use headframe_conformance::wait::{until, until_true};
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, Key, Miner, Pool, Protocol, Way};
use serde_json::Value;

/// What the pool prints when the node is gone, and when it is back.
pub(crate) const GONE: &str = "the node gives no templates";
pub(crate) const BACK: &str = "the node gives templates again";

fn address_of(number: u8, node: &Bitcoind) -> Address {
    Key::number(number).address(Kind::P2wpkh, node.chain().network())
}

#[test]
fn no_stale_work_is_handed_out_once_the_node_is_back() {
    if let Some(node) = Bitcoind::start_for(Chain::OpenSignet, Way::Rpc) {
        hands_out_no_stale_work(node);
    }
}

#[test]
fn no_stale_work_is_handed_out_once_the_node_is_back_by_ipc() {
    for way in [Way::Ipc, Way::IpcWithRpc] {
        if let Some(node) = Bitcoind::start_for(Chain::OpenSignet, way) {
            hands_out_no_stale_work(node);
        }
    }
}

/// The chain moves on while the pool cannot see it. What is handed out once the node is back builds
/// on its tip, to those who stayed and to those who come. How long it took is told and not judged.
fn hands_out_no_stale_work(mut node: Bitcoind) {
    let address = address_of(1, &node);
    let settings = [
        ("DIFFICULTY_START", "0.0000152587890625"),
        // So that none is waited for long, whatever chance does.
        ("DIFFICULTY_SHARES_PER_MINUTE", "120"),
    ];
    let pool = Pool::configured(&node, &settings);
    let mut miners = Protocol::ALL.map(|protocol| {
        let user = format!("{address}.{protocol:?}");
        Miner::start(&pool, protocol, &user, &["--throttle", "100000"])
    });
    for miner in &miners {
        miner.log().line("share accepted");
    }
    let mut stayed = Client::mining(pool.listen(), &address.to_string());
    let first = stayed.job();

    node.flush();
    node.kill();
    pool.log().line(GONE);
    let told = pool.wait_for_state("node_unusable");
    let reason = told["state"]["reason"].as_str().unwrap_or_default();
    assert!(!reason.is_empty(), "the dashboard says why: {told}");

    node.aside(|node| node.mine(1, &address));
    node.restart();
    let answered = Instant::now();
    let next = until("work on the new tip", || {
        let job = stayed.job();
        (job.prev_hash != first.prev_hash).then_some(job)
    });
    let took = answered.elapsed();
    eprintln!(
        "{:?}: work on the new tip {took:.1?} after the node answered",
        node.way()
    );
    pool.log().line(BACK);
    // The miners may have found the block after it by now.
    assert!(node.has_in_chain(&next.prev_hash.to_string()));
    assert!(next.clean, "all older work is void");
    let mut came = Client::mining(pool.listen(), &address.to_string());
    assert_ne!(came.job().prev_hash, first.prev_hash);
    pool.wait_for_state("running");

    for miner in &miners {
        miner
            .log()
            .line_after(miner.log().printed(), "share accepted");
    }
    while let Some(job) = stayed.job_within(Duration::from_millis(10)) {
        assert_ne!(job.prev_hash, first.prev_hash, "no work of the old tip");
    }
    for miner in &mut miners {
        let counts = miner.stop();
        let (accepted, rejected) = (counted(&counts), rejected(&counts));
        assert!(
            rejected <= 2 && rejected < accepted,
            "only what was on its way: {counts}"
        );
    }
}

/// ADR 6: a node that stays away for longer than miners are held. They are sent away, nobody is let in,
/// and when it is back they mine on its tip at the same port.
#[test]
fn miners_are_released_when_the_node_stays_away_and_come_back_with_it() {
    let Some(mut node) = Bitcoind::start(Chain::OpenSignet) else {
        return;
    };
    let address = address_of(1, &node);
    let settings = [
        ("DIFFICULTY_START", "0.0000152587890625"),
        ("NODE_HOLD_SECONDS", "10"),
    ];
    let pool = Pool::configured(&node, &settings);
    let miners = Protocol::ALL.map(|protocol| {
        let user = format!("{address}.{protocol:?}");
        Miner::start(&pool, protocol, &user, &["--throttle", "100000"])
    });
    for miner in &miners {
        miner.log().line("share accepted");
    }
    node.flush();
    node.kill();
    pool.log().line(GONE);
    let told = pool.wait_for_state("node_unusable");
    assert!(told["state"]["release_at"].is_u64(), "{told}");
    let printed: Vec<_> = miners.iter().map(|miner| miner.log().printed()).collect();
    pool.log().line("miners are released to their other pools");
    until_true("the port is shut", || {
        TcpStream::connect(pool.listen()).is_err()
    });
    until_true("the dashboard says so", || {
        pool.api("summary")["connect"]["listeners"][0]["open"] == false
    });

    node.restart();
    pool.log().line(BACK);
    until_true("the port is open", || {
        TcpStream::connect(pool.listen()).is_ok()
    });
    pool.wait_for_state("running");
    let mut came = Client::mining(pool.listen(), &address.to_string());
    assert_eq!(came.job().prev_hash.to_string(), node.tip());
    for (miner, printed) in miners.iter().zip(printed) {
        miner
            .log()
            .line_after(printed, "the pool closed the connection");
        miner
            .log()
            .line_after(miner.log().printed(), "share accepted");
    }
}

fn counted(counts: &Value) -> u64 {
    counts["shares_accepted"].as_u64().expect("a number")
}

fn rejected(counts: &Value) -> u64 {
    let reasons = counts["shares_rejected"].as_object().expect("an object");
    reasons.values().filter_map(Value::as_u64).sum()
}

#[test]
fn a_block_found_while_the_node_is_down_is_submitted_when_it_returns() {
    let Some(mut node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    node.mine(1, &address_of(2, &node));
    let pool = Pool::on(&node);
    let hash = find_block_without_node(&mut node, &pool);
    node.restart();
    until_true("the block in the chain", || node.has_in_chain(&hash));
    pool.log().line("accepted by");
}

#[test]
fn a_block_found_while_the_node_is_down_outlives_the_pool() {
    let Some(mut node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    node.mine(1, &address_of(2, &node));
    let mut pool = Pool::on(&node);
    let hash = find_block_without_node(&mut node, &pool);
    pool.kill();
    node.restart();
    assert!(!node.has_in_chain(&hash));
    pool.restart();
    until_true("the block in the chain", || node.has_in_chain(&hash));
    until_true("the block's fate on the dashboard", || {
        let blocks = pool.api("blocks");
        let mut blocks = blocks["blocks"].as_array().into_iter().flatten();
        let block = blocks.find(|block| block["hash"] == hash.as_str());
        block.is_some_and(|block| block["fate"]["kind"] == "accepted")
    });

    // It is not submitted a third time.
    pool.stop();
    pool.restart();
    let again = pool.log().lines().join("\n");
    assert!(!again.contains("submitted again"), "{again}");
}

/// A miner that had its work before the node was killed finds a block; gives its hash, once it is in
/// the journal and the node was found to be gone.
pub(crate) fn find_block_without_node(node: &mut Bitcoind, pool: &Pool) -> String {
    let user = address_of(1, node).to_string();
    let mut miner = Client::mining(pool.listen(), &user);
    let job = miner.job();
    assert_eq!(job.prev_hash.to_string(), node.tip());
    node.flush();
    node.kill();
    let hash = miner.find_block(&job);
    pool.log().line("is not delivered yet");
    until_true("the block in the journal", || {
        pool.journal().iter().any(|file| file.contains(&hash))
    });
    hash
}

/// A node that is killed forgets the blocks that it had not written down; nobody else has them when
/// it has no peers. The pool has.
#[test]
fn a_block_that_the_node_has_forgotten_is_submitted_again() {
    let Some(mut node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    node.mine(1, &address_of(2, &node));
    node.flush();
    let pool = Pool::on(&node);
    let user = address_of(1, &node).to_string();
    let mut miner = Client::mining(pool.listen(), &user);
    let job = miner.job();
    let hash = miner.find_block(&job);
    until_true("the block in the chain", || node.has_in_chain(&hash));
    node.kill();
    node.restart();
    until_true("the block in the chain again", || node.has_in_chain(&hash));
}
