//! The line that the pool prints for a block that it cannot deliver submits it, as it stands there.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use bitcoin::Address;
use headframe_conformance::sv1::Client;
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, Key, Pool, program};
use tempfile::TempDir;

use crate::node_down::find_block_without_node;

/// What the pool prints before the line.
const BEFORE: &str = ", or at the node: ";

/// Pool and node were both lost; what is left is the block's file and the log.
#[test]
fn the_line_in_the_log_submits_a_block_that_nobody_else_has() {
    let Some(mut node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let address: Address = Key::number(2).address(Kind::P2wpkh, node.chain().network());
    node.mine(1, &address);
    let mut pool = Pool::on(&node);
    let hash = find_block_without_node(&mut node, &pool);
    let logged = pool.log().line(BEFORE);
    pool.kill();
    node.restart();
    assert!(!node.has_in_chain(&hash));
    let height = node.height();

    let (_, line) = logged.split_once(BEFORE).expect("it was looked for");
    let output = run(line, &node);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(node.height(), height + 1);
    assert_eq!(node.tip(), hash);
}

#[test]
fn a_block_that_the_node_takes_at_once_needs_no_line() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let address: Address = Key::number(2).address(Kind::P2wpkh, node.chain().network());
    node.mine(1, &address);
    let mut pool = Pool::on(&node);
    let mut miner = Client::mining(pool.listen(), &address.to_string());
    let job = miner.job();
    let solution = miner.solve(&job);
    assert_eq!(miner.submit(&solution)["result"], true);
    pool.log().line("accepted by");
    assert!(node.has_in_chain(&solution.hash.to_string()));
    pool.stop();
    let printed = pool.log().lines().join("\n");
    assert!(!printed.contains("bitcoin-cli"), "{printed}");
}

/// Runs the line in a shell. The node is not where `bitcoin-cli` expects it, which is said in a
/// configuration for its chain alone, and behind the program's name; nothing else is changed.
fn run(line: &str, node: &Bitcoind) -> Output {
    let rest = line.strip_prefix("bitcoin-cli ").expect("the usual tool");
    let directory = TempDir::new().expect("a temporary directory can be made");
    let configuration = format!(
        "[regtest]\nrpcport={}\nrpccookiefile={}\n",
        node.address().port(),
        node.cookie_file().display()
    );
    fs::write(directory.path().join("bitcoin.conf"), configuration).expect("it can be written");
    let place = format!("-datadir='{}'", directory.path().display());
    let bitcoind = program::bitcoind().expect("the node runs");
    let tools = bitcoind.parent().unwrap_or_else(|| Path::new("."));
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(
        [tools.to_owned()]
            .into_iter()
            .chain(env::split_paths(&path)),
    );
    Command::new("sh")
        .args(["-c", &format!("bitcoin-cli {place} {rest}")])
        .env("PATH", path.expect("it was a path before"))
        .output()
        .expect("there is a shell")
}
