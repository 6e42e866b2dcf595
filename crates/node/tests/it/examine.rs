//! What a node says of itself to somebody who asks whether it can be mined on.

use std::time::{SystemTime, UNIX_EPOCH};

use headframe_node::NodeError;
use headframe_node::embedded::{ChainSettings, Difficulty, EmbeddedChain};
use headframe_node::rpc::{Examination, RpcSettings, examine};
use headframe_work::{Network, Template, UnixTime};
use serde_json::json;

use crate::support::bitcoind::Bitcoind;
use crate::support::fake_node::{Call, FakeNode, Reply, gbt, healthy};

const HOUR: i64 = 3_600_000;

fn template() -> Template {
    let difficulty = Difficulty::Regtest;
    let chain = EmbeddedChain::open(None, ChainSettings { difficulty }).unwrap();
    chain.template_at(UnixTime::from_secs(1_800_000_000))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_millis().try_into().unwrap()
}

/// A node whose clock is an hour ahead, which reserves 8,000 weight units and publishes one topic.
fn answer(call: &Call, template: &Template) -> Reply {
    let weights = template.transactions.iter().map(|it| it.weight);
    let weight: u32 = weights.sum();
    match call.method.as_str() {
        "getnettotals" => Reply::Result(json!({ "timemillis": now_ms() + HOUR })),
        "getmininginfo" => Reply::Result(json!({ "currentblockweight": weight + 8_000 })),
        "getzmqnotifications" => Reply::Result(json!([
            { "type": "pubhashblock", "address": "tcp://127.0.0.1:28332", "hwm": 1000 }
        ])),
        "submitblock" => Reply::Error(-22, "Block decode failed"),
        "getblocktemplate" => Reply::Result(gbt(template, "one")),
        _ => Reply::Result(healthy(call, Network::Regtest).expect("no other call")),
    }
}

async fn examined(settings: &RpcSettings) -> Examination {
    examine(settings).await.unwrap()
}

#[tokio::test]
async fn a_node_that_is_well_says_all_of_it() {
    let template = template();
    let node = FakeNode::start({
        let template = template.clone();
        move |call| answer(call, &template)
    });
    let facts = examined(&node.settings(Network::Regtest)).await;
    assert_eq!(facts.software.as_deref(), Some("/Satoshi:31.0.0/"));
    assert_eq!((facts.height, facts.peers), (110, Some(8)));
    let clock = facts.clock.unwrap();
    // A millisecond may be lost in rounding on either side.
    assert!(
        (clock.ahead_ms - HOUR).abs() <= clock.within_ms + 2,
        "{clock:?}"
    );
    let found = facts.template.unwrap();
    assert_eq!(found.template.height, template.height);
    assert_eq!(found.reserved_weight, Some(8_000));
    assert_eq!(facts.takes_blocks, Ok(()));
    let published = facts.published.unwrap();
    assert_eq!(published[0].topic, "pubhashblock");
    assert_eq!(published[0].address, "tcp://127.0.0.1:28332");
}

/// A user to whom little is allowed, at a node that was built without ZeroMQ.
#[tokio::test]
async fn what_may_not_be_asked_is_not_known_and_what_may_not_be_done_is_told() {
    let template = template();
    let node = FakeNode::start(move |call| match call.method.as_str() {
        "getblockchaininfo" | "getblocktemplate" => answer(call, &template),
        "getzmqnotifications" => Reply::Error(-32_601, "Method not found"),
        _ => Reply::Http(403, String::new()),
    });
    let facts = examined(&node.settings(Network::Regtest)).await;
    assert!(facts.template.is_ok());
    assert_eq!((facts.software, facts.peers), (None, None));
    assert!(facts.clock.is_none());
    let unknown = facts.published.unwrap_err();
    assert!(matches!(unknown, NodeError::Rpc { .. }), "{unknown}");
    let refused = facts.takes_blocks.unwrap_err();
    assert!(matches!(refused, NodeError::Forbidden { .. }), "{refused}");
}

#[tokio::test]
async fn another_chain_is_an_error_and_one_that_syncs_gives_no_template() {
    let node = FakeNode::start(|call| {
        let mut result = healthy(call, Network::Regtest).unwrap_or_default();
        if call.method == "getblockchaininfo" {
            result["initialblockdownload"] = true.into();
            result["headers"] = 200.into();
        }
        Reply::Result(result)
    });
    let error = examine(&node.settings(Network::Signet)).await.unwrap_err();
    assert!(matches!(error, NodeError::WrongNetwork { .. }), "{error}");
    let facts = examined(&node.settings(Network::Regtest)).await;
    let syncing = facts.template.unwrap_err();
    assert!(matches!(syncing, NodeError::Syncing(_)), "{syncing}");
}

/// The reserve is one that the node was started with; the block that is none has done nothing.
#[tokio::test]
async fn bitcoin_core_says_what_it_reserves_and_takes_blocks() {
    let Some(node) = Bitcoind::start(Network::Regtest, &["-blockreservedweight=12345"]) else {
        return;
    };
    let settings = node.settings();
    let facts = loop {
        match examine(&settings).await {
            Ok(facts) => break facts,
            Err(error) => eprintln!("not yet: {error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert_eq!(facts.template.unwrap().reserved_weight, Some(12_345));
    assert_eq!(facts.takes_blocks, Ok(()));
    assert!(facts.software.unwrap().starts_with("/Satoshi:"));
    let clock = facts.clock.unwrap();
    assert!(clock.ahead_ms.abs() <= clock.within_ms + 2, "{clock:?}");
    assert_eq!(facts.height, 0);
}
