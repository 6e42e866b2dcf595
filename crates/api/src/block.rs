//! Blocks that the pool found.

use serde::{Deserialize, Serialize};

use crate::Protocol;

/// A block that the pool found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: String,
    /// When the share that made it arrived.
    pub found_at: u64,
    /// The worker that found it. Text from a stranger.
    pub worker: String,
    /// The protocol of that worker.
    pub protocol: Protocol,
    /// The address that it pays.
    pub payout_address: Option<String>,
    /// What the coinbase pays in all: subsidy and transaction fees.
    pub value_sats: u64,
    /// The part of it that went to the operator.
    pub fee_sats: u64,
    /// The difficulty of its hash.
    pub difficulty: f64,
    /// The difficulty that the network asked for.
    pub network_difficulty: f64,
    /// The work of its round in percent of what a block takes on average; less than 100 is lucky.
    pub effort_percent: Option<f64>,
    /// What became of it.
    pub fate: BlockFate,
    /// What each node last said to it, in no order that means anything. Empty before the first answer, and in what
    /// an earlier version kept.
    #[serde(default)]
    pub answers: Vec<NodeAnswer>,
}

/// What a node said to a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAnswer {
    /// The node, as the log names it.
    pub node: String,
    /// `accepted`, `known`, `inconclusive`, `refused: ` and the node's reason, or `no answer: ` and what stood in
    /// the way.
    pub answer: String,
}

/// What became of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BlockFate {
    /// It is in the journal and no node has answered for it yet.
    Submitting {
        /// How often it was sent.
        attempts: u64,
        /// Why the last time did not settle it, in plain words.
        last_trouble: Option<String>,
    },
    /// A node has accepted it and it is in the best chain.
    Accepted {
        /// 1 when it is the tip.
        confirmations: u64,
    },
    /// It is valid, but the node follows another block of the same height for now.
    Waiting,
    /// It was valid and the chain went on without it.
    Orphaned,
    /// A node has refused it. This must never happen and is shown loudly.
    Refused {
        /// The node's own word for it.
        reason: String,
        /// The file that holds the block, for a submission by hand.
        file: Option<String>,
    },
}

/// How many blocks were found, by fate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockCounts {
    /// All of them.
    pub found: u64,
    /// [`BlockFate::Accepted`].
    pub accepted: u64,
    /// [`BlockFate::Submitting`] or [`BlockFate::Waiting`].
    pub pending: u64,
    /// [`BlockFate::Orphaned`].
    pub orphaned: u64,
    /// [`BlockFate::Refused`].
    pub refused: u64,
}
