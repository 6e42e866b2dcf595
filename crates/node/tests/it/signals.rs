//! Word of new blocks before there is a template on them, and what it costs the node.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bitcoin::consensus::encode::deserialize;
use bitcoin::{Block, BlockHash, CompactTarget};
use headframe_node::embedded::{ChainSettings, Difficulty, EmbeddedChain};
use headframe_node::rpc::connect;
use headframe_node::zmq::{Publisher as HeardPublisher, PublisherLink, ZmqAddress};
use headframe_node::{Cause, NewTip, Node, SubmitAnswer, Tip};
use headframe_work::{Network, Template, UnixTime};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::block::{bytes, solve, solved};
use crate::support::fake_node::{Call, FakeNode, Reply, gbt, healthy};
use crate::support::publisher::{Publisher, greet};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

/// What the node gives; the chain may be ahead.
struct Shown {
    template: Mutex<Template>,
    changed: Condvar,
    /// Answers to long polls are lost on the way.
    is_deaf: AtomicBool,
}

impl Shown {
    /// The template after the one that a long poll names.
    fn after(&self, id: &str) -> Template {
        let template = self.template.lock().unwrap();
        let is_known = |template: &mut Template| template.prev_hash.to_string() == id;
        let template = self.changed.wait_while(template, is_known).unwrap();
        template.clone()
    }
}

/// A node on a chain of its own, which tells of its blocks in all ways.
struct Scene {
    chain: EmbeddedChain,
    fake: FakeNode,
    publisher: Publisher,
    shown: Arc<Shown>,
    node: Node,
    tips: watch::Receiver<Option<NewTip>>,
}

impl Scene {
    /// Connected, with the first template told.
    async fn at(height: u32) -> Self {
        Self::refreshed(height, Duration::from_secs(3_600)).await
    }

    /// The same, with a template as often as that.
    async fn refreshed(height: u32, refresh: Duration) -> Self {
        let settings = ChainSettings {
            difficulty: Difficulty::Regtest,
        };
        let chain = EmbeddedChain::open(None, settings).unwrap();
        while chain.tip().height < height {
            extend(&chain);
        }
        let shown = Arc::new(Shown {
            template: Mutex::new(chain.template_at(NOW)),
            changed: Condvar::new(),
            is_deaf: AtomicBool::new(false),
        });
        let fake = FakeNode::start({
            let (chain, shown) = (chain.clone(), shown.clone());
            move |call| answer(call, &chain, &shown)
        });
        let publisher = Publisher::start();
        let mut settings = fake.settings(Network::Regtest);
        settings.zmq = vec![publisher.address().parse().unwrap()];
        settings.refresh = refresh;
        let mut node = connect(settings).unwrap();
        node.templates.next().await.unwrap();
        let tips = node
            .templates
            .new_tips()
            .expect("a publisher is listened to");
        Self {
            chain,
            fake,
            publisher,
            shown,
            node,
            tips,
        }
    }

    /// The node has a template on the chain's tip.
    fn show(&self) {
        *self.shown.template.lock().unwrap() = self.chain.template_at(NOW);
        self.shown.changed.notify_all();
    }

    async fn tip(&mut self) -> NewTip {
        self.tips.changed().await.unwrap();
        self.tips.borrow_and_update().expect("only tips are told")
    }

    /// Waits until the status has this of the publisher.
    async fn until_publisher(&mut self, is_wanted: impl Fn(&HeardPublisher) -> bool) {
        let status = &mut self.node.status;
        let known = status.wait_for(|status| is_wanted(&status.publishers[0]));
        known.await.unwrap();
    }

    fn expected_tip(&self, block: &Block) -> NewTip {
        let next = self.chain.template_at(NOW);
        NewTip {
            tip: Tip {
                height: next.height - 1,
                hash: block.block_hash(),
            },
            parent: block.header.prev_blockhash,
            bits: next.bits,
            earliest: next.min_time,
        }
    }

