//! Found blocks: to the disk and to all nodes at the same time, until a node has the last word.
//!
//! Threads of their own (R-27), so that nothing else that the pool does can delay a block:
//!
//! ```text
//! connections ── found ──> desk ── hex ──> roads ── couriers ──> the nodes
//!                           │                          │             ^
//!                           │                          └─> follower ─┘ where does it stand?
//!                           ├── hex ──> journal ──> the disk
//!                           │
//!                           └─ what happened ──> herald ──> log, ledger, board
//!                                                  │
//!                      the disk <── answers <──────┘ by way of the ledger
//! ```
//!
//! The journal's thread writes to the disk, a courier talks to one node, and none waits for
//! another or for anybody else: not a later block for the disk of an earlier one, and not one node's block
//! for another node. There is a [road] to each node, with a courier who has a connection open; a node that
//! hangs keeps him, and the next block is brought by another. Couriers, follower and desk tell the herald what
//! happens, and all who want to know of blocks hear of them from the herald, who may be late. The nodes' last
//! word on a block goes to the disk when the ledger has the block and the word; until then the block is one that
//! the next start submits again and enters into the ledger.

mod archive;
mod couriers;
mod follower;
mod herald;
mod journal;
mod left;
mod parcel;
mod recovery;
mod road;
mod siblings;
mod verdict;
mod way;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use bitcoin::BlockHash;
use headframe_ledger::WorkerId;
use headframe_mining::server::Protocol;
use headframe_node::{BlockSink, SubmitAnswer};
use headframe_work::{Block, BlockHex, Network, UnixTime};
use tokio::sync::{mpsc, watch};
use tracing::warn;

pub use self::archive::{ArchiveError, ArchivedBlock, read_archive};
pub(crate) use self::herald::FOUND;
pub(crate) use self::journal::{Journal, by_hand};
pub use self::left::LeftBlocks;
pub(crate) use self::recovery::{Left, followed_of};

pub(crate) use self::couriers::{Couriers, Hears};
pub(crate) use self::follower::{Follower, HearsFates, Taken, Witness};
use self::herald::{Herald, HeraldHandle, Told};
pub(crate) use self::parcel::{Delivery, Origin, Parcel};
pub(crate) use self::road::Road;
pub(crate) use self::siblings::{Place, Siblings};
pub(crate) use self::verdict::{INCONCLUSIVE, Verdict, words};
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

/// A node that blocks are brought to.
pub(crate) struct Destination {
    /// What it is called in the log.
    pub(crate) name: String,
    pub(crate) sink: Box<dyn BlockSink>,
}

/// What the block threads are made of.
pub(crate) struct Parts {
    pub(crate) journal: Arc<Journal>,
    pub(crate) left: Left,
    /// The nodes, in order of preference.
    pub(crate) nodes: Vec<Destination>,
    /// The one that is mined on, by its place among them.
    pub(crate) mined_on: watch::Receiver<usize>,
    pub(crate) network: Network,
    pub(crate) ledger: LedgerHandle,
    pub(crate) news: mpsc::Sender<News>,
    pub(crate) vital: Vital,
}

/// Starts the threads. They end when all senders are gone and each block was tried once.
pub(crate) fn start(parts: Parts) -> io::Result<(FoundSender, Vec<JoinHandle<()>>)> {
    let (found_sender, found) = mpsc::channel(QUEUE);
    let (answer_sender, answers) = channel();
    let names = parts.nodes.iter().map(|node| node.name.clone()).collect();
    let (herald, herald_handle) = Herald::new(herald::Parts {
        journal: Arc::clone(&parts.journal),
        answers: answer_sender,
        ledger: parts.ledger,
        news: parts.news,
        nodes: names,
        network: parts.network,
    });
    let (journal, mut left) = (parts.journal, parts.left);
    // Before a courier can have an answer.
    for record in left.records.drain(..) {
        herald_handle.tell(Told::left(record));
    }
    let (taken_sender, taken) = channel();
    let told = Tells {
        herald: herald_handle.clone(),
        follower: taken_sender,
    };
    let mut couriers = Couriers::new(told, parts.vital.clone(), "the pool");
    let mut witnesses = Vec::new();
    for Destination { name, sink } in parts.nodes {
        let (road, sink) = couriers.open_road(name, sink)?;
        witnesses.push(Witness { sink, road });
    }
    for (block, origin) in left.unanswered {
        let hex = block.hex.as_str().into();
        let parcel = Parcel::new(block.height, block.hash, hex, origin);
        couriers.send(&Arc::new(parcel));
    }
    let follower = Follower::new(
        witnesses,
        parts.mined_on,
        left.followed,
        Arc::clone(&journal),
        herald_handle.clone(),
    );
    let (page_sender, pages) = channel();
    let answers_journal = Arc::clone(&journal);
    let desk = Desk {
        couriers,
        journal: page_sender,
        herald: herald_handle,
    };
    let vital = parts.vital;
    Ok((
        found_sender,
        vec![
            vital.spawn("blocks", move || desk.run(found))?,
            vital.spawn("answers", move || {
                write_answers(&answers_journal, &answers);
            })?,
            vital.spawn("journal", move || write(&journal, &pages))?,
            vital.spawn("follower", move || follower.run(&taken))?,
            vital.spawn("herald", move || herald.run())?,
        ],
    ))
}

/// A block on its way to the disk.
struct Page {
    height: u32,
    hash: BlockHash,
    hex: BlockHex,
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

/// Tells the herald what nodes say, and the follower which blocks they have.
#[derive(Clone)]
struct Tells {
    herald: HeraldHandle,
    follower: Sender<Taken>,
}

impl Hears for Tells {
    fn hear(&self, road: &Road, delivery: &Delivery, answer: SubmitAnswer) {
        let taken = Taken::of(road, delivery, &answer);
        self.herald.tell(Told::answer(road.node, delivery, answer));
        if let Some(taken) = taken {
            // The follower outlives all couriers.
            let _ = self.follower.send(taken);
        }
    }
}

/// Hands each block to all nodes and to the journal at the same time.
struct Desk {
    couriers: Couriers<Tells>,
    journal: Sender<Page>,
    herald: HeraldHandle,
}

impl Desk {
    fn run(mut self, mut found: mpsc::Receiver<Found>) {
        let mut siblings = Siblings::new();
        while let Some(found) = found.blocking_recv() {
            if let Some(place) = siblings.admit(Instant::now(), found.block.header.prev_hash) {
                self.hand_on(found, place);
            }
        }
        self.couriers.close();
    }

    fn hand_on(&mut self, found: Found, place: Place) {
        let (height, hash) = (found.block.height(), found.hash);
        let hex = found.block.to_hex();
        let (written, was_written) = channel();
        // The herald hears of the block before a courier can have an answer, and waits himself.
        self.herald
            .tell(Told::found(&found, hex.clone(), was_written));
        let origin = Origin::Finder(found.worker);
        let parcel = Parcel::new(height, hash, hex.clone(), origin).placed(place);
        self.couriers.send(&Arc::new(parcel));
        // The journal outlives this thread.
        let _ = self.journal.send(Page {
            height,
            hash,
            hex,
            written,
        });
        self.couriers.reinforce();
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
