//! Version bits that the operator sets or clears in place of the node: signals for or against a change of the rules
//! (BIP9).
//!
//! Not here: bits that miners roll, and what a deployment is called.

use core::fmt;
use core::ops::RangeInclusive;
use std::sync::Arc;

use thiserror::Error;

use crate::Template;

/// The three bits at the top, which say whether a version signals.
const TOP_BITS: u32 = 0xe000_0000;
/// What they are in a version that does (BIP9).
const SIGNALS: u32 = 0x2000_0000;

/// Bits of the header's version that are to be so, whatever the node says of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VersionBits {
    set: u32,
    cleared: u32,
}

/// A bit that cannot be chosen. The operator's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BitError {
    /// Miners roll it, so that nothing would stay of what is chosen.
    #[error("bit {0} is the miners' to roll (BIP323); choose among 0 to 4")]
    Rolled(u8),
    /// One of the three bits that say that the others signal.
    #[error("bits 29 to 31 are 001 in a version that signals (BIP9); choose among 0 to 4")]
    Top,
    /// A version has 32 bits.
    #[error("a version has no bit {0}; choose among 0 to 4")]
    None(u8),
    /// It was chosen before.
    #[error("bit {0} is there twice")]
    Twice(u8),
}

/// Why a template keeps the version that it came with: with the chosen one its block would not be valid, or not be
/// taken, or the chosen bits would be no signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeptVersion {
    /// Its node wants this bit as it is.
    #[error("the node wants bit {0} as it is")]
    Fixed(u32),
    /// Its bits are no signals.
    #[error("the node's version {0:08x} does not begin with 001, so that its bits are no signals")]
    NoSignals(u32),
}

impl VersionBits {
    /// The bits that can be chosen: neither those that miners roll nor those at the top.
    pub const CHOICE: RangeInclusive<u8> = 0..=4;

    /// These, and `bit` set or cleared.
    ///
    /// # Errors
    ///
    /// It cannot be chosen, or was.
    pub fn with(self, bit: u8, is_set: bool) -> Result<Self, BitError> {
        match bit {
            0..=4 => {}
            5..=28 => return Err(BitError::Rolled(bit)),
            29..=31 => return Err(BitError::Top),
            32.. => return Err(BitError::None(bit)),
        }
        let mask = 1 << bit;
        match (is_set, self.is_chosen(bit)) {
            (_, true) => Err(BitError::Twice(bit)),
            (true, false) => Ok(Self {
                set: self.set | mask,
                ..self
            }),
            (false, false) => Ok(Self {
                cleared: self.cleared | mask,
                ..self
            }),
        }
    }

    /// The chosen bits in order, each with whether it is set.
    pub fn chosen(self) -> impl Iterator<Item = (u8, bool)> {
        let chosen = Self::CHOICE.filter(move |bit| self.is_chosen(*bit));
        chosen.map(move |bit| (bit, self.set & (1 << bit) != 0))
    }

    /// The version that blocks of `template` get.
    ///
    /// # Errors
    ///
    /// None of the bits can be had; the template's own version is to be kept whole.
    pub fn version(self, template: &Template) -> Result<u32, KeptVersion> {
        let own = template.version;
        let version = (own | self.set) & !self.cleared;
        let wrong = (version ^ own) & template.fixed_version_bits;
        if version != own && own & TOP_BITS != SIGNALS {
            Err(KeptVersion::NoSignals(own))
        } else if wrong != 0 {
            Err(KeptVersion::Fixed(wrong.trailing_zeros()))
        } else {
            Ok(version)
        }
    }

    /// The template with these bits, or as it is where they cannot be had. It is copied only if its version
    /// changes and somebody else has it too.
    #[must_use]
    pub fn applied_to(self, mut template: Arc<Template>) -> Arc<Template> {
        if let Ok(version) = self.version(&template)
            && version != template.version
        {
            Arc::make_mut(&mut template).version = version;
        }
        template
    }

    /// Whether nothing is chosen.
    pub const fn is_empty(self) -> bool {
        self.set | self.cleared == 0
    }

    const fn is_chosen(self, bit: u8) -> bool {
        (self.set | self.cleared) & (1 << bit) != 0
    }
}

