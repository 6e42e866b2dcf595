//! The tips that the node has told: where a block stands, by a node that does not tell it otherwise.

use std::collections::VecDeque;

use bitcoin::BlockHash;

use crate::{BlockFate, Tip};

/// A week of blocks.
const MOST: usize = 1_008;

/// The tips of the node, oldest first. A tip that came and went between two looks is not among them.
#[derive(Debug, Default)]
pub(super) struct TipLog {
    tips: VecDeque<Tip>,
}

impl TipLog {
    pub(super) fn push(&mut self, tip: Tip) {
        self.tips.push_back(tip);
        while self.tips.len() > MOST {
            self.tips.pop_front();
        }
    }

    /// Where a block stands that was a tip; nothing is known of any other.
    pub(super) fn fate(&self, hash: BlockHash) -> Option<BlockFate> {
        let place = self.tips.iter().rposition(|tip| tip.hash == hash)?;
        let height = self.tips[place].height;
        let mut later = self.tips.iter().skip(place + 1);
        if later.any(|tip| tip.height <= height) {
            return Some(BlockFate::SideBranch);
        }
        let newest = self.tips.back()?.height;
        let confirmations = newest.saturating_sub(height).saturating_add(1);
        Some(BlockFate::InChain { confirmations })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash;

    fn hash(byte: u8) -> BlockHash {
        BlockHash::from_byte_array([byte; 32])
    }

    fn log(tips: &[(u32, u8)]) -> TipLog {
        let mut log = TipLog::default();
        for &(height, byte) in tips {
            let hash = hash(byte);
            log.push(Tip { height, hash });
        }
        log
    }

    #[test]
    fn a_block_is_as_deep_as_the_newest_tip_is_higher() {
        let log = log(&[(7, 1), (8, 2), (10, 3)]);
        let deep = |confirmations| Some(BlockFate::InChain { confirmations });
        assert_eq!(log.fate(hash(1)), deep(4));
        assert_eq!(log.fate(hash(2)), deep(3));
        assert_eq!(log.fate(hash(3)), deep(1));
        assert_eq!(log.fate(hash(4)), None);
    }

    #[test]
    fn a_block_that_another_branch_displaced_is_beside_the_chain_until_it_is_the_tip_again() {
        let displaced = log(&[(7, 1), (8, 2), (8, 3), (9, 4)]);
        assert_eq!(displaced.fate(hash(2)), Some(BlockFate::SideBranch));
        let again = log(&[(8, 2), (8, 3), (8, 2)]);
        assert_eq!(
            again.fate(hash(2)),
            Some(BlockFate::InChain { confirmations: 1 })
        );
    }

    #[test]
    fn a_long_log_forgets_its_beginning() {
        let tips: Vec<(u32, u8)> = (0..2 * MOST as u32).map(|height| (height, 0)).collect();
        assert_eq!(log(&tips).tips.len(), MOST);
    }
}
