//! New blocks by ZeroMQ: heard from libzmq, and begun before the node has a template on them.
//!
//! The node here makes its templates within milliseconds. Blocks that it has not been given yet take the place of
//! those on which a slow one has no template yet.

use bitcoin::Address;
use headframe_conformance::publisher::Publisher;
use headframe_conformance::sv1::Client;
use headframe_conformance::wait::{until_equal, until_true};
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, Key, Pool};
use serde_json::{Value, json};

struct Scene {
    node: Bitcoind,
    publisher: Publisher,
    pool: Pool,
    address: Address,
}

impl Scene {
    fn start() -> Option<Self> {
        let node = Bitcoind::start(Chain::Regtest)?;
        let publisher = Publisher::start()?;
        let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
        node.mine(20, &address);
        let pool = Pool::configured(&node, &[("NODE_ZMQ", publisher.address())]);
        publisher.subscribed();
        Some(Self {
            node,
            publisher,
            pool,
            address,
        })
    }

    /// A block on the node's tip that the node does not know: its hash and itself.
    fn block_ahead(&self) -> (String, String) {
        let made = self.node.call(
            "generateblock",
            json!([self.address.to_string(), [], false]),
        );
        let text = |name: &str| made[name].as_str().expect("digits").to_owned();
        (text("hash"), text("hex"))
    }

    fn submit(&self, hex: &str) {
        assert_eq!(self.node.call("submitblock", json!([hex])), Value::Null);
    }

    fn tips_awaited(&self) -> u64 {
        let begun = &self.pool.api("summary")["empty_blocks"]["tips_awaited"];
        begun.as_u64().expect("a number")
    }
}

/// From libzmq's message to the miner's job and back to a block of Bitcoin Core's chain.
#[test]
fn a_block_that_libzmq_tells_of_is_mined_on_before_the_node_has_a_template() {
    let Some(scene) = Scene::start() else { return };
    let mut miner = Client::mining(scene.pool.listen(), &scene.address.to_string());
    miner.job();
    // By the second one the pool knows the times of the blocks before it; and one is told by the other topic.
    for round in 1..=3 {
        let (hash, hex) = scene.block_ahead();
        scene.publisher.publish("rawblock", &hex);
        let begun = miner.job_on(&hash);
        assert!(begun.clean);
        // It is good for a block, whenever the node is ready for it.
        let solution = miner.solve(&begun);
        let answer = miner.submit(&solution);
        assert_eq!(answer["result"], true, "{answer}");
        scene.submit(&hex);
        until_equal("its block", &solution.hash.to_string(), || scene.node.tip());
        let full = miner.job_on(&scene.node.tip());
        assert_ne!(full.id, begun.id);
        until_equal("the count", &round, || scene.tips_awaited());
    }
}

/// Of a hash the node is asked, which has to know the block.
#[test]
fn a_hash_alone_begins_nothing_that_the_node_does_not_know() {
    let Some(scene) = Scene::start() else { return };
    let (hash, hex) = scene.block_ahead();
    scene.publisher.publish("hashblock", &hash);
    scene.publisher.publish("hashblock", "00");
    scene.publisher.publish("rawblock", "00");
    scene.publisher.publish("rawblock", &hex[..200]);
    scene.submit(&hex);
    let mut miner = Client::mining(scene.pool.listen(), &scene.address.to_string());
    assert_eq!(miner.job_on(&hash).prev_hash.to_string(), hash);
    assert_eq!(scene.tips_awaited(), 0);
}

/// libzmq drops a subscriber that does not answer its heartbeats; a publisher that comes back is heard again, and
/// in between nothing is lost.
#[test]
fn a_publisher_that_comes_and_goes_costs_nothing() {
    let Some(mut scene) = Scene::start() else {
        return;
    };
    let mut miner = Client::mining(scene.pool.listen(), &scene.address.to_string());
    miner.job();
    let address = scene.publisher.address().to_owned();
    for _ in 0..2 {
        scene.publisher.kill();
        scene.pool.log().line_after(0, "no word of new blocks");
        scene.node.mine(1, &scene.address);
        miner.job_on(&scene.node.tip());
        scene.publisher = Publisher::at(&address).expect("it was there before");
        scene.publisher.subscribed();
    }
    let (hash, hex) = scene.block_ahead();
    scene.publisher.publish("rawblock", &hex);
    miner.job_on(&hash);
    scene.submit(&hex);
    until_true("the count", || scene.tips_awaited() == 1);
    let dropped = |line: &String| line.contains("unsubscribed");
    assert!(!scene.publisher.log().lines().iter().any(dropped));
}
