//! Templates over RPC: what the source tells when the node's tip, templates and moods change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bitcoin::CompactTarget;
use headframe_node::embedded::{ChainSettings, Difficulty, EmbeddedChain};
use headframe_node::rpc::{RpcAuth, RpcSettings, connect};
use headframe_node::{Cause, Condition, ErrorKind, Fault, NodeError, SubmitAnswer, TemplateUpdate};
use headframe_work::{Network, Template, UnixTime};
use serde_json::{Value, json};

use crate::support::block::{bytes, solved};
use crate::support::fake_node::{Call, FakeNode, Gate, Reply, gbt, healthy};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn chain() -> EmbeddedChain {
    let settings = ChainSettings {
        difficulty: Difficulty::Regtest,
    };
    EmbeddedChain::open(None, settings).unwrap()
}

fn template() -> Template {
    chain().template_at(NOW)
}

fn template_of(network: Network) -> Template {
    Template {
        network,
        ..template()
    }
}

fn is_long_poll(call: &Call) -> bool {
    call.params[0]["longpollid"].is_string()
}

/// A healthy node with one template whose long polls never end.
fn quiet_node(template: Template) -> FakeNode {
    let network = template.network;
    FakeNode::start(move |call| match healthy(call, network) {
        Some(result) => Reply::Result(result),
        None if is_long_poll(call) => Reply::Hang,
        None => Reply::Result(gbt(&template, "one")),
    })
}

/// A node whose template is the answer that the closure makes of a good one.
fn node_with(network: Network, change: fn(&mut Value)) -> FakeNode {
    let mut answer = gbt(&template_of(network), "one");
    change(&mut answer);
    FakeNode::start(move |call| match healthy(call, network) {
        Some(result) => Reply::Result(result),
        None => Reply::Result(answer.clone()),
    })
}

async fn first(settings: RpcSettings) -> Result<TemplateUpdate, NodeError> {
    connect(settings).unwrap().templates.next().await
}

async fn first_error(node: &FakeNode, network: Network) -> NodeError {
    let mut ports = connect(node.settings(network)).unwrap();
    let error = ports
        .templates
        .next()
        .await
        .expect_err("the node is unusable");
    assert_eq!(
        ports.status.borrow().condition,
        Condition::Unusable(error.clone())
    );
    assert!(!error.advice().is_empty());
    error
}

