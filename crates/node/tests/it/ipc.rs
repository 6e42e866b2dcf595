//! The mining interface of a real Bitcoin Core, where the environment variable BITCOIN_NODE names its
//! `bitcoin-node`: what it pushes, and what breaks.

use std::time::Duration;

use headframe_node::ipc::{IpcSettings, connect};
use headframe_node::{Cause, Condition, Node, NodeError, SubmitAnswer};
use headframe_work::Network;
use rustix::process::Signal;
use serde_json::json;

use crate::support::arena::{Arena, Source, on_sink, template};
use crate::support::bitcoind::Bitcoind;
use crate::support::block::{hex, solved};

/// Waits for an error of this kind.
async fn error(node: &mut Node, is_it: impl Fn(&NodeError) -> bool) -> NodeError {
    loop {
        match node.templates.next().await {
            Err(error) if is_it(&error) => return error,
            other => eprintln!("not yet: {other:?}"),
        }
    }
}

fn regtest() -> Option<Bitcoind> {
    let node = Bitcoind::start_with_ipc(Network::Regtest, &[])?;
    node.wait();
    Some(node)
}

#[tokio::test(flavor = "multi_thread")]
async fn fees_that_rise_are_pushed_and_do_not_wait_for_the_refresh() {
    let Some(arena) = Arena::start(Source::Ipc) else {
        return;
    };
    let mut settings = arena.core().ipc();
    settings.refresh = Duration::from_secs(100_000);
    let mut node = connect(settings).unwrap();
    // While the tip is old Bitcoin Core pushes templates on regtest whatever their fees.
    let old = template(&mut node).await;
    let block = solved(&old.template);
    let answer = on_sink(&mut node, move |sink| {
        sink.submit(&hex(&block).as_str().into())
    })
    .await;
    assert_eq!(answer, SubmitAnswer::Accepted);
    let first = template(&mut node).await;
    assert!(first.template.transactions.is_empty());
    arena.add_transactions();
    let second = template(&mut node).await;
    assert_eq!(second.cause, Cause::Refresh);
    assert!(second.template.coinbase_value > first.template.coinbase_value);
}

/// the tip is told with all that the block after it needs, and then the template on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_tip_is_told_before_its_template() {
    let Some(arena) = Arena::start(Source::IpcAndRpc) else {
        return;
    };
    let mut node = arena.connect();
    let mut tips = node.templates.new_tips().unwrap();
    let mut before = template(&mut node).await.template;
    let mut begun = 0;
    // The times of the blocks are asked for when there is time.
    while begun < 3 {
        let block = solved(&before);
        let answer = on_sink(&mut node, move |sink| {
            sink.submit(&hex(&block).as_str().into())
        })
        .await;
        assert_eq!(answer, SubmitAnswer::Accepted);
        let update = loop {
            let update = template(&mut node).await;
            if update.template.prev_hash != before.prev_hash {
                break update.template;
            }
        };
        if tips.has_changed().unwrap() {
            let told = tips.borrow_and_update().unwrap();
            assert_eq!(told.tip.hash, update.prev_hash);
            assert_eq!(told.tip.height + 1, update.height);
            assert_eq!((told.parent, told.bits), (before.prev_hash, update.bits));
            let header = arena
                .core()
                .call("getblockheader", &json!([told.tip.hash.to_string()]));
            let median = header["mediantime"].as_u64().unwrap();
            assert!(u64::from(told.earliest.as_secs()) > median);
            assert!(told.earliest <= update.current_time);
            begun += 1;
        }
        before = update;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_killed_is_told_and_found_again() {
    let Some(mut core) = regtest() else {
        return;
    };
    let mut node = connect(core.ipc()).unwrap();
    let update = template(&mut node).await;
    core.kill();
    let broken = error(&mut node, |_| true).await;
    assert!(broken.to_string().contains("node.sock"), "{broken}");
    let block = hex(&solved(&update.template));
    let given = block.clone();
    let answer = on_sink(&mut node, move |sink| sink.submit(&given.as_str().into())).await;
    assert!(matches!(answer, SubmitAnswer::Retry(_)), "{answer:?}");
    let absent = error(&mut node, |error| {
        matches!(error, NodeError::NoSocket { .. })
    })
    .await;
    assert!(absent.advice().contains("ipcbind=unix"));
    core.start_again();
    let again = template(&mut node).await;
    assert_eq!((again.template.height, again.cause), (1, Cause::NewTip));
    // The node that started again holds no template of it, and takes it whole.
    let answer = on_sink(&mut node, move |sink| sink.submit(&block.as_str().into())).await;
    assert_eq!(answer, SubmitAnswer::Accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_freezes_is_noticed_and_keeps_its_templates() {
    let Some(core) = regtest() else {
        return;
    };
    let mut node = connect(core.ipc()).unwrap();
    let update = template(&mut node).await;
    core.signal(Signal::STOP);
    let frozen = error(&mut node, |_| true).await;
    assert!(matches!(frozen, NodeError::TimedOut { .. }), "{frozen}");
    let condition = node.status.borrow().condition.clone();
    assert_eq!(condition, Condition::Unusable(frozen.clone()));
    let stands_by = on_sink(&mut node, |sink| sink.stand_by()).await;
    assert_eq!(stands_by, Err(frozen));
    core.signal(Signal::CONT);
    let again = template(&mut node).await;
    assert_eq!(again.template.height, 1);
    let block = hex(&solved(&update.template));
    let answer = on_sink(&mut node, move |sink| sink.submit(&block.as_str().into())).await;
    assert_eq!(answer, SubmitAnswer::Accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_on_another_chain_is_refused() {
    let Some(core) = regtest() else {
        return;
    };
    for network in [Network::Mainnet, Network::Signet] {
        let settings = IpcSettings {
            network,
            ..core.ipc()
        };
        let mut node = connect(settings).unwrap();
        let wrong = error(&mut node, |_| true).await;
        let expected = NodeError::WrongNetwork {
            expected: network,
            found: "regtest".to_owned(),
        };
        assert_eq!(wrong, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_signet_gives_templates_and_any_other_is_refused() {
    let arguments = ["-signetchallenge=51", "-maxtipage=3153600000"];
    let Some(core) = Bitcoind::start_with_ipc(Network::Signet, &arguments) else {
        return;
    };
    core.wait();
    let mut node = connect(core.ipc()).unwrap();
    let update = template(&mut node).await;
    assert_eq!(update.template.height, 1);
    assert!(update.template.witness_commitment.is_some());
    let version = node.status.borrow().version.clone();
    assert!(version.is_some_and(|version| version.contains("Satoshi")));
    drop(core);
    let Some(core) = Bitcoind::start_with_ipc(Network::Signet, &["-signetchallenge=52"]) else {
        return;
    };
    core.wait();
    let mut node = connect(core.ipc()).unwrap();
    let refused = error(&mut node, |_| true).await;
    let challenge = "52".to_owned();
    assert_eq!(refused, NodeError::SignetChallenge { challenge });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_at_the_socket_and_speaks_nothing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut node = connect(IpcSettings::local(Network::Regtest, vec![path])).unwrap();
    let silent = error(&mut node, |_| true).await;
    assert!(matches!(silent, NodeError::TimedOut { .. }), "{silent}");
}
