//! A block's way to the disk and to the node, and who may not stand on it.

use bitcoin::consensus::encode::deserialize_hex;
use headframe_ledger::{BlockFate, BlockRecord, Ledger, MemoryLedger, Retention};
use headframe_node::SubmitAnswer;
use headframe_server::LeftBlocks;
use headframe_testkit::address;
use tokio_util::sync::CancellationToken;

use crate::client::{Sv2Client, user};
use crate::fakes::{Call, FakeLedger, Mood, node};
use crate::harness::{Setup, journal};

fn only_block(ledger: &FakeLedger) -> BlockRecord {
    let mut blocks = ledger.memory().blocks(10).unwrap();
    assert_eq!(blocks.len(), 1);
    blocks.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_is_on_disk_before_the_node_has_answered() {
    let (sink, mut node) = node();
    let ledger = FakeLedger::new();
    let pool = Setup::for_blocks()
        .sending_to(sink)
        .with(&ledger)
        .start()
        .await;
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    let nonce = client.find_block();
    client.submit(&nonce);
    client.until_acknowledged(1).await;
    let (hex, answer) = node.submission().await.unwrap();
    ledger.until(|seen| seen.blocks == 1).await;
    let files = pool.journal("hex");
    let name = format!("111-{}.hex", nonce.hash());
    assert_eq!(files, [pool.directory.path().join("blocks").join(name)]);
    assert_eq!(std::fs::read_to_string(&files[0]).unwrap(), hex);
    let block: bitcoin::Block = deserialize_hex(&hex).unwrap();
    assert_eq!(block.block_hash(), nonce.hash());
    assert_eq!(
        block.txdata[0].output[0].script_pubkey,
        address(1).script_pubkey()
    );
    assert!(pool.journal("answer").is_empty());
    answer.send(SubmitAnswer::Accepted).unwrap();
    let directory = pool.directory.clone();
    drop(client);
    pool.stop().await;
    let answers = journal(directory.path(), "answer");
    assert_eq!(std::fs::read_to_string(&answers[0]).unwrap(), "accepted\n");
    let record = only_block(&ledger);
    assert_eq!(record.found.worker.user(), user(1));
    assert_eq!(record.fate, BlockFate::Accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_is_submitted_until_the_node_answers() {
    let (sink, mut node) = node();
    let ledger = FakeLedger::new();
    let pool = Setup::for_blocks()
        .sending_to(sink)
        .with(&ledger)
        .start()
        .await;
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    let nonce = client.find_block();
    client.submit(&nonce);
    client.flush().await;
    let (first, answer) = node.submission().await.unwrap();
    answer
        .send(SubmitAnswer::Retry("connection refused".to_owned()))
        .unwrap();
    let (second, answer) = node.submission().await.unwrap();
    assert_eq!(first, second);
    assert!(pool.journal("answer").is_empty());
    answer.send(SubmitAnswer::AlreadyKnown).unwrap();
    drop(client);
    pool.stop().await;
    let record = only_block(&ledger);
    assert_eq!(record.fate, BlockFate::Accepted);
    let answers: Vec<_> = record.answers.iter().map(|it| it.answer.as_str()).collect();
    assert_eq!(answers, ["no answer: connection refused", "known"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_without_an_answer_is_submitted_by_the_next_run() {
    let (sink, mut first_node) = node();
    let setup = Setup {
        sink: Some(sink),
        ..Setup::for_blocks()
    };
    let (directory, chain) = (setup.directory.clone(), setup.chain.clone());
    let pool = setup.start().await;
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    let nonce = client.find_block();
    client.submit(&nonce);
    client.until_acknowledged(1).await;
    let (hex, answer) = first_node.submission().await.unwrap();
    // The node goes away without a word, and so does the pool.
    drop((answer, first_node));
    drop(client);
    pool.stop().await;

    // The ledger was lost too: all that is left is the file.
    let ledger = FakeLedger::new();
    let (sink, mut node) = node();
    let pool = Setup {
        sink: Some(sink),
        ledger: ledger.boxed(),
        directory: directory.clone(),
        chain,
        ..Setup::for_blocks()
    };
    let pool = pool.start().await;
    let (again, answer) = node.submission().await.unwrap();
    assert_eq!(again, hex);
    answer.send(SubmitAnswer::Accepted).unwrap();
    pool.stop().await;
    let record = only_block(&ledger);
    assert_eq!(record.found.hash, nonce.hash());
    assert_eq!(record.found.height, 111);
    assert_eq!(record.found.worker.payout(), address(1).to_string());
    let block: bitcoin::Block = deserialize_hex(&hex).unwrap();
    assert_eq!(record.found.paid, block.txdata[0].output[0].value);
    let is_in_chain = matches!(
        record.fate,
        BlockFate::Accepted | BlockFate::Confirmed { .. }
    );
    assert!(is_in_chain, "{:?}", record.fate);
    assert_eq!(journal(directory.path(), "answer").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_block_is_shown_and_left_alone() {
    let (sink, mut first_node) = node();
    let ledger = FakeLedger::new();
    let setup = Setup {
        sink: Some(sink),
        ledger: ledger.boxed(),
        ..Setup::for_blocks()
    };
    let directory = setup.directory.clone();
    let pool = setup.start().await;
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    let nonce = client.find_block();
    client.submit(&nonce);
    client.flush().await;
    let (_, answer) = first_node.submission().await.unwrap();
    answer
        .send(SubmitAnswer::Refused("bad-cb-amount".to_owned()))
        .unwrap();
    drop(client);
    pool.stop().await;
    let reason = "bad-cb-amount".into();
    assert_eq!(only_block(&ledger).fate, BlockFate::Refused { reason });
    let answers = journal(directory.path(), "answer");
    let answer = std::fs::read_to_string(&answers[0]).unwrap();
    assert_eq!(answer, "refused: bad-cb-amount\n");

    let (sink, mut node) = node();
    let pool = Setup {
        sink: Some(sink),
        ledger: ledger.boxed(),
        directory,
        ..Setup::for_blocks()
    };
    let pool = pool.start().await;
    // Blocks of an earlier run would be submitted before anything else.
    assert!(matches!(node.call().await, Some(Call::StandBy)));
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hangs_delays_neither_shares_nor_the_next_block() {
    let (sink, mut node) = node();
    let ledger = FakeLedger::new();
    let pool = Setup::for_blocks()
        .sending_to(sink)
        .with(&ledger)
        .start()
        .await;
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    let first = client.find_block();
    client.submit(&first);
    let (hung, answer) = node.submission_while(&mut client).await;
    // Every share is a block here, and each is acknowledged while the first hangs.
    let second = client.find_block();
    client.submit(&second);
    client.until_acknowledged(2).await;
    let (next, next_answer) = node.submission().await.unwrap();
    assert_ne!(next, hung);
    next_answer.send(SubmitAnswer::Inconclusive).unwrap();
    ledger.until(|seen| seen.blocks == 2).await;
    assert_eq!(pool.journal("hex").len(), 2);
    answer.send(SubmitAnswer::Accepted).unwrap();
    drop(client);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_goes_to_all_nodes_at_once_and_what_each_said_is_kept() {
    let (sink, mut preferred) = node();
    let (backup, mut other) = node();
    let ledger = FakeLedger::new();
    let setup = Setup::for_blocks().sending_to(sink).with(&ledger);
    let pool = setup.sending_besides_to(backup).start().await;
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    let nonce = client.find_block();
    client.submit(&nonce);
    let (hex, hung) = preferred.submission_while(&mut client).await;
    // The preferred node says nothing yet, and the other one has the block all the same.
    let (same, answer) = other.submission().await.unwrap();
    assert_eq!(hex, same);
    answer.send(SubmitAnswer::Accepted).unwrap();
    let is_accepted = |block: &headframe_api::Block| {
        matches!(block.fate, headframe_api::BlockFate::Accepted { .. })
    };
    let answers_of = |shown: &headframe_api::Overview| {
        let answers = shown.blocks[0].answers.iter();
        let answers = answers.map(|it| format!("{}: {}", it.node, it.answer));
        answers.collect::<Vec<_>>()
    };
    let shown = pool.shows(|it| it.blocks.first().is_some_and(is_accepted));
    assert_eq!(answers_of(&*shown.await), ["the other node: accepted"]);
    let reason = "bad-cb-amount".to_owned();
    hung.send(SubmitAnswer::Refused(reason)).unwrap();
    let both = [
        "the test's node: refused: bad-cb-amount",
        "the other node: accepted",
    ];
    let shown = pool.shows(|it| answers_of(it).len() == 2).await;
    assert_eq!(answers_of(&shown), both);
    assert!(is_accepted(&shown.blocks[0]), "one that has it is enough");
    let directory = pool.directory.clone();
    drop(client);
    pool.stop().await;
    let record = only_block(&ledger);
    let has_it = matches!(
        record.fate,
        BlockFate::Accepted | BlockFate::Confirmed { .. }
    );
    assert!(has_it, "{:?}", record.fate);
    let kept = record.answers.iter();
    let kept: Vec<_> = kept
        .map(|it| format!("{}: {}", it.node.as_str(), it.answer.as_str()))
        .collect();
    assert_eq!(kept, [both[1], both[0]]);
    let answers = journal(directory.path(), "answer");
    let answer = std::fs::read_to_string(&answers[0]).unwrap();
    assert_eq!(answer, format!("accepted\n{}\n{}\n", both[0], both[1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_that_one_node_refused_and_the_other_never_answered_for_is_the_next_run_s_too() {
    let (sink, mut preferred) = node();
    let (backup, mut other) = node();
    let ledger = FakeLedger::new();
    let setup = Setup::for_blocks().sending_to(sink).with(&ledger);
    let pool = setup.sending_besides_to(backup).start().await;
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    let nonce = client.find_block();
    client.submit(&nonce);
    let (_, refusal) = preferred.submission_while(&mut client).await;
    let reason = "inconclusive-not-today".to_owned();
    refusal.send(SubmitAnswer::Refused(reason)).unwrap();
    drop(other.submission().await);
    let directory = pool.directory.clone();
    drop((client, other));
    pool.stop().await;
    let is_refused = matches!(only_block(&ledger).fate, BlockFate::Refused { .. });
    assert!(is_refused, "{:?}", only_block(&ledger).fate);
    assert!(journal(directory.path(), "answer").is_empty());
    assert!(!LeftBlocks::read(directory.path()).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_hangs_delays_no_block() {
    let (sink, mut node) = node();
    let ledger = FakeLedger::new();
    let pool = Setup::for_blocks()
        .sending_to(sink)
        .with(&ledger)
        .start()
        .await;
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    ledger.be(Mood::Held);
    for blocks in 1..=2 {
        let nonce = client.find_block();
        client.submit(&nonce);
        let (hex, answer) = node.submission_while(&mut client).await;
        let block: bitcoin::Block = deserialize_hex(&hex).unwrap();
        assert_eq!(block.block_hash(), nonce.hash());
        answer.send(SubmitAnswer::Accepted).unwrap();
        client.until_acknowledged(blocks).await;
    }
    ledger.be(Mood::Well);
    let directory = pool.directory.clone();
    drop(client);
    pool.stop().await;
    assert_eq!(journal(directory.path(), "hex").len(), 2);
    assert_eq!(ledger.memory().blocks(10).unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_ledger_hears_of_blocks_when_there_is_room_again() {
    let ledger = FakeLedger::new();
    let pool = Setup::for_blocks().with(&ledger).start().await;
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    ledger.be(Mood::DiskFull);
    let nonce = client.find_block();
    client.submit(&nonce);
    client.until_acknowledged(1).await;
    ledger.until(|seen| seen.failures >= 1).await;
    assert_eq!(ledger.memory().blocks(10).unwrap(), []);
    ledger.be(Mood::Well);
    drop(client);
    pool.stop().await;
    assert_eq!(only_block(&ledger).fate, BlockFate::Accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_block_hinders_nothing() {
    let setup = Setup::for_blocks();
    let blocks = setup.directory.path().join("blocks");
    std::fs::create_dir(&blocks).unwrap();
    let hash = "00".repeat(32);
    std::fs::write(blocks.join(format!("5-{hash}.hex")), [0xff, 0xfe]).unwrap();
    std::fs::write(blocks.join(format!("6-{hash}.hex")), "not a block").unwrap();
    let (sink, mut node) = node();
    let pool = Setup {
        sink: Some(sink),
        ledger: Box::new(MemoryLedger::new(Retention::default())),
        ..setup
    };
    let pool = pool.start().await;
    // What there is, the node is asked about; it knows best.
    let (hex, answer) = node.submission().await.unwrap();
    assert_eq!(hex, "not a block");
    let reason = "Block decode failed".to_owned();
    answer.send(SubmitAnswer::Refused(reason)).unwrap();
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    let nonce = client.find_block();
    client.submit(&nonce);
    let (_, answer) = node.submission_while(&mut client).await;
    answer.send(SubmitAnswer::Accepted).unwrap();
    let directory = pool.directory.clone();
    drop(client);
    pool.stop().await;
    assert_eq!(journal(directory.path(), "answer").len(), 2);
}

/// A pool that is killed once the answer is in the journal never looks at the block again, so the
/// ledger has to have it by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_that_the_ledger_never_had_is_the_next_run_s_too() {
    let ledger = FakeLedger::new();
    let setup = Setup {
        ledger: ledger.boxed(),
        ..Setup::for_blocks()
    };
    let (directory, chain) = (setup.directory.clone(), setup.chain.clone());
    let pool = setup.start().await;
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    ledger.be(Mood::DiskFull);
    let nonce = client.find_block();
    client.submit(&nonce);
    client.until_acknowledged(1).await;
    drop(client);
    pool.stop().await;
    assert_eq!(
        chain.tip().hash,
        nonce.hash(),
        "the node was not waited for"
    );
    assert_eq!(ledger.memory().blocks(10).unwrap(), []);
    assert!(journal(directory.path(), "answer").is_empty());

    ledger.be(Mood::Well);
    let pool = Setup {
        ledger: ledger.boxed(),
        directory: directory.clone(),
        chain,
        ..Setup::for_blocks()
    };
    pool.start().await.stop().await;
    let record = only_block(&ledger);
    assert_eq!(record.found.hash, nonce.hash());
    assert_eq!(record.found.fee, Some(bitcoin::Amount::ZERO));
    let is_in_chain = matches!(
        record.fate,
        BlockFate::Accepted | BlockFate::Confirmed { .. }
    );
    assert!(is_in_chain, "{:?}", record.fate);
    assert_eq!(journal(directory.path(), "answer").len(), 1);
}

/// The blocks that a run without a node leaves, for one that cannot start.
async fn leave_a_block() -> (Setup, bitcoin::BlockHash) {
    let (sink, mut node) = node();
    let setup = Setup {
        sink: Some(sink),
        ..Setup::for_blocks()
    };
    let (directory, chain) = (setup.directory.clone(), setup.chain.clone());
    let pool = setup.start().await;
    let mut client = Sv2Client::connect(&pool, &user(1)).await;
    let nonce = client.find_block();
    client.submit(&nonce);
    drop(node.submission_while(&mut client).await);
    drop((client, node));
    pool.stop().await;
    let left = Setup {
        directory,
        chain,
        ..Setup::for_blocks()
    };
    (left, nonce.hash())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_that_were_left_are_submitted_though_no_pool_starts() {
    let (setup, hash) = leave_a_block().await;
    let path = setup.directory.path();
    let left = LeftBlocks::read(path).unwrap();
    assert!(!left.is_empty());
    let (sink, mut node) = node();
    let stop = CancellationToken::new();
    let submitting = tokio::task::spawn_blocking({
        let stop = stop.clone();
        move || left.submit(vec![("the node".to_owned(), sink)], &stop)
    });
    let busy = SubmitAnswer::Retry("the node is busy".to_owned());
    node.submission().await.unwrap().1.send(busy).unwrap();
    let (hex, answer) = node.submission().await.unwrap();
    let block: bitcoin::Block = deserialize_hex(&hex).unwrap();
    assert_eq!(block.block_hash(), hash);
    answer.send(SubmitAnswer::Accepted).unwrap();
    submitting.await.unwrap();
    // The ledger knows nothing of it: the next pool is to look at it once more.
    assert!(journal(path, "answer").is_empty());
    let pool = setup.start().await;
    let directory = pool.directory.clone();
    pool.stop().await;
    assert_eq!(journal(directory.path(), "answer").len(), 1);
    assert!(LeftBlocks::read(directory.path()).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_stops_the_program_does_not_wait_for_the_node() {
    let (setup, _) = leave_a_block().await;
    let left = LeftBlocks::read(setup.directory.path()).unwrap();
    let (sink, mut node) = node();
    let stop = CancellationToken::new();
    stop.cancel();
    let submitting = tokio::task::spawn_blocking(move || {
        left.submit(vec![("the node".to_owned(), sink)], &stop);
    });
    let busy = SubmitAnswer::Retry("the node is busy".to_owned());
    node.submission().await.unwrap().1.send(busy).unwrap();
    submitting.await.unwrap();
    assert!(node.submission().await.is_none(), "it was tried once");
}
