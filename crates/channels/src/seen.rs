//! The hashes that a job remembers, so that none is credited twice.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;

use crate::MemoryBudget;
use crate::budget::Room;

/// Hashes of shares or of blocks, which draw from the connection's budget while they are here.
#[derive(Debug)]
pub(crate) struct Seen {
    kind: Kind,
    /// `None` until there is one: most jobs of most miners see none.
    hashes: Option<Box<Hashes>>,
    budget: MemoryBudget,
}

/// Cut to the sixteen bytes that proof of work does not make zero.
type Hashes = HashSet<u128, BuildHasherDefault<Uniform>>;

/// What a set holds. Blocks have room of their own: they outlive the credit for their job.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Shares,
    Blocks,
}

/// What became of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It is new, and remembered from now on.
    New,
    /// It was remembered.
    Known,
    /// It is new, and there is no room to remember it.
    NoRoom,
}

impl Seen {
    pub(crate) fn shares(budget: &MemoryBudget) -> Self {
        Self::of(Kind::Shares, budget)
    }

    pub(crate) fn blocks(budget: &MemoryBudget) -> Self {
        Self::of(Kind::Blocks, budget)
    }

    fn of(kind: Kind, budget: &MemoryBudget) -> Self {
        Self {
            kind,
            hashes: None,
            budget: budget.clone(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.hashes.as_ref().map_or(0, |hashes| hashes.len())
    }

    #[inline]
    pub(crate) fn note(&mut self, hash: &BlockHash) -> Noted {
        let key = key(hash);
        if !self.room().draw() {
            let hashes = self.hashes.as_ref();
            return match hashes.is_some_and(|hashes| hashes.contains(&key)) {
                true => Noted::Known,
                false => Noted::NoRoom,
            };
        }
        if !self.hashes.get_or_insert_default().insert(key) {
            self.room().give_back(1);
            return Noted::Known;
        }
        Noted::New
    }

    /// Forgets all, and frees the memory.
    pub(crate) fn clear(&mut self) {
        self.room().give_back(self.len());
        self.hashes = None;
    }

    fn room(&self) -> &Room {
        match self.kind {
            Kind::Shares => self.budget.shares(),
            Kind::Blocks => self.budget.blocks(),
        }
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Hashes a hash by taking eight of its bytes, which are uniform as they are.
///
/// A miner may grind shares that fall into one bucket. It has to grind each, and meets the end of
/// the job's memory.
#[derive(Debug, Default)]
struct Uniform(u64);

impl Hasher for Uniform {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

fn key(hash: &BlockHash) -> u128 {
    let (low, _) = hash.as_byte_array().split_at(16);
    u128::from_le_bytes(low.try_into().expect("split at 16"))
}
