//! SHA-256 twice: the hash of Bitcoin's headers, transactions and merkle trees.

use sha2::{Digest, Sha256};

/// `SHA256(SHA256(bytes))`, in the order in which the hash function gives it (never reversed).
pub fn sha256d(bytes: &[u8]) -> [u8; 32] {
    finish(Sha256::new_with_prefix(bytes))
}

/// Ends a hash that was fed piece by piece, and hashes it once more.
pub(crate) fn finish(first: Sha256) -> [u8; 32] {
    Sha256::digest(first.finalize()).into()
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
    }
}
