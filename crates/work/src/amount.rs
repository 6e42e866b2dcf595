//! Sums of work, exact.

use core::fmt;
use core::iter::Sum;
use core::ops::{Add, AddAssign};

use crate::{Rung, Target};

/// An amount of proven work, in units of 2^-32 difficulty.
///
/// One unit is 65536/65535 expected hashes, and difficulty 1 is 2^32 units. Shares on the ladder
/// of [`Rung`]s are whole numbers of units, also far below difficulty 1, so sums of them are exact.
/// A `u128` holds more units than all blocks ever mined are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Work(u128);

impl Work {
    /// No work.
    pub const ZERO: Self = Self(0);
    /// The units of difficulty 1.
    const DIFFICULTY_1: u128 = 1 << 32;

    /// An amount of `units`, each 2^-32 difficulty.
    pub const fn from_units(units: u128) -> Self {
        Self(units)
    }

    /// The units of this amount, each 2^-32 difficulty.
    pub const fn units(self) -> u128 {
        self.0
    }

    /// What a share on `rung` is worth.
    pub fn of_rung(rung: Rung) -> Self {
        Self(1 << (rung.exponent() - Rung::EASIEST.exponent()))
    }

    /// What a hash that meets `target` is worth: `(0xffff << 240) / target`, rounded down, and at
    /// most `u128::MAX` units.
    pub fn of_target(target: Target) -> Self {
        let dividend = Rung::EASIEST.target();
        Self(divide(dividend.limbs(), target.limbs()))
    }

    /// The sum of the difficulties that this amount stands for.
    pub fn difficulty_sum(self) -> f64 {
        self.0 as f64 / Self::DIFFICULTY_1 as f64
    }

    /// The sum of difficulties as a whole number, and what is left of this amount after it. SV2's
    /// `new_shares_sum` is whole; the rest carries over to the next acknowledgement.
    pub fn split_whole_difficulty(self) -> (u64, Self) {
        let whole = u64::try_from(self.0 / Self::DIFFICULTY_1).unwrap_or(u64::MAX);
        let rest = self.0 - u128::from(whole) * Self::DIFFICULTY_1;
        (whole, Self(rest))
    }

    /// The number of hashes that one expects to have been made for this amount.
    pub fn expected_hashes(self) -> f64 {
        self.0 as f64 * (65536.0 / 65535.0)
    }

    /// This amount and `other`, at most `u128::MAX` units.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.saturating_add(other)
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Work {
    /// Writes the sum of difficulties.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.difficulty_sum().fmt(f)
    }
}

/// Long division of 256-bit numbers, bit by bit: exact, and never on a hot path, since what a
/// share on a rung is worth needs no division.
fn divide(dividend: [u64; 4], divisor: [u64; 4]) -> u128 {
    if divisor == [0; 4] {
        return u128::MAX;
    }
    let divisor = Target::from_limbs(divisor);
    let mut remainder = [0u64; 4];
    let mut quotient = 0u128;
    let mut overflow = false;
    for bit in (0..256).rev() {
        let carry_out = remainder[3] >> 63 == 1;
        remainder = double(remainder);
        remainder[0] |= dividend[bit / 64] >> (bit % 64) & 1;
        overflow |= quotient >> 127 == 1;
        quotient <<= 1;
        if carry_out || Target::from_limbs(remainder) >= divisor {
            remainder = subtract(remainder, divisor.limbs());
            quotient |= 1;
        }
    }
    if overflow { u128::MAX } else { quotient }
}

fn double(limbs: [u64; 4]) -> [u64; 4] {
    core::array::from_fn(|i| limbs[i] << 1 | i.checked_sub(1).map_or(0, |below| limbs[below] >> 63))
}

fn subtract(mut minuend: [u64; 4], subtrahend: [u64; 4]) -> [u64; 4] {
    let mut borrow = false;
    for (limb, other) in minuend.iter_mut().zip(subtrahend) {
        let (difference, first) = limb.overflowing_sub(other);
        let (difference, second) = difference.overflowing_sub(u64::from(borrow));
        (*limb, borrow) = (difference, first || second);
    }
    minuend
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ten_million_tiny_shares_sum_exactly() {
        let share = Work::of_rung(Rung::from_exponent(-17));
        let sum: Work = core::iter::repeat_n(share, 1 << 23).sum();
        assert_eq!(sum.split_whole_difficulty(), (64, Work::ZERO));
    }

    #[test]
    fn the_fraction_carries_over() {
        let mut carry = Work::ZERO;
        let mut told = 0;
        for _ in 0..1_000 {
            carry += Work::of_rung(Rung::from_exponent(-3));
            let (whole, rest) = carry.split_whole_difficulty();
            told += whole;
            carry = rest;
        }
        assert_eq!(told, 125);
    }

    #[test]
    fn the_ends_of_the_scale() {
        let hardest = [
            Target::ZERO,
            Target::from_limbs([1, 0, 0, 0]),
            Target::from_limbs([0, 1, 0, 0]),
        ];
        for target in hardest {
            assert_eq!(Work::of_target(target), Work::from_units(u128::MAX));
        }
        assert_eq!(Work::of_target(Target::MAX), Work::ZERO);
        let most = Work::from_units(u128::MAX);
        assert_eq!(most + Work::of_rung(Rung::ONE), most);
        assert_eq!(most.split_whole_difficulty().0, u64::MAX);
    }

    proptest! {
        /// Targets with nothing in their lower half, for which a division of `u128` is the judge.
        #[test]
        fn is_rounded_down_to_the_unit(high in 1u128.., zeros in 0u32..127) {
            let high = high >> zeros | 1;
            let mut bytes = [0; 32];
            bytes[..16].copy_from_slice(&high.to_be_bytes());
            let work = Work::of_target(Target::from_be_bytes(bytes));
            prop_assert_eq!(work.units(), (0xffff << 112) / high);
        }

        #[test]
        fn agrees_with_bitcoin_s_work(mut bytes: [u8; 32], zeros in 0usize..15) {
            bytes[..zeros].fill(0);
            bytes[zeros] |= 1;
            let hashes = Work::of_target(Target::from_be_bytes(bytes)).expected_hashes();
            let theirs = bitcoin::Target::from_be_bytes(bytes).to_work().to_be_bytes();
            let theirs = theirs.iter().fold(0.0, |sum, &byte| sum * 256.0 + f64::from(byte));
            prop_assert!((hashes - theirs).abs() <= theirs * 1e-9 + 2.0, "{} {}", hashes, theirs);
        }
    }
}
