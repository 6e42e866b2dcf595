//! The tips that a provider has named: the one answer that it has to a solution.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bitcoin::BlockHash;

use crate::{BlockFate, Tip};

/// Tips that are remembered: longer than a block takes to be as good as settled.
const REMEMBERED: usize = 256;

/// What was named, oldest first.
#[derive(Debug, Default)]
pub(super) struct Tips {
    named: Mutex<VecDeque<Tip>>,
    more: Condvar,
}

impl Tips {
    /// The provider names a tip.
    pub(super) fn name(&self, tip: Tip) {
        let mut named = self.lock();
        if named.back() != Some(&tip) {
            named.push_back(tip);
            if named.len() > REMEMBERED {
                named.pop_front();
            }
        }
        drop(named);
        self.more.notify_all();
    }

    /// Waits until the block is named; false when that has not come within `limit`. Blocks its thread.
    pub(super) fn wait_for(&self, hash: BlockHash, limit: Duration) -> bool {
        let is_missing = |named: &mut VecDeque<Tip>| named.iter().all(|tip| tip.hash != hash);
        let waited = self.more.wait_timeout_while(self.lock(), limit, is_missing);
        let (_named, result) = waited.unwrap_or_else(PoisonError::into_inner);
        !result.timed_out()
    }

    /// The height of a block that was named.
    pub(super) fn height_of(&self, hash: BlockHash) -> Option<u32> {
        let named = self.lock();
        let tip = named.iter().rfind(|tip| tip.hash == hash)?;
        Some(tip.height)
    }

    /// Where a block stands, as far as tips tell: one that was named, and whose height was not named again
    /// with another block, is below what was named last.
    pub(super) fn fate(&self, hash: BlockHash) -> BlockFate {
        let named = self.lock();
        let Some(place) = named.iter().rposition(|tip| tip.hash == hash) else {
            return BlockFate::Unknown;
        };
        let mut from = named.iter().skip(place);
        let height = from.next().map_or(0, |tip| tip.height);
        let last = named.back().map_or(height, |tip| tip.height);
        match from.any(|tip| tip.height <= height) {
            true => BlockFate::SideBranch,
            false => BlockFate::InChain {
                confirmations: last.saturating_sub(height) + 1,
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Tip>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash as _;

    fn hash(byte: u8) -> BlockHash {
        BlockHash::from_byte_array([byte; 32])
    }

    fn named(blocks: &[(u32, u8)]) -> Tips {
        let tips = Tips::default();
        for (height, byte) in blocks {
            tips.name(Tip {
                height: *height,
                hash: hash(*byte),
            });
        }
        tips
    }

    #[test]
    fn a_block_that_was_named_is_in_the_chain_until_another_has_its_height() {
        let tips = named(&[(10, 1), (11, 2), (11, 2), (12, 3)]);
        let in_chain = |confirmations| BlockFate::InChain { confirmations };
        assert_eq!(tips.fate(hash(3)), in_chain(1));
        assert_eq!(tips.fate(hash(2)), in_chain(2));
        assert_eq!(tips.fate(hash(9)), BlockFate::Unknown);
        let reorganised = named(&[(10, 1), (11, 2), (12, 3), (11, 4), (12, 5), (13, 6)]);
        assert_eq!(reorganised.fate(hash(2)), BlockFate::SideBranch);
        assert_eq!(reorganised.fate(hash(3)), BlockFate::SideBranch);
        assert_eq!(reorganised.fate(hash(1)), in_chain(4));
        let back = named(&[(11, 2), (11, 4), (11, 2)]);
        assert_eq!(back.fate(hash(2)), in_chain(1));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let tips = Tips::default();
        for height in 0..10_000_u32 {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&height.to_le_bytes());
            let hash = BlockHash::from_byte_array(bytes);
            tips.name(Tip { height, hash });
        }
        assert_eq!(tips.lock().len(), REMEMBERED);
    }

    #[test]
    fn who_waits_is_told_when_the_block_is_named() {
        let tips = Tips::default();
        assert!(!tips.wait_for(hash(1), Duration::ZERO));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| tips.wait_for(hash(1), Duration::from_secs(60)));
            let height = 1;
            tips.name(Tip {
                height,
                hash: hash(2),
            });
            tips.name(Tip {
                height,
                hash: hash(1),
            });
            assert!(waiting.join().unwrap());
        });
    }
}