impl fmt::Display for VersionBits {
    /// `bit 2 clear, bit 4 set`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (bit, is_set)) in self.chosen().enumerate() {
            let before = if place > 0 { ", " } else { "" };
            let how = if is_set { "set" } else { "clear" };
            write!(f, "{before}bit {bit} {how}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash as _;
    use bitcoin::{Amount, BlockHash, CompactTarget};

    use super::*;
    use crate::{BlockLimits, Network, UnixTime};

    fn template(version: u32, fixed_version_bits: u32) -> Arc<Template> {
        Arc::new(Template {
            network: Network::Mainnet,
            height: 900_000,
            version,
            fixed_version_bits,
            prev_hash: BlockHash::all_zeros(),
            bits: CompactTarget::from_consensus(0x1d00_ffff),
            min_time: UnixTime::from_secs(1),
            current_time: UnixTime::from_secs(2),
            coinbase_value: Amount::ZERO,
            coinbase_sequence: 0xffff_fffe,
            coinbase_lock_time: 899_999,
            transactions: Vec::new(),
            witness_commitment: None,
            limits: BlockLimits::default(),
        })
    }

    fn bits(chosen: &[(u8, bool)]) -> Result<VersionBits, BitError> {
        let mut chosen = chosen.iter();
        chosen.try_fold(VersionBits::default(), |bits, (bit, is_set)| {
            bits.with(*bit, *is_set)
        })
    }

    #[test]
    fn only_bits_that_nobody_rolls_and_that_signal_can_be_chosen() {
        for bit in VersionBits::CHOICE {
            assert!(bits(&[(bit, true)]).is_ok() && bits(&[(bit, false)]).is_ok());
        }
        for is_set in [true, false] {
            assert_eq!(bits(&[(5, is_set)]), Err(BitError::Rolled(5)));
            assert_eq!(bits(&[(28, is_set)]), Err(BitError::Rolled(28)));
            assert_eq!(bits(&[(29, is_set)]), Err(BitError::Top));
            assert_eq!(bits(&[(31, is_set)]), Err(BitError::Top));
            assert_eq!(bits(&[(32, is_set)]), Err(BitError::None(32)));
            assert_eq!(bits(&[(255, is_set)]), Err(BitError::None(255)));
            assert_eq!(bits(&[(1, true), (1, is_set)]), Err(BitError::Twice(1)));
        }
    }

    #[test]
    fn chosen_bits_take_the_place_of_the_node_s_and_all_others_stay() {
        let chosen = bits(&[(4, true), (2, false), (0, true)]).unwrap();
        let all: Vec<_> = chosen.chosen().collect();
        assert_eq!(all, [(0, true), (2, false), (4, true)]);
        assert_eq!(chosen.to_string(), "bit 0 set, bit 2 clear, bit 4 set");
        assert!(!chosen.is_empty() && VersionBits::default().is_empty());
        for (own, expected) in [
            (0x2000_0000, 0x2000_0011),
            (0x2000_0004, 0x2000_0011),
            (0x3000_000e, 0x3000_001b),
            (0x2000_0011, 0x2000_0011),
        ] {
            assert_eq!(chosen.version(&template(own, 0)), Ok(expected));
            assert_eq!(chosen.applied_to(template(own, 0)).version, expected);
        }
    }

    /// A block without a bit that is required would be refused by every node that requires it.
    #[test]
    fn what_the_node_wants_as_it_is_stays_and_so_does_all_of_its_version() {
        let chosen = bits(&[(4, true), (2, false)]).unwrap();
        let required = template(0x2000_0004, 1 << 2);
        assert_eq!(chosen.version(&required), Err(KeptVersion::Fixed(2)));
        assert_eq!(chosen.applied_to(required.clone()), required);
        // A bit that is wanted as it is chosen is no quarrel.
        let required = template(0x2000_0010, 1 << 4);
        assert_eq!(chosen.version(&required), Ok(0x2000_0010));
    }

    /// Bit 2 of version 4 is no signal: without it the block would have version 0 and be refused.
    #[test]
    fn a_version_that_signals_nothing_is_kept() {
        for own in [4, 0x6000_0004, 0xffff_ffff, 0x4000_0004] {
            let chosen = bits(&[(2, false)]).unwrap();
            assert_eq!(
                chosen.version(&template(own, 0)),
                Err(KeptVersion::NoSignals(own))
            );
            assert_eq!(chosen.applied_to(template(own, 0)).version, own);
            let none = VersionBits::default();
            assert_eq!(none.version(&template(own, u32::MAX)), Ok(own));
        }
    }

    #[test]
    fn a_template_is_copied_only_where_it_changes() {
        let ours = template(0x2000_0010, 0);
        let chosen = bits(&[(4, true)]).unwrap();
        assert!(Arc::ptr_eq(&ours, &chosen.applied_to(Arc::clone(&ours))));
        let other = bits(&[(3, true)]).unwrap().applied_to(Arc::clone(&ours));
        assert!(!Arc::ptr_eq(&ours, &other));
        assert_eq!(ours.version, 0x2000_0010, "whoever else has it keeps it");
    }
}
