//! Simulated time, and what is to happen in it.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use headframe_channels::ExtranoncePrefix;

use super::link::Way;

/// Something that happens at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    /// The node's next deed.
    Node,
    /// The node's template has been made ready.
    Prepared,
    /// The hub's timer.
    Hub,
    /// The ledger writes.
    Write,
    /// A write of the ledger is on its disk.
    Written,
    /// A connection hears of a commit.
    Committed(u64, u64),
    /// A prefix comes back to the hub.
    GiveBack(ExtranoncePrefix),
    /// A connection hears that there is other work.
    Wake(u64),
    /// A server session's timer.
    Timer(u64),
    /// A piece arrives at one end of a connection.
    Arrive(u64, Way),
    /// The end that a way leads to learns that the connection is lost.
    Lost(u64, Way),
    /// A client connects.
    Knock(usize),
    /// A client's timer.
    ClientTimer(usize, u64),
    /// A client finds a share on one of its channels, unless its work has changed.
    Find(usize, u32, u64),
    /// A client does something that not every client does.
    Act(usize, u64),
    /// A client goes.
    Leave(usize, u64),
    /// The next fault of network or disk.
    Weather,
    DiskIsWell,
}

/// What is to come, in order of time, and of being planned where times are equal.
#[derive(Debug)]
pub(super) struct Schedule {
    start: Instant,
    now: Instant,
    planned: u64,
    heap: BinaryHeap<Reverse<Planned>>,
}

#[derive(Debug)]
struct Planned {
    at: Instant,
    number: u64,
    event: Event,
}

impl Schedule {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            start,
            now: start,
            planned: 0,
            heap: BinaryHeap::new(),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// The time since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Plans `event` for `at`, or for now if that is past.
    pub(super) fn at(&mut self, at: Instant, event: Event) {
        self.planned += 1;
        self.heap.push(Reverse(Planned {
            at: at.max(self.now),
            number: self.planned,
            event,
        }));
    }

    /// Plans `event` for a time after now.
    pub(super) fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.now + wait, event);
    }

    /// Goes on to the next event, if it comes before `end`.
    pub(super) fn next_before(&mut self, end: Instant) -> Option<Event> {
        let Reverse(first) = self.heap.peek()?;
        if first.at >= end {
            return None;
        }
        let Reverse(first) = self.heap.pop()?;
        self.now = first.at;
        Some(first.event)
    }
}

impl Planned {
    fn key(&self) -> (Instant, u64) {
        (self.at, self.number)
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Planned {}
