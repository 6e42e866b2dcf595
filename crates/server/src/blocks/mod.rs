//! Found blocks: to the disk and to the node at the same time, until a node has the last word.
//!
//! Five threads (R-27), so that nothing else that the pool does can delay a block:
//!
//! ```text
//! connections ── found ──> desk ── hex ──> courier ──> the node
//!                           │                 │
//!                           ├── hex ──> journal ──> the disk
//!                           │                 │
//!                           └─ what happened ─┴──> herald ──> log, ledger, board
//!                                                               │
//!                      the disk <── answers <── last word ──────┘ by way of the ledger
//! ```
//!
//! The journal's thread writes to the disk, the courier's talks to the node, and neither waits for
//! the other or for anybody else: not a later block for the disk of an earlier one either. All who
//! want to know of blocks hear of them from the herald, who may be late. A node's last word on a block
//! goes to the disk when the ledger has the block and the word; until then the block is one that the
//! next start submits again and enters into the ledger.

mod courier;
mod herald;
mod journal;
mod left;
mod recovery;
mod siblings;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use bitcoin::BlockHash;
use headframe_ledger::WorkerId;
use headframe_mining::server::Protocol;
use headframe_node::BlockSink;
use headframe_work::{Block, Network, UnixTime};
use tokio::sync::mpsc;
use tracing::warn;

pub(crate) use self::herald::INCONCLUSIVE;
pub(crate) use self::journal::{Journal, by_hand};
pub use self::left::LeftBlocks;
pub(crate) use self::recovery::Left;

use self::courier::Courier;
use self::herald::{Herald, HeraldHandle, Told};
use self::siblings::{Place, Siblings};
use crate::ledger::LedgerHandle;
use crate::news::News;
use crate::vital::Vital;

/// Blocks that wait for the journal. On a network with real difficulty there is never a second.
const QUEUE: usize = 256;

/// A block that a miner has just found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) block: Block,
    pub(crate) hash: BlockHash,
    pub(crate) worker: WorkerId,
    pub(crate) protocol: Protocol,
    pub(crate) at: UnixTime,
}

/// Where found blocks are handed in.
pub(crate) type FoundSender = mpsc::Sender<Found>;

/// A block on its way to a node.
#[derive(Debug, Clone)]
struct Pending {
    height: u32,
    hash: BlockHash,
    hex: Arc<str>,
    origin: Origin,
    /// Its place among the blocks of this run on the same tip.
    place: Option<Place>,
    attempts: u32,
    due: Instant,
}

/// Where a block on its way to a node comes from.
#[derive(Debug, Clone)]
enum Origin {
    /// This miner has just found it.
    Finder(WorkerId),
    /// The journal, where an earlier run left it.
    Journal,
    /// The journal, where it was kept for when the node forgets it.
    Forgotten,
    /// A file of the journal that no record for the ledger can be made of.
    Stranger,
}

/// What the block threads are made of.
pub(crate) struct Parts {
    pub(crate) journal: Arc<Journal>,
    pub(crate) left: Left,
    pub(crate) sink: Box<dyn BlockSink>,
    pub(crate) node_name: String,
    pub(crate) network: Network,
    pub(crate) ledger: LedgerHandle,
    pub(crate) news: mpsc::Sender<News>,
    pub(crate) vital: Vital,
}

