//! Version bits that the operator has chosen: the node takes the blocks, and they have the bits.

use headframe_conformance::between::Between;
use headframe_conformance::sv1::Client;
use headframe_conformance::wait::until_true;
use headframe_conformance::wallet::Kind;
use headframe_conformance::{
    Bitcoind, Chain, FoundBlock, Key, Miner, Pool, Protocol, Provider, Way,
};

const CHOSEN: [(&str, &str); 1] = [("POOL_VERSION_BITS", "+4,+1,-0")];

fn user(node: &Bitcoind) -> String {
    let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
    address.to_string()
}

/// One block by each protocol, on the template after that of the one before: the SV2 miners roll all that they may.
fn blocks_signal(node: &Bitcoind) {
    let pool = Pool::configured(node, &CHOSEN);
    pool.log().line("bit 0 clear, bit 1 set, bit 4 set");
    for protocol in Protocol::ALL {
        let before = node.height();
        let mut miner = Miner::start(&pool, protocol, &user(node), &["--throttle", "20"]);
        until_true("a block", || node.height() > before);
        miner.stop();
        for height in before + 1..=node.height() {
            let version = FoundBlock::at(node, height).version_bits();
            assert_eq!(
                version & 0xe000_001f,
                0x2000_0012,
                "{protocol:?}: {version:08x}"
            );
        }
    }
}

#[test]
fn blocks_have_the_chosen_bits() {
    if let Some(node) = Bitcoind::start(Chain::Regtest) {
        blocks_signal(&node);
    }
}

#[test]
fn blocks_by_the_mining_interface_have_the_chosen_bits() {
    if let Some(node) = Bitcoind::start_for(Chain::Regtest, Way::Ipc) {
        blocks_signal(&node);
    }
}

/// TD-40: there the version is the provider's, and a solution with another is none.
#[test]
fn blocks_through_a_template_provider_keep_its_version() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    node.mine(
        1,
        &Key::number(9).address(Kind::P2wpkh, node.chain().network()),
    );
    let provider = Provider::on(&node);
    let settings = [
        CHOSEN[0],
        ("NODE_NETWORK", "regtest"),
        ("NODE_TEMPLATE_PROVIDER", provider.place()),
    ];
    let mut pool = Pool::with_settings(&settings);
    pool.wait_for_listener();
    pool.log().line("blocks signal as the node says");
    let mut miner = Client::mining(pool.listen(), &user(&node));
    let job = miner.job();
    let hash = miner.find_block(&job);
    until_true("the block", || node.tip() == hash);
    assert_eq!(FoundBlock::at(&node, 2).version_bits(), 0x2000_0000);
}

/// A node that requires bit 0, which no Bitcoin Core does.
#[test]
fn a_bit_that_the_node_requires_is_in_the_block_whatever_was_chosen() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let requiring = Between::before(&node, |request, result| {
        if request["method"] == "getblocktemplate" && result["vbrequired"].is_u64() {
            result["vbrequired"] = 1.into();
            result["version"] = 0x2000_0001.into();
        }
    });
    let url = requiring.address().to_string();
    let pool = Pool::configured(&node, &[CHOSEN[0], ("NODE_URL", &url)]);
    pool.log().line("the node wants bit 0 as it is");
    let mut miner = Client::mining(pool.listen(), &user(&node));
    let job = miner.job();
    let hash = miner.find_block(&job);
    until_true("the block", || node.tip() == hash);
    assert_eq!(FoundBlock::at(&node, 1).version_bits(), 0x2000_0001);

    let checked = pool.command(&["check"]);
    let text = String::from_utf8_lossy(&checked.stdout);
    assert!(
        text.contains("wrong  blocks keep the node's version"),
        "{text}"
    );
    assert!(!checked.status.success());
}

#[test]
fn headframe_check_tells_what_chosen_bits_do_and_refuses_those_that_cannot_be() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let pool = Pool::configured(&node, &CHOSEN);
    let told = |bits: &str| {
        let checked = pool.command_with(&[("POOL_VERSION_BITS", bits)], &["check"]);
        (
            String::from_utf8_lossy(&checked.stdout).into_owned(),
            checked.status.success(),
        )
    };
    let (text, _) = told("+4,-0");
    for line in [
        "ok     bit 0 clear: ",
        "note   bit 4 set: the node knows nothing",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    for (bits, reason) in [
        ("+13", "bit 13 is the miners' to roll"),
        ("-29", "bits 29 to 31 are 001"),
        ("+4,-4", "bit 4 is there twice"),
    ] {
        let (text, is_well) = told(bits);
        assert!(text.contains(reason) && !is_well, "{bits}: {text}");
    }
}
