//! Bitcoin Core is shown a block before one is found, and what it says of it is what it says of the
//! block.

use std::collections::BTreeSet;

use bitcoin::Amount;
use headframe_conformance::between::Between;
use headframe_conformance::sri::{Client as Sv2, Kind as Channel, REQUIRES_STANDARD_JOBS};
use headframe_conformance::sv1::Client;
use headframe_conformance::wait::{until, until_true};
use headframe_conformance::wallet::{Coin, Kind};
use headframe_conformance::{Bitcoind, Chain, Key, Pool, Way};
use serde_json::{Value, json};

/// A coinbase matures after so many blocks.
const MATURITY: u32 = 100;

fn alarm(pool: &Pool, code: &str) -> Value {
    until(&format!("the alarm {code}"), || {
        let summary = pool.api("summary");
        let mut alarms = summary["alarms"].as_array()?.iter();
        alarms.find(|alarm| alarm["code"] == code).cloned()
    })
}

/// A node that has a block, and so is not syncing.
fn node_for(way: Way) -> Option<Bitcoind> {
    let node = Bitcoind::start_for(Chain::Regtest, way)?;
    let address = Key::number(9).address(Kind::P2wpkh, node.chain().network());
    node.mine(1, &address);
    Some(node)
}

#[test]
fn bitcoin_core_accepts_each_way_to_pay_before_a_block_is_found() {
    if let Some(node) = node_for(Way::Rpc) {
        accepts_each_way_to_pay(&node);
    }
}

#[test]
fn bitcoin_core_accepts_each_way_to_pay_before_a_block_is_found_by_ipc() {
    if let Some(node) = node_for(Way::Ipc) {
        accepts_each_way_to_pay(&node);
    }
}

#[test]
fn bitcoin_core_accepts_each_way_to_pay_before_a_block_is_found_by_ipc_with_rpc() {
    if let Some(node) = node_for(Way::IpcWithRpc) {
        accepts_each_way_to_pay(&node);
    }
}

/// Each kind of address in each protocol, beside a fee that two addresses share.
fn accepts_each_way_to_pay(node: &Bitcoind) {
    let network = node.chain().network();
    let operator = Key::number(2).address(Kind::P2wpkh, network).to_string();
    let second = Key::number(3).address(Kind::P2pkh, network).to_string();
    let settings = [
        ("PAYOUT_FEE_PERCENT", "2"),
        ("PAYOUT_FEE_ADDRESS", &operator),
        ("PAYOUT_FEE_SPLIT_PERCENT", "50"),
        ("PAYOUT_FEE_SPLIT_ADDRESS", &second),
    ];
    let pool = Pool::configured(node, &settings);
    let (mut sv1, mut sv2) = (Vec::new(), Vec::new());
    let mut numbers = 10..;
    for kind in Kind::ALL {
        let mut address = || {
            let number = numbers.next().expect("without end");
            Key::number(number).address(kind, network)
        };
        let mut unproven = BTreeSet::new();
        let own = address();
        sv1.push(Client::mining(pool.listen(), &own.to_string()));
        unproven.insert(own.to_string());
        for (channel, flags) in [
            (Channel::Standard, REQUIRES_STANDARD_JOBS),
            (Channel::Extended, 0),
        ] {
            let own = address();
            let mut client = Sv2::connect(&pool, flags);
            client.open(channel, &own, 1e3);
            sv2.push(client);
            unproven.insert(own.to_string());
        }
        // One after another, with a second between them.
        until_true(&format!("the node's word on all of {unproven:?}"), || {
            let proof = pool.api("summary")["proof"].clone();
            if let Some(address) = proof["payout_address"].as_str()
                && unproven.remove(address)
            {
                assert_eq!(proof["verdict"], json!({ "kind": "accepted" }), "{kind:?}");
                assert_eq!(proof["height"], 2);
                assert_eq!(proof["paid_sats"], 4_900_000_000_u64);
            }
            unproven.is_empty()
        });
    }
    pool.log().line("accepts a block at height 2");
    assert_eq!(node.height(), 1, "no block was found");
    assert_eq!(pool.api("summary")["alarms"], json!([]));
}

/// A node that says in its templates that a transaction pays a satoshi more than it does, which the pool
/// cannot know, and Bitcoin Core's own word on what comes of that: first without work, and then, as nobody
/// did anything about it, on the block itself.
#[test]
fn a_coinbase_that_bitcoin_core_refuses_is_an_alarm_before_a_block_is_lost() {
    let Some(node) = node_for(Way::Rpc) else {
        return;
    };
    let key = Key::number(9);
    let own = key.address(Kind::P2wpkh, node.chain().network());
    node.mine(MATURITY, &own);
    let coin = Coin::of(&node.block(&node.hash_at(1)).txdata[0], 0);
    let outputs = coin.shared_among(&[own.script_pubkey()], Amount::from_sat(10_000));
    node.send(&key.spend(&coin, outputs));
    let between = Between::before(&node, |request, result| {
        if request["method"] == "getblocktemplate" && result["transactions"][0].is_object() {
            for pointer in ["/coinbasevalue", "/transactions/0/fee"] {
                let amount = result.pointer_mut(pointer).expect("an amount");
                *amount = (amount.as_u64().expect("a number") + 1).into();
            }
        }
    });
    let place = between.address().to_string();
    let pool = Pool::configured(&node, &[("NODE_URL", &place)]);
    let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
    let mut miner = Client::mining(pool.listen(), &address.to_string());
    let job = miner.job();

    let refused = alarm(&pool, "proof_refused");
    assert_eq!(refused["severity"], "critical");
    let detail = refused["detail"].as_str().expect("a text");
    assert!(detail.contains("bad-cb-amount"), "{detail}");
    assert!(detail.contains(&address.to_string()), "{detail}");
    let proof = &pool.api("summary")["proof"];
    assert_eq!(proof["verdict"]["reason"], "bad-cb-amount", "{proof}");
    pool.log().line("would refuse a block at height 102");

    assert_eq!(miner.submit(&miner.solve(&job))["result"], true);
    let lost = alarm(&pool, "block_refused");
    let detail = lost["detail"].as_str().expect("a text");
    assert!(detail.contains("bad-cb-amount"), "{detail}");
    assert_eq!(node.height(), 101);
}
