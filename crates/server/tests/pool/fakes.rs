//! A ledger and a node that the test holds in its hand.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use bitcoin::BlockHash;
use headframe_ledger::{
    Ban, BlockRecord, BlockUpdate, Bucket, FoundBlock, Ledger, LedgerError, MemoryLedger,
    RankedShare, Retention, ShareBatch, Slot, TimeRange, Totals, Upkeep, WorkerId, WorkerRecord,
};
use headframe_node::{
    BlockCheck, BlockFate, BlockSink, BoxFuture, CheckAnswer, NodeError, SubmitAnswer,
    TemplateSource, TemplateUpdate,
};
use headframe_work::{BlockHex, UnixTime};
use tokio::sync::{mpsc, oneshot, watch};

use crate::client::Sv2Client;

/// What the ledger does with shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// It takes its time, until the test says otherwise.
    Held,
    DiskFull,
}

/// A node that goes away when the test says so, and comes back with a template.
pub(crate) struct Fickle {
    templates: Box<dyn TemplateSource>,
    is_away: watch::Receiver<bool>,
    /// Whether its absence was told.
    is_told: bool,
    last: Option<TemplateUpdate>,
}

impl Fickle {
    /// One that gives these templates while it is there, and the way to send it away.
    pub(crate) fn boxed(
        templates: Box<dyn TemplateSource>,
    ) -> (Box<dyn TemplateSource>, watch::Sender<bool>) {
        let (away, is_away) = watch::channel(false);
        let fickle = Self {
            templates,
            is_away,
            is_told: false,
            last: None,
        };
        (Box::new(fickle), away)
    }
}

impl TemplateSource for Fickle {
    fn next(&mut self) -> BoxFuture<'_, Result<TemplateUpdate, NodeError>> {
        Box::pin(async {
            loop {
                if *self.is_away.borrow_and_update() {
                    if !core::mem::replace(&mut self.is_told, true) {
                        return Err(NodeError::Busy);
                    }
                    if self.is_away.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                    continue;
                }
                if core::mem::take(&mut self.is_told) {
                    return Ok(self.last.clone().unwrap());
                }
                tokio::select! {
                    Ok(()) = self.is_away.changed() => {}
                    update = self.templates.next() => {
                        self.last = update.clone().ok();
                        return update;
                    }
                }
            }
        })
    }
}

/// What a fake ledger has been asked so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Commits that were begun.
    pub(crate) commits: u32,
    /// Commits that failed.
    pub(crate) failures: u32,
    /// Blocks that were recorded.
    pub(crate) blocks: u32,
}

/// A ledger in memory that waits or fails when it is told to.
#[derive(Clone)]
pub(crate) struct FakeLedger {
    memory: Arc<Mutex<MemoryLedger>>,
    mood: watch::Sender<Mood>,
    seen: watch::Sender<Seen>,
}

impl FakeLedger {
    pub(crate) fn new() -> Self {
        Self {
            memory: Arc::new(Mutex::new(MemoryLedger::new(Retention::default()))),
            mood: watch::Sender::new(Mood::Well),
            seen: watch::Sender::new(Seen::default()),
        }
    }

    pub(crate) fn boxed(&self) -> Box<dyn Ledger> {
        Box::new(self.clone())
    }

    pub(crate) fn be(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Waits until the ledger has been asked for what `condition` says.
    pub(crate) async fn until(&self, condition: impl FnMut(&Seen) -> bool) {
        self.seen.subscribe().wait_for(condition).await.unwrap();
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, MemoryLedger> {
        self.memory.lock().unwrap()
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.memory().totals().unwrap().sums.accepted.count
    }

    /// Waits while the mood is to hold.
    fn pass(&self) -> Mood {
        let mut mood = self.mood.subscribe();
        let passed = futures_block_on(mood.wait_for(|mood| *mood != Mood::Held));
        passed.unwrap_or(Mood::Well)
    }
}

/// Runs a future of the test's on a thread that is not the runtime's.
fn futures_block_on<'a>(
    wait: impl Future<Output = Result<watch::Ref<'a, Mood>, watch::error::RecvError>>,
) -> Option<Mood> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(wait).ok().map(|mood| *mood)
}

fn disk_full() -> LedgerError {
    let path = PathBuf::from("the test's disk");
    LedgerError::DiskFull { path }
}

impl Ledger for FakeLedger {
    fn record(&mut self, batch: &ShareBatch) -> Result<(), LedgerError> {
        self.seen.send_modify(|seen| seen.commits += 1);
        match self.pass() {
            Mood::DiskFull => {
                self.seen.send_modify(|seen| seen.failures += 1);
                Err(disk_full())
            }
            Mood::Well | Mood::Held => self.memory().record(batch),
        }
    }

    fn record_block(&mut self, block: &FoundBlock) -> Result<bool, LedgerError> {
        if *self.mood.borrow() == Mood::DiskFull {
            self.seen.send_modify(|seen| seen.failures += 1);
            return Err(disk_full());
        }
        let recorded = self.memory().record_block(block);
        self.seen.send_modify(|seen| seen.blocks += 1);
        recorded
    }

