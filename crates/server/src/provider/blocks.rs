//! Found blocks: to the nodes and to the disk at the same time, until a node has the last word.
//!
//! A road leads to each node, as a pool's do: a node that hangs keeps one courier and delays neither the other nodes nor
//! the next block. The pool's own blocks go by [`crate::blocks`], where a ledger and a board want to know of them. Here
//! nobody does: the log and the journal have it all.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use bitcoin::BlockHash;
use headframe_distribution::server::Solved;
use headframe_node::{BlockSink, SubmitAnswer};
use headframe_work::Network;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::blocks::{
    Delivery, Journal, Next, Origin, Parcel, Road, STAND_BY, Siblings, Verdict, by_hand,
    several_ways,
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
    /// The nodes, in order of preference, each with its name in the log.
    pub(super) nodes: Vec<(String, Box<dyn BlockSink>)>,
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
/// earlier run left are submitted first.
pub(super) fn start(parts: Parts) -> io::Result<(FoundSender, Vec<JoinHandle<()>>)> {
    let (found_sender, found) = mpsc::channel(QUEUE);
    let (page_sender, pages) = channel();
    let left = parts.journal.unanswered()?;
    let clerk = Clerk {
        journal: Arc::new(parts.journal),
        nodes: parts.nodes.len(),
        verdicts: VecDeque::new(),
    };
    let mut staff = Staff {
        journal: Arc::clone(&clerk.journal),
        network: parts.network,
        pages: page_sender,
        vital: parts.vital,
        couriers: Vec::new(),
    };
    let stations = parts.nodes.into_iter().enumerate();
    let stations = stations.map(|(place, (name, sink))| staff.open_road(place, name, sink));
    let stations = stations.collect::<io::Result<Vec<_>>>()?;
    for block in left {
        let hex = block.hex.as_str().into();
        let parcel = Parcel::new(block.height, block.hash, hex, Origin::Stranger);
        send(&stations, &Arc::new(parcel));
    }
    let vital = staff.vital.clone();
    let desk = Desk { stations, staff };
    Ok((
        found_sender,
        vec![
            spawn(&vital, "blocks", move || desk.run(found))?,
            spawn(&vital, "journal", move || clerk.run(&pages))?,
        ],
    ))
}

fn spawn(
    vital: &Vital,
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let guard = vital.guard(name);
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(move || {
        let _guard = guard;
        work();
    })
}

fn send(stations: &[Station], parcel: &Arc<Parcel>) {
    for station in stations {
        station.road.send(Delivery::of(parcel));
    }
}

/// Where the road to a node begins.
struct Station {
    road: Arc<Road>,
    /// Makes ways for more couriers, where there can be any.
    more: Option<Box<dyn BlockSink>>,
}

/// The couriers, and what each of them needs.
struct Staff {
    journal: Arc<Journal>,
    network: Network,
    pages: Sender<Page>,
    vital: Vital,
    couriers: Vec<JoinHandle<()>>,
}

impl Staff {
    /// Opens the road to a node, with a courier on it.
    fn open_road(
        &mut self,
        place: usize,
        name: String,
        sink: Box<dyn BlockSink>,
    ) -> io::Result<Station> {
        let ways = several_ways(sink);
        let road = Arc::new(Road::new(name, place, ways.more.is_some()));
        self.send_for_courier(&road, ways.first)?;
        let more = ways.more;
        Ok(Station { road, more })
    }

    fn send_for_courier(&mut self, road: &Arc<Road>, sink: Box<dyn BlockSink>) -> io::Result<()> {
        let courier = Courier {
            sink,
            road: Arc::clone(road),
            network: self.network,
            journal: Arc::clone(&self.journal),
            pages: self.pages.clone(),
        };
        let thread = spawn(&self.vital, "submit", move || courier.run())?;
        self.couriers.push(thread);
        Ok(())
    }
}

/// Hands each block to all nodes and to the journal at the same time.
struct Desk {
    stations: Vec<Station>,
    staff: Staff,
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
            send(&self.stations, &parcel);
            // The journal outlives this thread.
            let _ = self.staff.pages.send(Page::Block(parcel));
            self.reinforce();
            let late = match solved.is_late {
                true => ", on the tip before the present one",
                false => "",
            };
            info!("block {height} found by {client}{late}: {hash}");
        }
        self.close();
    }

    /// Sends for couriers where a block waits because a node hangs.
    fn reinforce(&mut self) {
        for Station { road, more } in &self.stations {
            while road.wants_courier() {
                let way = more.as_ref().and_then(|more| more.another_way());
                let come = way.map(|way| self.staff.send_for_courier(road, way));
                if let Some(Ok(())) = come {
                    continue;
                }
                if let Some(Err(error)) = come {
                    error!("cannot start a thread: {error}");
                }
                road.lose_courier();
                break;
            }
        }
    }

    fn close(self) {
        for station in &self.stations {
            station.road.close();
        }
        for courier in self.staff.couriers {
            if courier.join().is_err() {
                warn!("a thread of the template provider panicked");
            }
        }
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

    /// What any node took is taken; else each has to have said something. What came after the last word changes nothing.
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
            && (verdict.is_final() || verdict.answers().count() == self.nodes)
            && let Some(text) = verdict.answer().and_then(last_word)
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

/// What stands beside the block; nothing while there is no last word.
fn last_word(answer: &SubmitAnswer) -> Option<String> {
    match answer {
        SubmitAnswer::Accepted => Some("accepted".to_owned()),
        SubmitAnswer::AlreadyKnown => Some("known".to_owned()),
        SubmitAnswer::Inconclusive => Some("inconclusive".to_owned()),
        SubmitAnswer::Refused(reason) => Some(format!("refused: {reason}")),
        SubmitAnswer::Retry(_) => None,
    }
}

/// Talks to one node over a connection of its own, and waits for nobody else.
struct Courier {
    sink: Box<dyn BlockSink>,
    road: Arc<Road>,
    network: Network,
    journal: Arc<Journal>,
    pages: Sender<Page>,
}

impl Courier {
    fn run(mut self) {
        let mut stand_by_at = Instant::now();
        loop {
            match self.road.next(stand_by_at) {
                Next::Deliver(delivery) => {
                    let unanswered = self.submit(delivery);
                    self.road.done(unanswered);
                }
                Next::StandBy => {
                    // A node that does not answer shows in the log; there is nothing to deliver now.
                    let _ = self.sink.stand_by();
                    stand_by_at = Instant::now() + STAND_BY;
                }
                Next::End => return,
            }
        }
    }

    /// Gives the node a block; gives it back if there was no answer.
    fn submit(&mut self, mut delivery: Delivery) -> Option<Delivery> {
        delivery.attempts = delivery.attempts.saturating_add(1);
        let answer = self.sink.submit(&delivery.parcel.hex);
        self.log(&delivery, &answer);
        let parcel = Arc::clone(&delivery.parcel);
        match answer {
            SubmitAnswer::Accepted | SubmitAnswer::AlreadyKnown => parcel.make_safe(),
            SubmitAnswer::Inconclusive => {}
            SubmitAnswer::Refused(_) => parcel.give_back_place(),
            SubmitAnswer::Retry(_) => return Some(delivery),
        }
        // The journal outlives the couriers.
        let _ = self
            .pages
            .send(Page::Answer(self.road.node, parcel, answer));
        None
    }

    fn log(&self, delivery: &Delivery, answer: &SubmitAnswer) {
        let (node, block) = (&self.road.name, &delivery.parcel);
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
