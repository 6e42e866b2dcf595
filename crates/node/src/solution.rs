//! What a node that holds the template needs of a block: its header and its coinbase.

use bitcoin::block::Header;
use bitcoin::consensus::{Decodable, encode};
use bitcoin::hashes::Hash;
use bitcoin::hex::FromHex;
use bitcoin::{Transaction, VarInt};
use headframe_work::merkle_root;

/// Digits of a block that are read first. A coinbase of a pool is a few hundred bytes, and a block may have eight
/// million digits.
const FIRST_DIGITS: usize = 16_384;

/// A block without its other transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Solution {
    pub(crate) header: Header,
    /// The coinbase as it stands in the block, with its witness.
    pub(crate) coinbase: Vec<u8>,
    coinbase_txid: [u8; 32],
}

impl Solution {
    /// Reads the beginning of a block in hexadecimal digits; nothing if it is none.
    pub(crate) fn of_block(block_hex: &str) -> Option<Self> {
        let first = block_hex.get(..FIRST_DIGITS).unwrap_or(block_hex);
        Self::read(first).or_else(|| Self::read(block_hex))
    }

    fn read(digits: &str) -> Option<Self> {
        Self::of_bytes(&Vec::from_hex(digits).ok()?)
    }

    /// Reads the beginning of a block.
    pub(crate) fn of_bytes(mut rest: &[u8]) -> Option<Self> {
        let header = Header::consensus_decode(&mut rest).ok()?;
        VarInt::consensus_decode(&mut rest).ok()?;
        let coinbase = Transaction::consensus_decode(&mut rest).ok()?;
        coinbase.is_coinbase().then(|| Self {
            header,
            coinbase_txid: coinbase.compute_txid().to_byte_array(),
            coinbase: encode::serialize(&coinbase),
        })
    }

    /// Whether the other transactions are those that `path` stands for, the hashes from the coinbase to the root.
    pub(crate) fn is_on(&self, path: &[[u8; 32]]) -> bool {
        merkle_root(self.coinbase_txid, path) == self.header.merkle_root.to_byte_array()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::consensus::encode::serialize_hex;
    use bitcoin::constants::genesis_block;
    use bitcoin::{Block, Network, ScriptBuf};
    use headframe_work::merkle_path;

    /// A block of five transactions, the coinbase with a witness and a script of `script_len` bytes in an output.
    fn block(script_len: usize) -> Block {
        let mut block = genesis_block(Network::Bitcoin);
        let other = block.txdata[0].clone();
        block.txdata[0].input[0].witness.push([7; 32]);
        block.txdata[0].output[0].script_pubkey = ScriptBuf::from_bytes(vec![1; script_len]);
        block.txdata.extend((0..4).map(|index| {
            let mut other = other.clone();
            other.input[0].previous_output.vout = index;
            other
        }));
        block.header.merkle_root = block.compute_merkle_root().unwrap();
        block
    }

    #[test]
    fn header_and_coinbase_of_a_block_are_read_however_long_the_coinbase_is() {
        for script_len in [0, 25, FIRST_DIGITS] {
            let block = block(script_len);
            let solution = Solution::of_block(&serialize_hex(&block)).unwrap();
            assert_eq!(solution.header, block.header);
            assert_eq!(solution.coinbase, encode::serialize(&block.txdata[0]));
            let others = block.txdata[1..].iter();
            let path = merkle_path(others.map(|tx| tx.compute_txid().to_byte_array()));
            assert!(solution.is_on(&path));
            assert!(!solution.is_on(&path[1..]));
        }
    }

    #[test]
    fn what_is_no_block_is_no_solution() {
        let whole = serialize_hex(&block(25));
        for cut in 0..2 * 150 {
            assert_eq!(Solution::of_block(&whole[..cut]), None);
        }
        assert_eq!(Solution::of_block("\u{e4}"), None);
        let mut no_coinbase = block(25);
        no_coinbase.txdata.swap(0, 1);
        assert_eq!(Solution::of_block(&serialize_hex(&no_coinbase)), None);
    }
}
