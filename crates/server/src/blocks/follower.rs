//! The thread that asks the nodes what became of the blocks. No block waits for it.
//!
//! The node that is mined on is asked first, and then the others, until one knows the block. A node can
//! forget a block that it had accepted: one that is killed loses what it had not yet written. Such a block
//! is read back from the journal and submitted to it again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use bitcoin::BlockHash;
use headframe_ledger::BlockFate;
use headframe_node::{BlockFate as ChainFate, BlockSink, NodeError, SubmitAnswer};
use tokio::sync::watch;
use tracing::{error, warn};

use super::Journal;
use super::couriers::STAND_BY;
use super::parcel::{Delivery, Origin, Parcel};
use super::road::Road;

/// Blocks that are followed at a time: more than can be immature on a chain that pays only this
/// pool. The oldest are left to the node's own records.
pub(super) const MAX_FOLLOWED: usize = 128;

/// Who wants to know where blocks stand.
pub(crate) trait HearsFates: Send + 'static {
    /// A node was asked for the block, and this is what it came to. The same may be said again.
    fn hear_fate(&mut self, height: u32, hash: BlockHash, fate: BlockFate);
}

/// A node has a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    height: u32,
    hash: BlockHash,
    /// Which node.
    node: usize,
    /// Whether it has it on its best chain.
    was_accepted: bool,
}

/// A block whose place in the chain is not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Followed {
    height: u32,
    pub(super) hash: BlockHash,
    accepted_by: AcceptedBy,
    /// The nodes of which was told that they have forgotten it.
    forgotten_by: Vec<usize>,
}

/// The nodes that had a block on their best chain.
#[derive(Debug, Clone, PartialEq, Eq)]
enum AcceptedBy {
    /// By those of an earlier run: any of these may be one of them.
    Anybody,
    /// By these.
    Nodes(Vec<usize>),
}

/// A node that can be asked, and the road to it.
pub(crate) struct Witness {
    pub(crate) sink: Box<dyn BlockSink>,
    pub(crate) road: Arc<Road>,
}

pub(crate) struct Follower<H> {
    /// In order of preference.
    witnesses: Vec<Witness>,
    /// The one that is mined on.
    mined_on: watch::Receiver<usize>,
    followed: VecDeque<Followed>,
    journal: Arc<Journal>,
    hears: H,
}

impl<H: HearsFates> Follower<H> {
    /// One that follows these, the oldest first, and what it is told of.
    pub(crate) fn new(
        witnesses: Vec<Witness>,
        mined_on: watch::Receiver<usize>,
        followed: Vec<Followed>,
        journal: Arc<Journal>,
        hears: H,
    ) -> Self {
        Self {
            witnesses,
            mined_on,
            followed: followed.into(),
            journal,
            hears,
        }
    }

