//! Clients that other people wrote mine at our pool.

use headframe_conformance::peers::{Translator, mining_device};
use headframe_conformance::wait::until_true;
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, FoundBlock, Key, Miner, Pool};

#[test]
fn the_reference_device_finds_a_block_on_a_standard_channel() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let pool = Pool::on(&node);
    let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
    let Some(_device) = mining_device(&pool, &format!("{address}.sri")) else {
        return;
    };
    until_true("two blocks", || node.height() >= 2);
    for height in 1..=2 {
        let found = FoundBlock::at(&node, height);
        assert_eq!(found.payouts(), [(address.script_pubkey(), found.value())]);
    }
}

#[test]
fn the_reference_translator_finds_a_block_for_sv1_miners_on_one_channel() {
    translate(true);
}

#[test]
fn the_reference_translator_finds_a_block_on_a_channel_for_each_miner() {
    translate(false);
}

/// Extension 0x0002: one channel, and the pool knows its miners apart. It requires the extension, as
/// the translator does.
#[test]
fn the_reference_translator_names_its_miners_share_by_share() {
    let Some(node) = Bitcoind::start(Chain::OpenSignet) else {
        return;
    };
    let settings = [
        ("DIFFICULTY_START", "0.00000095367431640625"),
        ("SV2_REQUIRE_WORKER_NAMES", "true"),
    ];
    let pool = Pool::configured(&node, &settings);
    let address = Key::number(1).address(Kind::P2tr, node.chain().network());
    let user = address.to_string();
    let Some(translator) = Translator::requiring(&pool, &user, true, &[2]) else {
        return;
    };
    let url = format!("stratum+tcp://{}", translator.listen);
    let options = ["--throttle", "20000"];
    let _miners = ["rig1", "rig2"].map(|name| Miner::at(&url, name, &options));
    for name in ["rig1", "rig2"] {
        let worker = format!("{address}.{name}");
        until_true(&format!("shares of {name}"), || {
            accepted(&pool, &worker) >= 2
        });
    }
    assert_eq!(pool.api("summary")["shares"]["rejected"], 0);
}

/// Accepted shares of the miner of this name.
fn accepted(pool: &Pool, user: &str) -> u64 {
    let answer = pool.api("miners");
    let miners = answer["miners"].as_array().expect("a list");
    let miner = miners.iter().find(|miner| miner["worker"] == user);
    miner.map_or(0, |miner| {
        miner["shares"]["accepted"].as_u64().expect("a number")
    })
}

fn translate(aggregate: bool) {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let pool = Pool::on(&node);
    let address = Key::number(1).address(Kind::P2tr, node.chain().network());
    let Some(translator) = Translator::start(&pool, &address.to_string(), aggregate) else {
        return;
    };
    let url = format!("stratum+tcp://{}", translator.listen);
    // It comes back by itself until the translator listens.
    let _miner = Miner::at(&url, "anyone", &["--throttle", "20"]);
    until_true("two blocks", || node.height() >= 2);
    for height in 1..=2 {
        let found = FoundBlock::at(&node, height);
        assert_eq!(found.payouts(), [(address.script_pubkey(), found.value())]);
    }
    assert!(translator.log().printed() > 0);
}
