//! The node is shown a block before one is found, and nothing waits for what it says.

use std::sync::Arc;

use bitcoin::Block;
use bitcoin::consensus::encode::deserialize_hex;
use headframe_api::{Overview, ProofVerdict, Severity};
use headframe_node::{CheckAnswer, NodeError, SubmitAnswer};
use headframe_testkit::address;

use crate::client::{Sv1Client, Sv2Client, user};
use crate::fakes::{judge, node};
use crate::harness::{Setup, TestPool};

/// A pool whose node says `answer` of each block that it is shown, and the miner whose blocks they are.
async fn told(answer: CheckAnswer) -> (TestPool, Sv2Client, Block) {
    let (check, mut proposals) = judge();
    let setup = Setup {
        check: Some(check),
        ..Setup::for_shares()
    };
    let pool = setup.start().await;
    let client = Sv2Client::connect(&pool, &user(1)).await;
    let (hex, answers) = proposals.recv().await.unwrap();
    answers.send(Ok(answer)).unwrap();
    (pool, client, deserialize_hex(&hex).unwrap())
}

async fn log_in_sv1(pool: &TestPool, user: &str) -> Sv1Client {
    let mut client = Sv1Client::dial(pool.address()).await;
    client.miner.log_in(user);
    assert!(client.until(|miner| !miner.jobs.is_empty()).await);
    client
}

fn has_alarm(snapshot: &Overview) -> bool {
    let mut alarms = snapshot.summary.alarms.iter();
    alarms.any(|alarm| alarm.code == "proof_refused")
}

/// By the rules of the chain, which judges all but the work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_to_pay_is_shown_to_the_node_when_it_first_appears() {
    let pool = Setup::for_shares().start().await;
    let first = Sv2Client::connect(&pool, &user(1)).await;
    let is_paid = |number: u64| {
        let address = address(number).to_string();
        move |snapshot: &Arc<Overview>| {
            let proof = snapshot.summary.proof.as_ref();
            proof.is_some_and(|proof| proof.payout_address == address)
        }
    };
    let shown = pool.shows(is_paid(1)).await;
    let proof = shown.summary.proof.clone().unwrap();
    let template = shown.summary.node.template.clone().unwrap();
    assert_eq!(proof.verdict, ProofVerdict::Accepted);
    assert_eq!(proof.height, template.height);
    assert_eq!(proof.paid_sats, template.value_sats);
    assert!(!has_alarm(&shown));
    // Another protocol is another way, whose miner need not send anything for it.
    let second = log_in_sv1(&pool, &user(2)).await;
    pool.shows(is_paid(2)).await;
    drop((first, second));
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_node_is_shown_is_a_whole_block_that_pays_the_miner() {
    let (pool, client, block) = told(CheckAnswer::Valid).await;
    pool.shows(|snapshot| snapshot.summary.proof.is_some())
        .await;
    let miner = &block.txdata[0].output[0];
    assert_eq!(miner.script_pubkey, address(1).script_pubkey());
    assert!(block.check_merkle_root());
    assert!(block.check_witness_commitment());
    drop(client);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_an_alarm_with_the_node_s_reason() {
    let refusal = CheckAnswer::Refused("bad-cb-amount".to_owned());
    let (pool, client, _) = told(refusal).await;
    let shown = pool.shows(|snapshot| has_alarm(snapshot)).await;
    let alarm = &shown.summary.alarms[0];
    assert_eq!(alarm.severity, Severity::Critical);
    assert!(alarm.detail.contains("bad-cb-amount"), "{}", alarm.detail);
    let refused = ProofVerdict::Refused {
        reason: "bad-cb-amount".to_owned(),
    };
    assert_eq!(shown.summary.proof.as_ref().unwrap().verdict, refused);
    drop(client);
    pool.stop().await;
}

/// What is said next is of another block, and shows that nothing was said of this one.
async fn nothing_is_said_of(answer: Result<CheckAnswer, NodeError>) {
    let (check, mut proposals) = judge();
    let setup = Setup {
        check: Some(check),
        ..Setup::for_shares()
    };
    let pool = setup.start().await;
    let first = Sv2Client::connect(&pool, &user(1)).await;
    let (_, answers) = proposals.recv().await.unwrap();
    answers.send(answer).unwrap();
    let second = log_in_sv1(&pool, &user(2)).await;
    let (_, answers) = proposals.recv().await.unwrap();
    let untold = pool.shows(|_| true).await;
    assert_eq!(untold.summary.proof, None);
    answers.send(Ok(CheckAnswer::Valid)).unwrap();
    let is_told = |snapshot: &Arc<Overview>| snapshot.summary.proof.is_some();
    let shown = pool.shows(is_told).await;
    assert!(!has_alarm(&shown));
    let proof = shown.summary.proof.as_ref().unwrap();
    assert_eq!(proof.verdict, ProofVerdict::Accepted);
    drop((first, second));
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_on_another_tip_has_refused_nothing() {
    nothing_is_said_of(Ok(CheckAnswer::StaleTip)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_busy_has_refused_nothing() {
    nothing_is_said_of(Err(NodeError::Busy)).await;
}

/// Shares, blocks and the pool's end wait for no proof.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_never_answers_holds_nothing_up() {
    let (check, mut proposals) = judge();
    let (sink, mut node) = node();
    let setup = Setup {
        check: Some(check),
        ..Setup::for_blocks().sending_to(sink)
    };
    let pool = setup.start().await;
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    let (_, never) = proposals.recv().await.unwrap();
    let nonce = client.find_block();
    client.submit(&nonce);
    client.until_acknowledged(1).await;
    let (hex, answer) = node.submission().await.unwrap();
    let block: Block = deserialize_hex(&hex).unwrap();
    assert_eq!(block.block_hash(), nonce.hash());
    answer.send(SubmitAnswer::Accepted).unwrap();
    drop(client);
    pool.stop().await;
    drop(never);
}
