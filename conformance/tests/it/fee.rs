//! The operator's fee, split between two addresses.

use headframe_conformance::wait::until_true;
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, FoundBlock, Key, Miner, Pool, Protocol};

/// 50 bitcoins, less 1.5 percent, of which one fifth goes to the second address.
const EXPECTED: [u64; 3] = [4_925_000_000, 60_000_000, 15_000_000];

#[test]
fn a_fee_is_split_as_configured_and_the_miner_has_the_rest() {
    if let Some(node) = Bitcoind::start(Chain::Regtest) {
        split_fees_on(&node);
    }
}

/// A block of each protocol pays miner and operator.
pub(crate) fn split_fees_on(node: &Bitcoind) {
    let network = node.chain().network();
    let miner_address = Key::number(1).address(Kind::P2tr, network);
    let operator = Key::number(2).address(Kind::P2wpkh, network);
    let second = Key::number(3).address(Kind::P2pkh, network);
    let settings = [
        ("PAYOUT_FEE_PERCENT", "1.5"),
        ("PAYOUT_FEE_ADDRESS", &operator.to_string()),
        ("PAYOUT_FEE_SPLIT_PERCENT", "20"),
        ("PAYOUT_FEE_SPLIT_ADDRESS", &second.to_string()),
    ];
    let pool = Pool::configured(node, &settings);

    for protocol in Protocol::ALL {
        let before = node.height();
        let user = miner_address.to_string();
        let mut miner = Miner::start(&pool, protocol, &user, &["--throttle", "20"]);
        until_true("a block", || node.height() > before);
        miner.stop();
        let found = FoundBlock::at(node, before + 1);
        let mut paid = found.payouts();
        paid.sort_by_key(|(_, amount)| core::cmp::Reverse(*amount));
        let scripts = [&miner_address, &operator, &second].map(|address| address.script_pubkey());
        let amounts: Vec<u64> = paid.iter().map(|(_, amount)| amount.to_sat()).collect();
        assert_eq!(amounts, EXPECTED, "{protocol:?}");
        assert!(
            paid.iter().map(|(script, _)| script).eq(&scripts),
            "{protocol:?}"
        );
    }
}
