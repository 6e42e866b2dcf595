//! Found blocks: to the nodes and to the disk at the same time, until a node has the last word.
//!
//! A road leads to each node, as a pool's do: a node that hangs keeps one courier and delays neither the other nodes nor
//! the next block. Blocks that a node has are followed until they are deep, and submitted again where it forgets them.
//! The pool's own blocks go by [`crate::blocks`], where a ledger and a board want to know of them. Here nobody does: the
//! log and the journal have it all.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use bitcoin::BlockHash;
use headframe_distribution::server::Solved;
use headframe_ledger::BlockFate;
use headframe_node::SubmitAnswer;
use headframe_work::Network;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::blocks::{
    Couriers, Delivery, Destination, Follower, Hears, HearsFates, Journal, Origin, Parcel, Road,
    Siblings, Taken, Verdict, Witness, by_hand, followed_of, words,
};
use crate::vital::Vital;

/// Blocks that wait to be put together. A client that finds more waits.
const QUEUE: usize = 16;
/// Blocks whose hashes are remembered, so that one that is sent twice is submitted once.
const REMEMBERED: usize = 64;
/// Blocks of which is known what each node has said.
const JUDGED: usize = 128;

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
    /// The nodes, in order of preference.
    pub(super) nodes: Vec<Destination>,
    /// The one whose templates are served, by its place among them.
    pub(super) mined_on: watch::Receiver<usize>,
    pub(super) network: Network,
    pub(super) vital: Vital,
}

/// What goes to the disk.
enum Page {
    Block(Arc<Parcel>),
    /// What a node said.
    Answer(usize, Arc<Parcel>, SubmitAnswer),
}

/// Starts the threads. They end when all senders are gone and each block was tried once. Blocks that an
/// earlier run left are submitted first, and those that it had brought to a node are followed.
pub(super) fn start(parts: Parts) -> io::Result<(FoundSender, Vec<JoinHandle<()>>)> {
    let (found_sender, found) = mpsc::channel(QUEUE);
    let (page_sender, pages) = channel();
    let (taken_sender, taken) = channel();
    let (left, followed) = (parts.journal.unanswered()?, followed_of(&parts.journal)?);
    let clerk = Clerk {
        journal: Arc::new(parts.journal),
        nodes: parts.nodes.len(),
        verdicts: VecDeque::new(),
    };
    let told = Tells {
        journal: Arc::clone(&clerk.journal),
        network: parts.network,
        pages: page_sender.clone(),
        follower: taken_sender,
    };
    let mut couriers = Couriers::new(told, parts.vital.clone(), "the template provider");
    let mut witnesses = Vec::new();
    for Destination { name, sink } in parts.nodes {
        let (road, sink) = couriers.open_road(name, sink)?;
        witnesses.push(Witness { sink, road });
    }
    for block in left {
        let hex = block.hex.as_str().into();
        let parcel = Parcel::new(block.height, block.hash, hex, Origin::Stranger);
        couriers.send(&Arc::new(parcel));
    }
    let journal = Arc::clone(&clerk.journal);
    let places = Places::default();
    let follower = Follower::new(witnesses, parts.mined_on, followed, journal, places);
    let desk = Desk {
        couriers,
        pages: page_sender,
    };
    let vital = parts.vital;
    Ok((
        found_sender,
        vec![
            vital.spawn("blocks", move || desk.run(found))?,
            vital.spawn("journal", move || clerk.run(&pages))?,
            vital.spawn("follower", move || follower.run(&taken))?,
        ],
    ))
}

/// Hands each block to all nodes and to the journal at the same time.
struct Desk {
    couriers: Couriers<Tells>,
    pages: Sender<Page>,
}

impl Desk {
    fn run(mut self, mut found: mpsc::Receiver<Found>) {
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
            let parcel = Parcel::new(
                height,
                hash,
                solved.to_hex().as_str().into(),
                Origin::Stranger,
            );
            let parcel = Arc::new(parcel.placed(place));
            self.couriers.send(&parcel);
            // The journal outlives this thread.
            let _ = self.pages.send(Page::Block(parcel));
            self.couriers.reinforce();
            let late = match solved.is_late {
                true => ", on the tip before the present one",
                false => "",
            };
            info!("block {height} found by {client}{late}: {hash}");
        }
        self.couriers.close();
    }
}

