//! The sets of keys of one pool: most have one, and one for each further authority.

use std::slice;

use headframe_sv2_noise::AuthorityPublicKey;

use super::Keys;

/// The sets of keys that a pool's listeners answer handshakes with. There is at least one.
#[derive(Debug)]
pub struct KeySets(Vec<Keys>);

/// One of a pool's sets of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeysId(usize);

impl KeysId {
    /// The first one, which each pool has.
    pub const FIRST: Self = Self(0);
}

impl KeySets {
    /// One set, [`KeysId::FIRST`].
    pub fn new(keys: Keys) -> Self {
        Self(vec![keys])
    }

    /// Adds a set of another authority.
    pub fn add(&mut self, keys: Keys) -> KeysId {
        self.0.push(keys);
        KeysId(self.0.len() - 1)
    }

    /// What the miners of these keys are told to trust.
    pub fn authority(&self, id: KeysId) -> AuthorityPublicKey {
        id.of(&self.0).authority()
    }
}

impl KeysId {
    /// Which of what was made of each set, in order, is that of this one.
    pub(crate) fn of<T>(self, sets: &[T]) -> &T {
        // Ids of another pool's sets would be the wiring's mistake; the first one is there.
        sets.get(self.0).unwrap_or(&sets[0])
    }
}

impl IntoIterator for KeySets {
    type Item = Keys;
    type IntoIter = std::vec::IntoIter<Keys>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a KeySets {
    type Item = &'a Keys;
    type IntoIter = slice::Iter<'a, Keys>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
