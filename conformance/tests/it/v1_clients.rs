//! Stratum V1 clients that other people wrote mine a block through the pool.

use headframe_conformance::peers::stratum_client;
use headframe_conformance::sv1_api::Sv1ApiMiner;
use headframe_conformance::wait::until_true;
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, FoundBlock, Key, Pool};

/// A strict reader: a field of another type or length than it knows would be an error. It subscribes
/// with a session that the pool has never heard of.
#[test]
fn the_reference_s_stratum_v1_client_mines_a_block() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let pool = Pool::on(&node);
    let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
    let mut miner = Sv1ApiMiner::start(pool.listen(), &format!("{address}.sv1_api"));
    let hash = miner.mine_block().to_string();
    until_true("its block", || node.tip() == hash);
    let found = FoundBlock::at(&node, node.height());
    assert_eq!(found.payouts(), [(address.script_pubkey(), found.value())]);
}

/// A lenient one, which knows a reply by its id: a word, and the same in each request of a kind.
#[test]
fn stratum_client_of_npm_mines_a_block() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let pool = Pool::on(&node);
    let address = Key::number(1).address(Kind::P2tr, node.chain().network());
    let user = format!("{address}.npm");
    let Some(mut client) = stratum_client(pool.listen(), &user) else {
        return;
    };
    let printed = client.line("block ");
    let (_, hash) = printed.split_once("block ").expect("it was waited for");
    until_true("its block", || node.tip() == hash);
    let found = FoundBlock::at(&node, node.height());
    assert_eq!(found.payouts(), [(address.script_pubkey(), found.value())]);
    assert!(client.ended().success());
}