#[tokio::test]
async fn a_template_arrives_as_the_node_made_it() {
    let expected = template();
    let node = quiet_node(expected.clone());
    let mut ports = connect(node.settings(Network::Regtest)).unwrap();
    assert_eq!(ports.status.borrow().condition, Condition::Starting);
    let update = ports.templates.next().await.unwrap();
    assert_eq!(*update.template, expected);
    assert_eq!(update.template.coinbase_sequence, 0xffff_fffe);
    assert_eq!(update.template.coinbase_lock_time, expected.height - 1);
    assert_eq!(update.cause, Cause::NewTip);
    assert_eq!(
        (update.window.earliest, update.window.latest),
        (expected.min_time, None)
    );
    let later = update.received + Duration::from_secs(7);
    assert_eq!(
        update.consensus_time(later).as_secs(),
        expected.current_time.as_secs() + 7
    );
    let status = ports.status.borrow().clone();
    assert!(status.is_ready());
    assert_eq!(status.name, format!("Bitcoin Core at {}", node.address));
    assert_eq!(status.version.as_deref(), Some("/Satoshi:31.0.0/"));
    assert_eq!(status.peers, Some(8));
    assert_eq!(status.tip.unwrap().hash, expected.prev_hash);
    assert!(status.last_template.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_network_is_asked_with_its_rules() {
    for network in Network::ALL {
        let template = template_of(network);
        let node = FakeNode::start(move |call| match healthy(call, network) {
            Some(result) => Reply::Result(result),
            None if call.method == "getblockheader" => {
                Reply::Result(json!({ "time": 1_799_999_000 }))
            }
            None if is_long_poll(call) => Reply::Hang,
            None => Reply::Result(gbt(&template, "one")),
        });
        let answer = first(node.settings(network)).await;
        let rules = match network {
            Network::Mainnet | Network::Testnet4 | Network::Regtest => json!(["segwit"]),
            Network::Signet => json!(["segwit", "signet"]),
        };
        let asked = node.wait_for(|call| call.method == "getblocktemplate");
        assert_eq!(asked.params[0]["rules"], rules, "{network}");
        assert_eq!(answer.unwrap().template.network, network);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_tells_the_new_tip_and_polls_on_with_its_id() {
    let chain = chain();
    let old = chain.template_at(NOW);
    assert_eq!(
        chain.submit_at(&bytes(&solved(&old)), NOW),
        SubmitAnswer::Accepted
    );
    let new = chain.template_at(NOW);
    let expected = new.clone();
    let gate = Arc::new(Gate::default());
    let waiting = gate.clone();
    let node = FakeNode::start(move |call| match healthy(call, Network::Regtest) {
        Some(result) => Reply::Result(result),
        None if call.params[0]["longpollid"] == "one" => {
            waiting.wait();
            Reply::Result(gbt(&new, "two"))
        }
        None if is_long_poll(call) => Reply::Hang,
        None => Reply::Result(gbt(&old, "one")),
    });
    let mut ports = connect(node.settings(Network::Regtest)).unwrap();
    ports.templates.next().await.unwrap();
    gate.open();
    let update = ports.templates.next().await.unwrap();
    assert_eq!(*update.template, expected);
    assert_eq!(update.cause, Cause::NewTip);
    node.wait_for(|call| call.params[0]["longpollid"] == "two");
}

/// An answer that was long under way, or that a proxy has kept, takes nobody back to a tip that the node has left;
/// one of a node that has itself gone back does.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_s_late_answer_is_not_told() {
    let chain = chain();
    let old = chain.template_at(NOW);
    let block = solved(&old);
    assert_eq!(chain.submit_at(&bytes(&block), NOW), SubmitAnswer::Accepted);
    let new = chain.template_at(NOW);
    for (present, told) in [(&new, &new), (&old, &old)] {
        let best = present.prev_hash.to_string();
        let (old, new) = (old.clone(), new.clone());
        let node = FakeNode::start(move |call| match healthy(call, Network::Regtest) {
            Some(_) if call.method == "getbestblockhash" => Reply::Result(best.clone().into()),
            Some(result) => Reply::Result(result),
            None => match call.params[0]["longpollid"].as_str() {
                None => Reply::Result(gbt(&old, "one")),
                Some("one") => Reply::Result(gbt(&new, "two")),
                Some("two") => Reply::Result(gbt(&old, "three")),
                Some(_) => Reply::Hang,
            },
        });
        let ports = connect(node.settings(Network::Regtest)).unwrap();
        node.wait_for(|call| call.params[0]["longpollid"] == "three");
        let tip = ports.status.borrow().tip.unwrap();
        assert_eq!(tip.hash, told.prev_hash);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_that_missed_a_tip_is_given_up() {
    let chain = chain();
    let old = chain.template_at(NOW);
    assert_eq!(
        chain.submit_at(&bytes(&solved(&old)), NOW),
        SubmitAnswer::Accepted
    );
    let new = chain.template_at(NOW);
    let expected = new.prev_hash;
    let asked = AtomicUsize::new(0);
    let node = FakeNode::start(move |call| match healthy(call, Network::Regtest) {
        Some(result) => Reply::Result(result),
        None if is_long_poll(call) => Reply::Hang,
        None if asked.fetch_add(1, Ordering::SeqCst) == 0 => Reply::Result(gbt(&old, "one")),
        None => Reply::Result(gbt(&new, "one")),
    });
    let mut settings = node.settings(Network::Regtest);
    settings.refresh = Duration::from_millis(1);
    let mut ports = connect(settings).unwrap();
    ports.templates.next().await.unwrap();
    while ports.templates.next().await.unwrap().template.prev_hash != expected {}
    let dead = node.wait_for(is_long_poll).connection;
    node.wait_for(|call| is_long_poll(call) && call.connection != dead);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timer_refreshes_beside_a_long_poll_that_is_kept() {
    let node = quiet_node(template());
    let mut settings = node.settings(Network::Regtest);
    settings.refresh = Duration::from_millis(1);
    let mut ports = connect(settings).unwrap();
    let first = ports.templates.next().await.unwrap();
    let second = ports.templates.next().await.unwrap();
    let third = ports.templates.next().await.unwrap();
    assert_eq!(first.cause, Cause::NewTip);
    assert_eq!(
        (second.cause, third.cause),
        (Cause::Refresh, Cause::Refresh)
    );
    assert!(first.received < second.received && second.received < third.received);
    node.wait_for(is_long_poll);
    let calls = node.calls();
    assert_eq!(calls.iter().filter(|call| is_long_poll(call)).count(), 1);
    let refreshes: Vec<usize> = calls
        .iter()
        .filter(|call| call.method == "getblocktemplate" && !is_long_poll(call))
        .map(|call| call.connection)
        .collect();
    assert!(
        refreshes
            .iter()
            .all(|connection| *connection == refreshes[0])
    );
}

#[tokio::test]
async fn only_the_newest_template_is_told() {
    let node = quiet_node(template());
    let mut settings = node.settings(Network::Regtest);
    settings.refresh = Duration::from_millis(1);
    let mut ports = connect(settings).unwrap();
    let mut health = ports.status.clone();
    let ready = health
        .wait_for(|status| status.is_ready())
        .await
        .unwrap()
        .last_template;
    let refreshed = health
        .wait_for(|status| status.last_template > ready)
        .await
        .unwrap()
        .last_template;
    let told = ports.templates.next().await.unwrap();
    assert!(Some(told.received) >= refreshed);
}

#[tokio::test]
async fn a_dropped_source_leaves_the_node_alone() {
    let node = quiet_node(template());
    let mut ports = connect(node.settings(Network::Regtest)).unwrap();
    ports.templates.next().await.unwrap();
    let mut health = ports.status.clone();
    drop(ports);
    // The task owned the status; its end closes the channel.
    while health.changed().await.is_ok() {}
}

#[tokio::test]
async fn a_node_on_another_chain_is_refused() {
    let node = quiet_node(template_of(Network::Signet));
    let error = first_error(&node, Network::Mainnet).await;
    let found = "signet".to_owned();
    assert_eq!(
        error,
        NodeError::WrongNetwork {
            expected: Network::Mainnet,
            found
        }
    );
    assert_eq!(
        (error.kind(), error.fault()),
        (ErrorKind::Persistent, Fault::Operator)
    );
    assert!(
        node.calls()
            .iter()
            .all(|call| call.method == "getblockchaininfo")
    );
}

#[tokio::test]
async fn a_signet_with_a_real_challenge_is_refused() {
    let node = node_with(Network::Signet, |answer| {
        answer["signet_challenge"] =
            "512103ad5e0edad18cb1f0fc0d28a3d4f1f3e445640337489abb10404f2d1e086be43051ae".into();
    });
    let error = first_error(&node, Network::Signet).await;
    assert!(
        matches!(error, NodeError::SignetChallenge { .. }),
        "{error}"
    );
    assert_eq!(error.fault(), Fault::Operator);
    let silent = node_with(Network::Signet, |answer| {
        answer.as_object_mut().unwrap().remove("signet_challenge");
    });
    let error = first_error(&silent, Network::Signet).await;
    assert!(error.to_string().contains("signet_challenge"), "{error}");
}

#[tokio::test]
async fn a_rule_that_nobody_here_knows_is_refused() {
    let node = node_with(Network::Regtest, |answer| {
        answer["rules"] = json!(["csv", "!segwit", "covenants", "!ossification"]);
    });
    let error = first_error(&node, Network::Regtest).await;
    assert_eq!(
        error,
        NodeError::UnknownRule {
            rule: "ossification".to_owned()
        }
    );
    assert_eq!(error.fault(), Fault::Ours);
}

#[tokio::test]
async fn a_syncing_node_is_waited_for() {
    let asked = AtomicUsize::new(0);
    let template = template();
    let node = FakeNode::start(move |call| match healthy(call, Network::Regtest) {
        Some(mut info) if call.method == "getblockchaininfo" => {
            if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                info["initialblockdownload"] = true.into();
                info["headers"] = 850_000.into();
            }
            Reply::Result(info)
        }
        Some(result) => Reply::Result(result),
        None if is_long_poll(call) => Reply::Hang,
        None => Reply::Result(gbt(&template, "one")),
    });
    let mut ports = connect(node.settings(Network::Regtest)).unwrap();
    let error = ports.templates.next().await.unwrap_err();
    assert_eq!(error, NodeError::Syncing("block 110 of 850000".to_owned()));
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert_eq!(ports.templates.next().await.unwrap().cause, Cause::NewTip);
    assert!(ports.status.borrow().is_ready());
}

#[tokio::test]
async fn how_far_a_syncing_node_is_shows_in_its_status_and_is_told_once() {
    let asked = AtomicUsize::new(0);
    let template = template();
    let node = FakeNode::start(move |call| match healthy(call, Network::Regtest) {
        Some(mut info) if call.method == "getblockchaininfo" => {
            let asked = asked.fetch_add(1, Ordering::SeqCst);
            info["headers"] = 850_000.into();
            info["initialblockdownload"] = (asked < 2).into();
            info["verificationprogress"] = json!([0.25, 0.5, 1.5][asked.min(2)]);
            info["blocks"] = json!(110 + asked);
            Reply::Result(info)
        }
        Some(result) => Reply::Result(result),
        None if is_long_poll(call) => Reply::Hang,
        None => Reply::Result(gbt(&template, "one")),
    });
    let mut ports = connect(node.settings(Network::Regtest)).unwrap();
    assert!(matches!(
        ports.templates.next().await,
        Err(NodeError::Syncing(_))
    ));
    let further = |status: &headframe_node::NodeStatus| status.verified == Some(0.5);
    ports.status.wait_for(further).await.unwrap();
    // The next word is the template.
    assert_eq!(ports.templates.next().await.unwrap().cause, Cause::NewTip);
    // No node is further than at the end.
    assert_eq!(ports.status.borrow().verified, Some(1.0));
}

#[tokio::test]
async fn a_new_chain_of_our_own_is_not_syncing() {
    let template = template();
    let node = FakeNode::start(move |call| match healthy(call, Network::Regtest) {
        Some(mut info) if call.method == "getblockchaininfo" => {
            info["initialblockdownload"] = true.into();
            Reply::Result(info)
        }
        Some(result) => Reply::Result(result),
        None if is_long_poll(call) => Reply::Hang,
        None => Reply::Result(gbt(&template, "one")),
    });
    first(node.settings(Network::Regtest)).await.unwrap();
}

#[tokio::test]
async fn core_s_own_words_for_not_yet() {
    type Error = fn(String) -> NodeError;
    let rows: [(i64, &str, Error); 3] = [
        (
            -10,
            "in initial sync and waiting for blocks...",
            NodeError::Syncing,
        ),
        (-9, "Bitcoin Core is not connected!", NodeError::NoPeers),
        (-28, "Loading block index…", NodeError::WarmingUp),
    ];
    for (code, words, error) in rows {
        let node = FakeNode::start(move |call| match healthy(call, Network::Mainnet) {
            Some(result) if code != -28 => Reply::Result(result),
            _ => Reply::Error(code, words),
        });
        assert_eq!(
            first_error(&node, Network::Mainnet).await,
            error(words.to_owned())
        );
    }
}

#[tokio::test]
async fn the_same_error_is_told_once() {
    let asked = AtomicUsize::new(0);
    let node = FakeNode::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0..2 => Reply::Error(-28, "Loading block index…"),
        _ => Reply::Error(-28, "Verifying blocks…"),
    });
    let mut ports = connect(node.settings(Network::Regtest)).unwrap();
    let mut texts = Vec::new();
    for _ in 0..2 {
        texts.push(ports.templates.next().await.unwrap_err().to_string());
    }
    assert!(
        texts[0].contains("Loading") && texts[1].contains("Verifying"),
        "{texts:?}"
    );
}

#[tokio::test]
async fn a_restarted_node_is_told_and_followed_again() {
    let gate = Arc::new(Gate::default());
    let waiting = gate.clone();
    let template = template();
    let long_polls = AtomicUsize::new(0);
    let node = FakeNode::start(move |call| match healthy(call, Network::Regtest) {
        Some(result) => Reply::Result(result),
        None if is_long_poll(call) && long_polls.fetch_add(1, Ordering::SeqCst) == 0 => {
            waiting.wait();
            Reply::Close
        }
        None if is_long_poll(call) => Reply::Hang,
        None => Reply::Result(gbt(&template, "one")),
    });
    let mut ports = connect(node.settings(Network::Regtest)).unwrap();
    ports.templates.next().await.unwrap();
    gate.open();
    let error = ports.templates.next().await.unwrap_err();
    assert!(matches!(error, NodeError::Broken { .. }), "{error}");
    assert_eq!(ports.templates.next().await.unwrap().cause, Cause::NewTip);
}

#[tokio::test]
async fn a_node_that_says_nothing_is_given_up() {
    let node = FakeNode::start(|_| Reply::Hang);
    let mut settings = node.settings(Network::Regtest);
    settings.request_limit = Duration::from_millis(50);
    let error = first(settings).await.unwrap_err();
    assert!(
        matches!(
            error,
            NodeError::TimedOut {
                method: "getblockchaininfo",
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn half_an_answer_is_none() {
    let node = FakeNode::start(|_| Reply::Half);
    let error = first_error(&node, Network::Regtest).await;
    assert!(matches!(error, NodeError::Broken { .. }), "{error}");
}

#[tokio::test]
async fn an_answer_without_end_is_refused() {
    let node = FakeNode::start(|_| Reply::Http(200, " ".repeat(65 << 20)));
    let error = first_error(&node, Network::Regtest).await;
    assert!(error.to_string().contains("64 MiB"), "{error}");
}

#[tokio::test]
async fn refused_credentials_name_what_was_tried() {
    let directory = tempfile::tempdir().unwrap();
    let cookie = directory.path().join(".cookie");
    std::fs::write(&cookie, "__cookie__:abc").unwrap();
    let node = FakeNode::start(|_| Reply::Http(401, String::new()));
    let mut settings = node.settings(Network::Regtest);
    settings.auth = RpcAuth::Cookie(vec![cookie.clone()]);
    let error = first(settings.clone()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.fault()),
        (ErrorKind::Persistent, Fault::Operator)
    );
    assert!(
        error.to_string().contains(&cookie.display().to_string()),
        "{error}"
    );
    std::fs::remove_file(&cookie).unwrap();
    let error = first(settings).await.unwrap_err();
    assert_eq!(
        error,
        NodeError::NoCookie {
            looked: vec![cookie]
        }
    );
}

#[tokio::test]
async fn a_call_that_is_not_allowed_is_said() {
    let node = FakeNode::start(|_| Reply::Http(403, String::new()));
    let error = first_error(&node, Network::Regtest).await;
    assert!(matches!(error, NodeError::Forbidden { .. }), "{error}");
}

#[tokio::test]
async fn on_testnet4_the_bits_are_fetched_again_when_their_time_is_over() {
    let ordinary = Template {
        network: Network::Testnet4,
        bits: CompactTarget::from_consensus(0x1b00_ffff),
        ..template()
    };
    // The parent is 1,199 s old: the ordinary bits hold for one more second.
    let parent_time = ordinary.current_time.as_secs() - 1_199;
    let minimum = Template {
        bits: CompactTarget::from_consensus(0x1d00_ffff),
        current_time: UnixTime::from_secs(parent_time + 1_201),
        ..ordinary.clone()
    };
    let asked = AtomicUsize::new(0);
    let node = FakeNode::start(move |call| match healthy(call, Network::Testnet4) {
        Some(result) => Reply::Result(result),
        None if call.method == "getblockheader" => Reply::Result(json!({ "time": parent_time })),
        None if is_long_poll(call) => Reply::Hang,
        None if asked.fetch_add(1, Ordering::SeqCst) == 0 => Reply::Result(gbt(&ordinary, "one")),
        None => Reply::Result(gbt(&minimum, "one")),
    });
    let mut settings = node.settings(Network::Testnet4);
    settings.refresh = Duration::from_secs(3_600);
    let mut ports = connect(settings).unwrap();
    let before = ports.templates.next().await.unwrap();
    assert_eq!(
        before.window.latest.map(UnixTime::as_secs),
        Some(parent_time + 1_200)
    );
    let after = ports.templates.next().await.unwrap();
    assert_eq!(after.window.earliest.as_secs(), parent_time + 1_201);
    assert_eq!(after.window.latest, None);
    let headers = node
        .calls()
        .iter()
        .filter(|call| call.method == "getblockheader")
        .count();
    assert_eq!(headers, 1, "a parent's time is asked for once");
}

/// Fields that are wrong, one at a time; the error names each.
#[tokio::test]
async fn a_template_that_contradicts_itself_is_refused_by_field() {
    type Change = fn(&mut Value);
    let rows: [(&str, Change); 25] = [
        ("version", |answer| answer["version"] = (-1).into()),
        ("version", |answer| answer["version"] = "1".into()),
        ("previousblockhash", |answer| {
            answer["previousblockhash"] = "00".into();
        }),
        ("previousblockhash", |answer| {
            answer.as_object_mut().unwrap().remove("previousblockhash");
        }),
        ("height", |answer| answer["height"] = 0.into()),
        ("height", |answer| answer["height"] = (-5).into()),
        ("bits", |answer| answer["bits"] = "207fff".into()),
        ("bits", |answer| answer["bits"] = "zz7fffff".into()),
        ("target", |answer| answer["bits"] = "207ffffe".into()),
        ("target", |answer| answer["target"] = "00".into()),
        ("curtime", |answer| answer["curtime"] = 1.into()),
        ("mintime", |answer| {
            answer["mintime"] = 5_000_000_000u64.into();
        }),
        ("coinbasevalue", |answer| {
            answer["coinbasevalue"] = (answer["coinbasevalue"].as_u64().unwrap() + 1).into();
        }),
        ("coinbasevalue", |answer| {
            answer["coinbasevalue"] = (-1).into();
        }),
        ("weightlimit", |answer| {
            answer["weightlimit"] = 4_000_001.into();
        }),
        ("sigoplimit", |answer| answer["sigoplimit"] = 0.into()),
        ("sizelimit", |answer| answer["sizelimit"] = Value::Null),
        ("default_witness_commitment", |answer| {
            answer
                .as_object_mut()
                .unwrap()
                .remove("default_witness_commitment");
        }),
        ("default_witness_commitment", |answer| {
            answer["transactions"].as_array_mut().unwrap().pop();
            answer["coinbasevalue"] = 1.into();
        }),
        ("transactions[1].txid", |answer| {
            answer["transactions"][1]["txid"] = answer["transactions"][0]["txid"].clone();
        }),
        ("transactions[2].hash", |answer| {
            answer["transactions"][2]["hash"] = answer["transactions"][2]["txid"].clone();
        }),
        ("transactions[0].data", |answer| {
            answer["transactions"][0]["data"] = "0200".into();
        }),
        ("transactions[0].weight", |answer| {
            answer["transactions"][0]["weight"] = 1.into();
        }),
        ("transactions[0].fee", |answer| {
            answer["transactions"][0]["fee"] = (-1).into();
        }),
        ("transactions[].sigops", |answer| {
            answer["transactions"][0]["sigops"] = 80_001.into();
        }),
    ];
    for (field, change) in rows {
        let node = node_with(Network::Regtest, change);
        match first_error(&node, Network::Regtest).await {
            NodeError::Template { field: named, .. } => assert_eq!(named, field),
            other => panic!("{field}: {other}"),
        }
    }
}

/// A template on another block than the node's tip, or of another height, is none; that a block came between is no
/// fault.
#[tokio::test]
async fn a_template_that_does_not_build_on_the_tip_is_refused() {
    let template = template();
    let tip = template.prev_hash.to_string();
    let elsewhere = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206";
    let height = template.height - 1;
    let rows: [(&str, u32, &str, Option<&str>); 4] = [
        (&tip, height, &tip, None),
        (&tip, height + 1, &tip, Some("height")),
        (elsewhere, height, elsewhere, Some("previousblockhash")),
        (elsewhere, height, &tip, None),
    ];
    for (before, blocks, after, field) in rows {
        let (before, after) = (before.to_owned(), after.to_owned());
        let template = template.clone();
        let node = FakeNode::start(move |call| match healthy(call, Network::Regtest) {
            Some(mut info) if call.method == "getblockchaininfo" => {
                info["bestblockhash"] = before.clone().into();
                info["blocks"] = blocks.into();
                Reply::Result(info)
            }
            Some(_) if call.method == "getbestblockhash" => Reply::Result(after.clone().into()),
            Some(result) => Reply::Result(result),
            None if is_long_poll(call) => Reply::Hang,
            None => Reply::Result(gbt(&template, "one")),
        });
        let named = match first(node.settings(Network::Regtest)).await {
            Err(NodeError::Template { field, .. }) => Some(field),
            Err(other) => panic!("{other}"),
            Ok(_) => None,
        };
        assert_eq!(named.as_deref(), field);
    }
}

/// Whatever stands where a template should, and whatever comes of the questions before it: an error that is told,
/// and after it a template as if nothing had been.
#[tokio::test(flavor = "multi_thread")]
async fn absurd_answers_are_told_and_got_over() {
    let deep = format!(
        "{{\"result\":{}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let good = gbt(&template(), "one");
    let with = |name: &str, value: &str| {
        let text = good.to_string();
        let old = format!("\"{name}\":{}", good[name]);
        assert!(text.contains(&old), "{old}");
        let text = text.replace(&old, &format!("\"{name}\":{value}"));
        format!("{{\"result\":{text},\"error\":null,\"id\":0}}")
    };
    let bodies = [
        String::new(),
        "[]".to_owned(),
        "null".to_owned(),
        "\"\"".to_owned(),
        r#"{"result":7,"error":null,"id":0}"#.to_owned(),
        r#"{"result":null,"error":"no","id":0}"#.to_owned(),
        r#"{"result":{},"error":null,"id":"x"}"#.to_owned(),
        deep,
        with("height", "1e400"),
        with("height", "99999999999999999999999999"),
        with("height", "4294967295"),
        with("curtime", "-1"),
        with("curtime", "1.5"),
        with("mintime", "[[]]"),
        with("coinbasevalue", "18446744073709551616"),
        with("transactions", "{}"),
        with("transactions", "[null]"),
        with("transactions", "[{\"data\":\"\"}]"),
        with("bits", "\"\\u0000\""),
        with("rules", "\"segwit\""),
        with("longpollid", "{}"),
        with("version", "536870912.0"),
    ];
    for body in bodies {
        let asked = AtomicUsize::new(0);
        let (good, shown) = (good.clone(), body.get(..120).unwrap_or(&body).to_owned());
        let node = FakeNode::start(move |call| match healthy(call, Network::Regtest) {
            Some(result) => Reply::Result(result),
            None if is_long_poll(call) => Reply::Hang,
            None if asked.fetch_add(1, Ordering::SeqCst) == 0 => Reply::Http(200, body.clone()),
            None => Reply::Result(good.clone()),
        });
        let mut ports = connect(node.settings(Network::Regtest)).unwrap();
        let error = ports.templates.next().await.expect_err(&shown);
        assert!(error.to_string().len() < 1_000, "{error}");
        assert_eq!(
            ports.templates.next().await.unwrap().cause,
            Cause::NewTip,
            "{shown}"
        );
    }
}
