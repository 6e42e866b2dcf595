//! The hot loop of a miner: nonces of one header.

use sha2::compress256;

use crate::Header;
use crate::sha256d::{AFTER_32, AFTER_80, Block, INITIAL, block};

/// Where the header's second block has the nonce.
const NONCE: core::ops::Range<usize> = 12..16;

/// A header without its nonce. The first of its two blocks is hashed once, so that a nonce costs two
/// compressions instead of three.
#[derive(Debug, Clone)]
pub struct HeaderSearch {
    midstate: [u32; 8],
    /// The header's last 16 bytes, padded.
    tail: Block,
    /// The first hash, padded.
    digest: Block,
}

impl HeaderSearch {
    /// Prepares the search for nonces of `header`.
    pub fn new(header: &Header) -> Self {
        Self::from_bytes(&header.to_bytes())
    }

    /// The same for a header that is serialised already.
    pub fn from_bytes(bytes: &[u8; Header::LEN]) -> Self {
        let (first, last) = bytes.split_at(64);
        let mut midstate = INITIAL;
        compress256(&mut midstate, &[block(first, &[])]);
        Self {
            midstate,
            tail: block(last, &AFTER_80),
            digest: block(&[0; 32], &AFTER_32),
        }
    }

    /// The first of `count` nonces from `first` on whose hash has its highest 32 bits at or below
    /// `top`. The rest of the hash is the caller's to check. Nonces wrap at 2^32.
    pub fn find(&mut self, first: u32, count: u32, top: u32) -> Option<u32> {
        (0..count)
            .map(|offset| first.wrapping_add(offset))
            .find(|nonce| self.top_of(*nonce) <= top)
    }

    /// The highest 32 bits of the hash, as targets count them.
    #[inline]
    fn top_of(&mut self, nonce: u32) -> u32 {
        self.tail[NONCE].copy_from_slice(&nonce.to_le_bytes());
        let mut state = self.midstate;
        compress256(&mut state, core::slice::from_ref(&self.tail));
        for (bytes, word) in self.digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
            *bytes = word.to_be_bytes();
        }
        let mut state = INITIAL;
        compress256(&mut state, core::slice::from_ref(&self.digest));
        // The hash is a little-endian number of big-endian words.
        state[7].swap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;
    use bitcoin::{BlockHash, CompactTarget};
    use proptest::prelude::*;

    use super::*;
    use crate::UnixTime;

    fn top(hash: &BlockHash) -> u32 {
        u32::from_le_bytes(*hash.to_byte_array().last_chunk().unwrap())
    }

    /// The header of Bitcoin's first block, and the nonce that its maker found.
    #[test]
    fn finds_the_genesis_nonce() {
        let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Bitcoin).header;
        let header = Header {
            version: 1,
            prev_hash: genesis.prev_blockhash,
            merkle_root: genesis.merkle_root.to_byte_array(),
            time: UnixTime::from_secs(genesis.time),
            bits: genesis.bits,
            nonce: 0,
        };
        let mut search = HeaderSearch::new(&header);
        let near = genesis.nonce - 1_000;
        assert_eq!(search.find(near, 2_000, 0), Some(genesis.nonce));
        assert_eq!(search.find(genesis.nonce + 1, 1_000, 0), None);
    }

    proptest! {
        #[test]
        fn agrees_with_bitcoin(prev: [u8; 32], root: [u8; 32], version: u32, time: u32, bits: u32, nonce: u32) {
            let header = Header {
                version,
                prev_hash: BlockHash::from_byte_array(prev),
                merkle_root: root,
                time: UnixTime::from_secs(time),
                bits: CompactTarget::from_consensus(bits),
                nonce,
            };
            let theirs: bitcoin::block::Header =
                bitcoin::consensus::deserialize(&header.to_bytes()).unwrap();
            let mut search = HeaderSearch::new(&header);
            let expected = top(&theirs.block_hash());
            prop_assert_eq!(search.top_of(nonce), expected);
            prop_assert_eq!(search.find(nonce, 1, expected), Some(nonce));
            if let Some(below) = expected.checked_sub(1) {
                prop_assert_eq!(search.find(nonce, 1, below), None);
            }
        }
    }
}