    fn count(&self, is_counted: impl Fn(&Call) -> bool) -> usize {
        self.fake
            .calls()
            .iter()
            .filter(|call| is_counted(call))
            .count()
    }
}

fn answer(call: &Call, chain: &EmbeddedChain, shown: &Shown) -> Reply {
    if let Some(result) = healthy(call, Network::Regtest) {
        return Reply::Result(result);
    }
    if is_header(call) {
        return header(chain, &call.params[0]);
    }
    let template = match call.params[0]["longpollid"].as_str() {
        Some(_) if shown.is_deaf.load(Ordering::SeqCst) => return Reply::Hang,
        Some(id) => shown.after(id),
        None => shown.template.lock().unwrap().clone(),
    };
    let id = template.prev_hash.to_string();
    Reply::Result(gbt(&template, &id))
}

/// `getblockheader` as the chain would answer it.
fn header(chain: &EmbeddedChain, hash: &Value) -> Reply {
    let blocks = |height: u32| -> Block { deserialize(&chain.block(height).unwrap()).unwrap() };
    let tip = chain.tip().height;
    let is_asked = |height: &u32| blocks(*height).block_hash().to_string() == *hash;
    let Some(height) = (1..=tip).rev().find(is_asked) else {
        return Reply::Error(-5, "Block not found");
    };
    let mut times: Vec<u32> = (1.max(height.saturating_sub(10))..=height)
        .map(|height| blocks(height).header.time)
        .collect();
    times.sort_unstable();
    let header = blocks(height).header;
    Reply::Result(json!({
        "confirmations": tip - height + 1,
        "height": height,
        "time": header.time,
        "mediantime": times[times.len() / 2],
        "bits": format!("{:08x}", header.bits.to_consensus()),
        "previousblockhash": header.prev_blockhash.to_string(),
    }))
}

/// One more block on the chain.
fn extend(chain: &EmbeddedChain) -> Block {
    let block = solved(&chain.template_at(NOW));
    assert_eq!(chain.submit_at(&bytes(&block), NOW), SubmitAnswer::Accepted);
    block
}

fn is_template(call: &Call) -> bool {
    call.method == "getblocktemplate"
}

fn is_header(call: &Call) -> bool {
    call.method == "getblockheader"
}

/// The raw block alone is enough, once the times of the blocks before it are known.
#[tokio::test(flavor = "multi_thread")]
async fn a_raw_block_is_a_tip_before_the_node_is_asked_anything() {
    let mut scene = Scene::at(115).await;
    let oldest = scene.chain.block(105).unwrap();
    let oldest = deserialize::<Block>(&oldest)
        .unwrap()
        .block_hash()
        .to_string();
    scene
        .fake
        .wait_for(|call| is_header(call) && call.params[0] == oldest);
    let mut asked = 0;
    for round in 0..12 {
        let block = extend(&scene.chain);
        scene.publisher.publish_block(&block);
        assert_eq!(scene.tip().await, scene.expected_tip(&block));
        assert!(
            round == 0 || scene.count(is_header) == asked,
            "nothing more"
        );
        scene.show();
        let update = scene.node.templates.next().await.unwrap();
        assert_eq!(update.template.prev_hash, block.block_hash());
        assert_eq!(update.cause, Cause::NewTip);
        asked = scene.count(is_header);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_is_a_tip_once_the_node_has_said_what_it_is() {
    let mut scene = Scene::at(115).await;
    let block = extend(&scene.chain);
    scene.publisher.publish_hash(&block);
    assert_eq!(scene.tip().await, scene.expected_tip(&block));
}

/// A block that comes before the times of those before it are known, and that the node does not find.
#[tokio::test(flavor = "multi_thread")]
async fn a_raw_block_that_comes_early_is_a_tip_by_those_before_it() {
    let mut scene = Scene::at(115).await;
    let block = solved(&scene.chain.template_at(NOW));
    scene.publisher.publish_block(&block);
    let tip = scene.tip().await;
    assert_eq!(
        scene.chain.submit_at(&bytes(&block), NOW),
        SubmitAnswer::Accepted
    );
    assert_eq!(tip, scene.expected_tip(&block));
}

/// Long poll and signal tell of the same block, and the node makes one template for both.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_heard_of_in_all_ways_costs_one_template() {
    let mut scene = Scene::at(115).await;
    let block = extend(&scene.chain);
    scene.publisher.publish_hash(&block);
    scene.publisher.publish_block(&block);
    scene.publisher.publish_block(&block);
    scene.tip().await;
    scene.show();
    let update = scene.node.templates.next().await.unwrap();
    assert_eq!(update.template.prev_hash, block.block_hash());
    // The first, and the long poll's.
    assert_eq!(scene.count(is_template), 2);
    assert!(!scene.tips.has_changed().unwrap());
}

/// A long poll whose connection is dead is not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_tip_that_no_long_poll_tells_is_asked_for() {
    let mut scene = Scene::at(115).await;
    scene.shown.is_deaf.store(true, Ordering::SeqCst);
    let block = extend(&scene.chain);
    scene.publisher.publish_block(&block);
    scene.tip().await;
    *scene.shown.template.lock().unwrap() = scene.chain.template_at(NOW);
    let update = scene.node.templates.next().await.unwrap();
    assert_eq!(update.template.prev_hash, block.block_hash());
    assert_eq!(update.cause, Cause::NewTip);
}

