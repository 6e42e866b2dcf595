//! The part of the coinbase that keeps miners' search spaces apart.

use std::collections::HashSet;

/// The bytes that the pool puts before a miner's own extranonce. No two live channels have the
/// same (MP-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExtranoncePrefix([u8; Self::LEN]);

impl ExtranoncePrefix {
    /// Length in bytes. With the 8 bytes that a miner rolls it comes to 12, which the firmware of
    /// every device in the field can take.
    pub const LEN: usize = 4;

    /// The bytes, as they stand in the coinbase.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// All prefixes, and which of them may be given out.
///
/// A prefix that comes back rests until the chain's tip has changed: until then a job of its old
/// channel may still be creditable, and a new channel with the same prefix and payout would search
/// the same space.
///
/// They are given out in turn, and no more than half of them while a tip stays. So one that comes
/// back and is behind cannot have its turn before the next tip, and nothing is kept of it: those who
/// open and close channels without end take no memory. Only one that was out since the turn before,
/// and is soon to be reached again, is kept in mind; those were all out when the tip came.
#[derive(Debug)]
pub struct ExtranonceSpace {
    next: u32,
    /// The last prefix.
    last: u32,
    /// How many may have their turn before the next tip.
    left: u32,
    live: HashSet<u32>,
    /// Those that would have their turn before the next tip.
    resting: HashSet<u32>,
}

impl ExtranonceSpace {
    /// A space that gives out prefixes from `start` on. A random start tells restarts apart.
    pub fn new(start: u32) -> Self {
        Self::with_last(start, u32::MAX)
    }

    /// A space whose prefixes end with `last`, all ones.
    fn with_last(start: u32, last: u32) -> Self {
        Self {
            next: start,
            last,
            left: Self::per_tip(last),
            live: HashSet::new(),
            resting: HashSet::new(),
        }
    }

    const fn per_tip(last: u32) -> u32 {
        last / 2 + 1
    }

    /// A prefix that nobody has, or `None` when 2^31 had their turn on this tip.
    pub fn lease(&mut self) -> Option<ExtranoncePrefix> {
        // Each prefix that is passed over is live or resting.
        while let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            let candidate = self.next;
            self.next = candidate.wrapping_add(1) & self.last;
            if !self.resting.contains(&candidate) && self.live.insert(candidate) {
                return Some(ExtranoncePrefix(candidate.to_be_bytes()));
            }
        }
        None
    }

    /// Takes `prefix` back, to rest until the next tip.
    pub fn give_back(&mut self, prefix: ExtranoncePrefix) {
        let prefix = u32::from_be_bytes(prefix.0);
        let turn = prefix.wrapping_sub(self.next) & self.last;
        if self.live.remove(&prefix) && turn < self.left {
            self.resting.insert(prefix);
        }
    }

    /// The chain has a new tip: no job with a resting prefix is creditable any more.
    pub fn handle_new_tip(&mut self) {
        self.left = Self::per_tip(self.last);
        self.resting = HashSet::new();
    }

    /// How many prefixes are out.
    pub fn in_use(&self) -> usize {
        self.live.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use proptest::prelude::*;

    /// A space of 64 prefixes, half of which may have their turn on a tip.
    const LAST: u32 = 63;

    #[test]
    fn a_prefix_that_would_have_its_turn_rests_until_the_next_tip() {
        let mut space = ExtranonceSpace::with_last(LAST, LAST);
        let first = space.lease().unwrap();
        assert_eq!(first.as_bytes(), &[0, 0, 0, 63]);
        for _ in 0..2 {
            space.handle_new_tip();
            while space.next != LAST
                && let Some(prefix) = space.lease()
            {
                space.give_back(prefix);
            }
        }
        assert_eq!(space.next, LAST, "once round");
        space.handle_new_tip();
        space.give_back(first);
        assert_eq!(space.lease().unwrap().as_bytes(), &[0; 4]);
        space.next = LAST;
        space.handle_new_tip();
        assert_eq!(space.lease(), Some(first));
    }

    /// A million channels that are opened and closed on one tip.
    #[test]
    fn whoever_opens_and_closes_without_end_takes_no_memory() {
        let mut space = ExtranonceSpace::new(7);
        let kept = space.lease().unwrap();
        for _ in 0..1_000_000 {
            let prefix = space.lease().unwrap();
            space.give_back(prefix);
        }
        assert_eq!((space.in_use(), space.resting.len()), (1, 0));
        assert!(space.live.capacity() < 16, "{}", space.live.capacity());
        space.give_back(kept);
        assert_eq!((space.in_use(), space.resting.len()), (0, 0));
    }

    #[test]
    fn half_of_all_have_their_turn_on_a_tip() {
        let mut space = ExtranonceSpace::new(u32::MAX);
        space.left = 2;
        assert_eq!(space.lease().unwrap().as_bytes(), &[0xff; 4]);
        assert_eq!(space.lease().unwrap().as_bytes(), &[0; 4]);
        assert_eq!(space.lease(), None);
        space.handle_new_tip();
        assert_eq!(space.left, 1 << 31);
        assert_eq!(space.lease().unwrap().as_bytes(), &[0, 0, 0, 1]);
    }

    proptest! {
        /// Whatever the order of leases, returns and tips, many times round: no prefix is out twice, none
        /// is given out on the tip on which it came back, and what is kept in mind was out when the tip came.
        #[test]
        fn prefixes_are_unique_and_come_back(
            steps in proptest::collection::vec((0..20_u8, any::<prop::sample::Index>()), 0..2_000)
        ) {
            let mut space = ExtranonceSpace::with_last(LAST - 3, LAST);
            let (mut live, mut rests, mut turns, mut bound) = (Vec::new(), HashSet::new(), 0, 0);
            for (step, whom) in steps {
                match step {
                    0..10 => match space.lease() {
                        Some(prefix) => {
                            prop_assert!(!live.contains(&prefix) && !rests.contains(&prefix));
                            live.push(prefix);
                            turns += 1;
                        }
                        None => {
                            let taken = live.len() + rests.len();
                            prop_assert!(turns + taken >= 32, "{turns} {taken}");
                        }
                    },
                    10..19 if !live.is_empty() => {
                        let prefix = live.swap_remove(whom.index(live.len()));
                        space.give_back(prefix);
                        rests.insert(prefix);
                    }
                    10..19 => {}
                    _ => {
                        space.handle_new_tip();
                        rests.clear();
                        (turns, bound) = (0, live.len());
                    }
                }
                prop_assert_eq!(space.in_use(), live.len());
                prop_assert!(space.resting.len() <= bound);
            }
        }
    }
}
