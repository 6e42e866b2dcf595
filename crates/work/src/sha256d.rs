//! SHA-256 twice: the hash of Bitcoin's headers, transactions and merkle trees.

use sha2::compress256;
use sha2::digest::generic_array::GenericArray;
use sha2::digest::typenum::U64;
use sha2::{Digest, Sha256};

/// What SHA-256 works on at a time.
pub(crate) type Block = GenericArray<u8, U64>;

/// SHA-256's state before the first block (FIPS 180-4, 5.3.3).
pub(crate) const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// `SHA256(SHA256(bytes))`, in the order in which the hash function gives it (never reversed).
pub fn sha256d(bytes: &[u8]) -> [u8; 32] {
    finish(Sha256::new_with_prefix(bytes))
}

/// [`sha256d`] of two hashes, one after the other: a node of a merkle tree.
///
/// A share of a full block has a dozen of these, so they go without the buffer that a hash of any
/// length needs.
#[inline]
pub(crate) fn sha256d_of_pair(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut data = Block::default();
    data[..32].copy_from_slice(left);
    data[32..].copy_from_slice(right);
    twice(&[data, padding(&[], 64)])
}

/// [`sha256d`] of a header.
#[inline]
pub(crate) fn sha256d_of_header(header: &[u8; 80]) -> [u8; 32] {
    let (first, rest) = header.split_at(64);
    twice(&[*Block::from_slice(first), padding(rest, 80)])
}

/// Ends a hash that was fed piece by piece, and hashes it once more.
pub(crate) fn finish(first: Sha256) -> [u8; 32] {
    hash(&[padding(&first.finalize(), 32)])
}

/// Hashes whole blocks, padding included, and hashes the hash.
#[inline]
fn twice(blocks: &[Block]) -> [u8; 32] {
    let once = hash(blocks);
    hash(&[padding(&once, 32)])
}

#[inline]
fn hash(blocks: &[Block]) -> [u8; 32] {
    let mut state = INITIAL;
    compress256(&mut state, blocks);
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *chunk = word.to_be_bytes();
    }
    bytes
}

/// The last block of a message of `len` bytes that ends in `rest`, at most 55 bytes.
#[inline]
pub(crate) fn padding(rest: &[u8], len: u64) -> Block {
    let mut block = Block::default();
    block[..rest.len()].copy_from_slice(rest);
    block[rest.len()] = 0x80;
    block[56..].copy_from_slice(&(8 * len).to_be_bytes());
    block
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::{Hash, sha256d};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_bitcoin_hashes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(crate::sha256d(&bytes), sha256d::Hash::hash(&bytes).to_byte_array());
        }

        #[test]
        fn pairs_and_headers_agree_with_bitcoin_hashes(pair: [[u8; 32]; 2], header: [u8; 80]) {
            let theirs = |bytes| sha256d::Hash::hash(bytes).to_byte_array();
            let [left, right] = pair;
            prop_assert_eq!(super::sha256d_of_pair(&left, &right), theirs(pair.as_flattened()));
            prop_assert_eq!(super::sha256d_of_header(&header), theirs(&header));
        }
    }
}
