//! Against a real Bitcoin Core, where the environment variable BITCOIND names its `bitcoind`.

use std::time::Duration;

use bitcoin::hashes::Hash;
use bitcoin::hex::DisplayHex;
use bitcoin::{Amount, BlockHash, Txid};
use headframe_node::embedded::{EmbeddedChain, PREMINE};
use headframe_node::rpc::{RpcSink, connect};
use headframe_node::{
    BlockFate, BlockSink, Cause, CheckAnswer, Node, NodeError, SubmitAnswer, TemplateUpdate,
};
use headframe_work::{Network, UnixTime};
use serde_json::json;

use crate::embedded::{FAULTS, REGTEST};
use crate::support::bitcoind::Bitcoind;
use crate::support::block::{bytes, hex, solve, solved, unsolve, unsolved};

/// Waits through the errors of a node that is starting.
async fn template(ports: &mut Node) -> TemplateUpdate {
    loop {
        match ports.templates.next().await {
            Ok(update) => return update,
            Err(error) => eprintln!("not yet: {error}"),
        }
    }
}

/// Calls the sink on a thread of its own, where it belongs.
async fn submit(sink: RpcSink, block_hex: String) -> (RpcSink, SubmitAnswer) {
    tokio::task::spawn_blocking(move || {
        let mut sink = sink;
        let answer = sink.submit(&block_hex.as_str().into());
        (sink, answer)
    })
    .await
    .unwrap()
}

