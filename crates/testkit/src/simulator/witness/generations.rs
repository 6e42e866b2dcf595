//! What came lately, in bounded memory.

use std::collections::HashMap;
use std::hash::Hash;

/// Entries of one generation.
const CAPACITY: usize = 1 << 20;

/// The last [`CAPACITY`] entries at least, and at most twice as many.
#[derive(Debug)]
pub(super) struct Generations<K, V> {
    newer: HashMap<K, V>,
    older: HashMap<K, V>,
}

impl<K: Hash + Eq, V> Generations<K, V> {
    pub(super) fn new() -> Self {
        Self {
            newer: HashMap::new(),
            older: HashMap::new(),
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.newer.get(key).or_else(|| self.older.get(key))
    }

    /// Adds an entry; false when its key is known.
    pub(super) fn insert(&mut self, key: K, value: V) -> bool {
        if self.older.contains_key(&key) {
            return false;
        }
        if self.newer.len() >= CAPACITY {
            self.older = core::mem::take(&mut self.newer);
        }
        self.newer.insert(key, value).is_none()
    }
}
