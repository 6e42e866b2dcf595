//! The 80 bytes that are hashed.

use bitcoin::{BlockHash, CompactTarget, hashes::Hash};

use crate::UnixTime;
use crate::sha256d::sha256d_of_header;

/// A block header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// `nVersion`, with the bits that the miner rolled (BIP320, BIP323).
    pub version: u32,
    /// Hash of the block before.
    pub prev_hash: BlockHash,
    /// Merkle root of the transactions, as the hash function gives it.
    pub merkle_root: [u8; 32],
    /// `nTime`.
    pub time: UnixTime,
    /// The network target in its compact form.
    pub bits: CompactTarget,
    /// `nNonce`.
    pub nonce: u32,
}

impl Header {
    /// The serialised length in bytes.
    pub const LEN: usize = 80;

    /// The header as it is hashed and sent between nodes: integers little-endian.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0..4].copy_from_slice(&self.version.to_le_bytes());
        bytes[4..36].copy_from_slice(self.prev_hash.as_byte_array());
        bytes[36..68].copy_from_slice(&self.merkle_root);
        bytes[68..72].copy_from_slice(&self.time.as_secs().to_le_bytes());
        bytes[72..76].copy_from_slice(&self.bits.to_consensus().to_le_bytes());
        bytes[76..80].copy_from_slice(&self.nonce.to_le_bytes());
        bytes
    }

    /// The hash that proves work and names the block.
    #[inline]
    pub fn hash(&self) -> BlockHash {
        BlockHash::from_byte_array(sha256d_of_header(&self.to_bytes()))
    }
}
