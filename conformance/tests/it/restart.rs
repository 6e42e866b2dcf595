//! What a restart keeps, in order and by `kill -9`, and what becomes of a found block when there is no
//! restart.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use headframe_conformance::bitcoind::free_address;
use headframe_conformance::sv1::Client;
use headframe_conformance::wait::{until, until_equal, until_true};
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, Key, Miner, Pool, Process, Protocol, pool};
use serde_json::Value;

/// What the dashboard shows that is not of this moment.
#[derive(Debug, PartialEq)]
struct Totals {
    shares: Value,
    blocks: Value,
    best: Value,
    found: Vec<Value>,
    workers: Vec<(String, Value)>,
}

fn totals(pool: &Pool) -> Totals {
    totals_of(&pool.api("snapshot"))
}

fn totals_of(snapshot: &Value) -> Totals {
    let list = |what: &str| snapshot[what].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = list("blocks").iter().map(facts).collect();
    let miners = list("miners");
    let mut workers: Vec<_> = miners
        .iter()
        .map(|miner| (text(&miner["worker"]), miner["shares"].clone()))
        .collect();
    workers.sort_by(|(one, _), (other, _)| one.cmp(other));
    Totals {
        shares: snapshot["summary"]["shares"].clone(),
        blocks: snapshot["summary"]["blocks"]["found"].clone(),
        best: snapshot["summary"]["best"]["ever"].clone(),
        found,
        workers,
    }
}

/// What is true of a block for ever, but for how hard it was to find.
fn facts(block: &Value) -> Value {
    let mut block = block.clone();
    if let Some(block) = block.as_object_mut() {
        block["fate"] = block["fate"]["kind"].clone();
        block.retain(|key, _| key != "network_difficulty" && key != "effort_percent");
    }
    block
}

/// How hard each block was to find, newest first.
fn efforts(pool: &Pool) -> Vec<[Value; 2]> {
    let blocks = pool.api("blocks");
    let blocks = blocks["blocks"].as_array().into_iter().flatten();
    let effort =
        |block: &Value| ["network_difficulty", "effort_percent"].map(|key| block[key].clone());
    blocks.map(effort).collect()
}

fn accepted(counts: &Value) -> u64 {
    counts["shares_accepted"].as_u64().expect("a number")
}

/// Three miners find a block each and leave; gives the shares that they know to be accepted.
fn mine(node: &Bitcoind, pool: &Pool) -> u64 {
    let network = node.chain().network();
    let shares = Protocol::ALL.map(|protocol| {
        let address = Key::number(1).address(Kind::P2wpkh, network);
        let before = node.height();
        let user = format!("{address}.{protocol:?}");
        let mut miner = Miner::start(pool, protocol, &user, &["--throttle", "20"]);
        until_true("a block", || node.height() > before);
        accepted(&miner.stop())
    });
    shares.iter().sum()
}

/// Waits until the miners are gone, and the dashboard has all their blocks, which are settled.
fn wait_for_quiet(node: &Bitcoind, pool: &Pool) {
    until_true("quiet on the dashboard", || {
        let summary = pool.api("summary");
        let found = summary["blocks"]["found"].as_u64();
        let is_whole = found == Some(pool.journal().len() as u64) && found >= Some(node.height());
        is_whole && summary["miners"]["connected"] == 0 && summary["blocks"]["pending"] == 0
    });
}

#[test]
fn a_restart_keeps_how_hard_a_block_was_to_find() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let mut pool = Pool::on(&node);
    let shares = mine(&node, &pool);
    pool.wait_for_shares(shares);
    wait_for_quiet(&node, &pool);
    let before = efforts(&pool);
    pool.stop();
    pool.restart();
    until_equal("how hard blocks were to find", &before, || efforts(&pool));
}

#[test]
fn a_restart_keeps_what_the_dashboard_shows() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let mut pool = Pool::on(&node);
    let shares = mine(&node, &pool);
    pool.wait_for_shares(shares);
    wait_for_quiet(&node, &pool);
    let before = until("three workers on the dashboard", || {
        Some(totals(&pool)).filter(|totals| totals.workers.len() == 3)
    });
    pool.stop();
    pool.restart();
    // Whoever looks early is told that the pool starts, and never that it has no past.
    let first = until("an answer of a pool that has started", || {
        let snapshot = pool.api("snapshot");
        (snapshot["summary"]["state"]["kind"] != "starting").then_some(snapshot)
    });
    assert_eq!(totals_of(&first), before);
}

