//! Templates one way, blocks the other, and what breaks between.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use bitcoin::BlockHash;
use headframe_node::{BlockFate, BlockSink, Cause, Condition, NodeError, SubmitAnswer};
use headframe_work::BlockHex;

use crate::harness::{LIMIT, Pool, Setup, advance, mine};

/// The way of a block: template, transactions, solution, the node, the journal, the tip.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_found_on_a_provider_s_template_is_in_the_chain_and_in_the_journal() {
    let house = Setup::usual().start();
    let mut pool = house.connect();
    let first = pool.next().await.unwrap();
    assert_eq!(first.cause, Cause::NewTip);
    assert_eq!(first.template.prev_hash, house.chain.tip().hash);
    let expected = house.chain.template();
    assert_eq!(first.template.coinbase_value, expected.coinbase_value);
    assert_eq!(
        first.template.witness_commitment,
        expected.witness_commitment
    );
    let data = |template: &headframe_work::Template| -> Vec<_> {
        template
            .transactions
            .iter()
            .map(|tx| tx.data.clone())
            .collect()
    };
    assert_eq!(
        data(&first.template),
        data(&expected),
        "the whole block can be made"
    );
    assert!(pool.status.borrow().is_ready());
    let mut update = first;
    for round in 0..3 {
        let block = mine(&update.template, round);
        assert_eq!(pool.submit(&block).await, SubmitAnswer::Accepted);
        assert_eq!(house.chain.tip().hash, block.hash());
        let fate = pool.sink().fate(block.hash()).unwrap();
        assert_eq!(fate, BlockFate::InChain { confirmations: 1 });
        assert_eq!(
            pool.submit(&block).await,
            SubmitAnswer::Accepted,
            "it is sent again, and was named"
        );
        update = pool.on(block.hash()).await;
    }
    let setup = house.stop().await;
    let house = setup.start();
    assert_eq!(house.journal("hex").len(), 3);
    assert_eq!(house.journal("answer").len(), 3);
}

/// R-14, TD-8: a block of the tip before reaches the node too.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_crosses_a_new_tip_reaches_the_node() {
    let (answer, answers) = channel();
    let (given, taken) = channel();
    let setup = Setup {
        sink: Some(Box::new(Slow { answers, given })),
        ..Setup::usual()
    };
    let house = setup.start();
    let mut pool = house.connect();
    let update = pool.next().await.unwrap();
    let late = mine(&update.template, 1);
    let tip = advance(&house.chain, 2);
    pool.on(tip).await;
    answer.send(SubmitAnswer::Inconclusive).unwrap();
    // It is a side branch, which the protocol has no word for.
    assert_eq!(pool.submit(&late).await, SubmitAnswer::Inconclusive);
    assert_eq!(
        taken.recv_timeout(LIMIT).unwrap(),
        late.to_hex().to_string()
    );
    while house.journal("hex").is_empty() {
        tokio::task::yield_now().await;
    }
    let file = house.journal("hex").remove(0);
    assert_eq!(
        std::fs::read_to_string(file).unwrap(),
        late.to_hex().to_string()
    );
    assert_eq!(house.chain.tip().hash, tip);
}

/// TD-46, and what a provider's end means: told at once, gone on with when it is back. A block is sent over
/// the new connection if that has given its template again, under whatever number.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_killed_is_noticed_and_found_again() {
    let house = Setup::usual().start();
    let mut pool = house.connect();
    let update = pool.next().await.unwrap();
    let [block, late] = [1, 2].map(|salt| mine(&update.template, salt));
    let setup = house.stop().await;
    let error = pool.next().await.unwrap_err();
    assert!(matches!(error, NodeError::Provider { .. }), "{error}");
    let condition = pool.status.borrow().condition.clone();
    assert!(matches!(condition, Condition::Unusable(_)));
    assert!(pool.sink().stand_by().is_err());
    let answer = pool.submit(&block).await;
    assert!(matches!(answer, SubmitAnswer::Retry(_)), "{answer:?}");
    let house = setup.start();
    let again = pool.on(house.chain.tip().hash).await;
    assert_eq!(again.cause, Cause::NewTip, "after an error all is new");
    assert_eq!(pool.submit(&block).await, SubmitAnswer::Accepted);
    let setup = house.stop().await;
    let tip = advance(&setup.chain, 3);
    let _house = setup.start();
    let last = pool.on(tip).await;
    let SubmitAnswer::Retry(reason) = pool.submit(&late).await else {
        panic!("no connection knows its template");
    };
    assert!(reason.contains("no template for this block"), "{reason}");
    let block = mine(&last.template, 4);
    assert_eq!(pool.submit(&block).await, SubmitAnswer::Accepted);
}

