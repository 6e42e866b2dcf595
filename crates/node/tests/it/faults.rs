//! What may happen to a real Bitcoin Core: after it the source is on the node's tip again, by itself.

use std::time::Duration;

use headframe_node::rpc::connect;
use headframe_node::{Node, NodeError, SubmitAnswer, TemplateUpdate};
use headframe_work::{Network, UnixTime};
use rustix::process::Signal;
use serde_json::json;

use crate::support::bitcoind::Bitcoind;
use crate::support::block::{hex, solved};

/// Waits for a template on `tip`, through whatever is told before.
async fn template_on(ports: &mut Node, tip: &str) -> TemplateUpdate {
    loop {
        match ports.templates.next().await {
            Ok(update) if update.template.prev_hash.to_string() == tip => return update,
            Ok(update) => eprintln!("not yet: {}", update.template.prev_hash),
            Err(error) => eprintln!("not yet: {error}"),
        }
    }
}

/// With a long poll alone: no timer comes to its help.
#[tokio::test(flavor = "multi_thread")]
async fn reorganisations_of_any_depth_are_followed() {
    let Some(node) = Bitcoind::start(Network::Regtest, &[]) else {
        return;
    };
    let mut settings = node.settings();
    settings.refresh = Duration::from_secs(3_600);
    let mut ports = connect(settings).unwrap();
    while ports.templates.next().await.is_err() {}
    let mut tip = node.mine(12);
    let mut height = template_on(&mut ports, &tip).await.template.height;
    for depth in 1..=6 {
        let fork = node.call("getblockhash", &json!([height - depth]));
        node.call("invalidateblock", &json!([fork]));
        // The same descriptor and time would make the same blocks again.
        node.call(
            "generatetodescriptor",
            &json!([1, format!("raw(6{depth})")]),
        );
        tip = node.mine(depth);
        let update = template_on(&mut ports, &tip).await;
        assert_eq!(update.template.height, height + 1, "{depth}");
        height = update.template.height;
    }
}

/// Told as soon as an answer is overdue, and over as soon as the node goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_node_is_told_and_followed_when_it_goes_on() {
    let Some(node) = Bitcoind::start(Network::Regtest, &[]) else {
        return;
    };
    let mut settings = node.settings();
    settings.refresh = Duration::from_millis(500);
    settings.request_limit = Duration::from_secs(1);
    let mut ports = connect(settings).unwrap();
    while ports.templates.next().await.is_err() {}
    node.signal(Signal::STOP);
    let error = loop {
        if let Err(error) = ports.templates.next().await {
            break error;
        }
    };
    assert!(matches!(error, NodeError::TimedOut { .. }), "{error}");
    node.signal(Signal::CONT);
    let tip = node.mine(1);
    template_on(&mut ports, &tip).await;
}

/// It says that it is loading, then that it has less than its peers' headers, and is itself again.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_indexes_its_blocks_anew_is_waited_for() {
    let Some(mut node) = Bitcoind::start(Network::Regtest, &[]) else {
        return;
    };
    let mut ports = connect(node.settings()).unwrap();
    while ports.templates.next().await.is_err() {}
    let tip = node.mine(20);
    template_on(&mut ports, &tip).await;
    node.call("stop", &json!([]));
    node.ended();
    node.start_again_with("-reindex");
    while ports.templates.next().await.is_ok() {}
    let update = template_on(&mut ports, &tip).await;
    assert_eq!(update.template.height, 21);
}

/// The pool's time is the node's, whatever this computer's is, so that a block is one to that node.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_s_clock_that_is_wrong_is_its_own() {
    let Some(node) = Bitcoind::start(Network::Regtest, &[]) else {
        return;
    };
    let mut settings = node.settings();
    settings.refresh = Duration::from_millis(500);
    let mut ports = connect(settings).unwrap();
    while ports.templates.next().await.is_err() {}
    let start = node.call("getblockchaininfo", &json!([]))["time"]
        .as_u64()
        .unwrap();
    let mut sink = ports.sink;
    // Years after the genesis block, then back by an hour, and forth by a month.
    for clock in [1_900_000_000, 1_900_000_000 - 3_600, 1_902_592_000] {
        assert!(clock > start);
        node.call("setmocktime", &json!([clock]));
        let update = loop {
            let update = ports.templates.next().await.unwrap();
            let is_set = |time: UnixTime| u64::from(time.as_secs()).abs_diff(clock) < 60;
            let floor = update.template.min_time == update.template.current_time;
            if is_set(update.template.current_time) || floor {
                break update;
            }
        };
        let block = solved(&update.template);
        let (back, answer) = tokio::task::spawn_blocking(move || {
            let answer = sink.submit(&hex(&block).as_str().into());
            (sink, answer)
        })
        .await
        .unwrap();
        sink = back;
        assert_eq!(answer, SubmitAnswer::Accepted, "{clock}");
    }
}
