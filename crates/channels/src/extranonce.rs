//! The part of the coinbase that keeps miners' search spaces apart.

use std::collections::{HashSet, VecDeque};

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
#[derive(Debug)]
pub struct ExtranonceSpace {
    next: u32,
    live: HashSet<u32>,
    resting: VecDeque<u32>,
}

impl ExtranonceSpace {
    /// A space that gives out prefixes from `start` on. A random start tells restarts apart.
    pub fn new(start: u32) -> Self {
        Self {
            next: start,
            live: HashSet::new(),
            resting: VecDeque::new(),
        }
    }

    /// A prefix that nobody has, or `None` when all 2^32 are out.
    pub fn lease(&mut self) -> Option<ExtranoncePrefix> {
        // Each prefix is passed over at most once: it is live or resting.
        for _ in 0..=self.live.len() {
            let candidate = self.next;
            self.next = self.next.wrapping_add(1);
            if self.live.insert(candidate) {
                return Some(ExtranoncePrefix(candidate.to_be_bytes()));
            }
        }
        None
    }

    /// Takes `prefix` back, to rest until the next tip.
    pub fn give_back(&mut self, prefix: ExtranoncePrefix) {
        self.resting.push_back(u32::from_be_bytes(prefix.0));
    }

    /// The chain has a new tip: no job with a resting prefix is creditable any more.
    pub fn handle_new_tip(&mut self) {
        for prefix in self.resting.drain(..) {
            self.live.remove(&prefix);
        }
    }

    /// How many prefixes are out or resting.
    pub fn in_use(&self) -> usize {
        self.live.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_prefix_rests_until_the_next_tip() {
        let mut space = ExtranonceSpace::new(u32::MAX);
        let first = space.lease().unwrap();
        assert_eq!(first.as_bytes(), &[0xff; 4]);
        space.give_back(first);
        space.next = u32::MAX;
        assert_eq!(space.lease().unwrap().as_bytes(), &[0; 4]);
        space.handle_new_tip();
        space.next = u32::MAX;
        assert_eq!(space.lease(), Some(first));
    }

    proptest! {
        /// Whatever the order of leases, returns and tips: no prefix is out twice, and nothing is
        /// kept for ever.
        #[test]
        fn prefixes_are_unique_and_come_back(steps in proptest::collection::vec(0u8..10, 0..2000)) {
            let mut space = ExtranonceSpace::new(u32::MAX - 3);
            let (mut live, mut resting) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    0..5 => {
                        let prefix = space.lease().unwrap();
                        prop_assert!(!live.contains(&prefix) && !resting.contains(&prefix));
                        live.push(prefix);
                    }
                    5..9 => if let Some(prefix) = live.pop() {
                        space.give_back(prefix);
                        resting.push(prefix);
                    },
                    _ => {
                        space.handle_new_tip();
                        resting.clear();
                    }
                }
                prop_assert_eq!(space.in_use(), live.len() + resting.len());
            }
        }
    }
}