/// the key is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_with_another_key_is_an_impostor_unless_it_was_said_that_anyone_will_do() {
    let house = Setup::usual().start();
    let other = Setup::usual().start();
    let mut pool = Pool::at(house.address, &other.authority.to_string());
    let error = pool.next().await.unwrap_err();
    assert!(matches!(error, NodeError::Impostor { .. }), "{error}");
    assert!(error.advice().contains("authority key"));
    let mut trusting = Pool::at(house.address, "insecure");
    assert!(trusting.next().await.is_ok());
}

/// A node that does not answer at first.
struct Slow {
    answers: Receiver<SubmitAnswer>,
    given: Sender<String>,
}

impl BlockSink for Slow {
    fn submit(&mut self, block: &BlockHex) -> SubmitAnswer {
        self.given.send(block.to_string()).unwrap();
        self.answers.recv_timeout(LIMIT).unwrap()
    }

    fn fate(&mut self, _: BlockHash) -> Result<BlockFate, NodeError> {
        Ok(BlockFate::Unknown)
    }

    fn stand_by(&mut self) -> Result<(), NodeError> {
        Ok(())
    }
}

/// the file is there while the node hangs; what has no answer is tried again, in the next run
/// too, and what is refused is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_on_the_disk_while_the_node_hangs_and_is_submitted_until_it_answers() {
    let (answer, answers) = channel();
    let (given, taken) = channel();
    let setup = Setup {
        sink: Some(Box::new(Slow { answers, given })),
        ..Setup::usual()
    };
    let house = setup.start();
    let mut pool = house.connect();
    let update = pool.next().await.unwrap();
    let block = mine(&update.template, 1);
    assert_eq!(pool.submit(&block).await, SubmitAnswer::Inconclusive);
    assert_eq!(
        taken.recv_timeout(LIMIT).unwrap(),
        block.to_hex().to_string()
    );
    while house.journal("hex").is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(house.journal("answer").is_empty());
    answer
        .send(SubmitAnswer::Retry("it hangs".to_owned()))
        .unwrap();
    assert_eq!(
        taken.recv_timeout(LIMIT).unwrap(),
        block.to_hex().to_string(),
        "again"
    );
    answer
        .send(SubmitAnswer::Retry("still".to_owned()))
        .unwrap();
    let answering = std::thread::spawn(move || {
        while taken.recv().is_ok() {
            // Whatever is tried once more before the end.
            let _ = answer.send(SubmitAnswer::Retry("to the end".to_owned()));
        }
    });
    let setup = house.stop().await;
    answering.join().unwrap();

    let (answer, answers) = channel();
    let (given, taken) = channel();
    let setup = Setup {
        sink: Some(Box::new(Slow { answers, given })),
        ..setup
    };
    let house = setup.start();
    assert_eq!(
        taken.recv_timeout(LIMIT).unwrap(),
        block.to_hex().to_string(),
        "the next run"
    );
    answer.send(SubmitAnswer::Inconclusive).unwrap();
    drop(answer);
    let setup = house.stop().await;

    let (answer, answers) = channel();
    let (given, taken) = channel();
    let setup = Setup {
        sink: Some(Box::new(Slow { answers, given })),
        ..setup
    };
    let house = setup.start();
    assert!(house.journal("answer").is_empty());
    assert_eq!(
        taken.recv_timeout(LIMIT).unwrap(),
        block.to_hex().to_string(),
        "a node that has it beside its best chain may forget it"
    );
    answer
        .send(SubmitAnswer::Refused("bad-cb-amount".to_owned()))
        .unwrap();
    drop(answer);
    let setup = house.stop().await;
    let house = setup.start();
    let answers = house.journal("answer");
    let text = std::fs::read_to_string(&answers[0]).unwrap();
    assert_eq!(text, "refused: bad-cb-amount\n");
}

/// A node that has what it was given, until it forgets all of it.
struct Forgets {
    has: Arc<Mutex<Vec<BlockHash>>>,
    given: Sender<String>,
}

impl BlockSink for Forgets {
    fn submit(&mut self, block: &BlockHex) -> SubmitAnswer {
        let bytes = block.to_bytes().unwrap();
        let header: bitcoin::block::Header =
            bitcoin::consensus::deserialize(&bytes[..bitcoin::block::Header::SIZE]).unwrap();
        self.has.lock().unwrap().push(header.block_hash());
        let _ = self.given.send(block.to_string());
        SubmitAnswer::Accepted
    }

