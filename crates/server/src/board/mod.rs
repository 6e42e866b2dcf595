//! What the dashboard shows: news in, and what is shown out.
//!
//! One task owns the [`Model`](model::Model) and publishes what it shows by two slots of which
//! only the newest value matters. It decides nothing, and nothing waits for it but the queue of
//! news, which it empties in batches. The miners, of whom there may be very many, are listed when
//! somebody asks for them.

mod alarms;
mod bans;
mod bests;
mod blocks;
mod convert;
mod counts;
mod disk;
mod history;
mod miner;
mod miners;
mod model;
mod node;
mod nodes;
mod odds;
mod past;
mod proof;
mod publishers;
mod silence;
#[cfg(test)]
mod tests;
mod waiting;
mod window;

use std::sync::Arc;
use std::time::{Duration, Instant};

use headframe_api::{Connect, History, Miner, NodeKind, Overview, Payout};
use headframe_work::Network;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::clock::{Started, wall_clock};
use crate::ledger::LedgerState;
use crate::news::News;
use model::{Facts, Model, Urgency};
pub(crate) use past::Past;
pub use waiting::Waiting;

/// An overview is published so often when nothing happens.
const EVERY: Duration = Duration::from_secs(1);
/// However much happens, there is so much time between two of them.
const PAUSE: Duration = Duration::from_millis(250);
/// News that are taken in between two looks at the clock.
const BATCH: usize = 1_024;

/// Somebody who wants the list of miners, and waits for it.
pub type RollCall = oneshot::Sender<Arc<[Miner]>>;

/// Roll calls that wait for the board. Who comes when there are more waits longer.
const ROLL_CALLS: usize = 16;

/// Where the pool is shown.
#[derive(Debug)]
pub struct Feed {
    /// The state of the pool, once a second and when something happens.
    pub overviews: watch::Sender<Arc<Overview>>,
    /// The chart.
    pub history: watch::Sender<Arc<History>>,
    roll_calls: mpsc::Receiver<RollCall>,
    roll_caller: mpsc::Sender<RollCall>,
}

impl Feed {
    /// A feed that shows these at first.
    pub fn new(overview: Overview, history: History) -> Self {
        let (roll_caller, roll_calls) = mpsc::channel(ROLL_CALLS);
        Self {
            overviews: watch::Sender::new(Arc::new(overview)),
            history: watch::Sender::new(Arc::new(history)),
            roll_calls,
            roll_caller,
        }
    }

    /// Where to ask for the miners.
    pub fn roll_caller(&self) -> mpsc::Sender<RollCall> {
        self.roll_caller.clone()
    }

    /// Waits for who asks for the miners.
    pub async fn roll_call(&mut self) -> RollCall {
        let call = self.roll_calls.recv().await;
        call.expect("it has a sender itself")
    }
}

/// The board and what it is told at the start.
#[derive(Debug)]
pub struct Board {
    /// Where overviews go. They are numbered on from what is shown there already.
    pub feed: Feed,
    /// When the process began.
    pub started: Started,
    /// The network.
    pub network: Network,
    /// Whether this is the demonstration.
    pub demo: bool,
    /// Whether the ledger outlives the process.
    pub persistent: bool,
    /// What miners need to know to connect.
    pub connect: Connect,
    /// Who is paid.
    pub payout: Payout,
    /// The kind of node, of several that of the preferred one.
    pub node_kind: NodeKind,
    /// Where the node is.
    pub node_endpoint: String,
    /// The same of the others, in order of preference.
    pub backups: Vec<(NodeKind, String)>,
}

impl Board {
    /// The port that was asked for may be 0.
    pub(crate) fn set_ports(&mut self, ports: impl Iterator<Item = u16>) {
        for (listener, port) in self.connect.listeners.iter_mut().zip(ports) {
            listener.port = port;
        }
    }

    /// Shows what the ledger remembers, so that nobody sees a pool without a past.
    pub(crate) fn open(self, past: Past, ledger: watch::Receiver<LedgerState>) -> BoardTask {
        let facts = Facts {
            network: Some(self.network),
            demo: self.demo,
            persistent: self.persistent,
            connect: self.connect,
            payout: self.payout,
            node_kind: self.node_kind,
            node_endpoint: self.node_endpoint,
            backups: self.backups,
        };
        let now = Instant::now();
        let mut model = Model::new(facts, past, now, wall_clock());
        let shown = self.feed.overviews.borrow().summary.sequence;
        model.go_on(self.started, shown);
        self.feed.history.send_replace(Arc::new(model.history()));
        let mut board = BoardTask {
            model,
            feed: self.feed,
            ledger,
            due: now,
            earliest: now,
        };
        board.publish();
        board
    }
}

/// The model and when it is shown next.
pub(crate) struct BoardTask {
    model: Model,
    feed: Feed,
    ledger: watch::Receiver<LedgerState>,
    due: Instant,
    /// Before this it is not shown again.
    earliest: Instant,
}

impl BoardTask {
    /// Shows what happens, the pool's end included, until nobody is left to tell anything.
    pub(crate) async fn run(mut self, mut news: mpsc::Receiver<News>, shutdown: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled(), if !self.model.is_stopping() => {
                    self.model.stop();
                    self.publish();
                }
                () = sleep_until(self.due.into()) => self.publish(),
                call = self.feed.roll_call() => self.list(call),
                Ok(()) = self.ledger.changed() => self.due = self.due.min(self.earliest),
                count = news.recv_many(&mut batch, BATCH) => match count {
                    0 => break,
                    _ => self.handle(batch.drain(..)),
                },
            }
        }
        // The ledger writes what it has; what is published then is the last.
        loop {
            tokio::select! {
                told = self.ledger.changed() => match told {
                    Ok(()) => {}
                    Err(_) => break,
                },
                call = self.feed.roll_call() => self.list(call),
            }
        }
        self.model.stop();
        self.publish();
    }

    fn handle(&mut self, batch: impl Iterator<Item = News>) {
        let (now, wall) = (Instant::now(), wall_clock());
        for news in batch {
            if self.model.handle(news, now, wall) == Urgency::Urgent {
                self.due = self.due.min(self.earliest);
            }
        }
    }

    fn list(&self, call: RollCall) {
        let miners = self.model.miners(Instant::now(), wall_clock());
        // Who has gone need not know.
        let _ = call.send(miners.into());
    }

    fn publish(&mut self) {
        let (now, wall) = (Instant::now(), wall_clock());
        let state = self.ledger.borrow_and_update().clone();
        self.model.handle(News::Ledger(state), now, wall);
        let overview = self.model.overview(now, wall);
        self.feed.overviews.send_replace(Arc::new(overview));
        if let Some(history) = self.model.poll_history(now, wall) {
            self.feed.history.send_replace(Arc::new(history));
        }
        (self.due, self.earliest) = (now + EVERY, now + PAUSE);
    }
}
