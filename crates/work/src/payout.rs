//! Who is paid by a block.

use std::sync::Arc;

use bitcoin::{Amount, Script, ScriptBuf};

/// The outputs that a miner's block pays, the commitment aside: the miner, and what the operator
/// keeps as a fee.
///
/// Two channels may share a job only if their payouts are equal. A clone is another pointer to the
/// same outputs, since a channel and each of its jobs have one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Payout(Arc<Receivers>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Receivers {
    miner: ScriptBuf,
    /// Boxed: few operators keep one, and each miner has these.
    fee: Option<Box<Fee>>,
}

/// What the operator keeps of a block.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fee {
    /// The part of the block's value that is kept.
    pub rate: BasisPoints,
    /// Who gets it.
    pub script: ScriptBuf,
    /// A second receiver, and its part of the fee.
    pub split: Option<(BasisPoints, ScriptBuf)>,
}

/// A part of a whole in steps of 0.01 %: 0 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BasisPoints(u16);

impl BasisPoints {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    const WHOLE: u16 = 10_000;

    /// `value` hundredths of a percent; `None` above 10,000.
    pub fn new(value: u16) -> Option<Self> {
        (value <= Self::WHOLE).then_some(Self(value))
    }

    /// The hundredths of a percent.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// This part of `amount`, rounded down to a whole satoshi.
    pub fn of(self, amount: Amount) -> Amount {
        let part = u128::from(amount.to_sat()) * u128::from(self.0) / u128::from(Self::WHOLE);
        Amount::from_sat(u64::try_from(part).expect("a part is not more than the whole"))
    }
}

impl Payout {
    /// Pays everything to `miner`, less `fee`. A fee of zero is no fee.
    pub fn new(miner: ScriptBuf, fee: Option<Fee>) -> Self {
        let fee = fee.filter(|fee| fee.rate > BasisPoints::ZERO).map(Box::new);
        Self(Arc::new(Receivers { miner, fee }))
    }

    /// The script that pays the miner.
    pub fn miner(&self) -> &ScriptBuf {
        &self.0.miner
    }

    /// What the miner gets of a coinbase of `value`.
    pub fn miner_amount(&self, value: Amount) -> Amount {
        let fee = self
            .0
            .fee
            .as_ref()
            .map_or(Amount::ZERO, |fee| fee.rate.of(value));
        value - fee
    }

    /// The outputs for a coinbase of `value`, each an amount and the script that it pays: the miner first,
    /// then the fee. They add up to `value`; an output of nothing is left out, the miner's excepted.
    pub fn outputs(&self, value: Amount) -> impl Iterator<Item = (Amount, &Script)> + Clone {
        let miner = (self.miner_amount(value), self.0.miner.as_script());
        let fee = self.0.fee.iter();
        let fee = fee.flat_map(move |fee| fee.outputs(value - miner.0));
        core::iter::once(miner).chain(fee)
    }
}

impl Fee {
    fn outputs(&self, total: Amount) -> impl Iterator<Item = (Amount, &Script)> + Clone {
        let second = self.split.as_ref();
        let second = second.map(|(part, script)| (part.of(total), script.as_script()));
        let second_value = second.map_or(Amount::ZERO, |(value, _)| value);
        let first = (total - second_value, self.script.as_script());
        let outputs = [Some(first), second].into_iter().flatten();
        outputs.filter(|(value, _)| *value > Amount::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn script(byte: u8) -> ScriptBuf {
        ScriptBuf::from_bytes(vec![byte])
    }

    fn payout(fee: u16, split: u16) -> Payout {
        let part = |value| BasisPoints::new(value).unwrap();
        let fee = Fee {
            rate: part(fee),
            script: script(2),
            split: Some((part(split), script(3))),
        };
        Payout::new(script(1), Some(fee))
    }

    #[test]
    fn a_fee_of_one_and_a_half_percent_split_in_two() {
        let payout = payout(150, 2_500);
        let outputs = payout.outputs(Amount::from_sat(312_500_001));
        let values: Vec<u64> = outputs.map(|(value, _)| value.to_sat()).collect();
        assert_eq!(values, [307_812_501, 3_515_625, 1_171_875]);
    }

    #[test]
    fn no_fee_is_one_output() {
        assert_eq!(payout(0, 0), Payout::new(script(1), None));
        assert_eq!(payout(0, 0).outputs(Amount::ONE_BTC).count(), 1);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(fee in 0u16..=10_000, split in 0u16..=10_000, value in 0u64..=21_000_000 * 100_000_000) {
            let payout = payout(fee, split);
            let outputs = payout.outputs(Amount::from_sat(value));
            let sum: u64 = outputs.clone().map(|(value, _)| value.to_sat()).sum();
            let first = outputs.into_iter().next().unwrap();
            prop_assert_eq!(sum, value);
            prop_assert_eq!(first.0, payout.miner_amount(Amount::from_sat(value)));
            prop_assert_eq!(first.1, payout.miner().as_script());
        }
    }
}
