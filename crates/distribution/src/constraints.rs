//! What a client's coinbase needs of a block (spec §7.1).

use headframe_sv2_wire::template_distribution::CoinbaseOutputConstraints;

/// Weight of the block's header, and of the longest count of its transactions.
const HEADER_AND_COUNT: u64 = 4 * 80 + 4 * 3;
/// The coinbase's own fields with marker, flag and witness, and without.
const COINBASE_WITH_WITNESS: u64 = 236;
const COINBASE_WITHOUT: u64 = 200;
/// The longest script that consensus allows in a coinbase input.
const SCRIPT_SIG: u64 = 4 * 100;
/// The longest count of outputs, beyond its first byte.
const OUTPUT_COUNT: u64 = 4 * 3;
/// The output that commits to the witnesses.
const COMMITMENT: u64 = 4 * 47;
/// What Bitcoin Core reserves at the least.
const LEAST: u64 = 2_000;

/// What a client's own outputs may add to a template's coinbase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CoinbaseConstraints {
    /// Bytes of the outputs as they are serialized, without their count.
    pub size: u32,
    /// Their signature operations as the block's limit counts them: legacy ones fourfold.
    pub sigops: u16,
}

impl CoinbaseConstraints {
    /// The weight that transactions have to leave: 1,168 + 4·size, or 944 + 4·size where the block
    /// commits to no witnesses, and 2,000 at the least.
    pub const fn reserved_weight(self, has_commitment: bool) -> u64 {
        let fixed = match has_commitment {
            true => COINBASE_WITH_WITNESS + COMMITMENT,
            false => COINBASE_WITHOUT,
        };
        let needed = HEADER_AND_COUNT + SCRIPT_SIG + OUTPUT_COUNT + fixed + 4 * self.size as u64;
        if needed < LEAST { LEAST } else { needed }
    }

    pub(crate) const fn of(message: &CoinbaseOutputConstraints) -> Self {
        Self {
            size: message.coinbase_output_max_additional_size,
            sigops: message.coinbase_output_max_additional_sigops,
        }
    }

    pub(crate) const fn to_message(self) -> CoinbaseOutputConstraints {
        CoinbaseOutputConstraints {
            coinbase_output_max_additional_size: self.size,
            coinbase_output_max_additional_sigops: self.sigops,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TD-9 to TD-11: the specification's sums, and Bitcoin Core's floor.
    #[test]
    fn the_reserve_is_the_specification_s() {
        let size = |size| CoinbaseConstraints { size, sigops: 0 };
        for (constraints, segwit, weight) in [
            (size(0), true, 2_000),
            (size(0), false, 2_000),
            (size(208), true, 2_000),
            (size(209), true, 2_004),
            (size(1_000), true, 5_168),
            (size(1_000), false, 4_944),
            (size(100_000), true, 401_168),
            (size(u32::MAX), true, 1_168 + 4 * u64::from(u32::MAX)),
        ] {
            assert_eq!(
                constraints.reserved_weight(segwit),
                weight,
                "{constraints:?}"
            );
        }
    }
}
