//! What a provider's word of a tip says of the block after it, before its transactions have come: enough to begin on it
//! . Not here: what is begun.

use headframe_distribution::client::{OfferedTemplate, ProviderTip};
use headframe_work::Template;

use crate::{NewTip, Tip};

/// The tip, if the block after it differs from the one that is mined, which is `present`'s, in nothing but what a
/// [`NewTip`] says. A provider does not tell a tip's parent; the template that it names tells more of the block after it.
pub(super) fn new_tip(
    present: &Template,
    offered: &OfferedTemplate,
    tip: &ProviderTip,
) -> Option<NewTip> {
    let new = NewTip {
        tip: Tip {
            height: tip.height.checked_sub(1)?,
            hash: tip.prev_hash,
        },
        parent: present.prev_hash,
        bits: tip.bits,
        earliest: tip.time.max(present.min_time),
    };
    let next = present.next_emptied()?;
    let is_next = offered.height == next.height
        && offered.version == next.version
        && offered.coinbase_sequence == next.coinbase_sequence
        && offered.coinbase_lock_time == next.coinbase_lock_time
        && offered.value >= next.coinbase_value
        && offered.outputs.is_empty() == next.witness_commitment.is_none();
    (is_next && new.can_follow(present)).then_some(new)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bitcoin::hashes::Hash as _;
    use bitcoin::{Amount, BlockHash, CompactTarget, ScriptBuf, TxOut};
    use headframe_work::{BlockLimits, Network, Target, UnixTime, witness_commitment};

    use super::*;

    const BITS: u32 = 0x207f_ffff;

    fn present(height: u32) -> Template {
        Template {
            network: Network::Regtest,
            height,
            fixed_version_bits: 0,
            version: 0x2000_0000,
            prev_hash: BlockHash::from_byte_array([1; 32]),
            bits: CompactTarget::from_consensus(BITS),
            min_time: UnixTime::from_secs(1_000),
            current_time: UnixTime::from_secs(1_000),
            coinbase_value: Network::Regtest.subsidy(height),
            coinbase_sequence: 0xffff_fffe,
            coinbase_lock_time: height - 1,
            transactions: Vec::new(),
            witness_commitment: Some(witness_commitment(core::iter::empty())),
            limits: BlockLimits::default(),
        }
    }

    fn next(height: u32) -> (OfferedTemplate, ProviderTip) {
        let offered = OfferedTemplate {
            id: 1,
            version: 0x2000_0000,
            height,
            coinbase_prefix: Vec::new(),
            coinbase_version: 2,
            coinbase_sequence: 0xffff_fffe,
            coinbase_lock_time: height - 1,
            value: Network::Regtest.subsidy(height) + Amount::from_sat(7),
            outputs: vec![TxOut {
                value: Amount::ZERO,
                script_pubkey: ScriptBuf::new(),
            }],
            merkle_path: Vec::new(),
        };
        let bits = CompactTarget::from_consensus(BITS);
        let tip = ProviderTip {
            prev_hash: BlockHash::from_byte_array([2; 32]),
            height,
            bits,
            target: Target::from_compact(bits),
            time: UnixTime::from_secs(1_007),
            received: Instant::now(),
        };
        (offered, tip)
    }

    #[test]
    fn a_tip_is_begun_where_the_next_block_is_known() {
        let (offered, tip) = next(200);
        let expected = NewTip {
            tip: Tip {
                height: 199,
                hash: tip.prev_hash,
            },
            parent: BlockHash::from_byte_array([1; 32]),
            bits: tip.bits,
            earliest: UnixTime::from_secs(1_007),
        };
        assert_eq!(new_tip(&present(199), &offered, &tip), Some(expected));
    }

    #[test]
    fn a_tip_of_which_something_else_is_new_waits_for_its_template() {
        type Change = fn(&mut OfferedTemplate, &mut ProviderTip);
        let changes: [Change; 8] = [
            |offered, _| offered.version ^= 1 << 20,
            |offered, _| offered.coinbase_sequence = 0,
            |offered, _| offered.coinbase_lock_time = 0,
            |offered, _| offered.value = Amount::ZERO,
            |offered, _| offered.outputs.clear(),
            |offered, _| offered.height += 1,
            |_, tip| tip.bits = CompactTarget::from_consensus(BITS - 1),
            |_, tip| tip.height += 1,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let (mut offered, mut tip) = next(200);
            change(&mut offered, &mut tip);
            assert_eq!(new_tip(&present(199), &offered, &tip), None, "{number}");
        }
        // Two blocks on, the same one again, and the first of a period.
        for (before, height) in [(198, 200), (200, 200), (287, 288)] {
            let (offered, tip) = next(height);
            assert_eq!(new_tip(&present(before), &offered, &tip), None, "{height}");
        }
    }
}
