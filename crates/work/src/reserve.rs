//! The room in a block that is kept for the coinbase: asked of nodes that make a template for us.
//!
//! It is a bound, taken before there is a template: the longest height, tag, extranonce and scripts.

use crate::PayoutPolicy;
use crate::coinbase::LONGEST_COINBASE_WITHOUT_OUTPUTS;

/// The least weight that Bitcoin Core reserves.
const LEAST_WEIGHT: u32 = 2_000;
/// The header, and the number of transactions where it takes most bytes, at four units a byte. Bitcoin Core counts
/// them as reserved too.
const HEADER_WEIGHT: u32 = 4 * (80 + 5);
/// Marker, flag and witness of the coinbase, at one unit a byte.
const WITNESS_WEIGHT: u32 = 2 + 34;
/// An amount, the length of a script, and the longest script that an address stands for: two bytes and a witness
/// program of 40.
const LONGEST_OUTPUT: u32 = 8 + 1 + 42;
/// An amount of zero, the length of a script, and the script that commits to the witnesses.
const COMMITMENT: u32 = 8 + 1 + 38;
/// What a script that an address stands for costs at most: one operation, four units of BIP141.
const SIGOPS_OF_OUTPUT: u32 = 4;

/// The room in a block that its header and its coinbase may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserve {
    /// BIP141 weight, of header, number of transactions and coinbase together.
    pub weight: u32,
    /// Signature operation cost of the coinbase, in BIP141 units.
    pub sigops: u32,
}

impl Reserve {
    /// Room for every coinbase that a pool of this policy makes.
    pub fn of(policy: &PayoutPolicy) -> Self {
        let fees = policy
            .fee
            .as_ref()
            .map_or(0, |fee| 1 + u32::from(fee.split.is_some()));
        Self::for_outputs(1 + fees)
    }

    /// Room for a coinbase with this many outputs to addresses, beside the one that commits to the witnesses.
    pub fn for_outputs(outputs: u32) -> Self {
        let bytes = (LONGEST_COINBASE_WITHOUT_OUTPUTS as u32)
            .saturating_add(COMMITMENT)
            .saturating_add(outputs.saturating_mul(LONGEST_OUTPUT));
        let weight = bytes
            .saturating_mul(4)
            .saturating_add(HEADER_WEIGHT + WITNESS_WEIGHT);
        Self {
            weight: weight.max(LEAST_WEIGHT),
            sigops: outputs.saturating_mul(SIGOPS_OF_OUTPUT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BasisPoints, Fee};
    use crate::{
        BlockLimits, Coinbase, Network, Payout, PoolTag, PreparedTemplate, Template, UniqueBytes,
        UnixTime, witness_commitment,
    };
    use bitcoin::hashes::Hash;
    use bitcoin::{Amount, BlockHash, CompactTarget, ScriptBuf};
    use std::sync::Arc;

    /// A witness program of a version that is not in use yet, of the longest kind.
    fn longest(byte: u8) -> ScriptBuf {
        ScriptBuf::from_bytes([&[0x60, 40][..], &[byte; 40]].concat())
    }

    #[test]
    fn the_largest_coinbase_of_three_receivers_fits_into_what_is_reserved() {
        let template = Template {
            network: Network::Regtest,
            height: u32::MAX >> 1,
            version: 0x2000_0000,
            fixed_version_bits: 0,
            prev_hash: BlockHash::all_zeros(),
            bits: CompactTarget::from_consensus(0x207f_ffff),
            min_time: UnixTime::from_secs(1),
            current_time: UnixTime::from_secs(1),
            coinbase_value: Amount::MAX_MONEY,
            coinbase_sequence: 0xffff_fffe,
            coinbase_lock_time: 1,
            transactions: Vec::new(),
            witness_commitment: Some(witness_commitment(std::iter::empty())),
            limits: BlockLimits::default(),
        };
        let half = BasisPoints::new(5_000).unwrap();
        let fee = Fee {
            rate: half,
            script: longest(2),
            split: Some((half, longest(3))),
        };
        let coinbase = Coinbase::new(
            &PreparedTemplate::new(Arc::new(template)).unwrap(),
            &Payout::new(longest(1), Some(fee)),
            &PoolTag::new(&"x".repeat(PoolTag::MAX_LEN)).unwrap(),
            UniqueBytes {
                process: [0; 4],
                job: 0,
            },
            Coinbase::MAX_EXTRANONCE_LEN,
        )
        .unwrap();
        let needed = 4 * coinbase.stripped_len() as u32 + WITNESS_WEIGHT + HEADER_WEIGHT;
        let reserved = Reserve::for_outputs(3);
        // The bound counts five bytes for a height that needs four, and the least is Bitcoin Core's.
        assert!(needed <= reserved.weight, "{needed} of {}", reserved.weight);
        assert_eq!(
            Reserve::for_outputs(10).weight - Reserve::for_outputs(9).weight,
            4 * LONGEST_OUTPUT
        );
        let bytes_of_ten = Reserve::for_outputs(10).weight - 7 * 4 * LONGEST_OUTPUT;
        assert!(
            (needed..=needed + 8).contains(&bytes_of_ten),
            "{needed} {bytes_of_ten}"
        );
    }

    #[test]
    fn no_number_of_outputs_overflows() {
        assert_eq!(Reserve::for_outputs(u32::MAX).weight, u32::MAX);
        assert_eq!(Reserve::for_outputs(u32::MAX).sigops, u32::MAX);
    }
}
