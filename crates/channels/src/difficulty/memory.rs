//! What is remembered of miners that come back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Past;

/// What is known of the workers of a pool, by their user names. Bounded, and never looked through.
#[derive(Debug)]
pub struct DifficultyMemory {
    capacity: usize,
    /// Those that were heard of lately. When it is full it becomes `older`, and what was older is
    /// forgotten.
    newer: HashMap<Arc<str>, Box<Past>>,
    older: HashMap<Arc<str>, Box<Past>>,
}

impl DifficultyMemory {
    /// How many workers a pool remembers at most: some ten megabytes.
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

    /// This is what is known of the worker `user` now.
    pub fn remember(&mut self, user: impl Into<Arc<str>>, past: Box<Past>) {
        let user = user.into();
        self.older.remove(&user);
        if let Some(known) = self.newer.get_mut(&user) {
            *known = past;
            return;
        }
        if self.newer.len() >= self.capacity / 2 {
            self.older = core::mem::take(&mut self.newer);
        }
        self.newer.insert(user, past);
    }

    /// What was known of the worker `user` when it was here last.
    pub fn recall(&self, now: Instant, user: &str) -> Option<&Past> {
        let known = self.newer.get(user).or_else(|| self.older.get(user))?;
        let away = now.saturating_duration_since(known.at());
        (away <= Self::KEPT).then_some(known)
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

    use headframe_work::{Hashrate, Rung};

    use super::super::{DifficultyControl, DifficultySettings};

    fn past(now: Instant, exponent: i32) -> Box<Past> {
        let settings = DifficultySettings {
            start: Rung::from_exponent(exponent),
            ..DifficultySettings::default()
        };
        let control = DifficultyControl::new(settings, Hashrate::ZERO, Rung::EASIEST, now);
        control.past(now).unwrap()
    }

    fn recalled(memory: &DifficultyMemory, now: Instant, user: &str) -> Option<i32> {
        Some(memory.recall(now, user)?.rung().exponent())
    }

    #[test]
    fn the_last_word_is_remembered_for_a_week() {
        let now = Instant::now();
        let mut memory = DifficultyMemory::default();
        memory.remember("a", past(now, 1));
        memory.remember("a", past(now, 2));
        memory.remember("b", past(now, 3));
        assert_eq!(recalled(&memory, now, "a"), Some(2));
        assert_eq!(recalled(&memory, now, "c"), None);
        let week = DifficultyMemory::KEPT;
        assert_eq!(recalled(&memory, now + week, "b"), Some(3));
        let later = now + week + Duration::from_secs(1);
        assert_eq!(recalled(&memory, later, "b"), None);
    }

    #[test]
    fn it_is_bounded_and_forgets_the_oldest() {
        let now = Instant::now();
        let mut memory = DifficultyMemory::new(100);
        for number in 0..10_000 {
            memory.remember(number.to_string(), past(now, number % 60));
            // Who is heard of again is not the oldest.
            memory.remember("regular", past(now, 7));
            assert!(memory.len() <= 100);
        }
        assert_eq!(recalled(&memory, now, "regular"), Some(7));
        for number in 9960..10_000 {
            let user = number.to_string();
            assert_eq!(recalled(&memory, now, &user), Some(number % 60));
        }
        assert_eq!(recalled(&memory, now, "9000"), None);
    }
}
