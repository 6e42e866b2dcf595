//! Blocks, proposals and questions over RPC: a test per row of R-23, and every way in which a node
//! can fail to answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bitcoin::hashes::Hash;
use bitcoin::hex::DisplayHex;
use bitcoin::{BlockHash, ScriptBuf, Txid};
use headframe_node::rpc::{RpcAuth, RpcSink, connect};
use headframe_node::{BlockFate, BlockSink, CheckAnswer, NodeError, SubmitAnswer};
use headframe_testkit::{Chain, REGTEST_BITS};
use headframe_work::{Block, Header, Network, Payout, PreparedTemplate};
use serde_json::{Value, json};

use crate::support::fake_node::{Call, FakeNode, Reply, healthy};

fn sink(node: &FakeNode) -> RpcSink {
    RpcSink::new(&node.settings(Network::Regtest)).unwrap()
}

/// What comes of a block when the node replies to it like this, once.
fn submit(reply: impl Fn() -> Reply + Send + Sync + 'static) -> SubmitAnswer {
    let node = FakeNode::start(move |_| reply());
    let answer = sink(&node).submit(&"00ff".into());
    let call = node.calls().pop().expect("the node was called");
    assert_eq!(call.method, "submitblock");
    assert_eq!(call.params, json!(["00ff"]));
    answer
}

fn refused(reason: &str) -> SubmitAnswer {
    SubmitAnswer::Refused(reason.to_owned())
}

