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

/// The paddings of the messages of a fixed length: a hash, two hashes, a header. A block whose
/// padding is put together at run time takes longer to read back.
pub(crate) const AFTER_32: [u8; 32] = padding(32);
const AFTER_64: [u8; 64] = padding(64);
pub(crate) const AFTER_80: [u8; 48] = padding(80);

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
    twice(&[block(left, right), block(&[], &AFTER_64)])
}

/// [`sha256d`] of a header.
#[inline]
pub(crate) fn sha256d_of_header(header: &[u8; 80]) -> [u8; 32] {
    let (first, last) = header.split_at(64);
    twice(&[block(first, &[]), block(last, &AFTER_80)])
}

/// Ends a hash that was fed piece by piece, and hashes it once more.
pub(crate) fn finish(first: Sha256) -> [u8; 32] {
    hash(&[block(&first.finalize(), &AFTER_32)])
}

/// Hashes whole blocks, padding included, and hashes the hash.
#[inline]
fn twice(blocks: &[Block]) -> [u8; 32] {
    let once = hash(blocks);
    hash(&[block(&once, &AFTER_32)])
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

/// A block of two pieces, which have 64 bytes together.
#[inline]
pub(crate) fn block(first: &[u8], second: &[u8]) -> Block {
    let mut block = Block::default();
    let (start, end) = block.split_at_mut(first.len());
    start.copy_from_slice(first);
    end.copy_from_slice(second);
    block
}

/// What follows a message of `len` bytes up to the end of its last block: a one, zeros, and the
/// length in bits (FIPS 180-4, 5.1.1).
const fn padding<const N: usize>(len: u64) -> [u8; N] {
    let mut padding = [0; N];
    padding[0] = 0x80;
    padding
        .split_at_mut(N - 8)
        .1
        .copy_from_slice(&(8 * len).to_be_bytes());
    padding
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
