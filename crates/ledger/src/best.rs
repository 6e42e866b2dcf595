//! The shares that came closest to being a block.

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use headframe_work::{Difficulty, UnixTime};

use crate::WorkerId;

/// How many shares the pool's list of best shares holds: a screenful.
pub const BEST_SHARES: usize = 16;

/// An accepted share, by the hash that it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BestShare {
    /// The header's hash.
    pub hash: BlockHash,
    /// When the pool judged it.
    pub at: UnixTime,
}

impl BestShare {
    /// What the hash is worth, for people to read. Shares are compared by their hash, which is
    /// exact.
    pub fn difficulty(&self) -> Difficulty {
        Difficulty::of_hash(&self.hash)
    }

    /// Whether this share is closer to a block than `other`: its hash, read as the number that
    /// proof of work compares, is smaller.
    pub fn beats(&self, other: &Self) -> bool {
        let [own, other] = [self, other].map(|share| share.hash.as_byte_array().iter().rev());
        own.lt(other)
    }

    /// The hash as big-endian bytes, which sort as numbers do: the best share comes first.
    pub(crate) fn rank(&self) -> [u8; 32] {
        let mut bytes = self.hash.to_byte_array();
        bytes.reverse();
        bytes
    }

    /// The inverse of [`rank`](Self::rank).
    pub(crate) fn from_rank(mut rank: [u8; 32], at: UnixTime) -> Self {
        rank.reverse();
        Self {
            hash: BlockHash::from_byte_array(rank),
            at,
        }
    }
}

/// A best share and the worker that found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankedShare {
    /// Who found it.
    pub worker: WorkerId,
    /// The share.
    pub share: BestShare,
}

/// Keeps the better of a worker's best share so far and a new one.
pub(crate) fn keep_better(best: &mut Option<BestShare>, share: BestShare) {
    if best.is_none_or(|best| share.beats(&best)) {
        *best = Some(share);
    }
}

/// The [`BEST_SHARES`] best of all shares offered, the best first, no hash twice.
#[derive(Debug, Clone, Default)]
pub(crate) struct BestList {
    shares: Vec<RankedShare>,
    /// A full list of shares is as good or better, this one or one before it. Boxed: few connections have
    /// had so many at once.
    bar: Option<Box<BestShare>>,
}

impl BestList {
    #[inline]
    pub(crate) fn offer(&mut self, worker: &WorkerId, share: BestShare) {
        if self.bar.as_ref().is_none_or(|bar| share.beats(bar)) {
            self.insert(worker, share);
        }
    }

    /// An empty list for what is offered next, where this one is heeded too: only what would have a place on
    /// it has one there.
    pub(crate) fn successor(&self) -> Self {
        Self {
            shares: Vec::new(),
            bar: self.bar.clone(),
        }
    }

    /// Whether not all that is offered has a place on it.
    pub(crate) const fn has_bar(&self) -> bool {
        self.bar.is_some()
    }

    pub(crate) fn shares(&self) -> &[RankedShare] {
        &self.shares
    }

    fn insert(&mut self, worker: &WorkerId, share: BestShare) {
        let rank = share.rank();
        let place = self
            .shares
            .binary_search_by_key(&rank, |kept| kept.share.rank());
        let Err(place) = place else { return };
        self.shares.truncate(BEST_SHARES - 1);
        let worker = worker.clone();
        self.shares.insert(place, RankedShare { worker, share });
        if let Some(worst) = self.shares.get(BEST_SHARES - 1) {
            **self.bar.get_or_insert_with(|| Box::new(worst.share)) = worst.share;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(number: u8) -> BestShare {
        let mut rank = [0; 32];
        rank[31] = number;
        BestShare::from_rank(rank, UnixTime::from_secs(0))
    }

    #[test]
    fn the_list_keeps_the_smallest_hashes_in_order() {
        let worker = WorkerId::new("w", "a").unwrap();
        let mut list = BestList::default();
        for number in (0..40).rev().chain(0..40) {
            list.offer(&worker, share(number));
        }
        let kept: Vec<u8> = list.shares().iter().map(|s| s.share.rank()[31]).collect();
        assert_eq!(kept, (0..16).collect::<Vec<u8>>());
    }

    #[test]
    fn what_no_list_before_had_a_place_for_has_none() {
        let worker = WorkerId::new("w", "a").unwrap();
        let mut pools = BestList::default();
        let mut list = BestList::default();
        let numbers = [200..215, 100..117, 90..120, 210..230, 80..95];
        for number in numbers.iter().cloned().flatten() {
            pools.offer(&worker, share(number));
        }
        let mut heeded = BestList::default();
        for numbers in numbers {
            numbers.for_each(|number| list.offer(&worker, share(number)));
            for ranked in list.shares() {
                heeded.offer(&ranked.worker, ranked.share);
            }
            list = list.successor();
        }
        assert_eq!(heeded.shares(), pools.shares());
        list.offer(&worker, share(200));
        assert_eq!(list.shares(), []);
        list.offer(&worker, share(70));
        assert_eq!(list.shares().len(), 1);
    }

    #[test]
    fn the_number_is_compared_as_proof_of_work_compares_it() {
        // In the hash's own byte order the last byte is the most significant.
        let at = UnixTime::from_secs(0);
        let mut small = [0xff; 32];
        small[31] = 0;
        let mut large = [0; 32];
        large[31] = 1;
        let [small, large] = [small, large].map(|bytes| BestShare {
            hash: BlockHash::from_byte_array(bytes),
            at,
        });
        assert!(small.beats(&large));
        assert_eq!(BestShare::from_rank(small.rank(), at), small);
    }
}
