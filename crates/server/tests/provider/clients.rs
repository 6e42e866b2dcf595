//! Several clients of one provider, of which some are none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::hashes::Hash as _;
use headframe_distribution::server::{CHANGE_INTERVAL, CHANGES_AT_ONCE};
use headframe_node::embedded::EmbeddedChain;
use headframe_node::{
    BlockFate, BlockSink, BoxFuture, Cause, HeaderWindow, NodeError, SubmitAnswer, TemplateSource,
    TemplateUpdate,
};
use headframe_server::{MAX_CLIENTS, MAX_CLIENTS_OF_ADDRESS};
use headframe_sv2_wire::template_distribution::{
    NewTemplate, RequestTransactionData, RequestTransactionDataSuccess, SetNewPrevHash,
    SubmitSolution,
};
use headframe_sv2_wire::{Bytes64K, Message as _};
use headframe_transport::AddressSet;
use headframe_work::{BlockHex, Template, TemplateTransaction};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::harness::{House, LIMIT, Setup, advance, mine};
use crate::script::{Wire, constraints, frame, setup};

async fn served(house: &House, size: u32) -> Wire {
    Wire::set_up(house.address, house.authority, size).await
}

/// The template that comes next, by its id.
async fn template(wire: &mut Wire) -> u64 {
    let frame = wire.hear_type(0x71).await.unwrap();
    NewTemplate::decode(&frame[6..]).unwrap().template_id
}

/// TD-4, TD-6, TD-16: each is told each tip, with a template of its own numbers.
#[tokio::test(flavor = "multi_thread")]
async fn several_clients_are_served_each_with_what_it_needs() {
    let house = Setup::usual().start();
    let mut clients = Vec::new();
    for size in [0, 153, 153, 12_500, 900_000] {
        clients.push(served(&house, size).await);
    }
    let mut ids = Vec::new();
    for client in &mut clients {
        ids.push(template(client).await);
        assert!(client.hear_type(0x72).await.is_some());
    }
    for salt in 0..3 {
        let tip = advance(&house.chain, salt);
        for (client, last) in clients.iter_mut().zip(&mut ids) {
            let id = template(client).await;
            assert!(id > *last, "numbers rise");
            *last = id;
            let bytes = client.hear_type(0x72).await.unwrap();
            let told = SetNewPrevHash::decode(&bytes[6..]).unwrap();
            assert_eq!(told.template_id, id);
            let expected: &[u8] = tip.as_ref();
            assert_eq!(told.prev_hash.to_le_bytes(), expected);
        }
    }
    // New needs are answered with a template and the same tip.
    clients[0].say(&constraints(7)).await;
    template(&mut clients[0]).await;
    assert!(clients[0].hear_type(0x72).await.is_some());
}

/// TD-12, TD-17: more than a block holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_coinbase_is_larger_than_a_block_is_disconnected_and_no_other() {
    let house = Setup::usual().start();
    let mut good = served(&house, 153).await;
    for size in [1_000_000, 4_000_001, u32::MAX] {
        let mut greedy = served(&house, size).await;
        assert!(greedy.hear().await.is_none());
    }
    let mut changed = served(&house, 153).await;
    template(&mut changed).await;
    changed.say(&constraints(u32::MAX)).await;
    assert!(changed.hear_type(0x00).await.is_none());
    template(&mut good).await;
    advance(&house.chain, 1);
    template(&mut good).await;
}

/// Whoever sends without end is left; whoever asks without reading too, and neither holds up another.
#[tokio::test(flavor = "multi_thread")]
async fn floods_are_ended_and_hold_up_nobody() {
    let house = Setup::usual().start();
    let mut good = served(&house, 153).await;
    template(&mut good).await;
    let mut flood = served(&house, 153).await;
    let unknown = frame(&RequestTransactionData { template_id: 0 });
    for _ in 0..2_000 {
        flood.queue(&unknown);
    }
    flood.flush().await;
    assert!(flood.hear_type(0x00).await.is_none());
    let mut burst = served(&house, 153).await;
    for size in 0..200 {
        burst.queue(&constraints(size));
    }
    burst.flush().await;
    template(&mut burst).await;
    advance(&house.chain, 1);
    template(&mut good).await;
}