    fn update_block(&mut self, hash: BlockHash, update: &BlockUpdate) -> Result<(), LedgerError> {
        self.memory().update_block(hash, update)
    }

    fn record_ban(&mut self, ban: &Ban) -> Result<(), LedgerError> {
        self.memory().record_ban(ban)
    }

    fn upkeep(&mut self, now: UnixTime) -> Result<Upkeep, LedgerError> {
        self.memory().upkeep(now)
    }

    fn totals(&self) -> Result<Totals, LedgerError> {
        self.memory().totals()
    }

    fn pool_history(&self, range: TimeRange, bucket: Bucket) -> Result<Vec<Slot>, LedgerError> {
        self.memory().pool_history(range, bucket)
    }

    fn worker_history(
        &self,
        worker: &WorkerId,
        range: TimeRange,
        bucket: Bucket,
    ) -> Result<Vec<Slot>, LedgerError> {
        self.memory().worker_history(worker, range, bucket)
    }

    fn workers(&self, limit: usize) -> Result<Vec<WorkerRecord>, LedgerError> {
        self.memory().workers(limit)
    }

    fn worker(&self, worker: &WorkerId) -> Result<Option<WorkerRecord>, LedgerError> {
        self.memory().worker(worker)
    }

    fn best_shares(&self) -> Result<Vec<RankedShare>, LedgerError> {
        self.memory().best_shares()
    }

    fn blocks(&self, limit: usize) -> Result<Vec<BlockRecord>, LedgerError> {
        self.memory().blocks(limit)
    }

    fn unsettled_blocks(&self) -> Result<Vec<BlockRecord>, LedgerError> {
        self.memory().unsettled_blocks()
    }

    fn bans(&self, now: UnixTime) -> Result<Vec<Ban>, LedgerError> {
        self.memory().bans(now)
    }
}

/// A call of the pool's to the node. A submission waits for the test's answer.
#[derive(Debug)]
pub(crate) enum Call {
    Submit {
        hex: String,
        answer: std::sync::mpsc::Sender<SubmitAnswer>,
    },
    StandBy,
}

/// A node whose answers the test gives.
pub(crate) struct FakeSink(mpsc::UnboundedSender<Call>);

/// The test's end of a [`FakeSink`].
pub(crate) struct Node(mpsc::UnboundedReceiver<Call>);

pub(crate) fn node() -> (Box<dyn BlockSink>, Node) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Box::new(FakeSink(sender)), Node(receiver))
}

impl Node {
    /// The next call; `None` when the pool has stopped.
    pub(crate) async fn call(&mut self) -> Option<Call> {
        self.0.recv().await
    }

    /// The next block that is submitted, and where the answer goes.
    pub(crate) async fn submission(
        &mut self,
    ) -> Option<(String, std::sync::mpsc::Sender<SubmitAnswer>)> {
        loop {
            if let Call::Submit { hex, answer } = self.call().await? {
                return Some((hex, answer));
            }
        }
    }
}

impl Node {
    /// The next submission, which something that `client` has queued will cause.
    pub(crate) async fn submission_while(
        &mut self,
        client: &mut Sv2Client,
    ) -> (String, std::sync::mpsc::Sender<SubmitAnswer>) {
        client.flush().await;
        self.submission().await.expect("the pool runs")
    }
}

impl BlockSink for FakeSink {
    fn submit(&mut self, block: &BlockHex) -> SubmitAnswer {
        let (answer, answered) = std::sync::mpsc::channel();
        let hex = block.to_string();
        let _ = self.0.send(Call::Submit { hex, answer });
        let gone = || SubmitAnswer::Retry("the node is gone".to_owned());
        answered.recv().unwrap_or_else(|_| gone())
    }

    fn fate(&mut self, _hash: BlockHash) -> Result<BlockFate, NodeError> {
        Ok(BlockFate::InChain { confirmations: 1 })
    }

    fn another_way(&self) -> Option<Box<dyn BlockSink>> {
        Some(Box::new(Self(self.0.clone())))
    }

    fn stand_by(&mut self) -> Result<(), NodeError> {
        let _ = self.0.send(Call::StandBy);
        Ok(())
    }
}

/// A block without proof of work, and where what the node says of it goes. Dropped, it never says
/// anything.
pub(crate) type Proposal = (String, oneshot::Sender<Result<CheckAnswer, NodeError>>);

/// A judge of blocks without proof of work, whose answers the test gives.
pub(crate) struct FakeCheck(mpsc::UnboundedSender<Proposal>);

pub(crate) fn judge() -> (Arc<dyn BlockCheck>, mpsc::UnboundedReceiver<Proposal>) {
    let (sender, proposals) = mpsc::unbounded_channel();
    (Arc::new(FakeCheck(sender)), proposals)
}

impl BlockCheck for FakeCheck {
    fn check<'a>(&'a self, block_hex: &'a str) -> BoxFuture<'a, Result<CheckAnswer, NodeError>> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let _ = self.0.send((block_hex.to_owned(), answer));
            match answered.await {
                Ok(answer) => answer,
                Err(_) => std::future::pending().await,
            }
        })
    }
}
