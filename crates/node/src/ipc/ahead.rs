//! From when the block after a new tip may be, known before the tip is. The node says a tip with its hash and its
//! height alone, and to ask for its header would wait until the node has made its template.
//!
//! The earliest time is a second after the median of eleven blocks' times (BIP113), the tip's among them. Whatever the newest
//! five of them say, the median is not above the latest of the six before these. So it is known without the tip, also
//! where the tip has others in the place of the four before it.

use bitcoin::BlockHash;
use headframe_work::{Network, UnixTime};

/// Blocks up to the one that is mined on, whose times are asked for: with the tip to come they are the eleven.
pub(super) const KNOWN: usize = 10;
/// The newest of those, which may be others.
const DOUBTFUL: usize = 4;

/// Times of the blocks up to one, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Times(Vec<(BlockHash, u32)>);

impl Times {
    /// The block up to which they are known.
    pub(super) fn tip(&self) -> Option<BlockHash> {
        self.0.first().map(|(hash, _)| *hash)
    }

    /// Adds the block before the oldest; true when that is enough.
    pub(super) fn push(&mut self, hash: BlockHash, time: u32) -> bool {
        self.0.push((hash, time));
        self.0.len() >= KNOWN
    }

    /// Adds what `others` know of `hash` and the blocks before it; true when that is something.
    pub(super) fn join(&mut self, others: &Self, hash: BlockHash) -> bool {
        let Some(place) = others.0.iter().position(|(other, _)| *other == hash) else {
            return false;
        };
        let missing = KNOWN.saturating_sub(self.0.len());
        self.0
            .extend(others.0.iter().skip(place).take(missing).copied());
        true
    }

    /// A time from when the block after the next tip may be, not long after the earliest; `None` near the beginning of
    /// a chain.
    pub(super) fn earliest(&self) -> Option<UnixTime> {
        let settled = self.0.get(DOUBTFUL..KNOWN)?;
        let latest = settled.iter().map(|(_, time)| *time).max()?;
        Some(UnixTime::from_secs(latest.checked_add(1)?))
    }
}

/// Whether bits and version of the block at the height `next` are those of the one that was mined on the tip before,
/// though the newest blocks may be others than those that it was mined on.
pub(super) fn is_certain(network: Network, next: u32) -> bool {
    (0..=DOUBTFUL as u32).all(|back| network.is_like_its_parent(next.saturating_sub(back)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash as _;

    fn hash(number: u8) -> BlockHash {
        BlockHash::from_byte_array([number; 32])
    }

    fn times(newest_first: &[u32]) -> Times {
        let mut times = Times::default();
        for (number, time) in (0..).zip(newest_first) {
            times.push(hash(number), *time);
        }
        times
    }

    /// Whatever the tip's time is, and those of the four before it, the median is before what is said.
    #[test]
    fn no_times_of_the_newest_blocks_make_it_too_early() {
        let settled = [13, 40, 12, 39, 11, 38];
        for newest in [[0; 5], [u32::MAX - 1; 5], [25; 5], [0, 99, 0, 99, 20]] {
            let mut all = [&newest[..], &settled].concat();
            let earliest = times(&all[1..]).earliest().unwrap();
            all.sort_unstable();
            assert!(earliest.as_secs() > all[5], "{newest:?}");
            assert_eq!(earliest.as_secs(), 41);
        }
        assert_eq!(times(&[7; 9]).earliest(), None);
        assert_eq!(times(&[u32::MAX; 10]).earliest(), None);
    }

    /// The first block of a period has bits by the time of the last one before, which may be another than was thought.
    #[test]
    fn near_the_beginning_of_a_period_the_bits_may_be_others() {
        let certain = (2_010..2_025).filter(|next| is_certain(Network::Mainnet, *next));
        let expected = (2_010..2_016).chain(2_021..2_025);
        assert_eq!(certain.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        assert!(!is_certain(Network::Testnet4, 100));
        assert!(!is_certain(Network::Regtest, 0));
    }

    #[test]
    fn one_block_on_one_time_is_new() {
        let before = times(&[30, 29, 28, 27, 26, 25, 24, 23, 22, 21]);
        let mut next = Times::default();
        assert!(!next.push(hash(99), 31));
        assert!(!next.join(&before, hash(98)));
        assert!(next.join(&before, hash(0)));
        assert_eq!(next.tip(), Some(hash(99)));
        assert_eq!(next.0.len(), KNOWN);
        assert_eq!(next.earliest(), Some(UnixTime::from_secs(28)));
    }
}
