//! What is remembered of miners that come back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use headframe_work::Rung;

/// What a miner had, and what it said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The rung on which it found its shares.
    pub rung: Rung,
    /// The rung that its own word stands for: the hashrate that it declared or the difficulty that
    /// it suggested; `None` if it said nothing. A device that says something else is another one.
    pub word: Option<Rung>,
}

/// What every worker of a pool had last, by its user name. Bounded, and never looked through.
#[derive(Debug)]
pub struct DifficultyMemory {
    capacity: usize,
    /// Those that were heard of lately. When it is full it becomes `older`, and what was older is
    /// forgotten.
    newer: HashMap<Box<str>, (Settled, Instant)>,
    older: HashMap<Box<str>, (Settled, Instant)>,
}

impl DifficultyMemory {
    /// How many workers a pool remembers at most: a few megabytes.
    pub const CAPACITY: usize = 32_768;
    /// How long.
    pub const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

    /// A memory of `capacity` workers at most, and of the last `capacity / 2` that were heard of at
    /// least.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            newer: HashMap::new(),
            older: HashMap::new(),
        }
    }

    /// The worker `user` has settled.
    pub fn remember(&mut self, now: Instant, user: &str, settled: Settled) {
        self.older.remove(user);
        if let Some(known) = self.newer.get_mut(user) {
            *known = (settled, now);
            return;
        }
        if self.newer.len() >= self.capacity / 2 {
            self.older = core::mem::take(&mut self.newer);
        }
        self.newer.insert(user.into(), (settled, now));
    }

    /// What the worker `user` had when it was here last.
    pub fn recall(&self, now: Instant, user: &str) -> Option<Settled> {
        let known = self.newer.get(user).or_else(|| self.older.get(user));
        let (settled, since) = known?;
        (now.saturating_duration_since(*since) <= Self::KEPT).then_some(*settled)
    }

    /// How many workers are remembered.
    pub fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }

    /// Whether nobody is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for DifficultyMemory {
    fn default() -> Self {
        Self::new(Self::CAPACITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(exponent: i32) -> Settled {
        Settled {
            rung: Rung::from_exponent(exponent),
            word: None,
        }
    }

    #[test]
    fn the_last_word_is_remembered_for_a_week() {
        let now = Instant::now();
        let mut memory = DifficultyMemory::default();
        memory.remember(now, "a", settled(1));
        memory.remember(now, "a", settled(2));
        memory.remember(now, "b", settled(3));
        assert_eq!(memory.recall(now, "a"), Some(settled(2)));
        assert_eq!(memory.recall(now, "c"), None);
        let week = DifficultyMemory::KEPT;
        assert_eq!(memory.recall(now + week, "b"), Some(settled(3)));
        let later = now + week + Duration::from_secs(1);
        assert_eq!(memory.recall(later, "b"), None);
    }

    #[test]
    fn it_is_bounded_and_forgets_the_oldest() {
        let now = Instant::now();
        let mut memory = DifficultyMemory::new(100);
        for number in 0..10_000 {
            memory.remember(now, &number.to_string(), settled(number % 60));
            // Who is heard of again is not the oldest.
            memory.remember(now, "regular", settled(7));
            assert!(memory.len() <= 100);
        }
        assert_eq!(memory.recall(now, "regular"), Some(settled(7)));
        for number in 9960..10_000 {
            assert_eq!(
                memory.recall(now, &number.to_string()),
                Some(settled(number % 60))
            );
        }
        assert_eq!(memory.recall(now, "9000"), None);
    }
}
