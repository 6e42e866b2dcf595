//! How hard a target is, and the ladder of difficulties that a pool assigns.

use core::fmt;

use crate::{Hashrate, Target};

/// How many times harder a target is than difficulty 1 (`bdiff`, target `0x00000000ffff0000…`).
///
/// For people and for Stratum V1. What is owed for a share is counted exactly, as
/// [`Work`](crate::Work).
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Difficulty(f64);

impl Difficulty {
    /// The difficulty of `target`, to the precision of a double.
    pub fn of_target(target: Target) -> Self {
        Self(to_f64(Target::DIFFICULTY_1) / to_f64(target).max(1.0))
    }

    /// The difficulty that a hash reaches, as if it had been its own target.
    pub fn of_hash(hash: &bitcoin::BlockHash) -> Self {
        use bitcoin::hashes::Hash as _;
        Self::of_target(Target::from_le_bytes(hash.to_byte_array()))
    }

    /// A difficulty that somebody asked for; `None` unless it is a positive finite number.
    pub fn from_f64(value: f64) -> Option<Self> {
        (value.is_finite() && value > 0.0).then_some(Self(value))
    }

    /// The difficulty as a number.
    pub const fn as_f64(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Difficulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A step of the ladder of share difficulties: difficulty 2^n.
///
/// Pools assign only these: a power of two is exact as a double in Stratum V1's
/// `set_difficulty`, as a 256-bit target in SV2, and in sums of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rung(i8);

impl Rung {
    /// The easiest rung: difficulty 2^-32, about one hash.
    pub const EASIEST: Self = Self(-32);
    /// The hardest rung: difficulty 2^80, far beyond any machine.
    pub const HARDEST: Self = Self(80);
    /// Difficulty 1.
    pub const ONE: Self = Self(0);

    /// The rung of difficulty 2^`exponent`, or the nearest one that exists.
    pub fn from_exponent(exponent: i32) -> Self {
        let clamped = exponent.clamp(Self::EASIEST.0.into(), Self::HARDEST.0.into());
        Self(i8::try_from(clamped).expect("the bounds are i8"))
    }

    /// The exponent n of this rung's difficulty 2^n.
    pub const fn exponent(self) -> i32 {
        self.0 as i32
    }

    /// The hardest rung that is not harder than `difficulty`.
    pub fn at_most(difficulty: Difficulty) -> Self {
        Self::from_exponent(floor_log2(difficulty.0))
    }

    /// The easiest rung that is not easier than `difficulty`, or the hardest.
    pub fn at_least(difficulty: Difficulty) -> Self {
        let rung = Self::at_most(difficulty);
        match rung.difficulty() < difficulty {
            true => rung.harder(1),
            false => rung,
        }
    }

    /// The easiest rung whose target is not above `max_target`: what a client that announced
    /// `max_target` can be given. `None` when even the hardest rung is too easy.
    pub fn within(max_target: Target) -> Option<Self> {
        let estimate = floor_log2(Difficulty::of_target(max_target).0).saturating_sub(1);
        (estimate..=estimate.saturating_add(3))
            .map(Self::from_exponent)
            .find(|rung| rung.target() <= max_target)
    }

    /// The rung on which a machine of `hashrate` finds about `shares_per_minute` shares.
    pub fn for_hashrate(hashrate: Hashrate, shares_per_minute: f64) -> Self {
        Self::at_most(hashrate.difficulty_for(shares_per_minute))
    }

    /// The rung that is `steps` harder, or the hardest.
    #[must_use]
    pub fn harder(self, steps: i32) -> Self {
        Self::from_exponent(self.exponent().saturating_add(steps))
    }

    /// The rung that is `steps` easier, or the easiest.
    #[must_use]
    pub fn easier(self, steps: i32) -> Self {
        Self::from_exponent(self.exponent().saturating_sub(steps))
    }

    /// This rung, or the hardest whose target is not below the `network`'s: were shares harder than
    /// blocks, a device would keep a block to itself.
    #[must_use]
    pub fn no_harder_than(self, network: Target) -> Self {
        let mut rung = self;
        while rung.target() < network && rung > Self::EASIEST {
            rung = rung.easier(1);
        }
        rung
    }

    /// The difficulty of this rung, exactly.
    pub fn difficulty(self) -> Difficulty {
        Difficulty(f64::from(self.exponent()).exp2())
    }

    /// The target of this rung: difficulty 1's target divided by 2^n, rounded down.
    pub fn target(self) -> Target {
        let limbs = Target::DIFFICULTY_1.limbs();
        Target::from_limbs(match u32::try_from(self.exponent()) {
            Ok(halvings) => shift_right(limbs, halvings),
            Err(_) => shift_left(limbs, self.exponent().unsigned_abs()),
        })
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.difficulty().fmt(f)
    }
}

fn to_f64(target: Target) -> f64 {
    let limbs = target.limbs();
    limbs
        .iter()
        .rev()
        .fold(0.0, |sum, &limb| sum * 2f64.powi(64) + limb as f64)
}

fn floor_log2(value: f64) -> i32 {
    let exponent = value.log2().floor().clamp(-1000.0, 1000.0) as i32;
    // The logarithm is rounded; the power is exact.
    match () {
        () if f64::from(exponent).exp2() > value => exponent - 1,
        () if f64::from(exponent + 1).exp2() <= value => exponent + 1,
        () => exponent,
    }
}

fn shift_right(limbs: [u64; 4], bits: u32) -> [u64; 4] {
    let (skip, bits) = ((bits / 64) as usize, bits % 64);
    let limb = |index: usize| limbs.get(index).copied().unwrap_or(0);
    core::array::from_fn(|i| {
        let pair = u128::from(limb(i + skip)) | u128::from(limb(i + skip + 1)) << 64;
        (pair >> bits) as u64
    })
}

fn shift_left(limbs: [u64; 4], bits: u32) -> [u64; 4] {
    debug_assert!(bits <= 32, "the easiest rung shifts by 32");
    let limb = |index: Option<usize>| index.map_or(0, |index| limbs[index]);
    core::array::from_fn(|i| {
        let pair = u128::from(limb(i.checked_sub(1))) | u128::from(limbs[i]) << 64;
        (pair >> (64 - bits)) as u64
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Work;
    use proptest::prelude::*;

    fn rungs() -> impl Iterator<Item = Rung> {
        (Rung::EASIEST.exponent()..=Rung::HARDEST.exponent()).map(Rung::from_exponent)
    }

    #[test]
    fn a_rung_s_target_has_exactly_its_difficulty() {
        for rung in rungs() {
            assert_eq!(
                Difficulty::of_target(rung.target()),
                rung.difficulty(),
                "{rung:?}"
            );
            assert_eq!(Rung::at_most(rung.difficulty()), rung);
            assert_eq!(Rung::at_least(rung.difficulty()), rung);
            let above = Difficulty(rung.difficulty().as_f64().next_up());
            assert_eq!(Rung::at_least(above), rung.harder(1));
            assert_eq!(Rung::within(rung.target()), Some(rung));
            let units = 1u128 << (32 + rung.exponent());
            assert_eq!(Work::of_target(rung.target()), Work::from_units(units));
        }
    }

    #[test]
    fn known_targets() {
        assert_eq!(
            Rung::from_exponent(4).target().to_string(),
            "000000000ffff000000000000000000000000000000000000000000000000000"
        );
        assert_eq!(
            Rung::EASIEST.target().to_string(),
            "ffff000000000000000000000000000000000000000000000000000000000000"
        );
    }

    #[test]
    fn a_target_that_no_rung_meets_is_refused() {
        assert_eq!(Rung::within(Target::ZERO), None);
        assert_eq!(Rung::within(Target::MAX), Some(Rung::EASIEST));
    }

    proptest! {
        #[test]
        fn difficulty_agrees_with_bitcoin(mut bytes: [u8; 32], zeros in 0usize..24) {
            bytes[..zeros].fill(0);
            bytes[zeros] |= 1;
            let ours = Difficulty::of_target(Target::from_be_bytes(bytes)).as_f64();
            let theirs = bitcoin::Target::from_be_bytes(bytes).difficulty_float();
            prop_assert!((ours / theirs - 1.0).abs() < 4.0 * f64::EPSILON, "{} {}", ours, theirs);
        }

        #[test]
        fn within_is_the_easiest_rung_that_fits(mut bytes: [u8; 32], zeros in 0usize..13) {
            bytes[..zeros].fill(0);
            let max_target = Target::from_be_bytes(bytes);
            if let Some(rung) = Rung::within(max_target) {
                prop_assert!(rung.target() <= max_target);
                prop_assert!(rung == Rung::EASIEST || rung.easier(1).target() > max_target);
            } else {
                prop_assert!(Rung::HARDEST.target() > max_target);
            }
        }
    }
}
