//! The merkle tree of a block, seen from its first leaf.

use crate::sha256d::sha256d_of_pair;

/// The hashes that lead from the coinbase, the first leaf, to the root: deepest first, as the hash
/// function gives them. `leaves` are the txids of the other transactions in block order.
///
/// Where a level has an odd number of nodes the last one is paired with itself (Bitcoin's rule).
pub fn merkle_path(leaves: impl IntoIterator<Item = [u8; 32]>) -> Vec<[u8; 32]> {
    let mut path = Vec::new();
    // The level without its first node, which is not known.
    let mut level: Vec<[u8; 32]> = leaves.into_iter().collect();
    while let Some((&sibling, rest)) = level.split_first() {
        path.push(sibling);
        level = rest
            .chunks(2)
            .map(|pair| sha256d_of_pair(&pair[0], pair.last().unwrap_or(&pair[0])))
            .collect();
    }
    path
}

/// The root that `path` gives to the leaf `leaf`, the first of the tree.
#[inline]
pub fn merkle_root(leaf: [u8; 32], path: &[[u8; 32]]) -> [u8; 32] {
    path.iter()
        .fold(leaf, |left, right| sha256d_of_pair(&left, right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::{Hash, sha256d};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_bitcoin(leaves in proptest::collection::vec(any::<[u8; 32]>(), 1..70)) {
            let theirs = bitcoin::merkle_tree::calculate_root(
                leaves.iter().copied().map(sha256d::Hash::from_byte_array),
            );
            let path = merkle_path(leaves[1..].iter().copied());
            let ours = merkle_root(leaves[0], &path);
            prop_assert_eq!(Some(sha256d::Hash::from_byte_array(ours)), theirs);
        }
    }
}
