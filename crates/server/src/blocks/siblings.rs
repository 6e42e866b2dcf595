//! Blocks on one tip, of which one at most can be in the chain.
//!
//! On a network with real difficulty there is never a second. On regtest, and on a test network at
//! its least difficulty, a fast miner finds thousands before the node names the next tip; writing
//! and submitting them all would keep the next tip's block from the node.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use tracing::warn;

/// Blocks of one tip that are kept and submitted, besides those that the node has refused.
const KEPT: u32 = 16;
/// Above that number one block is kept in this time.
const ONE_EVERY: Duration = Duration::from_secs(1);
/// Tips that are counted for: a reorganisation comes back to none that is older.
const TIPS: usize = 16;

/// Counts the blocks on each of the last tips that the node has not refused.
#[derive(Debug)]
pub(crate) struct Siblings {
    counts: VecDeque<(BlockHash, u32)>,
    /// When a block was last let in.
    admitted: Option<Instant>,
    given_back: (Sender<BlockHash>, Receiver<BlockHash>),
    has_told: bool,
}

/// A block's place among those on its tip.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    tip: BlockHash,
    to: Sender<BlockHash>,
}

impl Place {
    /// The node has refused the block, so that another may be worth as much as the first.
    pub(crate) fn give_back(&self) {
        // When nobody counts any more, no block is turned away either.
        let _ = self.to.send(self.tip);
    }
}

impl Siblings {
    pub(crate) fn new() -> Self {
        Self {
            counts: VecDeque::new(),
            admitted: None,
            given_back: channel(),
            has_told: false,
        }
    }

    /// A place for another block on `tip`, if it is to be kept. While the node does not answer, one a
    /// second is: it may be better than those before it.
    pub(crate) fn admit(&mut self, now: Instant, tip: BlockHash) -> Option<Place> {
        self.take_back();
        let is_rare = self.admitted.is_none_or(|last| now >= last + ONE_EVERY);
        let known = self.counts.iter_mut().find(|(known, _)| *known == tip);
        match known {
            Some((_, count)) if *count < KEPT || is_rare => *count += 1,
            Some(_) => {
                self.tell();
                return None;
            }
            None => {
                self.counts.push_back((tip, 1));
                if self.counts.len() > TIPS {
                    self.counts.pop_front();
                }
            }
        }
        self.admitted = Some(now);
        let to = self.given_back.0.clone();
        Some(Place { tip, to })
    }

    fn take_back(&mut self) {
        for tip in self.given_back.1.try_iter() {
            if let Some((_, count)) = self.counts.iter_mut().find(|(known, _)| *known == tip) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Once for the whole run: it says something of the network, not of a block.
    fn tell(&mut self) {
        if !core::mem::replace(&mut self.has_told, true) {
            warn!(
                "more than {KEPT} blocks were found on one tip, which needs no more: this network's \
                 difficulty is far too low for these miners; slow them down (headframe miner --throttle)"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;

    use super::*;

    fn tip(number: u8) -> BlockHash {
        BlockHash::from_byte_array([number; 32])
    }

    /// The places of those that are kept of a thousand.
    fn kept(siblings: &mut Siblings, now: Instant, number: u8) -> Vec<Place> {
        let places = (0..1_000).map(|_| siblings.admit(now, tip(number)));
        places.flatten().collect()
    }

    #[test]
    fn the_first_blocks_of_each_tip_are_kept() {
        let (mut siblings, now) = (Siblings::new(), Instant::now());
        assert_eq!(kept(&mut siblings, now, 1).len(), KEPT as usize);
        assert_eq!(kept(&mut siblings, now, 2).len(), KEPT as usize);
        // A reorganisation comes back to the first tip, which has had its share.
        assert_eq!(kept(&mut siblings, now, 1).len(), 0);
        // One that comes a second later is another chance.
        let later = now + ONE_EVERY;
        assert_eq!(kept(&mut siblings, later, 1).len(), 1);
        for number in 3..=2 + TIPS as u8 {
            assert!(siblings.admit(later, tip(number)).is_some());
        }
        assert_eq!(siblings.counts.len(), TIPS);
    }

    /// SRI's mining device sets its clock ahead, and the node refuses its blocks until the next job:
    /// those that it refused are not to stand in the way of the one that it takes.
    #[test]
    fn a_refused_block_makes_room_for_another() {
        let (mut siblings, now) = (Siblings::new(), Instant::now());
        let places = kept(&mut siblings, now, 1);
        places[..3].iter().for_each(Place::give_back);
        assert_eq!(kept(&mut siblings, now, 1).len(), 3);
    }
}