    /// Works until no courier can say that a node has a block.
    pub(crate) fn run(mut self, taken: &Receiver<Taken>) {
        let mut round_at = Instant::now();
        loop {
            let wait = round_at.saturating_duration_since(Instant::now());
            match taken.recv_timeout(wait) {
                Ok(taken) => self.handle_taken(taken),
                Err(RecvTimeoutError::Timeout) => {
                    self.ask_all();
                    round_at = Instant::now() + STAND_BY;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn handle_taken(&mut self, taken: Taken) {
        let Taken { height, hash, .. } = taken;
        let known = self.followed.iter_mut().find(|it| it.hash == hash);
        match known {
            Some(followed) => followed.handle_taken(taken),
            None => {
                let mut followed = Followed::new(height, hash, &BlockFate::Submitted);
                followed.handle_taken(taken);
                self.followed.push_back(followed);
            }
        }
        if self.followed.len() > MAX_FOLLOWED {
            self.followed.pop_front();
        }
    }

    /// Asks where each block stands. A node that does not answer is not asked for the rest of the round.
    fn ask_all(&mut self) {
        let mut order: Vec<usize> = (0..self.witnesses.len()).collect();
        let mined_on = *self.mined_on.borrow();
        order.sort_by_key(|node| *node != mined_on);
        order.retain(|node| self.witnesses[*node].sink.stand_by().is_ok());
        for mut followed in core::mem::take(&mut self.followed) {
            if !self.ask(&mut followed, &mut order) {
                self.followed.push_back(followed);
            }
        }
    }

    /// Asks the nodes of `order` where one block stands; true when that is settled for good.
    fn ask(&mut self, followed: &mut Followed, order: &mut Vec<usize>) -> bool {
        let mut is_unknown = false;
        let mut place = 0;
        while let Some(&node) = order.get(place) {
            let fate = match self.witnesses[node].sink.fate(followed.hash) {
                Ok(ChainFate::InChain { confirmations }) => BlockFate::Confirmed { confirmations },
                Ok(ChainFate::SideBranch) => BlockFate::Orphaned,
                // Of another block it may tell.
                Err(NodeError::NotTold { .. } | NodeError::NotAskable { .. }) => {
                    place += 1;
                    continue;
                }
                Err(_) => {
                    order.remove(place);
                    continue;
                }
                Ok(ChainFate::Unknown) => {
                    match followed.was_accepted_by(node) {
                        true => self.bring_back(followed, node),
                        false => is_unknown = true,
                    }
                    place += 1;
                    continue;
                }
            };
            return self.handle_fate(followed, node, fate);
        }
        if is_unknown && followed.accepted_by == AcceptedBy::Nodes(Vec::new()) {
            self.tell(followed, BlockFate::Submitted);
        }
        false
    }

    fn handle_fate(&mut self, followed: &mut Followed, node: usize, fate: BlockFate) -> bool {
        if matches!(fate, BlockFate::Confirmed { .. }) {
            followed.note_accepted(node);
        }
        let is_mature = matches!(
            fate,
            BlockFate::Confirmed {
                confirmations: BlockFate::MATURE..
            }
        );
        self.tell(followed, fate);
        is_mature
    }

    fn tell(&mut self, followed: &Followed, fate: BlockFate) {
        let Followed { height, hash, .. } = *followed;
        self.hears.hear_fate(height, hash, fate);
    }

    /// Submits a block once more that a node had and has no longer.
    fn bring_back(&self, followed: &mut Followed, node: usize) {
        let is_news = followed.note_forgotten(node);
        let Followed { height, hash, .. } = *followed;
        let road = &self.witnesses[node].road;
        let name = &road.name;
        match self.journal.read(height, hash) {
            Ok(hex) => {
                if is_news {
                    warn!("{name} has forgotten block {height}; it is submitted again");
                }
                let parcel = Parcel::new(height, hash, hex.as_str().into(), Origin::Forgotten);
                road.send(Delivery::of(&Arc::new(parcel)));
            }
            Err(error) if is_news => {
                error!("{name} has forgotten block {height}, and its file cannot be read: {error}");
            }
            Err(_) => {}
        }
    }
}

impl Taken {
    /// What a node's answer makes known of where the block stands, if anything.
    pub(crate) fn of(road: &Road, delivery: &Delivery, answer: &SubmitAnswer) -> Option<Self> {
        let was_accepted = match answer {
            SubmitAnswer::Accepted | SubmitAnswer::AlreadyKnown => true,
            SubmitAnswer::Inconclusive => false,
            SubmitAnswer::Refused(_) | SubmitAnswer::Retry(_) => return None,
        };
        Some(Self {
            height: delivery.parcel.height,
            hash: delivery.parcel.hash,
            node: road.node,
            was_accepted,
        })
    }
}

impl Followed {
    /// A block of which an earlier run knew this.
    pub(super) fn new(height: u32, hash: BlockHash, fate: &BlockFate) -> Self {
        let accepted_by = match fate {
            BlockFate::Accepted | BlockFate::Confirmed { .. } => AcceptedBy::Anybody,
            BlockFate::Found
            | BlockFate::Submitted
            | BlockFate::Orphaned
            | BlockFate::Refused { .. } => AcceptedBy::Nodes(Vec::new()),
        };
        Self {
            height,
            hash,
            accepted_by,
            forgotten_by: Vec::new(),
        }
    }

    fn handle_taken(&mut self, taken: Taken) {
        if taken.was_accepted {
            self.note_accepted(taken.node);
        }
    }

    /// True when that is news: a node that syncs from the beginning is asked for hours.
    fn note_forgotten(&mut self, node: usize) -> bool {
        let is_news = !self.forgotten_by.contains(&node);
        if is_news {
            self.forgotten_by.push(node);
        }
        is_news
    }

    fn note_accepted(&mut self, node: usize) {
        self.forgotten_by.retain(|other| *other != node);
        if let AcceptedBy::Nodes(nodes) = &mut self.accepted_by
            && !nodes.contains(&node)
        {
            nodes.push(node);
        }
    }

    fn was_accepted_by(&self, node: usize) -> bool {
        match &self.accepted_by {
            AcceptedBy::Anybody => true,
            AcceptedBy::Nodes(nodes) => nodes.contains(&node),
        }
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash as _;
    use headframe_node::SubmitAnswer;
    use headframe_work::BlockHex;

    use super::*;

    use crate::blocks::herald::{Herald, Told};
    use crate::blocks::road::Next;

    /// A node that answers where a block stands, one answer after the other, and the last for ever.
    struct Oracle(Vec<Result<ChainFate, NodeError>>);

    impl BlockSink for Oracle {
        fn submit(&mut self, _: &BlockHex) -> SubmitAnswer {
            panic!("nothing is submitted by the follower")
        }

        fn fate(&mut self, _: BlockHash) -> Result<ChainFate, NodeError> {
            match self.0.len() {
                1 => self.0[0].clone(),
                _ => self.0.remove(0),
            }
        }

        fn stand_by(&mut self) -> Result<(), NodeError> {
            Ok(())
        }
    }

    const HERE: Result<ChainFate, NodeError> = Ok(ChainFate::InChain { confirmations: 3 });
    const UNKNOWN: Result<ChainFate, NodeError> = Ok(ChainFate::Unknown);
    const ASIDE: Result<ChainFate, NodeError> = Ok(ChainFate::SideBranch);
    const AWAY: Result<ChainFate, NodeError> = Err(NodeError::Busy);

    struct Asked {
        /// What the herald is told.
        told: Vec<BlockFate>,
        /// The nodes that are given the block again.
        brought_back: Vec<usize>,
    }

    /// What comes of so many rounds with nodes that answer so, of which these have accepted the block.
    fn asked(
        nodes: &[&[Result<ChainFate, NodeError>]],
        accepted_by: AcceptedBy,
        mined_on: usize,
        rounds: usize,
    ) -> Asked {
        let directory = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::open(directory.path()).unwrap());
        let (height, hash) = (7, BlockHash::from_byte_array([7; 32]));
        journal.write(height, hash, &"abcd".into()).unwrap();
        let (herald, handle) = Herald::unheard(Arc::clone(&journal));
        let witnesses = nodes.iter().enumerate().map(|(node, answers)| Witness {
            sink: Box::new(Oracle(answers.to_vec())),
            road: Arc::new(Road::new(String::new(), node, true)),
        });
        let witnesses: Vec<_> = witnesses.collect();
        let roads: Vec<_> = witnesses.iter().map(|it| Arc::clone(&it.road)).collect();
        let followed = vec![Followed {
            height,
            hash,
            accepted_by,
            forgotten_by: Vec::new(),
        }];
        let mined_on = watch::Sender::new(mined_on).subscribe();
        let mut follower = Follower::new(witnesses, mined_on, followed, journal, handle);
        (0..rounds).for_each(|_| follower.ask_all());
        assert_eq!(follower.followed.len(), 1, "it is followed still");
        drop(follower);
        let told = herald.heard().into_iter().filter_map(|told| match told {
            Told::Fate { fate, .. } => Some(fate),
            _ => None,
        });
        let is_given = |road: &Arc<Road>| matches!(road.next(Instant::now()), Next::Deliver(_));
        Asked {
            told: told.collect(),
            brought_back: (0..roads.len())
                .filter(|it| is_given(&roads[*it]))
                .collect(),
        }
    }

    fn nobody() -> AcceptedBy {
        AcceptedBy::Nodes(Vec::new())
    }

    const CONFIRMED: BlockFate = BlockFate::Confirmed { confirmations: 3 };

    #[test]
    fn that_a_node_has_forgotten_a_block_is_told_once_until_it_has_it_again() {
        let mut followed = Followed {
            height: 7,
            hash: BlockHash::all_zeros(),
            accepted_by: AcceptedBy::Anybody,
            forgotten_by: Vec::new(),
        };
        assert!(followed.note_forgotten(0));
        assert!(!followed.note_forgotten(0));
        assert!(followed.note_forgotten(1));
        followed.note_accepted(0);
        assert!(followed.note_forgotten(0));
        assert!(!followed.note_forgotten(1));
    }

    #[test]
    fn a_block_that_the_node_has_forgotten_is_submitted_again() {
        let asked = asked(&[&[UNKNOWN]], AcceptedBy::Anybody, 0, 1);
        assert_eq!(asked.brought_back, [0]);
        assert_eq!(asked.told, []);
    }

    #[test]
    fn a_block_that_came_into_the_chain_later_is_brought_back_too() {
        let asked = asked(&[&[HERE, UNKNOWN]], nobody(), 0, 2);
        assert_eq!(asked.brought_back, [0]);
        assert_eq!(asked.told, [CONFIRMED]);
    }

    #[test]
    fn a_block_that_never_was_on_its_chain_is_not() {
        let asked = asked(&[&[UNKNOWN]], nobody(), 0, 1);
        assert!(asked.brought_back.is_empty());
        assert_eq!(asked.told, [BlockFate::Submitted]);
    }

    #[test]
    fn any_node_that_knows_the_block_says_where_it_stands() {
        for preferred in [AWAY, UNKNOWN] {
            let asked = asked(&[&[preferred], &[HERE]], nobody(), 0, 1);
            assert_eq!(asked.told, [CONFIRMED]);
            assert!(asked.brought_back.is_empty());
        }
    }

    /// A node that tells tips alone knows nothing of blocks from before the start. That says nothing of its others.
    #[test]
    fn a_node_that_cannot_tell_of_one_block_is_asked_for_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::open(directory.path()).unwrap());
        let (herald, handle) = Herald::unheard(Arc::clone(&journal));
        let what = "where a block stands";
        let answers = vec![Err(NodeError::NotTold { what }), HERE];
        let witness = Witness {
            sink: Box::new(Oracle(answers)),
            road: Arc::new(Road::new(String::new(), 0, true)),
        };
        let followed = [6, 7].map(|height| Followed {
            height,
            hash: BlockHash::from_byte_array([7; 32]),
            accepted_by: AcceptedBy::Anybody,
            forgotten_by: Vec::new(),
        });
        let mined_on = watch::Sender::new(0).subscribe();
        let followed = followed.into();
        let mut follower = Follower::new(vec![witness], mined_on, followed, journal, handle);
        follower.ask_all();
        drop(follower);
        let told = herald.heard().into_iter().map(|told| match told {
            Told::Fate { height, fate, .. } => (height, fate),
            _ => panic!("nothing else is told"),
        });
        assert_eq!(told.collect::<Vec<_>>(), [(7, CONFIRMED)]);
    }

    #[test]
    fn the_node_that_is_mined_on_is_believed() {
        for (mined_on, fate) in [(0, BlockFate::Orphaned), (1, CONFIRMED)] {
            let asked = asked(&[&[ASIDE], &[HERE]], nobody(), mined_on, 1);
            assert_eq!(asked.told, [fate]);
        }
    }

    #[test]
    fn only_the_node_that_has_forgotten_is_given_the_block_again() {
        let by_first = AcceptedBy::Nodes(vec![0]);
        let asked = asked(&[&[UNKNOWN], &[UNKNOWN], &[HERE]], by_first, 0, 1);
        assert_eq!(asked.brought_back, [0]);
        assert_eq!(asked.told, [CONFIRMED]);
    }
}
