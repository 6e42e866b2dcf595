//! What the node says of a block before one is found.

use serde::{Deserialize, Serialize};

/// What the node said of a block that was built of a live job with a real miner's coinbase, and lacks
/// only the proof of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockProof {
    /// When it said so.
    pub checked_at: u64,
    /// The block's height.
    pub height: u64,
    /// The address that the block pays.
    pub payout_address: String,
    /// What it pays to that address.
    pub paid_sats: u64,
    /// The node, as the log names it.
    pub node: String,
    /// Whether it would take the block.
    pub verdict: ProofVerdict,
}

/// Whether a node would take a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ProofVerdict {
    /// It would.
    Accepted,
    /// It would not: no block of a miner that is paid in this way would count.
    Refused {
        /// The node's own word for it.
        reason: String,
    },
}
