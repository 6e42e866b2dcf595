//! How long a new tip takes to reach the connections.

use std::collections::VecDeque;
use std::time::Instant;

use bitcoin::BlockHash;
use serde::Serialize;

/// Tips that are still on their way to somebody. An older one is over.
const ON_THE_WAY: usize = 3;

/// Tips that are kept for the report, the newest.
const REPORTED: usize = 100;

/// A tip and when the swarm's own node had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TipSeen {
    /// The block's hash.
    pub hash: BlockHash,
    /// When the node told it.
    pub at: Instant,
}

/// What became of one tip. Times are milliseconds since the zero, which is the moment when the
/// swarm's own node told the tip, or, without a node, when the first connection had it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TipTimes {
    /// Connections that were told it. Those that connected on it are not counted.
    pub connections: usize,
    /// To the first of them; below zero where the pool heard of the tip before the node told us.
    pub first_ms: f64,
    /// To half of them.
    pub median_ms: f64,
    /// To the last of them.
    pub last_ms: f64,
}

/// Tips as they come.
#[derive(Debug)]
pub(super) struct Tips {
    has_node: bool,
    on_the_way: VecDeque<Tip>,
    over: VecDeque<TipTimes>,
    seen: u64,
}

#[derive(Debug)]
struct Tip {
    hash: BlockHash,
    zero: Option<Instant>,
    arrivals: Vec<Instant>,
}

impl Tips {
    pub(super) const fn new(has_node: bool) -> Self {
        Self {
            has_node,
            on_the_way: VecDeque::new(),
            over: VecDeque::new(),
            seen: 0,
        }
    }

    /// The node has a new tip.
    pub(super) fn handle_node(&mut self, tip: TipSeen) {
        self.tip(tip.hash).zero.get_or_insert(tip.at);
    }

    /// A connection that was on another tip was told this one.
    pub(super) fn handle_arrival(&mut self, hash: BlockHash, now: Instant) {
        self.tip(hash).arrivals.push(now);
    }

    /// All tips that reached a connection, and the times of the newest of them.
    pub(super) fn report(&mut self) -> (u64, Vec<TipTimes>) {
        while let Some(tip) = self.on_the_way.pop_front() {
            self.close(tip);
        }
        (self.seen, self.over.iter().cloned().collect())
    }

    fn tip(&mut self, hash: BlockHash) -> &mut Tip {
        let known = self.on_the_way.iter().position(|tip| tip.hash == hash);
        let index = known.unwrap_or_else(|| {
            if self.on_the_way.len() == ON_THE_WAY
                && let Some(oldest) = self.on_the_way.pop_front()
            {
                self.close(oldest);
            }
            self.on_the_way.push_back(Tip {
                hash,
                zero: None,
                arrivals: Vec::new(),
            });
            self.on_the_way.len() - 1
        });
        &mut self.on_the_way[index]
    }

    fn close(&mut self, tip: Tip) {
        self.seen += u64::from(!tip.arrivals.is_empty());
        if self.over.len() == REPORTED {
            self.over.pop_front();
        }
        self.over.extend(tip.times(self.has_node));
    }
}

impl Tip {
    /// `None` for a tip that reached nobody, and for one that the node, if there is one, never told.
    fn times(mut self, has_node: bool) -> Option<TipTimes> {
        self.arrivals.sort_unstable();
        let (first, last) = (*self.arrivals.first()?, *self.arrivals.last()?);
        let zero = match has_node {
            true => self.zero?,
            false => first,
        };
        let since = |at: Instant| match at.checked_duration_since(zero) {
            Some(after) => after.as_secs_f64() * 1e3,
            None => -(zero.duration_since(at).as_secs_f64() * 1e3),
        };
        Some(TipTimes {
            connections: self.arrivals.len(),
            first_ms: since(first),
            median_ms: since(self.arrivals[(self.arrivals.len() - 1) / 2]),
            last_ms: since(last),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use core::time::Duration;

    use bitcoin::hashes::Hash;

    fn hash(number: u8) -> BlockHash {
        BlockHash::from_byte_array([number; 32])
    }

    /// Arrivals 7, 2 and 4 ms after the start.
    fn arrive(tips: &mut Tips, start: Instant) {
        for after in [7, 2, 4] {
            tips.handle_arrival(hash(1), start + Duration::from_millis(after));
        }
    }

    #[test]
    fn without_a_node_the_first_connection_is_the_zero() {
        let mut tips = Tips::new(false);
        arrive(&mut tips, Instant::now());
        let times = TipTimes {
            connections: 3,
            first_ms: 0.0,
            median_ms: 2.0,
            last_ms: 5.0,
        };
        assert_eq!(tips.report(), (1, vec![times]));
    }

    #[test]
    fn the_node_s_time_is_the_zero_also_when_it_comes_late() {
        for zero_first in [false, true] {
            let start = Instant::now();
            let mut tips = Tips::new(true);
            let seen = TipSeen {
                hash: hash(1),
                at: start + Duration::from_millis(3),
            };
            if zero_first {
                tips.handle_node(seen);
            }
            arrive(&mut tips, start);
            tips.handle_node(seen);
            let (count, times) = tips.report();
            assert_eq!((count, times.len()), (1, 1));
            let [first, median, last] = [-1.0, 1.0, 4.0];
            assert_eq!(times[0].first_ms, first);
            assert_eq!(times[0].median_ms, median);
            assert_eq!(times[0].last_ms, last);
        }
    }

    #[test]
    fn a_tip_that_the_node_never_told_has_no_times_and_one_that_reached_nobody_is_none() {
        let mut tips = Tips::new(true);
        arrive(&mut tips, Instant::now());
        let at = Instant::now();
        let hash = hash(2);
        tips.handle_node(TipSeen { hash, at });
        assert_eq!(tips.report(), (1, Vec::new()));
    }

    #[test]
    fn a_chain_that_races_fills_no_memory() {
        let mut tips = Tips::new(false);
        for number in 0..=255 {
            tips.handle_arrival(hash(number), Instant::now());
        }
        assert_eq!(tips.on_the_way.len(), ON_THE_WAY);
        let (seen, times) = tips.report();
        assert_eq!((seen, times.len()), (256, REPORTED));
    }
}
