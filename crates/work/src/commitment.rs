//! The output that commits to a block's witnesses (BIP141).

use bitcoin::hashes::Hash;
use bitcoin::{Block, ScriptBuf, WitnessMerkleNode, Wtxid};

/// What every such output's script begins with: `OP_RETURN`, a push of 36 bytes, and BIP141's
/// four header bytes.
pub const COMMITMENT_PREFIX: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// The script for a block with these transactions after its coinbase, and 32 zero bytes as the
/// coinbase's witness.
pub fn witness_commitment(wtxids: impl Iterator<Item = Wtxid>) -> ScriptBuf {
    let leaves = std::iter::once(Wtxid::all_zeros()).chain(wtxids);
    let root = bitcoin::merkle_tree::calculate_root(leaves.map(|wtxid| wtxid.to_raw_hash()))
        .map_or_else(
            WitnessMerkleNode::all_zeros,
            WitnessMerkleNode::from_raw_hash,
        );
    let commitment = Block::compute_witness_commitment(&root, &[0; 32]);
    let mut script = COMMITMENT_PREFIX.to_vec();
    script.extend_from_slice(commitment.as_byte_array());
    ScriptBuf::from_bytes(script)
}
