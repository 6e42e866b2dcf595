//! New tips: each is told once, by a node of any age.

use std::sync::atomic::{AtomicUsize, Ordering};

use bitcoin::BlockHash;
use headframe_node::rpc::{RpcSettings, TipWatch};
use headframe_work::Network;
use serde_json::json;

use crate::support::fake_node::{Call, FakeNode, Reply};

fn hash(number: usize) -> String {
    format!("{number:064x}")
}

async fn tips(node: &FakeNode, count: usize) -> Vec<BlockHash> {
    let RpcSettings { address, auth, .. } = node.settings(Network::Regtest);
    let mut watch = TipWatch::new(address, auth);
    let mut tips = Vec::new();
    for _ in 0..count {
        tips.push(watch.next().await.unwrap());
    }
    tips
}

fn expected(numbers: &[usize]) -> Vec<BlockHash> {
    numbers
        .iter()
        .map(|it| hash(*it).parse().unwrap())
        .collect()
}

/// A node that says now and then that no block has come.
#[tokio::test]
async fn each_tip_is_told_once_and_the_node_hears_which_is_known() {
    let asked = AtomicUsize::new(0);
    let node = FakeNode::start(move |call: &Call| match call.method.as_str() {
        "getbestblockhash" => Reply::Result(json!(hash(0))),
        "waitfornewblock" => {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            assert_eq!(call.params[1], hash(number.div_ceil(2)));
            Reply::Result(json!({ "hash": hash(number / 2 + 1), "height": 1 }))
        }
        other => panic!("{other}"),
    });
    assert_eq!(tips(&node, 3).await, expected(&[0, 1, 2]));
}

#[tokio::test]
async fn an_old_node_that_takes_no_known_tip_serves_as_well() {
    let node = FakeNode::start(|call: &Call| match call.method.as_str() {
        "getbestblockhash" => Reply::Result(json!(hash(0))),
        "waitfornewblock" => match call.params.as_array().map(Vec::len) {
            Some(1) => Reply::Result(json!({ "hash": hash(7), "height": 1 })),
            _ => Reply::Error(-1, "waitfornewblock ( timeout )"),
        },
        other => panic!("{other}"),
    });
    assert_eq!(tips(&node, 2).await, expected(&[0, 7]));
}
