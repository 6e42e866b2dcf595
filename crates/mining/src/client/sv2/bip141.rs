//! Coinbases of pools that left BIP 141 bytes in them (spec §3.7.1, FR-47).
//!
//! The merkle root is made of txids, so marker, flag and witness must not be hashed. A pool has to
//! leave them out; older ones did not, and a miner that hashed them would find nothing but rejects.

/// After the transaction's version.
const MARKER_AT: usize = 4;
const MARKER_AND_FLAG: [u8; 2] = [0, 1];
/// One witness item: the reserved value of 32 zero bytes (FR-53).
const WITNESS_LEN: usize = 1 + 1 + 32;
const LOCK_TIME_LEN: usize = 4;

/// Prefix and suffix without BIP 141 bytes; `None` where they have a marker but not a coinbase's
/// witness, which makes no sense at all.
///
/// A coinbase without marker has its input count in that place, which is 1, so nothing is ambiguous.
pub(super) fn strip(prefix: &[u8], suffix: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (version, rest) = prefix.split_at_checked(MARKER_AT)?;
    let Some(inputs) = rest.strip_prefix(&MARKER_AND_FLAG) else {
        return Some((prefix.to_vec(), suffix.to_vec()));
    };
    let (outputs, tail) =
        suffix.split_at_checked(suffix.len().checked_sub(WITNESS_LEN + LOCK_TIME_LEN)?)?;
    let (witness, lock_time) = tail.split_at_checked(WITNESS_LEN)?;
    let is_coinbase_s = witness.starts_with(&[1, 32]) && witness[2..].iter().all(|byte| *byte == 0);
    is_coinbase_s.then(|| ([version, inputs].concat(), [outputs, lock_time].concat()))
}

#[cfg(test)]
mod tests {
    use bitcoin::consensus::{deserialize, serialize};
    use bitcoin::{Transaction, Txid, hashes::Hash};
    use headframe_work::sha256d;

    use super::*;

    /// A coinbase of regtest with commitment and witness, as `bitcoind` serialises it.
    const COINBASE: &str = "020000000001010000000000000000000000000000000000000000000000000000000000000000ffffffff0a5200065376322f2f2fffffffffff0200f2052a01000000160014ebe1b7dcc293ccaa0ee743a86f89df8258c208fc0000000000000000266a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf90120000000000000000000000000000000000000000000000000000000000000000000000000";

    fn coinbase() -> (Vec<u8>, Txid) {
        let bytes: Vec<u8> = bitcoin::hex::FromHex::from_hex(COINBASE).unwrap();
        let transaction: Transaction = deserialize(&bytes).unwrap();
        assert_eq!(serialize(&transaction), bytes);
        (bytes, transaction.compute_txid())
    }

    /// FR-47, FR-53: cut anywhere in its scriptSig, the stripped coinbase has the transaction's txid.
    #[test]
    fn what_is_left_hashes_to_the_txid() {
        let (bytes, txid) = coinbase();
        for cut in 45..50 {
            let (prefix, suffix) = strip(&bytes[..cut], &bytes[cut..]).unwrap();
            let stripped = [prefix, suffix].concat();
            assert_eq!(sha256d(&stripped), txid.to_byte_array());
            let again = strip(&stripped[..cut - 2], &stripped[cut - 2..]).unwrap();
            assert_eq!(
                again,
                (stripped[..cut - 2].to_vec(), stripped[cut - 2..].to_vec())
            );
        }
    }

    /// FR-53: a marker without the witness of a coinbase is no coinbase.
    #[test]
    fn half_a_witness_is_refused() {
        let (mut bytes, _) = coinbase();
        assert_eq!(strip(&bytes[..45], &bytes[60..70]), None);
        let reserved_value = bytes.len() - 10;
        bytes[reserved_value] = 1;
        assert_eq!(strip(&bytes[..45], &bytes[45..]), None);
        assert_eq!(strip(&[2, 0, 0], &[]), None);
    }
}
