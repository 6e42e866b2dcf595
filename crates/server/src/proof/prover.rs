//! The task that shows blocks to the node, and tells what it said.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::Address;
use headframe_mining::server::PoolWork;
use headframe_node::{BlockCheck, CheckAnswer, NodeStatus};
use headframe_work::{Block, Network};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use super::desk::Sample;
use super::pace::Pace;
use super::{Layouts, ProofDesk};
use crate::blocks::FOUND;
use crate::clock::{sleep_until_some, wall_clock};
use crate::news::{News, ProofNews};

/// A node that has not judged a block within this time is left alone with it.
const LIMIT: Duration = Duration::from_secs(30);

/// What the prover has of the rest of the pool.
pub(crate) struct Parts {
    pub(crate) check: Arc<dyn BlockCheck>,
    pub(crate) network: Network,
    pub(crate) work: watch::Receiver<Arc<PoolWork>>,
    pub(crate) status: watch::Receiver<NodeStatus>,
    pub(crate) news: mpsc::Sender<News>,
}

pub(crate) struct Prover {
    parts: Parts,
    desk: ProofDesk,
    samples: mpsc::Receiver<Sample>,
    pace: Pace,
    /// Whether the last thing that the log was told is that a block would be accepted.
    is_told: bool,
}

/// What the node said of a block, if it judged it.
type Verdict = Option<Result<(), String>>;

impl Prover {
    pub(crate) fn new(parts: Parts) -> (Self, ProofDesk) {
        let (desk, samples) = ProofDesk::new();
        let prover = Self {
            parts,
            desk: desk.clone(),
            samples,
            pace: Pace::new(Instant::now()),
            is_told: false,
        };
        (prover, desk)
    }

    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.prove_all() => {}
        }
    }

    async fn prove_all(&mut self) {
        self.note_work();
        loop {
            tokio::select! {
                Ok(()) = self.parts.work.changed() => self.note_work(),
                () = sleep_until_some(self.pace.poll_timeout()) => {
                    self.desk.want(self.pace.take_asked());
                }
                Some(sample) = self.samples.recv() => {
                    let now = Instant::now();
                    if self.pace.rests_long(now) {
                        // Its template is not held for so long.
                        self.pace.pass_over(now, sample.layout);
                        continue;
                    }
                    self.settled().await;
                    self.prove(sample).await;
                }
            }
        }
    }

    fn note_work(&mut self) {
        let work = self.parts.work.borrow_and_update();
        if !work.is_start() {
            self.pace.handle_full_job(Instant::now(), work.tip());
        }
    }

    /// Waits until the node may be asked, whatever tips come meanwhile.
    async fn settled(&mut self) {
        loop {
            self.note_work();
            let at = self.pace.may_ask_at();
            if at <= Instant::now() {
                return;
            }
            sleep_until(at.into()).await;
        }
    }

    async fn prove(&mut self, Sample { layout, block }: Sample) {
        let now = Instant::now();
        if !self.is_present(&block) {
            return self.pace.replace(now, layout);
        }
        if !self.parts.status.borrow().is_ready() {
            return self.pace.pass_over(now, layout);
        }
        let (verdict, block) = self.judge(block).await;
        let open = match &verdict {
            Some(Ok(())) => Layouts::NONE,
            Some(Err(_)) | None => layout,
        };
        self.pace.handle_answer(now, Instant::now(), open);
        if let Some(verdict) = verdict {
            self.tell(layout, &block, verdict);
        }
    }

    /// Whether the block is of the job that miners work on, and has all its transactions.
    fn is_present(&self, block: &Block) -> bool {
        let work = self.parts.work.borrow();
        Arc::ptr_eq(&work.prepared, &block.prepared) && !work.is_start()
    }

    async fn judge(&self, block: Block) -> (Verdict, Block) {
        let serialized = spawn_blocking(move || (block.to_hex().to_string(), block)).await;
        let (hex, block) = serialized.expect("to serialise a block does not panic");
        let verdict = match timeout(LIMIT, self.parts.check.check(&hex)).await {
            Ok(Ok(CheckAnswer::Valid | CheckAnswer::AlreadyKnown)) => Some(Ok(())),
            Ok(Ok(CheckAnswer::Refused(reason))) => Some(Err(reason)),
            Ok(Ok(CheckAnswer::StaleTip)) => None,
            Ok(Err(error)) => {
                debug!("the node did not judge a block: {error}");
                None
            }
            Err(_) => {
                debug!(
                    "the node did not judge a block within {} s",
                    LIMIT.as_secs()
                );
                None
            }
        };
        (verdict, block)
    }

    fn tell(&mut self, layout: Layouts, block: &Block, verdict: Result<(), String>) {
        let template = block.prepared.template();
        let paid = block.payout.miner_amount(template.coinbase_value);
        let network = bitcoin::Network::from(self.parts.network);
        let address = Address::from_script(block.payout.miner(), network);
        let news = ProofNews {
            layout,
            height: block.height(),
            // Of several, the one that is mined on.
            node: self.parts.status.borrow().name.clone(),
            // A miner's payout is made of an address.
            address: address.map_or_else(|_| String::new(), |address| address.to_string()),
            paid,
            verdict,
            at: wall_clock(),
        };
        self.log(&news);
        // The board is never waited for: the next block tells it the same.
        let _ = self.parts.news.try_send(News::Proof(news));
    }

    /// A refusal is told each time, and an acceptance when it is news.
    fn log(&mut self, news: &ProofNews) {
        let ProofNews {
            height,
            node,
            address,
            paid,
            ..
        } = news;
        match &news.verdict {
            Ok(()) if self.is_told => {
                debug!("{node} accepts a block at height {height}, paying {address} {paid}");
            }
            Ok(()) => {
                info!(target: FOUND, "{node} accepts a block at height {height}, paying {address} {paid}");
            }
            Err(reason) => error!(
                "{node} would refuse a block at height {height}, paying {address} {paid}: {reason}"
            ),
        }
        self.is_told = news.verdict.is_ok();
    }
}