/// A pool that has found a block and ended, and whose journal has no answer for it.
fn leave_a_block(node: &Bitcoind) -> Pool {
    let mut pool = Pool::on(node);
    let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
    let mut miner = Miner::start(
        &pool,
        Protocol::Sv1,
        &address.to_string(),
        &["--throttle", "20"],
    );
    until_true("a block", || node.height() > 0);
    miner.stop();
    wait_for_quiet(node, &pool);
    pool.stop();
    let answer = |hex: &String| hex.replace(".hex", ".answer");
    for answer in pool.journal().iter().map(answer) {
        let file = pool.data_directory().join("blocks").join(answer);
        // One that lost a race with another has none.
        drop(fs::remove_file(file));
    }
    pool
}

/// Runs a pool in the place of another, on its data.
fn in_its_place(pool: &Pool, settings: &[(String, String)], listen: SocketAddr) -> Process {
    let mut command = pool::command(&pool.data_directory(), settings);
    let (listen, http) = (listen.to_string(), free_address().to_string());
    command
        .args(["--listen", &listen, "--http", &http, "--data-dir"])
        .arg(pool.data_directory());
    Process::start("a pool in the place of another", &mut command)
}

/// Runs one that has to fail; gives what it printed.
fn failing(pool: &Pool, node: &Bitcoind, listen: SocketAddr) -> String {
    let mut process = in_its_place(pool, &pool::of_node(node), listen);
    let status = process.ended();
    let printed = process.lines().join("\n");
    assert_eq!(status.code(), Some(1), "{printed}");
    printed
}

/// Why the program ended, as it says at its end. The log comes by another pipe, and may be read later.
fn why(printed: &str) -> &str {
    let mut reasons = printed
        .lines()
        .filter(|line| line.starts_with("headframe: "));
    reasons.next().unwrap_or_default()
}

/// The node has heard of every block of the journal.
fn assert_submitted(pool: &Pool, printed: &str) {
    let known = printed.matches("found before the start is known to the node");
    let blocks = pool.journal();
    assert!(!blocks.is_empty());
    assert_eq!(known.count(), blocks.len(), "{printed}");
}

#[test]
fn a_port_in_use_keeps_no_block_from_the_node() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let mut pool = leave_a_block(&node);
    let held = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    let taken = held.local_addr().expect("it has an address");
    let printed = failing(&pool, &node, taken);
    assert_submitted(&pool, &printed);
    assert!(why(&printed).contains(&taken.to_string()), "{printed}");
    // The next one that starts has them in its ledger.
    let blocks = pool.journal().len();
    pool.restart();
    until_equal("the blocks on the dashboard", &blocks, || {
        efforts(&pool).len()
    });
}

#[test]
fn a_damaged_ledger_keeps_no_block_from_the_node() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let pool = leave_a_block(&node);
    let ledger = pool.data_directory().join("ledger.sqlite");
    fs::write(&ledger, "this is no ledger".repeat(1_000)).expect("the file can be written");
    let printed = failing(&pool, &node, free_address());
    assert_submitted(&pool, &printed);
    assert!(why(&printed).contains("ledger.sqlite"), "{printed}");
}

/// The operator's address is of mainnet, and the node, which is asked for its network, is not.
#[test]
fn a_pool_in_its_set_up_keeps_no_block_from_the_node() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let pool = leave_a_block(&node);
    let mut settings = pool::of_node(&node);
    settings.retain(|(key, _)| key != "NODE_NETWORK");
    let of_mainnet = Key::number(1).address(Kind::P2wpkh, bitcoin::Network::Bitcoin);
    let plain = "PAYOUT_PLAIN_NAME_ADDRESS".to_owned();
    settings.push((plain, of_mainnet.to_string()));
    let mut process = in_its_place(&pool, &settings, free_address());
    let is_known = |line: &String| line.contains("found before the start is known to the node");
    until_equal("blocks that are known", &pool.journal().len(), || {
        process.lines().into_iter().filter(is_known).count()
    });
    assert!(process.is_running(), "it waits for its operator");
    process.interrupt();
    let printed = process.lines().join("\n");
    assert!(printed.contains("[payout]"), "{printed}");
}

