//! The way between the device and the pool: slow, and sometimes deaf.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use headframe_testkit::{Chance, Device};

/// One connection's bytes on their way, in both directions in order.
#[derive(Debug)]
pub(crate) struct Radio {
    chance: Chance,
    /// Nothing arrives before this time.
    pub(crate) stalled_until: Instant,
    up: VecDeque<(Instant, Vec<u8>)>,
    down: VecDeque<(Instant, Vec<u8>)>,
    arrived: Vec<Vec<u8>>,
}

impl Radio {
    pub(crate) fn new(now: Instant, seed: u64) -> Self {
        Self {
            chance: Chance::new(seed),
            stalled_until: now,
            up: VecDeque::new(),
            down: VecDeque::new(),
            arrived: Vec::new(),
        }
    }

    /// The device sends a message.
    pub(crate) fn send(&mut self, now: Instant, message: Vec<u8>) {
        let at = self.arrival(now, self.up.back().map(|(at, _)| *at));
        self.up.push_back((at, message));
    }

    /// What arrives at the pool is taken with the session's next step.
    pub(crate) fn arrive(&mut self, now: Instant) {
        let due = self.up.iter().take_while(|(at, _)| *at <= now).count();
        let messages = self.up.drain(..due).map(|(_, message)| message);
        self.arrived.extend(messages);
    }

    /// What arrives at the device.
    pub(crate) fn hear(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.down.front().filter(|(at, _)| *at <= now)?;
        self.down.pop_front().map(|(_, bytes)| bytes)
    }

    /// When something arrives next.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        let first = [self.up.front(), self.down.front()];
        first.into_iter().flatten().map(|(at, _)| *at).min()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.up.is_empty() && self.down.is_empty()
    }

    /// Nothing arrives until `end`; then all at once.
    pub(crate) fn stall(&mut self, end: Instant) {
        let end = end.max(self.stalled_until);
        self.stalled_until = end;
        let ways = self.up.iter_mut().chain(&mut self.down);
        ways.for_each(|(at, _)| *at = end.max(*at));
    }

    fn arrival(&mut self, now: Instant, before: Option<Instant>) -> Instant {
        let delay = Duration::from_millis(5 + self.chance.below(80));
        let at = (now + delay).max(self.stalled_until);
        before.map_or(at, |before| at.max(before))
    }
}

impl Device for Radio {
    fn receive(&mut self, now: Instant, bytes: &[u8]) {
        if !bytes.is_empty() {
            let at = self.arrival(now, self.down.back().map(|(at, _)| *at));
            self.down.push_back((at, bytes.to_vec()));
        }
    }

    fn take_output(&mut self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.arrived)
    }

    fn forget(&mut self, _input: &[u8]) {}
}
