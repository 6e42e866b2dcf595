//! The thread that talks to the node: it submits blocks, keeps the way open, and asks what became
//! of the blocks. It writes no file and waits for nobody but the node.
//!
//! A node can forget a block that it had accepted: one that is killed loses what it had not yet
//! written. Such a block is read back from the journal and submitted again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use headframe_ledger::BlockFate;
use headframe_node::{BlockFate as ChainFate, BlockSink, SubmitAnswer};

use tracing::{error, warn};

use super::herald::{HeraldHandle, Told};
use super::{Journal, Left, Origin, Pending};

/// How long a block rests that the node did not answer for.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// How often the way to the node is kept open (Bitcoin Core closes an idle connection after 30 s),
/// and how often it is asked where found blocks stand.
const STAND_BY: Duration = Duration::from_secs(10);
/// Blocks that are followed at a time: more than can be immature on a chain that pays only this
/// pool. The oldest are left to the node's own records.
const MAX_FOLLOWED: usize = 128;

/// A block whose place in the chain is not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Followed {
    pub(super) height: u32,
    pub(super) hash: BlockHash,
    /// Whether the node had it on its best chain.
    pub(super) was_accepted: bool,
}

pub(super) struct Courier {
    sink: Box<dyn BlockSink>,
    herald: HeraldHandle,
    /// Blocks without an answer, the one to be tried first in front.
    unanswered: VecDeque<Pending>,
    /// Blocks whose place in the chain is not settled.
    followed: VecDeque<Followed>,
    journal: Arc<Journal>,
    /// How many of them, from the front, are still to be asked about in this round.
    to_ask: usize,
    stand_by_at: Instant,
}

impl Courier {
    pub(super) fn new(
        sink: Box<dyn BlockSink>,
        journal: Arc<Journal>,
        left: Left,
        herald: HeraldHandle,
    ) -> Self {
        let unanswered = left.unanswered.into_iter();
        Self {
            sink,
            herald,
            unanswered: unanswered
                .map(|(block, origin)| {
                    Pending::new(block.height, block.hash, block.hex.into(), origin)
                })
                .collect(),
            followed: left.followed.into(),
            journal,
            to_ask: 0,
            stand_by_at: Instant::now(),
        }
    }

