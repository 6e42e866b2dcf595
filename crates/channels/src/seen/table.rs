//! A set of hashes, most of which are looked for once and never found.
//!
//! It is larger than the caches where a job has many shares, so that what counts is how much memory a
//! look has to wait for: one line of a cache, which holds four hashes.

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;

use super::Place;

/// Hashes whose places are near each other, beginning at the first.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Line([u128; 4]);

/// Full lines that a hash is kept behind. By chance so many are side by side in no job's life; a miner may
/// grind shares that fall into them, and meets the end of the job's memory.
const MOST_PASSED: usize = 256;

/// No hash. No [`key`] is zero.
const NONE: u128 = 0;

/// The hashes, each in the first line from its place on that was not full when it came.
#[derive(Debug)]
pub(super) struct Table {
    lines: Vec<Line>,
    len: usize,
}

/// What is found where a hash is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// The hash itself.
    Taken,
    /// Room for it.
    Free(Free),
    /// Neither, as far as is looked.
    None,
}

/// Where a hash can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Free {
    line: usize,
    /// Its number in the line.
    at: usize,
    /// Full lines before it, from its place on.
    passed: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self::of_lines(1)
    }
}

impl Table {
    fn of_lines(lines: usize) -> Self {
        Self {
            lines: vec![Line::default(); lines],
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Something that lies at `place`.
    #[inline]
    pub(super) fn glance(&self, place: Place) -> u128 {
        self.lines[self.line_at(place)].0[0]
    }

    /// Sees to it that a quarter of the table is free.
    #[inline]
    pub(super) fn make_room(&mut self) {
        if self.len >= self.lines.len() * 3 {
            self.grow();
        }
    }

    #[inline]
    pub(super) fn find(&self, hash: &BlockHash, place: Place) -> Spot {
        match self.find_key(key(hash, place)) {
            Spot::Free(free) if free.passed > MOST_PASSED => Spot::None,
            spot => spot,
        }
    }

    /// Keeps a hash for which there is room.
    #[inline]
    pub(super) fn put(&mut self, free: Free, hash: &BlockHash, place: Place) {
        self.put_key(free, key(hash, place));
    }

    fn find_key(&self, key: u128) -> Spot {
        let first = self.line_at(place_of(key));
        let (before, after) = self.lines.split_at(first);
        let numbered = (first..).zip(after).chain((0..).zip(before));
        for (passed, (line, Line(keys))) in numbered.enumerate() {
            for (at, &kept) in keys.iter().enumerate() {
                if kept == key {
                    return Spot::Taken;
                }
                if kept == NONE {
                    return Spot::Free(Free { line, at, passed });
                }
            }
        }
        Spot::None
    }

    fn put_key(&mut self, free: Free, key: u128) {
        self.lines[free.line].0[free.at] = key;
        self.len += 1;
    }

    #[cold]
    fn grow(&mut self) {
        let mut larger = Self::of_lines(self.lines.len() * 2);
        for key in self.lines.iter().flat_map(|line| line.0) {
            // However far from its place: what was kept is never lost.
            if key != NONE
                && let Spot::Free(free) = larger.find_key(key)
            {
                larger.put_key(free, key);
            }
        }
        *self = larger;
    }

    /// Places are spread evenly over the lines, in their order.
    fn line_at(&self, Place(place): Place) -> usize {
        ((u64::from(place) * self.lines.len() as u64) >> 32) as usize
    }
}

/// Twelve bytes of a hash that proof of work does not make zero, and the place. Hashes that agree in as
/// many bits are not found in the life of any job.
fn key(hash: &BlockHash, Place(place): Place) -> u128 {
    let mut bytes = [0; 16];
    bytes[4..].copy_from_slice(&hash.as_byte_array()[..12]);
    (u128::from_le_bytes(bytes) | u128::from(place)).max(1)
}

fn place_of(key: u128) -> Place {
    Place(key as u32)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn hash(number: u32) -> BlockHash {
        bitcoin::hashes::sha256d::Hash::hash(&number.to_le_bytes()).into()
    }

    fn note(table: &mut Table, hash: &BlockHash, place: Place) -> Spot {
        table.make_room();
        let spot = table.find(hash, place);
        if let Spot::Free(free) = spot {
            table.put(free, hash, place);
        }
        spot
    }

    /// Places that are all over, that crowd at the end, where lines begin anew, and that are few.
    #[test]
    fn what_was_put_is_found_and_nothing_else() {
        let all_over = |number: u32| number.wrapping_mul(0x9e37_79b1);
        for place in [
            &all_over as &dyn Fn(u32) -> u32,
            &|number| !(number % 7),
            &|number| u32::MAX - (number % 600) * 9_999,
            &|_| 5,
        ] {
            let mut table = Table::default();
            let mut known = HashSet::new();
            for number in (0..900).chain(0..900).chain(500..1_000) {
                let is_known = !known.insert(number);
                let spot = note(&mut table, &hash(number), Place(place(number)));
                assert_eq!(spot == Spot::Taken, is_known, "{number}: {spot:?}");
                assert_eq!(table.len(), known.len());
            }
        }
    }

    /// Hashes of one place are other hashes, and so is one hash at two places.
    #[test]
    fn a_place_is_no_hash() {
        let mut table = Table::default();
        assert_ne!(note(&mut table, &hash(1), Place(3)), Spot::Taken);
        assert_ne!(note(&mut table, &hash(2), Place(3)), Spot::Taken);
        assert_ne!(note(&mut table, &hash(1), Place(4)), Spot::Taken);
        assert_eq!(note(&mut table, &hash(1), Place(3)), Spot::Taken);
        let zero = BlockHash::all_zeros();
        assert_ne!(note(&mut table, &zero, Place(0)), Spot::Taken);
        assert_eq!(note(&mut table, &zero, Place(0)), Spot::Taken);
    }

    /// Ground shares are not looked for without end, and none is taken twice.
    #[test]
    fn who_crowds_one_place_meets_the_end_of_it() {
        let mut table = Table::default();
        let mut kept = 0;
        let place = Place(u32::MAX / 3);
        while note(&mut table, &hash(kept), place) != Spot::None {
            kept += 1;
        }
        assert_eq!(kept as usize, 4 * (MOST_PASSED + 1));
        assert!((0..kept).all(|number| table.find(&hash(number), place) == Spot::Taken));
        assert_ne!(table.find(&hash(kept), Place(9)), Spot::None);
    }

    /// A table of as many shares as a job has takes some 40 bytes for each at most.
    #[test]
    fn a_table_is_not_much_larger_than_what_it_holds() {
        let mut table = Table::default();
        for number in 0..10_000_u32 {
            note(
                &mut table,
                &hash(number),
                Place(number.wrapping_mul(0x9e37_79b1)),
            );
            let bytes = size_of_val(table.lines.as_slice());
            assert!(
                bytes <= 64 + 43 * table.len(),
                "{bytes} for {}",
                table.len()
            );
        }
    }
}
