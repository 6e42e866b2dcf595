//! A block full of transactions with witnesses: merkle path, commitment, fees and weight are real.

use std::slice;

use bitcoin::{Amount, ScriptBuf, Transaction};
use headframe_conformance::wait::until_true;
use headframe_conformance::wallet::{Coin, Kind};
use headframe_conformance::{Bitcoind, Chain, FoundBlock, Key, Miner, Pool, Protocol};
use serde_json::json;

/// Coinbases that can be spent; a coinbase matures after 100 blocks.
const COINBASES: u64 = 12;
const MATURITY: u32 = 100;
/// Small transactions, half of them from P2WPKH and half from P2TR.
const SMALL: usize = 300;
/// Outputs of a large transaction: below the 400,000 weight units that nodes relay.
const OUTPUTS: usize = 3_000;
/// What the block has to weigh at least, of 4,000,000.
pub(crate) const FULL: u64 = 3_800_000;

#[test]
fn a_template_full_of_segwit_transactions_gives_a_valid_block() {
    if let Some(node) = Bitcoind::start(Chain::Regtest) {
        fill_a_block_on(&node);
    }
}

/// A block of as many transactions as fit.
pub(crate) fn fill_a_block_on(node: &Bitcoind) {
    fill_mempool(node);
    let pool = Pool::on(node);
    let before = node.height();
    let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
    let user = address.to_string();
    let mut miner = Miner::start(&pool, Protocol::Sv2Extended, &user, &["--throttle", "20"]);
    until_true("a block", || node.height() > before);
    miner.stop();

    let found = FoundBlock::at(node, before + 1);
    assert!(found.weight > FULL, "the block weighs {}", found.weight);
    assert!(found.block.txdata.len() > SMALL);
    assert!(found.fees > Amount::ZERO);
    assert_eq!(found.payouts(), [(address.script_pubkey(), found.value())]);
    assert!(found.block.check_witness_commitment());
}

/// Transactions for more than one block, each from a coin that is in the chain.
pub(crate) fn fill_mempool(node: &Bitcoind) {
    let key = Key::number(9);
    let network = node.chain().network();
    let [witness, taproot] = [Kind::P2wpkh, Kind::P2tr].map(|kind| key.address(kind, network));
    let few = u32::try_from(COINBASES).expect("a few");
    node.mine(few + MATURITY, &witness);
    let mut coinbases = (1..=COINBASES).map(|height| coinbase(node, height));

    let (witness, taproot) = (witness.script_pubkey(), taproot.script_pubkey());
    let both = |index: usize| [&witness, &taproot][index % 2].clone();
    let scripts: Vec<ScriptBuf> = (0..SMALL).map(both).collect();
    let source = coinbases.next().expect("there is a first");
    let fan_out = spend(key, &source, &scripts);
    node.send(&fan_out);
    node.mine(1, &key.address(Kind::P2wpkh, network));

    for index in 0..SMALL {
        let index = u32::try_from(index).expect("a few hundred");
        node.send(&spend(
            key,
            &Coin::of(&fan_out, index),
            slice::from_ref(&taproot),
        ));
    }
    for coin in coinbases {
        node.send(&spend(key, &coin, &vec![witness.clone(); OUTPUTS]));
    }
    let waiting = node.call("getmempoolinfo", json!([]))["size"].as_u64();
    assert_eq!(waiting, Some(SMALL as u64 + COINBASES - 1));
}

/// Two more, of a size that fits beside the large ones: the block is full to within what Bitcoin Core keeps free.
pub(crate) fn fill_up(node: &Bitcoind) {
    let key = Key::number(9);
    let script = key
        .address(Kind::P2wpkh, node.chain().network())
        .script_pubkey();
    for height in COINBASES + 1..=COINBASES + 2 {
        node.send(&spend(
            key,
            &coinbase(node, height),
            &vec![script.clone(); 490],
        ));
    }
}

fn coinbase(node: &Bitcoind, height: u64) -> Coin {
    Coin::of(&node.block(&node.hash_at(height)).txdata[0], 0)
}

/// A hundredth of the coin is the fee.
fn spend(key: Key, coin: &Coin, scripts: &[ScriptBuf]) -> Transaction {
    let fee = coin.output.value / 100;
    key.spend(coin, coin.shared_among(scripts, fee))
}