    /// Works until no more blocks can come. One thing at a time, and a new block before all else.
    pub(super) fn run(mut self, pending: &Receiver<Pending>) {
        loop {
            let wait = self.due().saturating_duration_since(Instant::now());
            match pending.recv_timeout(wait) {
                Ok(block) => self.submit(block),
                Err(RecvTimeoutError::Timeout) => self.handle_timeout(),
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
        }
    }

    /// Nobody has blocks any more. Those that an earlier run left are tried once, however soon this
    /// one ends.
    fn finish(mut self) {
        for block in core::mem::take(&mut self.unanswered) {
            if block.attempts == 0 {
                self.submit(block);
            }
        }
    }

    fn due(&self) -> Instant {
        if self.to_ask > 0 {
            return Instant::now();
        }
        let retry = self.unanswered.front().map(|block| block.due);
        retry.map_or(self.stand_by_at, |due| due.min(self.stand_by_at))
    }

    fn handle_timeout(&mut self) {
        let now = Instant::now();
        if let Some(block) = self.take_due(now) {
            self.submit(block);
        } else if now >= self.stand_by_at {
            self.stand_by();
        } else {
            self.ask();
        }
    }

    fn take_due(&mut self, now: Instant) -> Option<Pending> {
        let is_due = self.unanswered.front()?.due <= now;
        is_due.then(|| self.unanswered.pop_front())?
    }

    fn submit(&mut self, mut block: Pending) {
        block.attempts = block.attempts.saturating_add(1);
        let answer = self.sink.submit(&block.hex);
        self.herald.tell(Told::answer(&block, &answer));
        match answer {
            SubmitAnswer::Accepted | SubmitAnswer::AlreadyKnown => self.follow(&block, true),
            SubmitAnswer::Inconclusive => self.follow(&block, false),
            SubmitAnswer::Refused(_) => {
                if let Some(place) = &block.place {
                    place.give_back();
                }
            }
            SubmitAnswer::Retry(_) => {
                block.due = Instant::now() + RETRY;
                self.unanswered.push_back(block);
            }
        }
    }

    fn stand_by(&mut self) {
        // A node that does not answer shows in its status; there is nothing to deliver now.
        let is_there = self.sink.stand_by().is_ok();
        self.to_ask = if is_there { self.followed.len() } else { 0 };
        self.stand_by_at = Instant::now() + STAND_BY;
    }

    fn follow(&mut self, block: &Pending, was_accepted: bool) {
        self.followed.push_back(Followed {
            height: block.height,
            hash: block.hash,
            was_accepted,
        });
        if self.followed.len() > MAX_FOLLOWED {
            self.followed.pop_front();
            self.to_ask = self.to_ask.saturating_sub(1);
        }
    }

    /// Asks where one block stands.
    fn ask(&mut self) {
        self.to_ask = self.to_ask.saturating_sub(1);
        let Some(mut block) = self.followed.pop_front() else {
            return;
        };
        let Ok(answer) = self.sink.fate(block.hash) else {
            self.followed.push_back(block);
            return self.to_ask = 0;
        };
        let Followed { height, hash, .. } = block;
        let fate = match answer {
            ChainFate::InChain { confirmations } => BlockFate::Confirmed { confirmations },
            ChainFate::SideBranch => BlockFate::Orphaned,
            ChainFate::Unknown if block.was_accepted => return self.bring_back(block),
            ChainFate::Unknown => BlockFate::Submitted,
        };
        block.was_accepted |= matches!(fate, BlockFate::Confirmed { .. });
        let is_mature = matches!(
            fate,
            BlockFate::Confirmed {
                confirmations: BlockFate::MATURE..
            }
        );
        if !is_mature {
            self.followed.push_back(block);
        }
        self.herald.tell(Told::Fate { height, hash, fate });
    }

    /// Submits a block once more that the node had and has no longer.
    fn bring_back(&mut self, block: Followed) {
        let Followed { height, hash, .. } = block;
        match self.journal.read(height, hash) {
            Ok(hex) => {
                warn!("the node has forgotten block {height}; it is submitted again");
                self.submit(Pending::new(height, hash, hex.into(), Origin::Forgotten));
            }
            Err(error) => {
                error!(
                    "the node has forgotten block {height}, and its file cannot be read: {error}"
                );
                self.followed.push_back(block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash as _;
    use headframe_node::NodeError;
    use std::sync::mpsc::{Sender, channel};

    use crate::blocks::herald::Herald;
    use crate::blocks::journal::Unanswered;

    /// A node that takes all it is given, and knows no block but, when it is asked first, one that
    /// it still has.
    struct Forgetful {
        given: Sender<String>,
        has_it_still: bool,
    }

    impl BlockSink for Forgetful {
        fn submit(&mut self, block_hex: &str) -> SubmitAnswer {
            self.given.send(block_hex.to_owned()).unwrap();
            SubmitAnswer::Accepted
        }

        fn fate(&mut self, _: BlockHash) -> Result<ChainFate, NodeError> {
            Ok(match core::mem::replace(&mut self.has_it_still, false) {
                true => ChainFate::InChain { confirmations: 1 },
                false => ChainFate::Unknown,
            })
        }

        fn stand_by(&mut self) -> Result<(), NodeError> {
            Ok(())
        }
    }

    /// What the node is given when it is asked, twice if it still has it, for a block that it does not
    /// know.
    fn given_again(was_accepted: bool, has_it_still: bool) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::open(directory.path()).unwrap());
        let (height, hash) = (7, BlockHash::from_byte_array([7; 32]));
        journal.write(height, hash, "abcd").unwrap();
        journal.settle(height, hash, "accepted").unwrap();
        let (given, received) = channel();
        let (_herald, herald) = Herald::unheard(Arc::clone(&journal));
        let left = Left {
            unanswered: Vec::new(),
            records: Vec::new(),
            followed: vec![Followed {
                height,
                hash,
                was_accepted,
            }],
        };
        let sink = Box::new(Forgetful {
            given,
            has_it_still,
        });
        let mut courier = Courier::new(sink, journal, left, herald);
        (0..=u8::from(has_it_still)).for_each(|_| courier.ask());
        assert_eq!(courier.followed.len(), 1, "it is followed still");
        drop(courier);
        received.iter().collect()
    }

    #[test]
    fn a_block_that_was_left_is_tried_however_soon_the_pool_ends() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::open(directory.path()).unwrap());
        let block = Unanswered {
            height: 7,
            hash: BlockHash::from_byte_array([7; 32]),
            hex: "abcd".to_owned(),
        };
        let left = Left {
            unanswered: vec![(block, Origin::Journal)],
            records: Vec::new(),
            followed: Vec::new(),
        };
        let (given, received) = channel();
        let (_herald, herald) = Herald::unheard(Arc::clone(&journal));
        let sink = Box::new(Forgetful {
            given,
            has_it_still: false,
        });
        let courier = Courier::new(sink, journal, left, herald);
        let (_, nobody) = channel();
        courier.run(&nobody);
        assert_eq!(received.iter().collect::<Vec<_>>(), ["abcd"]);
    }

    #[test]
    fn a_block_that_the_node_has_forgotten_is_submitted_again() {
        assert_eq!(given_again(true, false), ["abcd"]);
    }

    #[test]
    fn a_block_that_came_into_the_chain_later_is_brought_back_too() {
        assert_eq!(given_again(false, true), ["abcd"]);
    }

    #[test]
    fn a_block_that_never_was_on_its_chain_is_not() {
        assert!(given_again(false, false).is_empty());
    }
}
