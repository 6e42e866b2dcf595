//! Found blocks: to the disk and to the node at the same time, until a node has the last word.
//!
//! Four threads (R-27), so that nothing else that the pool does can delay a block:
//!
//! ```text
//! connections ── found ──> desk ── hex ──> courier ──> the node
//!                           │                 │
//!                           ├── hex ──> journal ──> the disk
//!                           │                 │
//!                           └─ what happened ─┴──> herald ──> log, ledger, board
//! ```
//!
//! The journal's thread writes to the disk, the courier's talks to the node, and neither waits for
//! the other or for anybody else: not a later block for the disk of an earlier one either. All who
//! want to know of blocks hear of them from the herald, who may be late.

mod courier;
mod herald;
mod journal;
mod recovery;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use bitcoin::BlockHash;
use headframe_ledger::WorkerId;
use headframe_mining::server::Protocol;
use headframe_node::BlockSink;
use headframe_work::{Block, UnixTime};
use tokio::sync::mpsc;

pub(crate) use self::herald::INCONCLUSIVE;
pub(crate) use self::journal::{Journal, by_hand};
pub(crate) use self::recovery::Left;

use self::courier::Courier;
use self::herald::{Herald, HeraldHandle, Told};
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
#[derive(Debug)]
struct Pending {
    height: u32,
    hash: BlockHash,
    hex: Arc<str>,
    /// Who found it; `None` when that was before the pool was started.
    finder: Option<WorkerId>,
    attempts: u32,
    due: Instant,
}

/// What the block threads are made of.
pub(crate) struct Parts {
    pub(crate) journal: Arc<Journal>,
    pub(crate) left: Left,
    pub(crate) sink: Box<dyn BlockSink>,
    pub(crate) node_name: String,
    pub(crate) ledger: LedgerHandle,
    pub(crate) news: mpsc::Sender<News>,
    pub(crate) vital: Vital,
}

/// Starts the threads. They end when all senders are gone and each block was tried once.
pub(crate) fn start(parts: Parts) -> io::Result<(FoundSender, Vec<JoinHandle<()>>)> {
    let (found_sender, found) = mpsc::channel(QUEUE);
    let (courier_sender, pending) = channel();
    let (herald, herald_handle) = Herald::new(
        Arc::clone(&parts.journal),
        parts.ledger,
        parts.news,
        parts.node_name,
    );
    let journal = parts.journal;
    let courier = Courier::new(
        parts.sink,
        Arc::clone(&journal),
        parts.left,
        herald_handle.clone(),
    );
    let (page_sender, pages) = channel();
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

/// Hands each block to the courier and the journal at the same time.
fn hand_on(
    mut found: mpsc::Receiver<Found>,
    courier: &Sender<Pending>,
    journal: &Sender<Page>,
    herald: &HeraldHandle,
) {
    while let Some(found) = found.blocking_recv() {
        let (height, hash) = (found.block.height(), found.hash);
        let hex: Arc<str> = found.block.to_hex().into();
        let (written, was_written) = channel();
        // The herald hears of the block before the courier can have an answer, and waits himself.
        herald.tell(Told::found(&found, Arc::clone(&hex), was_written));
        let finder = Some(found.worker);
        // Courier and journal outlive this thread.
        let _ = courier.send(Pending::new(height, hash, Arc::clone(&hex), finder));
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

impl Pending {
    fn new(height: u32, hash: BlockHash, hex: Arc<str>, finder: Option<WorkerId>) -> Self {
        Self {
            height,
            hash,
            hex,
            finder,
            attempts: 0,
            due: Instant::now(),
        }
    }
}
