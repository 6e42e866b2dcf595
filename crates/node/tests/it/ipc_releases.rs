//! The releases of the mining interface that no Bitcoin Core here has, and what can be seen only from the node's
//! side: what is held there, and what is ended.

use std::sync::atomic::Ordering;

use bitcoin::Amount;
use headframe_node::embedded::PREMINE;
use headframe_node::ipc::{IpcSettings, connect};
use headframe_node::{BlockFate, Cause, Node, NodeError, SubmitAnswer};
use headframe_work::Network;

use crate::support::arena::{on_sink, template};
use crate::support::block::{
    bytes, hex, renew_commitment, renew_merkle_root, solve, solved, unsolved,
};
use crate::support::fake_ipc::{FakeIpc, Release};

fn connected(fake: &FakeIpc) -> Node {
    connect(IpcSettings::local(Network::Regtest, vec![fake.socket()])).unwrap()
}

async fn submit(node: &mut Node, block_hex: String) -> SubmitAnswer {
    on_sink(node, move |sink| sink.submit(&block_hex.as_str().into())).await
}

/// Both say what became of a block, though one of them says yes and no alone.
#[tokio::test(flavor = "multi_thread")]
async fn blocks_have_their_answers_in_each_release() {
    for release in [Release::Core31, Release::Core32] {
        let fake = FakeIpc::start(release);
        let mut node = connected(&fake);
        let update = template(&mut node).await;
        assert_eq!(update.template.transactions.len(), 3);
        let mut greedy = unsolved(&update.template);
        greedy.txdata[0].output[0].value += Amount::ONE_SAT;
        renew_merkle_root(&mut greedy);
        solve(&mut greedy);
        let refused = SubmitAnswer::Refused("bad-cb-amount".to_owned());
        let answer = submit(&mut node, hex(&greedy)).await;
        assert_eq!(answer, refused, "{release:?}");
        let block = solved(&update.template);
        for answer in [SubmitAnswer::Accepted, SubmitAnswer::AlreadyKnown] {
            assert_eq!(submit(&mut node, hex(&block)).await, answer, "{release:?}");
        }
        let next = template(&mut node).await;
        assert_eq!(next.template.prev_hash, block.block_hash());
    }
}

/// Where a block comes by two ways at once, Bitcoin Core may say of both that it was refused before.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_was_refused_before_is_refused_for_its_reason() {
    let fake = FakeIpc::start(Release::Core32);
    let mut node = connected(&fake);
    let update = template(&mut node).await;
    let mut greedy = unsolved(&update.template);
    greedy.txdata[0].output[0].value += Amount::ONE_SAT;
    renew_merkle_root(&mut greedy);
    solve(&mut greedy);
    fake.shared.refused_before.store(true, Ordering::SeqCst);
    let refused = SubmitAnswer::Refused("bad-cb-amount".to_owned());
    assert_eq!(submit(&mut node, hex(&greedy)).await, refused);
}

/// A block of which the node holds no template, as after its restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_without_a_template_goes_whole_where_the_node_takes_it() {
    for release in [Release::Core31, Release::Core32] {
        let fake = FakeIpc::start(release);
        let mut node = connected(&fake);
        let mut update = (*template(&mut node).await.template).clone();
        let fees: Amount = update.transactions.drain(..).map(|tx| tx.fee).sum();
        update.coinbase_value -= fees;
        let mut other = unsolved(&update);
        renew_commitment(&mut other);
        solve(&mut other);
        let answer = submit(&mut node, hex(&other)).await;
        match release {
            Release::Core32 => assert_eq!(answer, SubmitAnswer::Accepted),
            _ => match answer {
                SubmitAnswer::Retry(words) => assert!(words.contains("node.url"), "{words}"),
                other => panic!("{other:?}"),
            },
        }
    }
}

/// It is asked before the connection is there, and is not gone for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_being_connected_to_stands_by() {
    let fake = FakeIpc::start(Release::Core32);
    let mut node = connected(&fake);
    on_sink(&mut node, |sink| sink.stand_by()).await.unwrap();
}

