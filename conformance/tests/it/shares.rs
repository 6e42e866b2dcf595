//! Shares that are no blocks, on a signet that anybody may mine.

use headframe_conformance::wait::until_true;
use headframe_conformance::wallet::Kind;
use headframe_conformance::{Bitcoind, Chain, Key, Miner, Pool, Protocol};
use serde_json::Value;

/// A millionth of the network's difficulty, about: some shares a second at the rate below.
const START: (&str, &str) = ("DIFFICULTY_START", "0.00000095367431640625");
const OPTIONS: [&str; 2] = ["--throttle", "20000"];
/// Shares of each miner.
const SHARES: usize = 5;

#[test]
fn shares_are_counted_alike_by_miner_and_pool() {
    let Some(node) = Bitcoind::start(Chain::OpenSignet) else {
        return;
    };
    let pool = Pool::configured(&node, &[START, ("DIFFICULTY_SHARES_PER_MINUTE", "120")]);
    let address = Key::number(1).address(Kind::P2wpkh, node.chain().network());
    let mut miners = Protocol::ALL.map(|protocol| {
        let user = format!("{address}.{protocol:?}");
        (protocol, Miner::start(&pool, protocol, &user, &OPTIONS))
    });
    for (protocol, miner) in &miners {
        until_true(&format!("{SHARES} shares of {protocol:?}"), || {
            let lines = miner.log().lines();
            let accepted = lines.iter().filter(|line| line.contains("accepted"));
            accepted.count() >= SHARES
        });
    }
    let mut told = 0;
    for (protocol, miner) in &mut miners {
        let counts = miner.stop();
        assert_eq!(
            counts["shares_rejected"],
            Value::Object(Default::default()),
            "{protocol:?}"
        );
        told += counts["shares_accepted"].as_u64().expect("a number");
    }
    // The pool may know of shares whose acknowledgement a leaving miner did not wait for.
    pool.wait_for_shares(told);
    let summary = pool.api("summary");
    assert_eq!(summary["shares"]["rejected"], 0, "{summary}");
    assert_eq!(summary["ledger"]["shares_not_durable"], 0, "{summary}");
    assert_eq!(summary["blocks"]["found"].as_u64(), Some(node.height()));
}
