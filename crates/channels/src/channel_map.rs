//! What there is for each channel of a connection. Most connections have one; those of proxies have
//! thousands.

use std::collections::VecDeque;

use crate::ChannelId;

/// Values by the ids of channels, in their order.
///
/// One entry takes the room of one, where a tree has room for eleven. Ids are given out in order, so that
/// a new one is put at the end; to take one out moves those on the nearer side of it.
#[derive(Debug, Clone)]
pub struct ChannelMap<V>(VecDeque<(ChannelId, V)>);

impl<V> ChannelMap<V> {
    /// A map without entries or memory.
    pub const fn new() -> Self {
        Self(VecDeque::new())
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `id`.
    pub fn get(&self, id: ChannelId) -> Option<&V> {
        let (_, value) = self.0.get(self.find(id).ok()?)?;
        Some(value)
    }

    /// The value of `id`, to be changed.
    pub fn get_mut(&mut self, id: ChannelId) -> Option<&mut V> {
        let at = self.find(id).ok()?;
        let (_, value) = self.0.get_mut(at)?;
        Some(value)
    }

    /// The value of `id`, which is `value` from now on if it had none.
    pub fn get_or_insert_with(&mut self, id: ChannelId, value: impl FnOnce() -> V) -> &mut V {
        let at = match self.find(id) {
            Ok(at) => at,
            Err(at) => {
                self.make_room();
                self.0.insert(at, (id, value()));
                at
            }
        };
        &mut self.0[at].1
    }

    /// Gives `id` another value.
    pub fn insert(&mut self, id: ChannelId, value: V) {
        match self.find(id) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => {
                self.make_room();
                self.0.insert(at, (id, value));
            }
        }
    }

    /// Takes out the value of `id`.
    pub fn remove(&mut self, id: ChannelId) -> Option<V> {
        let (_, value) = self.0.remove(self.find(id).ok()?)?;
        Some(value)
    }

    /// All ids.
    pub fn keys(&self) -> impl Iterator<Item = ChannelId> {
        self.0.iter().map(|(id, _)| *id)
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// All values, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (ChannelId, &V)> {
        self.0.iter().map(|(id, value)| (*id, value))
    }

    /// All entries, the values to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ChannelId, &mut V)> {
        self.0.iter_mut().map(|(id, value)| (*id, value))
    }

    /// The entries from `first` on.
    pub fn from(&self, first: ChannelId) -> impl Iterator<Item = (ChannelId, &V)> {
        let (Ok(at) | Err(at)) = self.find(first);
        self.0.range(at..).map(|(id, value)| (*id, value))
    }

    fn find(&self, id: ChannelId) -> Result<usize, usize> {
        match self.likely_place(id) {
            Some(at) => Ok(at),
            None => self.0.binary_search_by_key(&id, |(id, _)| *id),
        }
    }

    /// Where `id` is if the ids are evenly apart, as they are while nobody has left: each channel took one,
    /// or two with its group.
    fn likely_place(&self, id: ChannelId) -> Option<usize> {
        let (first, last) = (self.0.front()?.0.get(), self.0.back()?.0.get());
        let behind = u64::from(id.get().checked_sub(first)?);
        let steps = self.0.len() as u64 - 1;
        let at = (behind * steps)
            .checked_div(u64::from(last - first))
            .unwrap_or(0) as usize;
        self.0
            .get(at)
            .is_some_and(|(there, _)| *there == id)
            .then_some(at)
    }

    /// The first entry gets its own room and no more. From then on it doubles.
    fn make_room(&mut self) {
        if self.0.is_empty() {
            self.0.reserve_exact(1);
        }
    }
}

impl<V> Default for ChannelMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_entry_takes_the_room_of_one() {
        let mut map = ChannelMap::new();
        map.insert(ChannelId::new(7), 1);
        assert_eq!(map.0.capacity(), 1);
    }

    proptest! {
        /// Whatever is done to it, it holds what a tree holds, in the same order.
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0..20_u32, 0..5_u8), 0..200)) {
            let (mut map, mut tree) = (ChannelMap::new(), BTreeMap::new());
            for (number, (id, step)) in steps.into_iter().enumerate() {
                let id = ChannelId::new(id);
                match step {
                    0 => prop_assert_eq!(map.remove(id), tree.remove(&id)),
                    1 => {
                        map.insert(id, number);
                        tree.insert(id, number);
                    }
                    2 => {
                        let value = map.get_or_insert_with(id, || number);
                        prop_assert_eq!(value, tree.entry(id).or_insert(number));
                    }
                    3 => prop_assert_eq!(map.get_mut(id), tree.get_mut(&id)),
                    _ => prop_assert!(map.from(id).eq(tree.range(id..).map(|(id, it)| (*id, it)))),
                }
                prop_assert_eq!((map.len(), map.is_empty()), (tree.len(), tree.is_empty()));
                prop_assert_eq!(map.get(id), tree.get(&id));
                prop_assert!(map.keys().eq(tree.keys().copied()));
                prop_assert!(map.values().eq(tree.values()));
                prop_assert!(map.values_mut().eq(tree.values_mut()));
                prop_assert!(map.iter().eq(tree.iter().map(|(id, it)| (*id, it))));
                prop_assert!(map.iter_mut().eq(tree.iter_mut().map(|(id, it)| (*id, it))));
            }
        }
    }
}
