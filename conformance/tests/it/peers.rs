//! Clients that other people wrote mine at our pool.

use bitcoin::Address;
use headframe_conformance::peers::{Translator, mining_device};
use headframe_conformance::wait::until_true;
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, FoundBlock, Key, Miner, Pool};

/// What the pool prints when the node is gone, and when it is back.
const GONE: &str = "the node gives no templates";
const BACK: &str = "the node gives templates again";

/// What the translator prints when miners may come, each time that it has found its pool.
const LISTENS: &str = "Translator Proxy: listening on";

/// Nothing that it is sent makes it panic, and it mines on when the node was away. A device of this
/// kind ends with its connection; whoever starts it again after the pool was away mines on.
#[test]
fn the_reference_device_finds_blocks_through_restarts() {
    let Some(mut node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
    // Its times are a minute ahead, whatever the earliest is: on a new chain its second block would
    // be too old for the first.
    node.mine(20, &address);
    let mut pool = Pool::on(&node);
    let user = format!("{address}.sri");
    let Some(mut device) = mining_device(&pool, &user) else {
        return;
    };
    wait_for_blocks(&node, &address);
    restart_node(&mut node, &pool);
    wait_for_blocks(&node, &address);
    assert!(device.is_running());
    let printed = device.lines().join("\n");
    assert!(!printed.contains("panicked"), "{printed}");
    pool.kill();
    device.kill();
    pool.restart();
    let before = accepted(&pool, &user);
    let _device = mining_device(&pool, &user);
    wait_for_blocks(&node, &address);
    until_true("its shares beside those from before", || {
        accepted(&pool, &user) > before
    });
    assert!(before >= 2, "{before} shares were kept");
}

#[test]
fn the_reference_translator_finds_blocks_for_sv1_miners_on_one_channel_through_restarts() {
    translate(true, &[]);
}

#[test]
fn the_reference_translator_finds_blocks_on_a_channel_for_each_miner_through_restarts() {
    translate(false, &[]);
}

#[test]
fn the_reference_translator_finds_blocks_and_names_its_miners_through_restarts() {
    translate(true, &[2]);
}

/// A channel for each miner, each share of which names its worker too.
#[test]
fn the_reference_translator_names_its_miners_each_on_a_channel_through_restarts() {
    translate(false, &[2]);
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

/// Two miners behind a translator find blocks, also when the pool was killed, and when the node was.
/// With extension 0x0002 the pool shows each by his name.
fn translate(aggregate: bool, extensions: &[u16]) {
    let Some(mut node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let mut pool = Pool::on(&node);
    let address = Key::number(1).address(Kind::P2tr, node.chain().network());
    let user = address.to_string();
    let Some(mut translator) = Translator::requiring(&pool, &user, aggregate, extensions) else {
        return;
    };
    let url = format!("stratum+tcp://{}", translator.listen);
    let names = ["rig1", "rig2"];
    let start_miners = || names.map(|name| Miner::at(&url, name, &["--throttle", "10"]));
    translator.log().line(LISTENS);
    let miners = start_miners();
    wait_for_blocks(&node, &address);
    restart_node(&mut node, &pool);
    wait_for_blocks(&node, &address);
    let printed = translator.log().printed();
    pool.kill();
    pool.restart();
    // It has sent its miners away, who would be longer and longer in coming back.
    drop(miners);
    translator.log().line_after(printed, LISTENS);
    let _miners = start_miners();
    wait_for_blocks(&node, &address);
    if !extensions.is_empty() {
        for name in names {
            let worker = format!("{address}.{name}");
            until_true(&format!("shares of {name}"), || {
                accepted(&pool, &worker) >= 2
            });
        }
    }
    assert!(translator.is_running());
    let printed = translator.log().lines().join("\n");
    assert!(!printed.contains("panicked"), "{printed}");
}

/// Two more blocks, which pay the address.
fn wait_for_blocks(node: &Bitcoind, address: &Address) {
    let before = node.height();
    until_true("two blocks", || node.height() >= before + 2);
    for height in before + 1..=before + 2 {
        let found = FoundBlock::at(node, height);
        assert_eq!(found.payouts(), [(address.script_pubkey(), found.value())]);
    }
}

/// Kills the node while the pool works, and starts it again.
fn restart_node(node: &mut Bitcoind, pool: &Pool) {
    node.flush();
    node.kill();
    pool.log().line(GONE);
    node.restart();
    pool.log().line(BACK);
}
