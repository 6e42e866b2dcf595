//! Found blocks: to the node and to the disk at the same time, until the node has the last word.
//!
//! The pool's own blocks go by [`crate::blocks`], where a ledger and a board want to know of them. Here
//! nobody does: the log and the journal have it all.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use headframe_distribution::server::Solved;
use headframe_node::{BlockSink, SubmitAnswer};
use headframe_work::Network;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::blocks::{Journal, Place, Siblings, by_hand};
use crate::vital::Vital;

/// Blocks that wait to be put together. A client that finds more waits.
const QUEUE: usize = 16;
/// How long a block rests that the node did not answer for.
const RETRY: Duration = Duration::from_secs(1);
/// How often the way to the node is kept open: Bitcoin Core closes an idle connection after 30 s.
const STAND_BY: Duration = Duration::from_secs(10);
/// Blocks whose hashes are remembered, so that one that is sent twice is submitted once.
const REMEMBERED: usize = 64;

/// A block, and who found it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) solved: Solved,
    pub(super) client: Arc<str>,
}

/// Where found blocks are handed in.
pub(super) type FoundSender = mpsc::Sender<Found>;

/// What the threads are made of.
pub(super) struct Parts {
    pub(super) journal: Journal,
    pub(super) sink: Box<dyn BlockSink>,
    pub(super) node_name: String,
    pub(super) network: Network,
    pub(super) vital: Vital,
}

/// A block on its way.
#[derive(Debug, Clone)]
struct Pending {
    height: u32,
    hash: BlockHash,
    hex: Arc<str>,
    place: Option<Place>,
    attempts: u32,
    due: Instant,
}

/// What goes to the disk.
enum Page {
    Block(Pending),
    Answer {
        height: u32,
        hash: BlockHash,
        text: String,
    },
}

/// Starts the threads. They end when all senders are gone and each block was tried once. Blocks that an
/// earlier run left are submitted first.
pub(super) fn start(parts: Parts) -> io::Result<(FoundSender, Vec<JoinHandle<()>>)> {
    let (found_sender, found) = mpsc::channel(QUEUE);
    let (pending_sender, pending) = channel();
    let (page_sender, pages) = channel();
    let left = parts.journal.unanswered()?.into_iter();
    let journal = Arc::new(parts.journal);
    let courier = Courier {
        sink: parts.sink,
        node_name: parts.node_name,
        network: parts.network,
        journal: Arc::clone(&journal),
        pages: page_sender.clone(),
        unanswered: left
            .map(|block| Pending::new(block.height, block.hash, block.hex.trim().into()))
            .collect(),
        stand_by_at: Instant::now(),
    };
    let vital = parts.vital;
    let spawn = |name: &'static str, work: Box<dyn FnOnce() + Send>| {
        let guard = vital.guard(name);
        let thread = thread::Builder::new().name(name.to_owned());
        thread.spawn(move || {
            let _guard = guard;
            work();
        })
    };
    Ok((
        found_sender,
        vec![
            spawn(
                "blocks",
                Box::new(move || hand_on(found, &pending_sender, &page_sender)),
            )?,
            spawn("submit", Box::new(move || courier.run(&pending)))?,
            spawn("journal", Box::new(move || write(&journal, &pages)))?,
        ],
    ))
}

/// Hands each block to the courier and the journal at the same time.
fn hand_on(mut found: mpsc::Receiver<Found>, courier: &Sender<Pending>, journal: &Sender<Page>) {
    let mut siblings = Siblings::new();
    let mut known = VecDeque::new();
    while let Some(Found { solved, client }) = found.blocking_recv() {
        let (height, hash) = (solved.height(), solved.hash());
        if known.contains(&hash) {
            continue;
        }
        let Some(place) = siblings.admit(Instant::now(), solved.header.prev_hash) else {
            continue;
        };
        known.push_back(hash);
        if known.len() > REMEMBERED {
            known.pop_front();
        }
        let pending = Pending {
            place: Some(place),
            ..Pending::new(height, hash, solved.to_hex().into())
        };
        // Courier and journal outlive this thread.
        let _ = courier.send(pending.clone());
        let _ = journal.send(Page::Block(pending));
        let late = match solved.is_late {
            true => ", on the tip before the present one",
            false => "",
        };
        info!("block {height} found by {client}{late}: {hash}");
    }
}