/// Each change of its needs has a template cut for it, which others may wait for: a few at once, and then one a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_changes_its_needs_again_and_again_is_served_once_a_second() {
    let house = Setup::usual().start();
    let started = Instant::now();
    let mut restless = served(&house, 0).await;
    template(&mut restless).await;
    for size in 1..CHANGES_AT_ONCE {
        restless.say(&constraints(size)).await;
        template(&mut restless).await;
    }
    restless.say(&constraints(100)).await;
    template(&mut restless).await;
    assert!(started.elapsed() >= CHANGE_INTERVAL);
    // It has none left, and is told a new tip all the same.
    restless.say(&constraints(101)).await;
    advance(&house.chain, 1);
    template(&mut restless).await;
    template(&mut served(&house, 153).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_client_is_left() {
    let house = Setup::usual().start();
    // In clear.
    let mut clear = TcpStream::connect(house.address).await.unwrap();
    clear.try_write(&frame(&setup())).unwrap();
    let mut nothing = Vec::new();
    let closed = timeout(LIMIT, clear.read_to_end(&mut nothing))
        .await
        .unwrap();
    assert!(closed.is_err() || nothing.is_empty());
    // Before its time.
    let mut early = Wire::dial(house.address, house.authority).await;
    early.say(&constraints(1)).await;
    assert!(early.hear().await.is_none());
    // Of another protocol: told, then left.
    let mut miner = Wire::dial(house.address, house.authority).await;
    let mut other = setup();
    other.protocol = headframe_sv2_wire::Protocol::MINING;
    miner.say(&frame(&other)).await;
    assert_eq!(miner.hear().await.unwrap()[2], 0x02);
    assert!(miner.hear().await.is_none());
    // A frame that is too long.
    let mut long = served(&house, 153).await;
    let mut frame = vec![0, 0, 0x76, 0xff, 0xff, 0x0f];
    frame.resize(6 + 0x0f_ffff, 0);
    long.queue(&frame);
    long.flush().await;
    assert!(long.hear_type(0xff).await.is_none());
    template(&mut served(&house, 1).await).await;
}

/// An address has so many places, and all together have so many.
#[tokio::test(flavor = "multi_thread")]
async fn clients_are_counted() {
    let house = Setup {
        unlimited: AddressSet::NONE,
        ..Setup::usual()
    }
    .start();
    let mut few = Vec::new();
    for _ in 0..MAX_CLIENTS_OF_ADDRESS {
        let mut client = served(&house, 1).await;
        template(&mut client).await;
        few.push(client);
    }
    assert!(is_turned_away(house.address).await);

    let house = Setup::usual().start();
    let mut many = Vec::new();
    for _ in 0..MAX_CLIENTS {
        many.push(TcpStream::connect(house.address).await.unwrap());
    }
    assert!(is_turned_away(house.address).await);
    drop(many);
    while is_turned_away(house.address).await {}
}

async fn is_turned_away(address: SocketAddr) -> bool {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let mut byte = [0];
    let waited = timeout(Duration::from_millis(200), socket.read(&mut byte));
    // One that is let in is waited for.
    waited.await.is_ok()
}

/// TD-37, TD-45: what a client is given is what the chain would take.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_the_chain_s() {
    let house = Setup::usual().start();
    let mut client = served(&house, 153).await;
    let template_id = template(&mut client).await;
    client
        .say(&frame(&RequestTransactionData { template_id }))
        .await;
    let bytes = client.hear_type(0x74).await.unwrap();
    let success = RequestTransactionDataSuccess::decode(&bytes[6..]).unwrap();
    let given = success
        .transaction_list
        .iter()
        .map(|tx| tx.as_bytes().to_vec());
    let expected = house
        .chain
        .template()
        .transactions
        .into_iter()
        .map(|tx| tx.data);
    assert!(given.eq(expected));
}

/// A node that gives a template and then nothing but errors.
struct Fails(Option<TemplateUpdate>, bool);

impl TemplateSource for Fails {
    fn next(&mut self) -> BoxFuture<'_, Result<TemplateUpdate, NodeError>> {
        Box::pin(async move {
            match self.0.take() {
                Some(update) => Ok(update),
                None if !core::mem::replace(&mut self.1, true) => Err(NodeError::Busy),
                None => std::future::pending().await,
            }
        })
    }
}

/// Clients are kept while the node is away for a moment; what they have is good until then.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_while_the_node_is_away_has_the_last_template() {
    let mut setup = Setup::usual();
    let mut node = setup.chain.node(LIMIT);
    let update = node.templates.next().await.unwrap();
    setup.templates = Some(Box::new(Fails(Some(update), false)));
    let house = setup.start();
    let mut client = served(&house, 153).await;
    template(&mut client).await;
}

/// A node that gives one template and says no more.
struct Once(Option<TemplateUpdate>);

impl TemplateSource for Once {
    fn next(&mut self) -> BoxFuture<'_, Result<TemplateUpdate, NodeError>> {
        Box::pin(async move {
            match self.0.take() {
                Some(update) => Ok(update),
                None => std::future::pending().await,
            }
        })
    }
}

/// A node that gives one template, and fails when it is told so.
struct Breaks(Once, Arc<Notify>);