/// Kills a pool while a miner finds block after block, and starts it again. Gives the blocks of the
/// chain that are in the journal.
fn kill_while_mining(node: &Bitcoind, pool: &mut Pool) -> Vec<String> {
    let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
    let options = ["--throttle", "200"];
    let _miner = Miner::start(pool, Protocol::Sv1, &address.to_string(), &options);
    until_true("ten blocks", || node.height() >= 10);
    pool.kill();
    let journal = pool.journal();
    pool.restart();
    let in_chain: Vec<String> = (1..=node.height())
        .map(|height| node.hash_at(height))
        .collect();
    let is_written = |hash: &String| journal.iter().any(|file| file.contains(hash.as_str()));
    let written: Vec<String> = in_chain
        .iter()
        .filter(|hash| is_written(hash))
        .cloned()
        .collect();
    // The last ones may have been on their way to the disk and the node at once.
    assert!(!written.is_empty());
    assert!(
        in_chain.starts_with(&written),
        "{written:?} of {in_chain:?}"
    );
    written
}

/// A reply that waits longer than this may go out without the ledger.
const MAY_NOT_BE_DURABLE: Duration = Duration::from_millis(100);
/// Shares whose acceptance the ledger must have had, before the pool is killed.
const DURABLE: usize = 20;

/// What a miner was told is accepted is on disk, unless the reply was so late that the pool
/// may have given up waiting for the disk. The pool counts from when it has the share, which is
/// after it was sent: a reply within that time is always the ledger's. The ledger commits in
/// order, so that with one share it has all before it.
#[test]
fn no_acknowledged_share_is_lost_by_a_kill() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let mut pool = Pool::on(&node);
    let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
    let mut miner = Client::mining(pool.listen(), &address.to_string());
    let (mut accepted, mut durable) = (0, 0);
    let on_disk = until("shares that the ledger has", || {
        let job = miner.job();
        let solution = miner.solve(&job);
        let sent = Instant::now();
        let answer = miner.submit(&solution);
        let is_prompt = sent.elapsed() < MAY_NOT_BE_DURABLE;
        accepted += u64::from(answer["result"] == true);
        durable += usize::from(answer["result"] == true && is_prompt);
        (answer["result"] == true && is_prompt && durable >= DURABLE).then_some(accepted)
    });
    // Nothing happens between the last reply and the kill.
    pool.kill();
    pool.restart();
    // Nobody mines any more.
    pool.wait_for_shares(on_disk);
}

#[test]
fn no_block_vanishes_from_the_dashboard_by_a_kill() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let mut pool = Pool::on(&node);
    let blocks = kill_while_mining(&node, &mut pool);
    for hash in &blocks {
        until_true(
            &format!("the fate of block {hash} on the dashboard"),
            || {
                let shown = pool.api("blocks");
                let mut shown = shown["blocks"].as_array().into_iter().flatten();
                let block = shown.find(|block| block["hash"] == hash.as_str());
                block.is_some_and(|block| block["fate"]["kind"] == "accepted")
            },
        );
    }
}

#[test]
fn miners_come_back_by_themselves_after_a_restart() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let mut pool = Pool::on(&node);
    let address = Key::number(1).address(Kind::P2tr, node.chain().network());
    let mut miners = Protocol::ALL.map(|protocol| {
        let user = format!("{address}.{protocol:?}");
        Miner::start(&pool, protocol, &user, &["--throttle", "2"])
    });
    for miner in &miners {
        miner.log().line("share accepted");
    }
    pool.kill();
    let printed = miners.each_ref().map(|miner| miner.log().printed());
    pool.restart();
    for (miner, printed) in miners.iter().zip(printed) {
        miner.log().line_after(printed, "share accepted");
    }
    for miner in &mut miners {
        miner.stop();
    }
}
