//! The number that a hash must not exceed.

use core::cmp::Ordering;
use core::fmt;

use bitcoin::{BlockHash, CompactTarget, hashes::Hash};

/// A 256-bit bound: a header's hash, read as a little-endian number, meets the target when it is
/// not greater. A smaller target is harder.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    /// The number in base 2^64, least significant limb first.
    limbs: [u64; 4],
}

impl Target {
    /// The hardest target. Nothing but the hash 0 meets it.
    pub const ZERO: Self = Self { limbs: [0; 4] };
    /// The easiest target. Every hash meets it.
    pub const MAX: Self = Self {
        limbs: [u64::MAX; 4],
    };
    /// The target of difficulty 1 (`bdiff`): `0x00000000ffff0000…`, compact form `0x1d00ffff`.
    pub const DIFFICULTY_1: Self = Self {
        limbs: [0, 0, 0, 0xffff_0000],
    };

    /// Reads the number from 32 bytes, least significant first: the order of SV2's `U256`, and of
    /// a hash as the hash function gives it.
    pub const fn from_le_bytes(bytes: [u8; 32]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        Self {
            limbs: [
                u64::from_le_bytes(words[0]),
                u64::from_le_bytes(words[1]),
                u64::from_le_bytes(words[2]),
                u64::from_le_bytes(words[3]),
            ],
        }
    }

    /// Reads the number from 32 bytes, most significant first: the order in which people write it.
    pub fn from_be_bytes(mut bytes: [u8; 32]) -> Self {
        bytes.reverse();
        Self::from_le_bytes(bytes)
    }

    /// The number as 32 bytes, least significant first.
    pub fn to_le_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.limbs) {
            *chunk = limb.to_le_bytes();
        }
        bytes
    }

    /// The number as 32 bytes, most significant first.
    pub fn to_be_bytes(self) -> [u8; 32] {
        let mut bytes = self.to_le_bytes();
        bytes.reverse();
        bytes
    }

    /// The target that the `bits` of a header stand for, and zero where Bitcoin Core accepts no
    /// proof of work: when they stand for a negative number, or for one of more than 256 bits
    /// (`bitcoin::Target` shifts those around).
    pub fn from_compact(bits: CompactTarget) -> Self {
        let [size, word @ ..] = bits.to_consensus().to_be_bytes();
        if word[0] & 0x80 != 0 {
            return Self::ZERO;
        }
        // The number is written in base 256 with `size` digits, of which `word` has the first.
        let mut bytes = [0; 32];
        for (digit, place) in word.into_iter().zip((0..usize::from(size)).rev()) {
            match bytes.get_mut(place) {
                Some(byte) => *byte = digit,
                None if digit == 0 => {}
                None => return Self::ZERO,
            }
        }
        Self::from_le_bytes(bytes)
    }

    /// Whether `hash` is good enough.
    #[inline]
    pub fn is_met_by(&self, hash: &BlockHash) -> bool {
        Self::from_le_bytes(hash.to_byte_array()) <= *self
    }

    pub(crate) const fn limbs(self) -> [u64; 4] {
        self.limbs
    }

    pub(crate) const fn from_limbs(limbs: [u64; 4]) -> Self {
        Self { limbs }
    }
}

impl From<bitcoin::Target> for Target {
    fn from(target: bitcoin::Target) -> Self {
        Self::from_le_bytes(target.to_le_bytes())
    }
}

impl From<Target> for bitcoin::Target {
    fn from(target: Target) -> Self {
        Self::from_le_bytes(target.to_le_bytes())
    }
}

impl Ord for Target {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.limbs.iter().rev().cmp(other.limbs.iter().rev())
    }
}

impl PartialOrd for Target {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Target {
    /// Writes 64 hexadecimal digits, most significant first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limbs
            .iter()
            .rev()
            .try_for_each(|limb| write!(f, "{limb:016x}"))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn difficulty_1_is_the_compact_form_that_satoshi_chose() {
        let bits = CompactTarget::from_consensus(0x1d00_ffff);
        assert_eq!(Target::from_compact(bits), Target::DIFFICULTY_1);
    }

    #[test]
    fn a_hash_equal_to_the_target_meets_it_and_one_more_does_not() {
        let target = Target::DIFFICULTY_1;
        let mut above = target.to_le_bytes();
        above[0] += 1;
        assert!(target.is_met_by(&BlockHash::from_byte_array(target.to_le_bytes())));
        assert!(!target.is_met_by(&BlockHash::from_byte_array(above)));
    }

    /// The cases of Bitcoin Core's `arith_uint256_tests` (`bignum_SetCompact`), where a negative or
    /// an overflowing number is no target.
    #[test]
    fn bits_that_stand_for_nothing() {
        for (bits, target) in [
            (0, "0"),
            (0x0012_3456, "0"),
            (0x0100_3456, "0"),
            (0x0200_0056, "0"),
            (0x0300_0000, "0"),
            (0x0112_3456, "12"),
            (0x01fe_dcba, "0"),
            (0x0212_3456, "1234"),
            (0x0312_3456, "123456"),
            (0x0412_3456, "12345600"),
            (0x0492_3456, "0"),
            (0x0500_9234, "92340000"),
            (
                0x2012_3456,
                "1234560000000000000000000000000000000000000000000000000000000000",
            ),
            (
                0x2100_ffff,
                "ffff000000000000000000000000000000000000000000000000000000000000",
            ),
            (
                0x2200_00ff,
                "ff00000000000000000000000000000000000000000000000000000000000000",
            ),
            (0x2101_0000, "0"),
            (0x2200_0100, "0"),
            (0x2300_0001, "0"),
            (0xff12_3456, "0"),
            (0xff00_ffff, "0"),
        ] {
            let bits = CompactTarget::from_consensus(bits);
            assert_eq!(
                Target::from_compact(bits).to_string(),
                format!("{target:0>64}"),
                "{bits:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn agrees_with_bitcoin(a: [u8; 32], b: [u8; 32]) {
            let (ours, theirs) = (Target::from_le_bytes(a), bitcoin::Target::from_le_bytes(a));
            prop_assert_eq!(ours.to_be_bytes(), theirs.to_be_bytes());
            prop_assert_eq!(Target::from_be_bytes(theirs.to_be_bytes()), ours);
            let hash = BlockHash::from_byte_array(b);
            prop_assert_eq!(ours.is_met_by(&hash), theirs.is_met_by(hash));
            prop_assert_eq!(ours.to_string(), format!("{theirs:064x}"));
        }

        #[test]
        fn agrees_with_bitcoin_on_bits_that_a_header_may_have(size in 0u32..=32, word in 0u32..0x80_0000) {
            let bits = CompactTarget::from_consensus(size << 24 | word);
            prop_assert_eq!(
                bitcoin::Target::from(Target::from_compact(bits)),
                bitcoin::Target::from_compact(bits)
            );
        }
    }
}
