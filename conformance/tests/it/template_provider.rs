//! Template distribution on a real Bitcoin Core: our provider, our pool behind it, the reference's pool behind
//! it, and a client of the reference's crates whose coinbase is as large as few are.

use bitcoin::{Address, Amount, ScriptBuf, TxOut};
use headframe_conformance::peers::ReferencePool;
use headframe_conformance::sri::TemplateClient;
use headframe_conformance::wait::until_true;
use headframe_conformance::wallet::Kind;
use headframe_conformance::{
    Bitcoind, Chain, FoundBlock, Key, Miner, Pool, Protocol, Provider, Way,
};

use crate::full_template::{FULL, fill_mempool, fill_up};

/// A few hashes a second.
const SLOW: [&str; 2] = ["--throttle", "20"];

fn address(node: &Bitcoind) -> Address {
    Key::number(1).address(Kind::P2wpkh, node.chain().network())
}

#[test]
fn our_pool_mines_full_blocks_through_our_provider() {
    if let Some(node) = Bitcoind::start(Chain::Regtest) {
        mines_full_blocks(&node);
    }
}

#[test]
fn our_pool_mines_full_blocks_through_our_provider_on_ipc() {
    if let Some(node) = Bitcoind::start_for(Chain::Regtest, Way::Ipc) {
        mines_full_blocks(&node);
    }
}

/// By solutions alone: full blocks with witnesses, one after another, each in the journals of both.
fn mines_full_blocks(node: &Bitcoind) {
    fill_mempool(node);
    let before = node.height();
    let provider = Provider::on(node);
    let pool = Pool::behind(&provider, &[]);
    let user = address(node);
    let mut miner = Miner::start(&pool, Protocol::Sv2Extended, &user.to_string(), &SLOW);
    until_true("four blocks", || node.height() >= before + 4);
    miner.stop();
    let found = FoundBlock::at(node, before + 1);
    assert!(found.weight > FULL, "the block weighs {}", found.weight);
    assert_eq!(found.payouts(), [(user.script_pubkey(), found.value())]);
    assert!(found.block.check_witness_commitment());
    pool.log().line("is accepted by the template provider at");
    provider.log().line("is accepted by the node at");
    let name = format!("{}-{}.hex", before + 1, node.hash_at(before + 1));
    assert!(pool.journal().contains(&name), "{:?}", pool.journal());
    let summary = pool.api("summary");
    assert_eq!(summary["node"]["kind"], "template_distribution");
}

#[test]
fn our_pool_mines_on_after_provider_and_node_were_away() {
    if let Some(node) = Bitcoind::start(Chain::Regtest) {
        mines_on_after_both_were_away(node);
    }
}

#[test]
fn our_pool_mines_on_after_provider_on_ipc_and_node_were_away() {
    if let Some(node) = Bitcoind::start_for(Chain::Regtest, Way::Ipc) {
        mines_on_after_both_were_away(node);
    }
}

/// The pool holds its miners while the provider is away, and mines on when it is back; and when the node is
/// started again behind the provider.
fn mines_on_after_both_were_away(mut node: Bitcoind) {
    node.mine(2, &address(&node));
    let mut provider = Provider::on(&node);
    let pool = Pool::behind(&provider, &[]);
    let user = address(&node).to_string();
    let _miner = Miner::start(&pool, Protocol::Sv2Standard, &user, &SLOW);
    let more = |node: &Bitcoind| {
        let before = node.height();
        until_true("two blocks", || node.height() >= before + 2);
    };
    more(&node);
    let printed = pool.log().printed();
    provider.kill();
    pool.log().line_after(printed, "the template provider at");
    provider.restart();
    more(&node);
    node.flush();
    node.kill();
    provider.log().line("gives no templates");
    node.restart();
    more(&node);
}

