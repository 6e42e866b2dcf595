//! Blocks without transactions: what can be made ready before a block arrives. Not here:
//! when such work is sent.

use bitcoin::hashes::Hash;
use bitcoin::{Amount, BlockHash, ScriptBuf};

use crate::{Network, Template, witness_commitment};

impl Template {
    /// The same block without its transactions and their fees; `None` where the fees are more than
    /// the coinbase value, so that there is no such block.
    pub fn emptied(&self) -> Option<Self> {
        let mut fees = self.transactions.iter().map(|transaction| transaction.fee);
        let fees = fees.try_fold(Amount::ZERO, Amount::checked_add)?;
        let commitment = self.witness_commitment.as_ref();
        Some(Self {
            coinbase_value: self.coinbase_value.checked_sub(fees)?,
            transactions: Vec::new(),
            witness_commitment: commitment.map(|_| commitment_of_nothing()),
            ..self.bare()
        })
    }

    /// The block after this one, without transactions. Its previous hash is not known yet and all
    /// zero; bits and times are this block's.
    ///
    /// `None` on testnet4, where the bits of the next block depend on when it is found, and where
    /// the coinbase's lock time is not Bitcoin Core's.
    pub fn next_emptied(&self) -> Option<Self> {
        let (height, lock_time) = (self.height.checked_add(1)?, self.coinbase_lock_time);
        if self.network == Network::Testnet4 || lock_time.checked_add(1)? != self.height {
            return None;
        }
        let commitment = self.witness_commitment.as_ref();
        Some(Self {
            height,
            prev_hash: BlockHash::all_zeros(),
            coinbase_value: self.network.subsidy(height),
            coinbase_lock_time: self.height,
            witness_commitment: commitment.map(|_| commitment_of_nothing()),
            ..self.bare()
        })
    }

    /// Whether a job that was made of `staged` is one of this block too: they differ in nothing but
    /// what comes with the tip, which is the previous hash, the bits and the times.
    pub fn continues(&self, staged: &Self) -> bool {
        let known = Self {
            prev_hash: self.prev_hash,
            bits: self.bits,
            min_time: self.min_time,
            current_time: self.current_time,
            ..staged.clone()
        };
        *self == known
    }

    /// This template without its transactions, all else as it is.
    fn bare(&self) -> Self {
        Self {
            transactions: Vec::new(),
            witness_commitment: self.witness_commitment.clone(),
            ..*self
        }
    }
}

/// The commitment of a block whose only transaction is the coinbase.
fn commitment_of_nothing() -> ScriptBuf {
    witness_commitment(core::iter::empty())
}

#[cfg(test)]
mod tests {
    use bitcoin::CompactTarget;
    use bitcoin::hex::DisplayHex;

    use super::*;
    use crate::{
        BlockLimits, Coinbase, Payout, PoolTag, PreparedTemplate, TemplateTransaction, UniqueBytes,
        UnixTime,
    };

    fn template(network: Network, height: u32) -> Template {
        let transaction = TemplateTransaction {
            data: vec![1; 60],
            txid: bitcoin::Txid::from_byte_array([1; 32]),
            wtxid: bitcoin::Wtxid::from_byte_array([2; 32]),
            fee: Amount::from_sat(700),
            sigops: 1,
            weight: 240,
        };
        Template {
            network,
            height,
            version: 0x2000_0000,
            fixed_version_bits: 0,
            prev_hash: BlockHash::from_byte_array([3; 32]),
            bits: CompactTarget::from_consensus(0x1d00_ffff),
            min_time: UnixTime::from_secs(1_000),
            current_time: UnixTime::from_secs(2_000),
            coinbase_value: network.subsidy(height) + Amount::from_sat(1_400),
            coinbase_sequence: 0xffff_fffe,
            coinbase_lock_time: height - 1,
            transactions: vec![transaction.clone(), transaction],
            witness_commitment: Some(ScriptBuf::from_bytes(vec![0x6a; 38])),
            limits: BlockLimits::default(),
        }
    }

    /// A coinbase of a block of this template.
    fn coinbase(template: Template) -> Coinbase {
        let prepared = PreparedTemplate::new(template).unwrap();
        let payout = Payout::new(ScriptBuf::from_bytes(vec![0x51]), None);
        let tag = PoolTag::new("test").unwrap();
        let unique = UniqueBytes {
            process: [7; 4],
            job: 8,
        };
        Coinbase::new(&prepared, &payout, &tag, unique, 12).unwrap()
    }

    /// The commitment that stands in empty blocks since segregated witness was activated.
    #[test]
    fn nothing_has_the_commitment_of_every_empty_block() {
        let expected =
            "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9";
        assert_eq!(
            commitment_of_nothing().as_bytes().to_lower_hex_string(),
            expected
        );
    }

    #[test]
    fn what_is_staged_is_the_next_block_without_its_transactions() {
        for height in [148, 149, 150, 209_999, 2_015, 2_016] {
            for network in [Network::Mainnet, Network::Signet, Network::Regtest] {
                let staged = template(network, height).next_emptied().unwrap();
                let mut next = template(network, height + 1);
                next.prev_hash = BlockHash::from_byte_array([9; 32]);
                next.bits = CompactTarget::from_consensus(0x1c00_ffff);
                next.current_time = UnixTime::from_secs(2_600);
                let empty = next.emptied().unwrap();
                assert!(empty.continues(&staged), "{network} {height}");
                assert!(!next.continues(&staged), "its transactions are others");
                // So a job that was sent ahead needs no other one when its tip is known.
                assert_eq!(coinbase(empty), coinbase(staged));
            }
        }
    }

    #[test]
    fn another_height_version_value_or_commitment_is_another_block() {
        let staged = template(Network::Mainnet, 800_000).next_emptied().unwrap();
        let next = template(Network::Mainnet, 800_001).emptied().unwrap();
        let changes: [fn(&mut Template); 7] = [
            |next| next.height += 1,
            |next| next.version ^= 1 << 13,
            |next| next.fixed_version_bits ^= 1 << 4,
            |next| next.coinbase_value -= Amount::from_sat(1),
            |next| next.coinbase_lock_time = 0,
            |next| next.coinbase_sequence = 0xffff_ffff,
            |next| next.witness_commitment = None,
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut other = next.clone();
            change(&mut other);
            assert!(!other.continues(&staged), "change {number}");
        }
    }

    #[test]
    fn nothing_is_staged_where_the_next_block_is_not_known() {
        assert_eq!(template(Network::Testnet4, 1_000).next_emptied(), None);
        let mut other_lock_time = template(Network::Mainnet, 1_000);
        other_lock_time.coinbase_lock_time = 0;
        assert_eq!(other_lock_time.next_emptied(), None);
    }

    #[test]
    fn a_block_without_witnesses_stays_one() {
        let mut template = template(Network::Mainnet, 1_000);
        template.witness_commitment = None;
        assert_eq!(template.emptied().unwrap().witness_commitment, None);
        assert_eq!(template.next_emptied().unwrap().witness_commitment, None);
    }
}