fn write(journal: &Journal, pages: &Receiver<Page>) {
    while let Ok(page) = pages.recv() {
        match page {
            Page::Block(block) => {
                if let Err(error) = journal.write(block.height, block.hash, &block.hex) {
                    let path = journal.path(block.height, block.hash);
                    error!(
                        "block {} could not be written to {}: {error}; it is being submitted",
                        block.height,
                        path.display()
                    );
                }
            }
            Page::Answer { height, hash, text } => {
                if let Err(error) = journal.settle(height, hash, &text) {
                    warn!("the answer for block {height} could not be written: {error}");
                }
            }
        }
    }
}

/// Talks to the node, and waits for nobody else.
struct Courier {
    sink: Box<dyn BlockSink>,
    node_name: String,
    network: Network,
    journal: Arc<Journal>,
    pages: Sender<Page>,
    /// Blocks without an answer, the one to be tried first in front.
    unanswered: VecDeque<Pending>,
    stand_by_at: Instant,
}

impl Courier {
    fn run(mut self, pending: &Receiver<Pending>) {
        loop {
            let wait = self.due().saturating_duration_since(Instant::now());
            match pending.recv_timeout(wait) {
                Ok(block) => self.submit(block),
                Err(RecvTimeoutError::Timeout) => self.handle_timeout(),
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
        }
    }

    /// Nobody has blocks any more. Those that an earlier run left are tried once.
    fn finish(mut self) {
        for block in core::mem::take(&mut self.unanswered) {
            if block.attempts == 0 {
                self.submit(block);
            }
        }
    }

    fn due(&self) -> Instant {
        let retry = self.unanswered.front().map(|block| block.due);
        retry.map_or(self.stand_by_at, |due| due.min(self.stand_by_at))
    }

    fn handle_timeout(&mut self) {
        let now = Instant::now();
        match self.take_due(now) {
            Some(block) => self.submit(block),
            None => {
                // A node that does not answer shows in the log; there is nothing to deliver now.
                let _ = self.sink.stand_by();
                self.stand_by_at = Instant::now() + STAND_BY;
            }
        }
    }

    fn take_due(&mut self, now: Instant) -> Option<Pending> {
        let is_due = self.unanswered.front()?.due <= now;
        is_due.then(|| self.unanswered.pop_front())?
    }

    fn submit(&mut self, mut block: Pending) {
        block.attempts = block.attempts.saturating_add(1);
        let answer = self.sink.submit(&block.hex);
        self.log(&block, &answer);
        let text = match answer {
            SubmitAnswer::Accepted => "accepted".to_owned(),
            SubmitAnswer::AlreadyKnown => "known".to_owned(),
            SubmitAnswer::Inconclusive => "inconclusive".to_owned(),
            SubmitAnswer::Refused(reason) => {
                if let Some(place) = &block.place {
                    place.give_back();
                }
                format!("refused: {reason}")
            }
            SubmitAnswer::Retry(_) => {
                block.due = Instant::now() + RETRY;
                return self.unanswered.push_back(block);
            }
        };
        let Pending { height, hash, .. } = block;
        // The journal outlives the courier.
        let _ = self.pages.send(Page::Answer { height, hash, text });
    }

    fn log(&self, block: &Pending, answer: &SubmitAnswer) {
        let (node, height) = (&self.node_name, block.height);
        match answer {
            SubmitAnswer::Accepted => info!("block {height} is accepted by {node}"),
            SubmitAnswer::AlreadyKnown => info!("block {height} is known to {node}"),
            SubmitAnswer::Inconclusive => {
                info!("block {height} is valid but not on the best chain of {node} (yet)");
            }
            SubmitAnswer::Refused(reason) => {
                error!(
                    "block {height} was refused by {node}: {reason} ({})",
                    block.hash
                );
            }
            SubmitAnswer::Retry(reason) if block.attempts == 1 => {
                let file = self.journal.path(height, block.hash);
                let command = by_hand(&file.display().to_string(), self.network);
                warn!(
                    "block {height} is not delivered yet ({reason}); it is tried again every second; to submit it by hand: {command}"
                );
            }
            SubmitAnswer::Retry(_) => {}
        }
    }
}

impl Pending {
    fn new(height: u32, hash: BlockHash, hex: Arc<str>) -> Self {
        Self {
            height,
            hash,
            hex,
            place: None,
            attempts: 0,
            due: Instant::now(),
        }
    }
}