    fn fate(&mut self, hash: BlockHash) -> Result<BlockFate, NodeError> {
        let has = self.has.lock().unwrap();
        Ok(match has.contains(&hash) {
            true => BlockFate::InChain { confirmations: 1 },
            false => BlockFate::Unknown,
        })
    }

    fn stand_by(&mut self) -> Result<(), NodeError> {
        Ok(())
    }
}

/// A node that is killed loses what it had not written down yet, and nobody else has the block. The provider has.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_the_node_has_forgotten_is_submitted_again_also_after_a_restart() {
    let has = Arc::new(Mutex::new(Vec::new()));
    let (given, taken) = channel();
    let sink = || Forgets {
        has: Arc::clone(&has),
        given: given.clone(),
    };
    let setup = Setup {
        sink: Some(Box::new(sink())),
        ..Setup::usual()
    };
    let house = setup.start();
    let mut pool = house.connect();
    let update = pool.next().await.unwrap();
    let block = mine(&update.template, 1);
    let digits = block.to_hex().to_string();
    pool.submit(&block).await;
    assert_eq!(taken.recv_timeout(LIMIT).unwrap(), digits);
    while house.journal("answer").is_empty() {
        tokio::task::yield_now().await;
    }
    has.lock().unwrap().clear();
    assert_eq!(
        taken.recv_timeout(LIMIT).unwrap(),
        digits,
        "in the same run"
    );
    // It would hand the block in again itself, since the node never named it.
    drop(pool);
    let setup = house.stop().await;
    has.lock().unwrap().clear();
    let setup = Setup {
        sink: Some(Box::new(sink())),
        ..setup
    };
    let house = setup.start();
    assert_eq!(
        taken.recv_timeout(LIMIT).unwrap(),
        digits,
        "in the next run"
    );
    house.stop().await;
}

/// A node whose first call hangs.
struct Hangs {
    calls: Arc<AtomicUsize>,
    end: Arc<Mutex<Receiver<()>>>,
    given: Sender<String>,
}

impl BlockSink for Hangs {
    fn submit(&mut self, block_hex: &BlockHex) -> SubmitAnswer {
        if self.calls.fetch_add(1, Ordering::SeqCst) == 0 {
            let _ = self.end.lock().unwrap().recv_timeout(LIMIT);
        }
        let _ = self.given.send(block_hex.to_string());
        SubmitAnswer::Accepted
    }

    fn fate(&mut self, _: BlockHash) -> Result<BlockFate, NodeError> {
        Ok(BlockFate::InChain { confirmations: 1 })
    }

    fn another_way(&self) -> Option<Box<dyn BlockSink>> {
        Some(Box::new(Self {
            calls: Arc::clone(&self.calls),
            end: Arc::clone(&self.end),
            given: self.given.clone(),
        }))
    }

    fn stand_by(&mut self) -> Result<(), NodeError> {
        Ok(())
    }
}

/// The block of another client does not wait for a node that hangs with the one before.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hangs_with_a_block_delays_no_other() {
    let (go_on, end) = channel();
    let (given, taken) = channel();
    let calls = Arc::new(AtomicUsize::new(0));
    let house = Setup {
        sink: Some(Box::new(Hangs {
            calls: Arc::clone(&calls),
            end: Arc::new(Mutex::new(end)),
            given,
        })),
        ..Setup::usual()
    }
    .start();
    let mut pool = house.connect();
    let update = pool.next().await.unwrap();
    let [first, second] = [1, 2].map(|salt| mine(&update.template, salt));
    assert_eq!(pool.submit(&first).await, SubmitAnswer::Inconclusive);
    while calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.submit(&second).await, SubmitAnswer::Inconclusive);
    assert_eq!(
        taken.recv_timeout(LIMIT).unwrap(),
        second.to_hex().to_string()
    );
    go_on.send(()).unwrap();
    assert_eq!(
        taken.recv_timeout(LIMIT).unwrap(),
        first.to_hex().to_string()
    );
}

/// What can be found out at once is.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_told() {
    let house = Setup::usual().start();
    let second = Setup {
        listen: house.address,
        ..Setup::usual()
    };
    let error = second.try_start().err().unwrap().to_string();
    assert!(error.contains("cannot listen on"), "{error}");
}