/// Starts the threads. They end when all senders are gone and each block was tried once.
pub(crate) fn start(parts: Parts) -> io::Result<(FoundSender, Vec<JoinHandle<()>>)> {
    let (found_sender, found) = mpsc::channel(QUEUE);
    let (courier_sender, pending) = channel();
    let (answer_sender, answers) = channel();
    let (herald, herald_handle) = Herald::new(herald::Parts {
        journal: Arc::clone(&parts.journal),
        answers: answer_sender,
        ledger: parts.ledger,
        news: parts.news,
        node_name: parts.node_name,
        network: parts.network,
    });
    let (journal, mut left) = (parts.journal, parts.left);
    // Before the courier can have an answer.
    for record in left.records.drain(..) {
        herald_handle.tell(Told::left(record));
    }
    let courier = Courier::new(
        parts.sink,
        Arc::clone(&journal),
        left,
        herald_handle.clone(),
    );
    let (page_sender, pages) = channel();
    let answers_journal = Arc::clone(&journal);
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
                Box::new(move || hand_on(found, &courier_sender, &page_sender, &herald_handle)),
            )?,
            spawn(
                "answers",
                Box::new(move || write_answers(&answers_journal, &answers)),
            )?,
            spawn("journal", Box::new(move || write(&journal, &pages)))?,
            spawn("submit", Box::new(move || courier.run(&pending)))?,
            spawn("herald", Box::new(move || herald.run()))?,
        ],
    ))
}

/// A block on its way to the disk.
struct Page {
    height: u32,
    hash: BlockHash,
    hex: Arc<str>,
    /// Told how it went.
    written: Sender<io::Result<()>>,
}

/// A node's last word on a block, on its way to the disk.
#[derive(Debug, Clone)]
struct Answer {
    height: u32,
    hash: BlockHash,
    text: String,
}

/// A node's last word on a block, which the journal hears when the ledger has it.
#[derive(Debug)]
pub(crate) struct LastWord {
    answer: Answer,
    journal: Sender<Answer>,
}

impl LastWord {
    /// A word, and whether the journal has heard it.
    #[cfg(test)]
    pub(crate) fn overheard() -> (Self, impl Fn() -> bool) {
        let (journal, answers) = channel();
        let answer = Answer {
            height: 0,
            hash: bitcoin::hashes::Hash::all_zeros(),
            text: String::new(),
        };
        (Self { answer, journal }, move || answers.try_recv().is_ok())
    }

    /// Hands it to the journal.
    pub(crate) fn write_down(&self) {
        // The journal outlives all who have something for it.
        let _ = self.journal.send(self.answer.clone());
    }
}

/// Hands each block to the courier and the journal at the same time.
fn hand_on(
    mut found: mpsc::Receiver<Found>,
    courier: &Sender<Pending>,
    journal: &Sender<Page>,
    herald: &HeraldHandle,
) {
    let mut siblings = Siblings::new();
    while let Some(found) = found.blocking_recv() {
        let Some(place) = siblings.admit(Instant::now(), found.block.header.prev_hash) else {
            continue;
        };
        let (height, hash) = (found.block.height(), found.hash);
        let hex: Arc<str> = found.block.to_hex().into();
        let (written, was_written) = channel();
        // The herald hears of the block before the courier can have an answer, and waits himself.
        herald.tell(Told::found(&found, Arc::clone(&hex), was_written));
        let origin = Origin::Finder(found.worker);
        // Courier and journal outlive this thread.
        let _ = courier.send(Pending {
            place: Some(place),
            ..Pending::new(height, hash, Arc::clone(&hex), origin)
        });
        let _ = journal.send(Page {
            height,
            hash,
            hex,
            written,
        });
    }
}

fn write(journal: &Journal, pages: &Receiver<Page>) {
    while let Ok(page) = pages.recv() {
        let result = journal.write(page.height, page.hash, &page.hex);
        let _ = page.written.send(result);
    }
}

/// Apart from [`write`], since the next block is not to wait for what is only convenient to have.
fn write_answers(journal: &Journal, answers: &Receiver<Answer>) {
    while let Ok(Answer { height, hash, text }) = answers.recv() {
        if let Err(error) = journal.settle(height, hash, &text) {
            warn!("the answer for block {height} could not be written: {error}");
        }
    }
}

impl Pending {
    fn new(height: u32, hash: BlockHash, hex: Arc<str>, origin: Origin) -> Self {
        Self {
            height,
            hash,
            hex,
            origin,
            place: None,
            attempts: 0,
            due: Instant::now(),
        }
    }
}