/// What the node says when it is asked again counts more than a signal.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_the_node_does_not_bear_out_is_taken_back() {
    let mut scene = Scene::at(115).await;
    let before = scene.shown.template.lock().unwrap().prev_hash;
    let block = extend(&scene.chain);
    scene.publisher.publish_block(&block);
    scene.tip().await;
    let update = scene.node.templates.next().await.unwrap();
    assert_eq!(
        (update.template.prev_hash, update.cause),
        (before, Cause::Refresh)
    );
}

/// Blocks that the next template may be unlike to: told by nothing but that template.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_says_too_little_begins_nothing() {
    let elsewhere = |scene: &Scene| {
        let mut block = extend(&scene.chain);
        block.header.prev_blockhash = BlockHash::from_raw_hash(bitcoin::hashes::Hash::hash(b"x"));
        solve(&mut block);
        block
    };
    let easier = |scene: &Scene| {
        let mut block = extend(&scene.chain);
        block.header.bits = CompactTarget::from_consensus(0x207f_fffe);
        solve(&mut block);
        block
    };
    type Make<'a> = &'a dyn Fn(&Scene) -> Block;
    let rows: [(u32, Make<'_>); 3] = [
        (115, &elsewhere),
        (115, &easier),
        // The block after it begins a period: its version may be another.
        (142, &|scene| extend(&scene.chain)),
    ];
    for (height, make) in rows {
        let mut scene = Scene::at(height).await;
        let block = make(&scene);
        scene.publisher.publish_block(&block);
        scene.publisher.publish_hash(&block);
        scene.show();
        let update = scene.node.templates.next().await.unwrap();
        assert_eq!(update.template.prev_hash, scene.chain.tip().hash);
        assert!(!scene.tips.has_changed().unwrap(), "{height}");
    }
}

/// It looks like one that has nothing to say, until there was something.
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_of_other_topics_is_said_to_tell_of_no_blocks() {
    let mut scene = Scene::refreshed(115, Duration::from_millis(1)).await;
    scene.publisher.publish(b"rawtx", b"a transaction");
    let is = |link| move |it: &HeardPublisher| it.link() == link;
    scene.until_publisher(is(PublisherLink::Connected)).await;
    for _ in 0..2 {
        scene.node.templates.next().await.unwrap();
    }
    let block = extend(&scene.chain);
    scene.show();
    scene.until_publisher(is(PublisherLink::Mute)).await;
    let status = scene.node.status.borrow().clone();
    let mute = &status.publishers[0];
    assert!(mute.reason().is_some() && mute.advice().is_some());
    assert_eq!(mute.last_block(), None);
    assert!(status.is_ready(), "the node is as well as before");
    scene.publisher.publish_block(&block);
    scene.until_publisher(is(PublisherLink::Connected)).await;
}