/// Writes blocks to the disk, and what the nodes made of them.
struct Clerk {
    journal: Arc<Journal>,
    nodes: usize,
    /// What each node has said, until the journal has the last word.
    verdicts: VecDeque<(BlockHash, Verdict)>,
}

impl Clerk {
    fn run(mut self, pages: &Receiver<Page>) {
        while let Ok(page) = pages.recv() {
            match page {
                Page::Block(block) => self.write(&block),
                Page::Answer(node, block, answer) => self.judge(node, &block, answer),
            }
        }
    }

    fn write(&self, block: &Parcel) {
        if let Err(error) = self.journal.write(block.height, block.hash, &block.hex) {
            let path = self.journal.path(block.height, block.hash);
            error!(
                "block {} could not be written to {}: {error}; it is being submitted",
                block.height,
                path.display()
            );
        }
    }

    /// What any node took is taken, what all refused is refused, and one that is beside the best chain is given to the nodes
    /// again at the next start. What came after the last word changes nothing.
    fn judge(&mut self, node: usize, block: &Parcel, answer: SubmitAnswer) {
        let place = self
            .verdicts
            .iter()
            .position(|(hash, _)| *hash == block.hash);
        let mut verdict = match place.and_then(|place| self.verdicts.remove(place)) {
            Some((_, verdict)) => verdict,
            None => Verdict::of(self.nodes),
        };
        let was_settled = verdict.is_final();
        verdict.handle_answer(node, answer);
        if !was_settled
            && verdict.is_final()
            && let Some(text) = verdict.answer().map(words)
            && let Err(error) = self.journal.settle(block.height, block.hash, &text)
        {
            let height = block.height;
            warn!("the answer for block {height} could not be written: {error}");
        }
        self.verdicts.push_back((block.hash, verdict));
        if self.verdicts.len() > JUDGED {
            self.verdicts.pop_front();
        }
    }
}

/// Tells the log what nodes say, the journal what is more than that they are away, and the follower which blocks they
/// have.
#[derive(Clone)]
struct Tells {
    journal: Arc<Journal>,
    network: Network,
    pages: Sender<Page>,
    follower: Sender<Taken>,
}

impl Hears for Tells {
    fn hear(&self, road: &Road, delivery: &Delivery, answer: SubmitAnswer) {
        self.log(&road.name, delivery, &answer);
        if let Some(taken) = Taken::of(road, delivery, &answer) {
            // The follower outlives the couriers.
            let _ = self.follower.send(taken);
        }
        if !matches!(answer, SubmitAnswer::Retry(_)) {
            let parcel = Arc::clone(&delivery.parcel);
            // The journal outlives the couriers.
            let _ = self.pages.send(Page::Answer(road.node, parcel, answer));
        }
    }
}

impl Tells {
    fn log(&self, node: &str, delivery: &Delivery, answer: &SubmitAnswer) {
        let block = &delivery.parcel;
        let height = block.height;
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
            SubmitAnswer::Retry(reason) if delivery.attempts == 1 => {
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

/// Says in the log which blocks lose their place in the chain, and which have it back.
#[derive(Default)]
struct Places {
    /// Blocks that are on a side branch, as was said.
    aside: VecDeque<BlockHash>,
}

impl HearsFates for Places {
    fn hear_fate(&mut self, height: u32, hash: BlockHash, fate: BlockFate) {
        let place = self.aside.iter().position(|other| *other == hash);
        match (fate, place) {
            (BlockFate::Orphaned, None) => {
                warn!("block {height} is not on the best chain: {hash}");
                self.aside.push_back(hash);
                if self.aside.len() > JUDGED {
                    self.aside.pop_front();
                }
            }
            (BlockFate::Confirmed { .. }, Some(place)) => {
                self.aside.remove(place);
                info!("block {height} is on the best chain: {hash}");
            }
            _ => {}
        }
    }
}
