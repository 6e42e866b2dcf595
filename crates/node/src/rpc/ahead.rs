//! What a block that has just become the tip says of the next one: enough to begin on it before there is a
//! template. Not here: how word of the block comes, and what is begun.

use std::collections::VecDeque;

use bitcoin::BlockHash;
use bitcoin::block::Header;
use headframe_work::{Template, UnixTime};

use crate::zmq::BlockHead;
use crate::{NewTip, Tip};

/// Blocks of which the median of their times counts (BIP113).
pub(super) const MEDIAN_OF: usize = 11;

/// The times of a block and of those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) tip: BlockHash,
    /// The newest last, [`MEDIAN_OF`] at most; fewer only at the beginning of a chain.
    times: Vec<u32>,
}

impl Times {
    /// `times` with the newest first, as one finds them.
    pub(super) fn of(tip: BlockHash, times: impl IntoIterator<Item = u32>) -> Self {
        let mut times: Vec<u32> = times.into_iter().take(MEDIAN_OF).collect();
        times.reverse();
        Self { tip, times }
    }

    /// The same, one block on.
    pub(super) fn after(&self, header: &Header) -> Option<Self> {
        if header.prev_blockhash != self.tip {
            return None;
        }
        let before = self.times.len().saturating_sub(MEDIAN_OF - 1);
        let mut times = self.times.get(before..).unwrap_or_default().to_vec();
        times.push(header.time);
        let tip = header.block_hash();
        Some(Self { tip, times })
    }

    /// The same up to `tip`, if the headers between are among `heads`.
    pub(super) fn up_to(&self, tip: BlockHash, heads: &VecDeque<Header>) -> Option<Self> {
        if self.tip == tip {
            return Some(self.clone());
        }
        let head = heads.iter().find(|head| head.block_hash() == tip)?;
        self.up_to(head.prev_blockhash, heads)?.after(head)
    }

    /// The earliest time of a block after the tip, where no other rule says later.
    pub(super) fn earliest(&self) -> Option<UnixTime> {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2)?;
        Some(UnixTime::from_secs(median.checked_add(1)?))
    }
}

/// The tip that `head` is, if it builds on what `present` does, and one can mine on it by what is known of it
/// and of the blocks before.
pub(super) fn new_tip(present: &Template, times: &Times, head: &BlockHead) -> Option<NewTip> {
    let hash = head.header.block_hash();
    let tip = NewTip {
        tip: Tip {
            height: head.height,
            hash,
        },
        parent: head.header.prev_blockhash,
        bits: head.header.bits,
        earliest: times.after(&head.header)?.earliest()?,
    };
    tip.can_follow(present).then_some(tip)
}

#[cfg(test)]
mod tests {
    use bitcoin::CompactTarget;
    use bitcoin::hashes::Hash;

    use super::*;

    fn header(prev_blockhash: BlockHash, time: u32) -> Header {
        Header {
            version: bitcoin::block::Version::ONE,
            prev_blockhash,
            merkle_root: bitcoin::TxMerkleNode::all_zeros(),
            time,
            bits: CompactTarget::from_consensus(0x207f_ffff),
            nonce: 0,
        }
    }

    /// Bitcoin Core takes the middle of eleven, and of fewer the one after the middle.
    #[test]
    fn the_earliest_time_is_a_second_after_the_median() {
        let tip = BlockHash::all_zeros();
        let rows: [(&[u32], Option<u32>); 5] = [
            (&[], None),
            (&[7], Some(8)),
            (&[9, 7], Some(10)),
            (&[1, 9, 8, 7, 6, 5, 4, 3, 2, 10, 11, 99, 99], Some(7)),
            (&[u32::MAX], None),
        ];
        for (times, earliest) in rows {
            let times = Times::of(tip, times.iter().copied());
            assert_eq!(
                times.earliest().map(UnixTime::as_secs),
                earliest,
                "{times:?}"
            );
        }
    }

    #[test]
    fn the_oldest_time_makes_room_for_the_newest() {
        let mut times = Times::of(BlockHash::all_zeros(), (0..11).rev());
        for time in 11..30 {
            let next = times.after(&header(times.tip, time)).unwrap();
            assert_eq!(next.times.len(), MEDIAN_OF);
            assert_eq!(next.earliest().map(UnixTime::as_secs), Some(time - 4));
            times = next;
        }
        let elsewhere = header(BlockHash::from_byte_array([1; 32]), 30);
        assert_eq!(times.after(&elsewhere), None);
    }
}
