//! The templates that the node holds for us, since a block can only be given to it by one of them.
//!
//! All of the present tip and of the one before are kept, up to a bound. What is dropped here the node frees.

use std::collections::VecDeque;

use bitcoin::BlockHash;
use bitcoin_capnp_types::mining_capnp::block_template;

use crate::solution::Solution;

/// A node frees what no template holds any more, so this bounds its memory too. Templates are 10 s apart at least:
/// twenty minutes of jobs. A block on an older one goes to the node whole.
const MOST: usize = 128;

/// One template in the node.
pub(super) struct Kept {
    pub(super) prev_hash: BlockHash,
    /// The hashes from the coinbase to the merkle root.
    pub(super) path: Vec<[u8; 32]>,
    pub(super) template: block_template::Client,
}

/// The templates in the node, oldest first.
#[derive(Default)]
pub(super) struct Templates {
    kept: VecDeque<Kept>,
}

impl Templates {
    /// Keeps one more, and drops those of the tips before the last.
    pub(super) fn keep(&mut self, new: Kept) {
        if let Some(last) = self.last_tip(new.prev_hash) {
            let tips = [new.prev_hash, last];
            self.kept.retain(|kept| tips.contains(&kept.prev_hash));
        }
        self.kept.push_back(new);
        while self.kept.len() > MOST {
            self.kept.pop_front();
        }
    }

    /// The newest tip that is not `tip`.
    fn last_tip(&self, tip: BlockHash) -> Option<BlockHash> {
        let mut tips = self.kept.iter().rev().map(|kept| kept.prev_hash);
        tips.find(|&kept| kept != tip)
    }

    /// The template that a block was made of.
    pub(super) fn of(&self, solution: &Solution) -> Option<block_template::Client> {
        let on_tip = |kept: &&Kept| kept.prev_hash == solution.header.prev_blockhash;
        let mut kept = self.kept.iter().rev().filter(on_tip);
        kept.find(|kept| solution.is_on(&kept.path))
            .map(|kept| kept.template.clone())
    }
}
