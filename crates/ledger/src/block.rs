//! Found blocks and what became of them.

use bitcoin::{Amount, BlockHash, CompactTarget};
use headframe_work::{UnixTime, Work};

use crate::{Text, WorkerId};

/// How many blocks are kept; past it the oldest are forgotten. No mainnet pool gets there, a
/// regtest demonstration does in a week.
pub const MAX_BLOCKS: usize = 100_000;

/// How many different answers of nodes are kept for a block.
pub const MAX_ANSWERS: usize = 32;

/// The facts of a block at the moment it was found. What is optional is not known of blocks that an
/// earlier version recorded, or that were read back from their own bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundBlock {
    /// Its height.
    pub height: u32,
    /// Its hash, which identifies it.
    pub hash: BlockHash,
    /// When the pool judged the share that it is.
    pub found_at: UnixTime,
    /// Who found it, and the address that its coinbase pays.
    pub worker: WorkerId,
    /// What the coinbase pays to that address.
    pub paid: Amount,
    /// What the coinbase pays besides, to the operator.
    pub fee: Option<Amount>,
    /// The target that its hash had to meet, as its header says it.
    pub bits: Option<CompactTarget>,
    /// The protocol in which it came.
    pub protocol: Option<Protocol>,
    /// The accepted work of the pool over its whole life by then. What lies between two blocks is
    /// the effort that the later one took.
    pub work_before: Option<Work>,
    /// The job it was found on, as the log names it.
    pub job: Text,
}

/// A mining protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Stratum V1.
    Sv1,
    /// Stratum V2.
    Sv2,
}

impl Protocol {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sv1, Self::Sv2];

    /// The stable code under which the protocol is stored.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Sv1 => "sv1",
            Self::Sv2 => "sv2",
        }
    }

    /// The protocol of a stored code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.code() == code)
    }
}

/// A block with its fate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRecord {
    /// The facts.
    pub found: FoundBlock,
    /// What became of it.
    pub fate: BlockFate,
    /// What nodes answered, in the order of the first time they did; at most [`MAX_ANSWERS`].
    pub answers: Vec<NodeAnswer>,
}

/// What became of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockFate {
    /// Found, and not yet sent to any node.
    Found,
    /// Sent to at least one node, no answer that settles it.
    Submitted,
    /// A node took it or knew it.
    Accepted,
    /// It is in the best chain.
    Confirmed {
        /// Itself and the blocks on top of it: 1 or more.
        confirmations: u32,
    },
    /// Another block has its height in the best chain.
    Orphaned,
    /// A node refused it, and none took it.
    Refused {
        /// The node's reason.
        reason: Text,
    },
}

impl BlockFate {
    /// Confirmations after which a block's coinbase can be spent and its fate is settled.
    pub const MATURE: u32 = 100;

    /// The stable code under which the fate is stored and shown.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Submitted => "submitted",
            Self::Accepted => "accepted",
            Self::Confirmed { .. } => "confirmed",
            Self::Orphaned => "orphaned",
            Self::Refused { .. } => "refused",
        }
    }

    /// Whether nothing more is expected to happen to the block.
    pub const fn is_settled(&self) -> bool {
        match self {
            Self::Found | Self::Submitted | Self::Accepted => false,
            Self::Confirmed { confirmations } => *confirmations >= Self::MATURE,
            Self::Orphaned | Self::Refused { .. } => true,
        }
    }

    /// The fate after news, which may come late and from several nodes: what the chain says beats
    /// what a node accepted, that beats a refusal by another node, and that beats having been sent.
    #[must_use]
    pub fn after(self, news: Self) -> Self {
        match (self, news) {
            (fate, Self::Found) => fate,
            (Self::Found | Self::Submitted, news) => news,
            (fate, Self::Submitted) => fate,
            (Self::Refused { .. }, news) => news,
            (fate, Self::Refused { .. }) => fate,
            (Self::Accepted, news) => news,
            (fate, Self::Accepted) => fate,
            (Self::Confirmed { .. } | Self::Orphaned, news) => news,
        }
    }
}

/// What one node said about a block, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAnswer {
    /// The node, as the log names it.
    pub node: Text,
    /// What it said, or how it failed to.
    pub answer: Text,
    /// When it first said so.
    pub first_at: UnixTime,
    /// When it last said so.
    pub last_at: UnixTime,
    /// How many times it said so.
    pub times: u32,
}

/// News of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockUpdate {
    /// News of its fate, taken as [`BlockFate::after`] says.
    Fate(BlockFate),
    /// A node's answer. The same answer of the same node again only counts up.
    Answer {
        /// The node, as the log names it.
        node: Text,
        /// What it said, or how it failed to.
        answer: Text,
        /// When.
        at: UnixTime,
    },
}

impl BlockRecord {
    /// A block that has just been found.
    pub(crate) const fn new(found: FoundBlock) -> Self {
        Self {
            found,
            fate: BlockFate::Found,
            answers: Vec::new(),
        }
    }

    /// Takes news in.
    pub(crate) fn update(&mut self, update: &BlockUpdate) {
        match update {
            BlockUpdate::Fate(news) => self.fate = self.fate.clone().after(news.clone()),
            BlockUpdate::Answer { node, answer, at } => self.hear(node, answer, *at),
        }
    }

    fn hear(&mut self, node: &Text, text: &Text, at: UnixTime) {
        let same = |kept: &&mut NodeAnswer| kept.node == *node && kept.answer == *text;
        if let Some(kept) = self.answers.iter_mut().find(same) {
            kept.last_at = at;
            kept.times = kept.times.saturating_add(1);
            return;
        }
        if self.answers.len() >= MAX_ANSWERS {
            self.answers.remove(0);
        }
        self.answers.push(NodeAnswer {
            node: node.clone(),
            answer: text.clone(),
            first_at: at,
            last_at: at,
            times: 1,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> BlockFate {
        BlockFate::Refused {
            reason: "high-hash".into(),
        }
    }

    const ONE: BlockFate = BlockFate::Confirmed { confirmations: 1 };
    const TWO: BlockFate = BlockFate::Confirmed { confirmations: 2 };

    #[test]
    fn late_news_never_undoes_what_is_better_known() {
        use BlockFate::{Accepted, Found, Orphaned, Submitted};
        let table = [
            (Found, Submitted, Submitted),
            (Submitted, Found, Submitted),
            (Submitted, refused(), refused()),
            (refused(), Submitted, refused()),
            (refused(), Accepted, Accepted),
            (Accepted, refused(), Accepted),
            (Accepted, Submitted, Accepted),
            (Accepted, ONE, ONE),
            (ONE, Accepted, ONE),
            (ONE, refused(), ONE),
            (ONE, TWO, TWO),
            (TWO, ONE, ONE),
            (TWO, Orphaned, Orphaned),
            (Orphaned, Accepted, Orphaned),
            (Orphaned, ONE, ONE),
            (refused(), ONE, ONE),
        ];
        for (fate, news, expected) in table {
            assert_eq!(
                fate.clone().after(news.clone()),
                expected,
                "{fate:?} {news:?}"
            );
        }
    }

    #[test]
    fn a_hundred_confirmations_settle_a_block() {
        let confirmed = |confirmations| BlockFate::Confirmed { confirmations };
        assert!(!confirmed(99).is_settled());
        assert!(confirmed(100).is_settled());
        assert!(BlockFate::Orphaned.is_settled());
        assert!(!BlockFate::Accepted.is_settled());
    }
}