fn retry_reason(answer: SubmitAnswer) -> String {
    match answer {
        SubmitAnswer::Retry(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn null_is_accepted() {
    assert_eq!(
        submit(|| Reply::Result(Value::Null)),
        SubmitAnswer::Accepted
    );
}

#[test]
fn duplicate_is_known() {
    let answer = submit(|| Reply::Result("duplicate".into()));
    assert_eq!(answer, SubmitAnswer::AlreadyKnown);
}

#[test]
fn duplicate_inconclusive_is_known() {
    let answer = submit(|| Reply::Result("duplicate-inconclusive".into()));
    assert_eq!(answer, SubmitAnswer::AlreadyKnown);
}

#[test]
fn inconclusive_is_followed() {
    let answer = submit(|| Reply::Result("inconclusive".into()));
    assert_eq!(answer, SubmitAnswer::Inconclusive);
}

#[test]
fn prev_blk_not_found_is_retried() {
    let answer = submit(|| Reply::Result("prev-blk-not-found".into()));
    assert!(retry_reason(answer).contains("previous block"));
}

#[test]
fn warm_up_is_retried() {
    let answer = submit(|| Reply::Error(-28, "Loading block index…"));
    assert!(retry_reason(answer).contains("Loading block index"));
}

#[test]
fn a_full_work_queue_is_retried() {
    let answer = submit(|| Reply::Http(503, "Work queue depth exceeded".to_owned()));
    assert!(retry_reason(answer).contains("503"));
}

/// ADR 11: errors by which Bitcoin Core says that it failed. The disk is full, an exception was thrown, memory is
/// short, the call is not known, it cannot shut down by halves.
#[test]
fn a_failure_of_the_node_is_retried() {
    for code in [-25, -1, -7, -32_601, -32_603] {
        let answer = submit(move || Reply::Error(code, "Shutting down"));
        assert!(retry_reason(answer).contains("Shutting down"), "{code}");
    }
}

#[test]
fn silence_is_retried() {
    let node = FakeNode::start(|_| Reply::Hang);
    let mut settings = node.settings(Network::Regtest);
    settings.submit_limit = Duration::from_millis(50);
    let answer = RpcSink::new(&settings).unwrap().submit(&"00".into());
    assert!(retry_reason(answer).contains("no answer to submitblock"));
}

#[test]
fn duplicate_invalid_and_all_else_is_refused() {
    for reason in [
        "duplicate-invalid",
        "high-hash",
        "bad-cb-amount",
        "bad-witness-merkle-match",
        "rejected",
    ] {
        assert_eq!(
            submit(move || Reply::Result(reason.into())),
            refused(reason)
        );
    }
    let answer = submit(|| Reply::Error(-22, "Block decode failed"));
    assert_eq!(answer, refused("Block decode failed"));
}

#[test]
fn a_node_that_breaks_off_is_retried() {
    assert!(retry_reason(submit(|| Reply::Half)).contains("submitblock"));
    assert!(retry_reason(submit(|| Reply::Close)).contains("closed the connection"));
}

#[test]
fn what_is_no_answer_is_retried() {
    let answers = [
        || Reply::Http(200, "<html>".to_owned()),
        || Reply::Http(500, String::new()),
        || Reply::Http(502, "Bad Gateway".to_owned()),
        || Reply::Http(200, r#"{"result":7,"error":null,"id":0}"#.to_owned()),
        || Reply::Http(200, "[]".to_owned()),
    ];
    for reply in answers {
        retry_reason(submit(reply));
    }
}

#[test]
fn nobody_there_is_retried() {
    let node = FakeNode::start(|_| Reply::Close);
    let settings = node.settings(Network::Regtest);
    let address = node.address;
    // A port that was just bound and is free again.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    assert_ne!(free, address);
    let mut settings = settings;
    settings.address =
        headframe_node::rpc::RpcAddress::parse(&free.to_string(), Network::Regtest).unwrap();
    let mut sink = RpcSink::new(&settings).unwrap();
    assert!(retry_reason(sink.submit(&"00".into())).contains(&free.to_string()));
    assert!(matches!(
        sink.stand_by(),
        Err(NodeError::Unreachable { .. })
    ));
}

#[test]
fn blocks_go_over_the_connection_that_stands_by() {
    let node = FakeNode::start(|call| match call.method.as_str() {
        "uptime" => Reply::Result(json!(7)),
        _ => Reply::Result(Value::Null),
    });
    let mut sink = sink(&node);
    sink.stand_by().unwrap();
    sink.stand_by().unwrap();
    assert_eq!(sink.submit(&"00".into()), SubmitAnswer::Accepted);
    let connections: Vec<usize> = node.calls().iter().map(|call| call.connection).collect();
    assert_eq!(connections, [0, 0, 0]);
}

#[test]
fn a_connection_that_the_node_closed_is_opened_again_at_once() {
    let calls = AtomicUsize::new(0);
    let node = FakeNode::start(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        1 => Reply::Close,
        _ => Reply::Result(Value::Null),
    });
    let mut sink = sink(&node);
    assert_eq!(sink.submit(&"00".into()), SubmitAnswer::Accepted);
    assert_eq!(sink.submit(&"01".into()), SubmitAnswer::Accepted);
    let calls: Vec<(usize, Value)> = node
        .calls()
        .into_iter()
        .map(|call| (call.connection, call.params))
        .collect();
    assert_eq!(
        calls,
        [(0, json!(["00"])), (0, json!(["01"])), (1, json!(["01"]))]
    );
}

#[test]
fn a_block_of_the_largest_size_is_sent_whole() {
    let block = "ab".repeat(4_000_000);
    let expected = block.clone();
    let node = FakeNode::start(move |call| {
        Reply::Result(if call.params == json!([expected]) {
            Value::Null
        } else {
            "not it".into()
        })
    });
    assert_eq!(
        sink(&node).submit(&block.as_str().into()),
        SubmitAnswer::Accepted
    );
}

/// Its transactions are sent from where the template has them; a connection that broke takes none of it along.
#[test]
fn a_block_of_a_template_is_sent_whole_and_again() {
    let template = Chain::new(1, REGTEST_BITS, 3).template();
    let block = Block {
        header: Header {
            version: template.version,
            prev_hash: template.prev_hash,
            merkle_root: [7; 32],
            time: template.current_time,
            bits: template.bits,
            nonce: 0,
        },
        coinbase: vec![1, 2, 3],
        prepared: Arc::new(PreparedTemplate::new(template).unwrap()),
        payout: Payout::new(ScriptBuf::new(), None),
    };
    let expected = block.to_bytes().to_lower_hex_string();
    let calls = AtomicUsize::new(0);
    let node = FakeNode::start(move |call| {
        assert_eq!(call.params, json!([expected]));
        match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::Result(Value::Null),
            1 => Reply::Close,
            _ => Reply::Result("duplicate".into()),
        }
    });
    let mut sink = sink(&node);
    assert_eq!(sink.submit(&block.to_hex()), SubmitAnswer::Accepted);
    assert_eq!(sink.submit(&block.to_hex()), SubmitAnswer::AlreadyKnown);
}

/// A file of the journal may hold anything.
#[test]
fn what_is_no_block_reaches_the_node_as_it_is() {
    let node = FakeNode::start(|_| Reply::Error(-22, "Block decode failed"));
    let text = "a \"block\"\n";
    assert_eq!(
        sink(&node).submit(&text.into()),
        refused("Block decode failed")
    );
    assert_eq!(node.calls().pop().unwrap().params, json!([text]));
}

#[test]
fn an_answer_without_end_is_not_read() {
    let node = FakeNode::start(|_| Reply::Http(200, " ".repeat(65 << 20)));
    assert!(retry_reason(sink(&node).submit(&"00".into())).contains("longer than 64 MiB"));
}

#[test]
fn a_new_cookie_is_read_when_the_old_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let cookie = directory.path().join(".cookie");
    std::fs::write(&cookie, "__cookie__:old").unwrap();
    let path = cookie.clone();
    // "__cookie__:old" and "__cookie__:new" in base64.
    let (old, new) = ("Basic X19jb29raWVfXzpvbGQ=", "Basic X19jb29raWVfXzpuZXc=");
    let node = FakeNode::start(move |call: &Call| {
        if call.params == json!(["02"]) && call.authorization == old {
            std::fs::write(&path, "__cookie__:new").unwrap();
            return Reply::Http(401, String::new());
        }
        Reply::Result(Value::Null)
    });
    let mut settings = node.settings(Network::Regtest);
    settings.auth = RpcAuth::Cookie(vec![cookie]);
    let mut sink = RpcSink::new(&settings).unwrap();
    for block in ["01", "02", "03"] {
        assert_eq!(sink.submit(&block.into()), SubmitAnswer::Accepted);
    }
    let used: Vec<String> = node
        .calls()
        .into_iter()
        .map(|call| call.authorization)
        .collect();
    assert_eq!(used, [old, old, new, new]);
}

#[test]
fn a_wrong_password_is_tried_once_and_named_without_itself() {
    let node = FakeNode::start(|_| Reply::Http(401, String::new()));
    let mut sink = sink(&node);
    let error = sink.stand_by().unwrap_err();
    assert_eq!(node.calls().len(), 1);
    let text = error.to_string();
    assert!(
        text.contains("user \"ann\"") && !text.contains("secret"),
        "{text}"
    );
    assert!(matches!(error, NodeError::Unauthorized { .. }));
}

#[test]
fn the_fate_of_a_block() {
    let replies: [(fn() -> Reply, BlockFate); 4] = [
        (
            || Reply::Result(json!({ "confirmations": 1 })),
            BlockFate::InChain { confirmations: 1 },
        ),
        (
            || Reply::Result(json!({ "confirmations": 9 })),
            BlockFate::InChain { confirmations: 9 },
        ),
        (
            || Reply::Result(json!({ "confirmations": -1 })),
            BlockFate::SideBranch,
        ),
        (|| Reply::Error(-5, "Block not found"), BlockFate::Unknown),
    ];
    for (reply, fate) in replies {
        let node = FakeNode::start(move |_| reply());
        assert_eq!(sink(&node).fate(BlockHash::all_zeros()), Ok(fate));
    }
    let node = FakeNode::start(|_| Reply::Error(-28, "Verifying blocks…"));
    assert!(matches!(
        sink(&node).fate(BlockHash::all_zeros()),
        Err(NodeError::WarmingUp(_))
    ));
}

#[tokio::test]
async fn proposals() {
    let rows: [(fn() -> Reply, CheckAnswer); 5] = [
        (|| Reply::Result(Value::Null), CheckAnswer::Valid),
        (
            || Reply::Result("inconclusive-not-best-prevblk".into()),
            CheckAnswer::StaleTip,
        ),
        (
            || Reply::Result("duplicate".into()),
            CheckAnswer::AlreadyKnown,
        ),
        (
            || Reply::Result("bad-cb-amount".into()),
            CheckAnswer::Refused("bad-cb-amount".to_owned()),
        ),
        (
            || Reply::Error(-22, "Block decode failed"),
            CheckAnswer::Refused("Block decode failed".to_owned()),
        ),
    ];
    for (reply, expected) in rows {
        let node = FakeNode::start(move |call| {
            if call.params[0]["mode"] == "proposal" {
                reply()
            } else {
                Reply::Hang
            }
        });
        let ports = connect(node.settings(Network::Regtest)).unwrap();
        assert_eq!(ports.check.check("00").await, Ok(expected));
    }
}

#[tokio::test]
async fn transactions_that_the_node_does_not_know_are_none() {
    let txids: Vec<Txid> = (0..120u8)
        .map(|byte| Txid::from_byte_array([byte; 32]))
        .collect();
    let known = txids[70].to_string();
    let node = FakeNode::start(move |call| match healthy(call, Network::Regtest) {
        Some(result) => Reply::Result(result),
        None if call.method == "getblocktemplate" => Reply::Hang,
        None if call.params == json!([known]) => Reply::Result("c0ffee".into()),
        None => Reply::Error(-5, "No such mempool transaction"),
    });
    let ports = connect(node.settings(Network::Regtest)).unwrap();
    let found = ports.transactions.transactions(&txids).await.unwrap();
    assert_eq!(found.len(), txids.len());
    for (index, found) in found.iter().enumerate() {
        let expected = (index == 70).then(|| vec![0xc0, 0xff, 0xee]);
        assert_eq!(*found, expected, "{index}");
    }
}