async fn fate(sink: RpcSink, hash: BlockHash) -> (RpcSink, BlockFate) {
    tokio::task::spawn_blocking(move || {
        let mut sink = sink;
        let fate = sink.fate(hash).unwrap();
        (sink, fate)
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_on_core_s_template_is_accepted_and_long_poll_tells_it() {
    let Some(node) = Bitcoind::start(Network::Regtest, &[]) else {
        return;
    };
    let mut settings = node.settings();
    settings.refresh = Duration::from_secs(3_600);
    let sink = RpcSink::new(&settings).unwrap();
    let mut ports = connect(settings).unwrap();
    let first = template(&mut ports).await;
    assert_eq!((first.template.height, first.cause), (1, Cause::NewTip));
    assert_eq!(
        first.template.coinbase_value,
        Amount::from_sat(5_000_000_000)
    );
    let mut block = unsolved(&first.template);
    unsolve(&mut block);
    assert_eq!(
        ports.check.check(&hex(&block)).await,
        Ok(CheckAnswer::Valid)
    );
    solve(&mut block);
    let (sink, answer) = submit(sink, hex(&block)).await;
    assert_eq!(answer, SubmitAnswer::Accepted);
    let second = template(&mut ports).await;
    assert_eq!((second.template.height, second.cause), (2, Cause::NewTip));
    assert_eq!(second.template.prev_hash, block.block_hash());
    let (sink, answer) = submit(sink, hex(&block)).await;
    assert_eq!(answer, SubmitAnswer::AlreadyKnown);
    assert_eq!(
        ports.check.check(&hex(&block)).await,
        Ok(CheckAnswer::AlreadyKnown)
    );
    let (sink, found) = fate(sink, block.block_hash()).await;
    assert_eq!(found, BlockFate::InChain { confirmations: 1 });
    let (sink, found) = fate(sink, BlockHash::all_zeros()).await;
    assert_eq!(found, BlockFate::Unknown);
    // A second block of the same height: valid, and not the tip.
    block.header.time += 1;
    solve(&mut block);
    let (sink, answer) = submit(sink, hex(&block)).await;
    assert_eq!(answer, SubmitAnswer::Inconclusive);
    let (sink, found) = fate(sink, block.block_hash()).await;
    assert_eq!(found, BlockFate::SideBranch);
    let (sink, answer) = submit(sink, hex(&block)).await;
    assert_eq!(answer, SubmitAnswer::AlreadyKnown);
    block.header.time += 1;
    assert_eq!(
        ports.check.check(&hex(&block)).await,
        Ok(CheckAnswer::StaleTip)
    );
    block.header.prev_blockhash = BlockHash::all_zeros();
    solve(&mut block);
    let (sink, answer) = submit(sink, hex(&block)).await;
    assert!(matches!(answer, SubmitAnswer::Retry(_)), "{answer:?}");
    let (_, answer) = submit(sink, "00".to_owned()).await;
    assert_eq!(
        answer,
        SubmitAnswer::Refused("Block decode failed".to_owned())
    );
    let status = ports.status.borrow().clone();
    assert!(status.is_ready() && status.version.is_some() && status.peers == Some(0));
}

/// Replays the embedded chain into the node, and gives both at the same tip.
async fn replayed(node: &Bitcoind, blocks: u32) -> (EmbeddedChain, RpcSink, Node) {
    let chain = EmbeddedChain::open(None, REGTEST).unwrap();
    let mut ports = connect(node.settings()).unwrap();
    template(&mut ports).await;
    for _ in 0..blocks {
        let block = solved(&chain.template());
        assert_eq!(chain.submit(&bytes(&block)), SubmitAnswer::Accepted);
    }
    let mut sink = RpcSink::new(&node.settings()).unwrap();
    for height in 1..=PREMINE + blocks {
        let block = chain.block(height).unwrap().to_lower_hex_string();
        let answer;
        (sink, answer) = submit(sink, block).await;
        assert_eq!(answer, SubmitAnswer::Accepted, "height {height}");
    }
    while template(&mut ports).await.template.prev_hash != chain.tip().hash {}
    (chain, sink, ports)
}

#[tokio::test(flavor = "multi_thread")]
async fn core_accepts_every_block_of_the_embedded_chain() {
    let Some(node) = Bitcoind::start(Network::Regtest, &[]) else {
        return;
    };
    let (chain, sink, _) = replayed(&node, 60).await;
    assert_eq!(chain.tip().height, PREMINE + 60, "beyond a halving");
    let (_, found) = fate(sink, chain.tip().hash).await;
    assert_eq!(found, BlockFate::InChain { confirmations: 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn core_refuses_each_fault_for_the_same_reason() {
    let Some(node) = Bitcoind::start(Network::Regtest, &[]) else {
        return;
    };
    let (chain, mut sink, ports) = replayed(&node, 0).await;
    let good = unsolved(&chain.template());
    for (name, reason, fault) in FAULTS {
        let mut block = good.clone();
        fault(&mut block);
        if *reason == "time-too-new" {
            block.header.time = UnixTime::as_secs(chain.template().current_time) + 7_300;
        }
        unsolve(&mut block);
        let proposed = ports.check.check(&hex(&block)).await.unwrap();
        match proposed {
            CheckAnswer::Refused(words) => assert!(words.starts_with(reason), "{name}: {words}"),
            other => panic!("{name}: {other:?}"),
        }
        // submitblock adds the reserved value where it is missing.
        if *name == "no reserved value" {
            continue;
        }
        solve(&mut block);
        let answer;
        (sink, answer) = submit(sink, hex(&block)).await;
        match answer {
            SubmitAnswer::Refused(words) => assert!(words.starts_with(reason), "{name}: {words}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_full_of_segwit_transactions_gives_a_block() {
    let Some(node) = Bitcoind::start(Network::Regtest, &["-acceptnonstdtxn=1"]) else {
        return;
    };
    let (chain, sink, mut ports) = replayed(&node, 0).await;
    let expected = chain.template();
    for transaction in &expected.transactions {
        node.call(
            "sendrawtransaction",
            &json!([transaction.data.to_lower_hex_string()]),
        );
    }
    let mut settings = node.settings();
    settings.refresh = Duration::from_millis(500);
    let mut fresh = connect(settings).unwrap();
    let update = loop {
        let update = template(&mut fresh).await;
        if update.template.transactions.len() == expected.transactions.len() {
            break update;
        }
    };
    // SAVE_GBT=tests/data/getblocktemplate-regtest.json renews the answer that unit tests read.
    if let Some(path) = std::env::var_os("SAVE_GBT") {
        let gbt = node.call("getblocktemplate", &json!([{ "rules": ["segwit"] }]));
        std::fs::write(path, serde_json::to_string_pretty(&gbt).unwrap()).unwrap();
    }
    let template_now = &update.template;
    assert_eq!(template_now.coinbase_value, expected.coinbase_value);
    let mut asked: Vec<Txid> = expected.transactions.iter().map(|tx| tx.txid).collect();
    asked.push(Txid::all_zeros());
    let known = ports.transactions.transactions(&asked).await.unwrap();
    for (transaction, known) in expected.transactions.iter().zip(&known) {
        assert_eq!(known.as_ref(), Some(&transaction.data));
    }
    assert_eq!(known.last(), Some(&None));
    let block = solved(template_now);
    let (_, answer) = submit(sink, hex(&block)).await;
    assert_eq!(answer, SubmitAnswer::Accepted);
    while template(&mut ports).await.template.prev_hash != block.block_hash() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_killed_is_told_and_found_again_with_its_new_cookie() {
    let Some(mut node) = Bitcoind::start(Network::Regtest, &[]) else {
        return;
    };
    let mut ports = connect(node.settings()).unwrap();
    template(&mut ports).await;
    node.kill();
    let error = ports.templates.next().await.unwrap_err();
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
    let block = "00".to_owned();
    let sink = RpcSink::new(&node.settings()).unwrap();
    let (_, answer) = submit(sink, block).await;
    assert!(matches!(answer, SubmitAnswer::Retry(_)), "{answer:?}");
    node.start_again();
    assert_eq!(template(&mut ports).await.template.height, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_signet_gives_templates_and_any_other_is_refused() {
    let arguments = ["-signetchallenge=51", "-maxtipage=3153600000"];
    let Some(node) = Bitcoind::start(Network::Signet, &arguments) else {
        return;
    };
    let mut ports = connect(node.settings()).unwrap();
    let update = template(&mut ports).await;
    assert_eq!(
        (update.template.network, update.template.height),
        (Network::Signet, 1)
    );
    assert!(update.template.witness_commitment.is_some());
    let mut wrong = node.settings();
    wrong.network = Network::Mainnet;
    let error = connect(wrong).unwrap().templates.next().await.unwrap_err();
    let found = "signet".to_owned();
    assert_eq!(
        error,
        NodeError::WrongNetwork {
            expected: Network::Mainnet,
            found
        }
    );
    drop(node);
    let Some(node) = Bitcoind::start(Network::Signet, &["-signetchallenge=52"]) else {
        return;
    };
    let mut ports = connect(node.settings()).unwrap();
    let challenge = "52".to_owned();
    loop {
        match ports.templates.next().await {
            Err(error @ NodeError::SignetChallenge { .. }) => {
                assert_eq!(error, NodeError::SignetChallenge { challenge });
                return;
            }
            Err(error) => eprintln!("not yet: {error}"),
            Ok(_) => panic!("a template for a chain that cannot be mined"),
        }
    }
}
