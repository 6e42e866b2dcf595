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