impl TemplateSource for Breaks {
    fn next(&mut self) -> BoxFuture<'_, Result<TemplateUpdate, NodeError>> {
        Box::pin(async move {
            tokio::select! {
                biased;
                update = self.0.next() => update,
                () = self.1.notified() => Err(NodeError::Busy),
            }
        })
    }
}

fn update(template: Template) -> TemplateUpdate {
    TemplateUpdate {
        cause: Cause::NewTip,
        received: Instant::now(),
        window: HeaderWindow::unbounded(&template),
        template: template.into(),
    }
}

/// They look for another provider, or hold their miners.
#[tokio::test(flavor = "multi_thread")]
async fn clients_are_let_go_when_the_node_was_away_for_long() {
    let mut setup = Setup::usual();
    let fails = Arc::new(Notify::new());
    let once = Once(Some(update(setup.chain.template())));
    setup.templates = Some(Box::new(Breaks(once, Arc::clone(&fails))));
    setup.node_grace = Duration::from_millis(100);
    let house = setup.start();
    let mut client = served(&house, 153).await;
    template(&mut client).await;
    assert!(client.hear_type(0x72).await.is_some());
    fails.notify_one();
    assert!(client.hear().await.is_none(), "it is let go");
}

/// With several nodes clients outlive the failure of one, and their blocks go to all.
#[tokio::test(flavor = "multi_thread")]
async fn clients_are_served_from_another_node_when_the_preferred_one_fails() {
    let other = Setup::usual().chain;
    let mut setup = Setup::usual();
    let fails = Arc::new(Notify::new());
    let once = Once(Some(update(setup.chain.template())));
    setup.templates = Some(Box::new(Breaks(once, Arc::clone(&fails))));
    setup.backup = Some(other.node(Duration::from_secs(3_600)));
    let house = setup.start();
    let mut pool = house.connect();
    let first = pool.on(other.tip().hash).await;
    fails.notify_one();
    let block = mine(&first.template, 1);
    assert_eq!(pool.submit(&block).await, SubmitAnswer::Accepted);
    assert_eq!(other.tip().hash, block.hash());
    assert_eq!(house.chain.tip().hash, block.hash(), "it goes to both");
    pool.on(block.hash()).await;
    while house.journal("answer").is_empty() {
        tokio::task::yield_now().await;
    }
}

/// A node that tells which blocks it is given.
struct Given(std::sync::mpsc::Sender<String>);

impl BlockSink for Given {
    fn submit(&mut self, block: &BlockHex) -> SubmitAnswer {
        // Nobody may want to know any more.
        let _ = self.0.send(block.to_string());
        SubmitAnswer::Accepted
    }

    fn fate(&mut self, _: bitcoin::BlockHash) -> Result<BlockFate, NodeError> {
        Ok(BlockFate::InChain { confirmations: 1 })
    }

    fn stand_by(&mut self) -> Result<(), NodeError> {
        Ok(())
    }
}

/// A template whose one transaction fills the block.
fn full(chain: &EmbeddedChain) -> TemplateUpdate {
    let mut template = chain.template();
    let len = 3_900_000_u32;
    template.transactions = vec![TemplateTransaction {
        data: vec![7; len as usize],
        txid: bitcoin::Txid::all_zeros(),
        wtxid: bitcoin::Wtxid::all_zeros(),
        fee: bitcoin::Amount::ZERO,
        sigops: 0,
        weight: len,
    }];
    update(template)
}

/// On a slow line the transactions of a template take a minute, and a block does not wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_solution_is_heard_while_transactions_are_on_their_way() {
    let mut setup = Setup::usual();
    let update = full(&setup.chain);
    let block = mine(&update.template, 1);
    let (given, taken) = std::sync::mpsc::channel();
    setup.sink = Some(Box::new(Given(given)));
    setup.templates = Some(Box::new(Once(Some(update))));
    let house = setup.start();
    let mut client = served(&house, 153).await;
    let template_id = template(&mut client).await;
    for _ in 0..12 {
        client.queue(&frame(&RequestTransactionData { template_id }));
    }
    client.flush().await;
    // More than a connection takes is on its way then, and the client reads no more.
    client.hear_type(0x74).await.unwrap();
    let solution = frame(&SubmitSolution {
        template_id,
        version: block.header.version,
        header_timestamp: block.header.time.as_secs(),
        header_nonce: block.header.nonce,
        coinbase_tx: Bytes64K::new(&block.coinbase).unwrap(),
    });
    client.say(&solution).await;
    let taken = tokio::task::spawn_blocking(move || taken.recv_timeout(LIMIT / 2));
    assert_eq!(taken.await.unwrap().unwrap(), block.to_hex().to_string());
    // Whoever begins to read again is served.
    for _ in 0..11 {
        client.hear_type(0x74).await.unwrap();
    }
    client.say(&constraints(7)).await;
    template(&mut client).await;
}
