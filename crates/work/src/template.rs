//! What a node says the next block may hold.

use bitcoin::{Amount, BlockHash, CompactTarget, ScriptBuf, Txid, Wtxid};

use crate::{Network, UnixTime};

/// A block without its coinbase and its proof of work, as `getblocktemplate` (BIP22, BIP23, BIP145)
/// or the embedded chain gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The network that the template is for.
    pub network: Network,
    /// Height of the block that the template is for.
    pub height: u32,
    /// Header version, with the signalling bits that the node set.
    pub version: u32,
    /// Version bits that a block has to have as they are here: those that the node requires (`vbrequired`), or
    /// all that no miner rolls where the source says so (spec §7.7).
    pub fixed_version_bits: u32,
    /// Hash of the block that this one builds on.
    pub prev_hash: BlockHash,
    /// The network target in its compact form.
    pub bits: CompactTarget,
    /// The earliest header time that consensus allows: median time past of the tip, plus one.
    pub min_time: UnixTime,
    /// The node's idea of now, as a header time (`curtime`).
    pub current_time: UnixTime,
    /// Subsidy and fees: what the coinbase may pay out.
    pub coinbase_value: Amount,
    /// `nSequence` of the coinbase input; 0xffff_fffe, with which the lock time binds, where the
    /// source gives none.
    pub coinbase_sequence: u32,
    /// `nLockTime` of the coinbase; the height less one, as in Bitcoin Core, where the source gives
    /// none.
    pub coinbase_lock_time: u32,
    /// The transactions after the coinbase, in block order.
    pub transactions: Vec<TemplateTransaction>,
    /// Script of the output that commits to the witnesses (BIP141), when the block needs one.
    pub witness_commitment: Option<ScriptBuf>,
    /// What the whole block, coinbase included, must stay within.
    pub limits: BlockLimits,
}

impl Template {
    /// Whether a miner that was told the tip of `other` knows that of this one: what it is told of a tip
    /// is the previous hash and the bits, which change within a tip on testnet4.
    pub fn same_tip_and_bits(&self, other: &Self) -> bool {
        self.prev_hash == other.prev_hash && self.bits == other.bits
    }
}

/// A transaction of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateTransaction {
    /// Consensus serialisation with witness, as it goes into the block.
    pub data: Vec<u8>,
    /// Hash without witness: a leaf of the header's merkle tree.
    pub txid: Txid,
    /// Hash with witness: a leaf of the witness commitment's tree.
    pub wtxid: Wtxid,
    /// What the transaction pays to the miner.
    pub fee: Amount,
    /// Signature operation cost (BIP141 units).
    pub sigops: u32,
    /// BIP141 weight.
    pub weight: u32,
}

/// Upper bounds on a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLimits {
    /// BIP141 weight, at most 4,000,000.
    pub weight: u32,
    /// Serialised size in bytes.
    pub size: u32,
    /// Signature operation cost, at most 80,000.
    pub sigops: u32,
}

impl Default for BlockLimits {
    /// The consensus limits.
    fn default() -> Self {
        Self {
            weight: 4_000_000,
            size: 4_000_000,
            sigops: 80_000,
        }
    }
}