/// Blocks go by RPC too where that is configured, and then its answer counts.
#[test]
fn a_pool_with_rpc_beside_its_provider_has_the_node_s_answer() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let provider = Provider::on(&node);
    let pool = Pool::configured(&node, &[("NODE_TEMPLATE_PROVIDER", provider.place())]);
    let user = address(&node).to_string();
    let _miner = Miner::start(&pool, Protocol::Sv1, &user, &SLOW);
    until_true("a block", || node.height() >= 2);
    pool.log().line("found by");
    let lines = pool.log().lines().join("\n");
    assert!(!lines.contains("was refused"), "{lines}");
}

/// Both go on: somebody else's pool is served as ours is.
#[test]
fn the_reference_pool_mines_a_block_through_our_provider() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    fill_mempool(&node);
    let before = node.height();
    let provider = Provider::on(&node);
    let user = address(&node);
    let Some(pool) = ReferencePool::start(&provider, &user.to_string()) else {
        return;
    };
    until_true("the reference pool to listen", || {
        std::net::TcpStream::connect(pool.listen).is_ok()
    });
    let _miner = Miner::at(&pool.url(), &user.to_string(), &SLOW);
    until_true("two blocks", || node.height() >= before + 2);
    let found = FoundBlock::at(&node, before + 1);
    assert!(found.weight > FULL, "the block weighs {}", found.weight);
    assert_eq!(found.payouts()[0].0, user.script_pubkey());
    provider.log().line("is accepted by the node at");
}

/// 50,000 weight units of outputs, and a script of 100 bytes: the block is full, and no transaction of it is
/// one too many (TD-9 to TD-13).
#[test]
fn a_coinbase_of_fifty_thousand_weight_units_fits_a_full_block() {
    const OUTPUTS: usize = 400;
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    fill_mempool(&node);
    fill_up(&node);
    let provider = Provider::on(&node);
    let script = address(&node).script_pubkey();
    let size = OUTPUTS * (8 + 1 + script.len());
    let size = u32::try_from(size).expect("a few thousand");
    assert_eq!(4 * size, 49_600);
    let key = provider.key().to_owned();
    let mut client = TemplateClient::connect(provider.address(), &key, 0, 0);
    let most = client.transactions().len();
    client.constrain(size, 0);
    let transactions = client.transactions();
    assert!(transactions.len() < most, "some of {most} have to go");
    let weights: u64 = transactions.iter().map(|tx| tx.weight().to_wu()).sum();
    assert!(weights + 1_168 + 4 * u64::from(size) <= 4_000_000);
    let hash = client.solve(shares(client.value(), OUTPUTS, &script));
    client.step_until_on(hash);
    assert_eq!(node.tip(), hash.to_string());
    let found = FoundBlock::at(&node, node.height());
    let coinbase = &found.block.txdata[0];
    assert!(coinbase.weight().to_wu() > 50_000);
    assert!(
        found.weight > 3_500_000,
        "the block weighs {}",
        found.weight
    );
    assert_eq!(found.payouts().len(), OUTPUTS);
}

/// TD-7: what is no block is nobody else's, and costs nothing but a line in the log.
#[test]
fn a_solution_that_is_none_is_not_relayed_and_its_sender_stays() {
    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    node.mine(1, &address(&node));
    let provider = Provider::on(&node);
    let key = provider.key().to_owned();
    let script = address(&node).script_pubkey();
    let mut client = TemplateClient::connect(provider.address(), &key, 200, 80);
    let tip = node.tip();
    // It pays itself a satoshi more than there is.
    let greedy = client.value() + Amount::from_sat(1);
    client.solve(shares(greedy, 1, &script));
    provider.log().line("was refused by the node at");
    assert_eq!(node.tip(), tip);
    let hash = client.solve(shares(client.value(), 1, &script));
    client.step_until_on(hash);
    assert_eq!(node.tip(), hash.to_string());
}

/// As many outputs, which share a value.
fn shares(value: Amount, count: usize, script: &ScriptBuf) -> Vec<TxOut> {
    let one = value / count as u64;
    let output = |value| TxOut {
        value,
        script_pubkey: script.clone(),
    };
    let mut outputs = vec![output(one); count - 1];
    outputs.push(output(value - one * (count as u64 - 1)));
    outputs
}
