//! A block for each protocol, with the version rolled and not, paid to each kind of address.
//!
//! The usual run takes one or two pairings per protocol, chosen so that every kind of address and both
//! versions occur; `HEADFRAME_CONFORMANCE=full` takes all thirty. The chain begins at its first
//! block, so that the heights whose BIP34 form is an opcode are among them.

use headframe_conformance::wait::until_true;
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, FoundBlock, Key, Miner, Pool, Protocol, program};
use serde_json::json;

/// Hashes a second: enough for some blocks a second, few enough to stop in time.
const THROTTLE: &str = "20";

#[derive(Debug, Clone, Copy)]
struct Case {
    protocol: Protocol,
    rolls: bool,
    kind: Kind,
}

#[test]
fn sv2_standard_finds_blocks_that_pay_the_miner() {
    let usual = [(true, Kind::P2wpkh), (false, Kind::P2sh)];
    find_blocks(Protocol::Sv2Standard, &usual);
}

#[test]
fn sv2_extended_finds_blocks_that_pay_the_miner() {
    let usual = [(false, Kind::P2tr), (true, Kind::P2wsh)];
    find_blocks(Protocol::Sv2Extended, &usual);
}

#[test]
fn sv1_finds_blocks_that_pay_the_miner() {
    find_blocks(Protocol::Sv1, &[(true, Kind::P2pkh)]);
}

fn find_blocks(protocol: Protocol, usual: &[(bool, Kind)]) {
    if let Some(node) = Bitcoind::start(Chain::Regtest) {
        find_blocks_on(&node, protocol, usual);
    }
}

/// Of each pairing a block that pays whom it should.
pub(crate) fn find_blocks_on(node: &Bitcoind, protocol: Protocol, usual: &[(bool, Kind)]) {
    let pool = Pool::on(node);
    let all = [true, false].map(|rolls| Kind::ALL.map(|kind| (rolls, kind)));
    let pairings = match program::is_full() {
        true => all.as_flattened(),
        false => usual,
    };
    for &(rolls, kind) in pairings {
        let case = Case {
            protocol,
            rolls,
            kind,
        };
        find_block(node, &pool, case);
    }
}

fn find_block(node: &Bitcoind, pool: &Pool, case: Case) {
    let address = Key::number(1).address(case.kind, node.chain().network());
    let (before, version) = (node.height(), template_version(node));
    let mut options = vec!["--throttle", THROTTLE];
    options.extend((!case.rolls).then_some("--fixed-version"));
    let mut miner = Miner::start(pool, case.protocol, &format!("{address}.rig"), &options);
    until_true("a block", || node.height() > before);
    let counts = miner.stop();
    assert_eq!(rejected_but_stale(&counts), 0, "{case:?}: {counts}");

    for height in before + 1..=node.height() {
        let found = FoundBlock::at(node, height);
        let expected = [(address.script_pubkey(), found.value())];
        assert_eq!(found.payouts(), expected, "{case:?} at height {height}");
        let rolled = found.version_bits() ^ version;
        assert_eq!(rolled & !case.protocol.version_mask(), 0, "{case:?}");
        assert_eq!(rolled != 0, case.rolls, "{case:?}: {rolled:08x}");
    }
}

fn template_version(node: &Bitcoind) -> u32 {
    let template = node.call("getblocktemplate", json!([{ "rules": ["segwit"] }]));
    let version = template["version"].as_u64();
    version
        .and_then(|version| version.try_into().ok())
        .expect("a template has a version")
}

/// On regtest a miner always has a solution on its way when its block becomes the tip.
fn rejected_but_stale(counts: &serde_json::Value) -> u64 {
    let reasons = counts["shares_rejected"].as_object().expect("an object");
    let reasons = reasons.iter().filter(|(code, _)| !is_stale(code));
    reasons.filter_map(|(_, count)| count.as_u64()).sum()
}

fn is_stale(code: &str) -> bool {
    code.contains("stale") || code == "21"
}

/// A miner that is far too fast for regtest finds thousands of blocks on each tip. The chain grows all
/// the same, and the disk does not fill.
#[test]
fn a_flood_of_blocks_stops_neither_the_chain_nor_the_pool() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let mut pool = Pool::on(&node);
    let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
    let mut miner = Miner::start(&pool, Protocol::Sv1, &address.to_string(), &[]);
    until_true("twenty blocks", || node.height() >= 20);
    miner.stop();
    pool.stop();
    let (files, height) = (pool.journal().len() as u64, node.height());
    assert!(
        files <= 16 * (height + 1),
        "{files} files for {height} blocks"
    );
    assert!(files > 16, "{files} files: there was no flood");
}