/// Another node's template gave it, and the node has it from its peers.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_the_node_has_from_its_peers_is_known() {
    let fake = FakeIpc::start(Release::Core31);
    let mut node = connected(&fake);
    let mut update = (*template(&mut node).await.template).clone();
    let fees: Amount = update.transactions.drain(..).map(|tx| tx.fee).sum();
    update.coinbase_value -= fees;
    let mut other = unsolved(&update);
    renew_commitment(&mut other);
    solve(&mut other);
    let answer = fake.shared.chain.submit(&bytes(&other));
    assert_eq!(answer, SubmitAnswer::Accepted);
    while template(&mut node).await.template.prev_hash != other.block_hash() {}
    while submit(&mut node, hex(&other)).await != SubmitAnswer::AlreadyKnown {}
}

/// Core 31 takes no block but by a template that it holds: that of the job before, and that of the last tip.
#[tokio::test(flavor = "multi_thread")]
async fn templates_of_live_jobs_are_held_over_a_refresh_and_a_tip() {
    let fake = FakeIpc::start(Release::Core31);
    let mut node = connected(&fake);
    let first = template(&mut node).await;
    fake.shared.interrupt_waits();
    let second = template(&mut node).await;
    assert_eq!(second.cause, Cause::Refresh);
    let block = solved(&first.template);
    assert_eq!(submit(&mut node, hex(&block)).await, SubmitAnswer::Accepted);
    while template(&mut node).await.template.prev_hash != block.block_hash() {}
    let mut late = unsolved(&first.template);
    late.header.time += 1;
    solve(&mut late);
    assert_eq!(
        submit(&mut node, hex(&late)).await,
        SubmitAnswer::Inconclusive
    );
}

/// Core 31 does not tell where a block stands; what it was told of tips says it.
#[tokio::test(flavor = "multi_thread")]
async fn where_a_block_stands_is_known_from_the_tips() {
    let fake = FakeIpc::start(Release::Core31);
    let mut node = connected(&fake);
    let block = solved(&template(&mut node).await.template);
    let hash = block.block_hash();
    submit(&mut node, hex(&block)).await;
    let mut status = node.status.clone();
    let is_tip = |tip: headframe_node::Tip| tip.hash == hash;
    let _ = status
        .wait_for(|status| status.tip.is_some_and(is_tip))
        .await;
    template(&mut node).await;
    let fate = loop {
        if let Ok(fate) = on_sink(&mut node, move |sink| sink.fate(hash)).await {
            break fate;
        }
    };
    assert_eq!(fate, BlockFate::InChain { confirmations: 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_that_is_not_known_is_refused_before_there_is_a_block() {
    for release in [Release::Core30, Release::Yes] {
        let fake = FakeIpc::start(release);
        let mut node = connected(&fake);
        let error = node.templates.next().await.unwrap_err();
        assert!(
            matches!(error, NodeError::UnknownInterface { .. }),
            "{error}"
        );
        assert!(error.advice().contains("Bitcoin Core 31"));
        assert_eq!(fake.shared.chain.tip().height, PREMINE);
    }
}

/// The node answers the question whether it runs several times while it makes one template: longer than a node
/// may take that does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_slow_to_make_a_template_is_well() {
    let fake = FakeIpc::start(Release::Core32);
    let mut node = connected(&fake);
    template(&mut node).await;
    let beats = *fake.shared.beats.borrow();
    fake.shared
        .beats_before_template
        .store(beats + 4, Ordering::SeqCst);
    // The wait is ended from outside, so that a template is asked for.
    fake.shared.interrupt_waits();
    let second = node.templates.next().await;
    assert!(second.is_ok(), "{second:?}");
    assert!(*fake.shared.beats.borrow() >= beats + 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_holds_the_templates_of_two_tips_and_none_when_the_pool_has_gone() {
    let fake = FakeIpc::start(Release::Core32);
    let mut node = connected(&fake);
    for _ in 0..5 {
        let block = solved(&template(&mut node).await.template);
        let answer = submit(&mut node, hex(&block)).await;
        assert_eq!(answer, SubmitAnswer::Accepted);
    }
    template(&mut node).await;
    // The one that it waits on, and those of the two tips.
    assert!(fake.shared.held.load(Ordering::SeqCst) <= 4);
    let mut interrupted = fake.shared.interrupted.subscribe();
    drop(node);
    let _ = interrupted.wait_for(|count| *count >= 2).await;
    while fake.shared.held.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
}