/// One that announces its blocks is believed, though none is announced for long.
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_has_told_of_a_block_is_not_said_to_be_mute() {
    let mut scene = Scene::refreshed(115, Duration::from_millis(1)).await;
    scene
        .until_publisher(|it| it.link() == PublisherLink::Connected)
        .await;
    let block = extend(&scene.chain);
    scene.publisher.publish_hash(&block);
    scene.until_publisher(|it| it.last_block().is_some()).await;
    for _ in 0..2 {
        scene.show();
        for _ in 0..3 {
            scene.node.templates.next().await.unwrap();
        }
        extend(&scene.chain);
    }
    let status = scene.node.status.borrow().clone();
    assert_eq!(status.publishers[0].link(), PublisherLink::Connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_goes_away_and_comes_back_is_seen_in_the_status() {
    let chain = EmbeddedChain::open(
        None,
        ChainSettings {
            difficulty: Difficulty::Regtest,
        },
    )
    .unwrap();
    let template = chain.template_at(NOW);
    let fake = FakeNode::start(move |call| match healthy(call, Network::Regtest) {
        Some(result) => Reply::Result(result),
        None if call.params[0]["longpollid"].is_string() => Reply::Hang,
        None => Reply::Result(gbt(&template, "one")),
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address: ZmqAddress = format!("tcp://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let mut settings = fake.settings(Network::Regtest);
    settings.zmq = vec![address.clone()];
    let mut node = connect(settings).unwrap();
    assert_eq!(*node.status.borrow().publishers[0].address(), address);
    for round in 0..2 {
        // At first whoever listens there hangs up.
        drop(listener.accept().unwrap());
        let lost = |it: &HeardPublisher| {
            it.link() == PublisherLink::Connecting
                && it.reason() == Some("it closed the connection")
        };
        let status = &mut node.status;
        let known = status.wait_for(|status| lost(&status.publishers[0])).await;
        let since = known.unwrap().publishers[0].since();
        let stream = greet(listener.accept().unwrap().0);
        let heard = |it: &HeardPublisher| it.link() == PublisherLink::Connected;
        let known = status.wait_for(|status| heard(&status.publishers[0])).await;
        let publisher = known.unwrap().publishers[0].clone();
        assert!(publisher.since() >= since, "{round}");
        assert_eq!(publisher.reason(), None);
        let (error, at) = publisher.last_error().unwrap();
        assert_eq!(error, "it closed the connection");
        assert!(at <= publisher.since());
        drop(stream);
        let known = status.wait_for(|status| lost(&status.publishers[0])).await;
        drop(known.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_address_nobody_is_listened_to() {
    let template = EmbeddedChain::open(
        None,
        ChainSettings {
            difficulty: Difficulty::Regtest,
        },
    )
    .unwrap()
    .template_at(NOW);
    let fake = FakeNode::start(move |call| match healthy(call, Network::Regtest) {
        Some(result) => Reply::Result(result),
        None if call.params[0]["longpollid"].is_string() => Reply::Hang,
        None => Reply::Result(gbt(&template, "one")),
    });
    let mut node = connect(fake.settings(Network::Regtest)).unwrap();
    assert!(node.templates.new_tips().is_none());
    assert_eq!(node.status.borrow().publishers, []);
    node.templates.next().await.unwrap();
    fake.wait_for(|call| call.params[0]["longpollid"].is_string());
    assert!(fake.calls().iter().all(|call| !is_header(call)));
}
