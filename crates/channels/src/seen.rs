//! The hashes that a job remembers, so that none is credited twice.

mod table;

use std::hint::black_box;

use bitcoin::BlockHash;

use self::table::{Spot, Table};
use crate::budget::{JobPlace, Room};
use crate::{MemoryBudget, Share};

/// The hashes of a job's shares and of its blocks, which draw from the connection's budget while they are
/// here. Blocks have room of their own: they outlive the credit for their job.
#[derive(Debug)]
pub(crate) struct Seen {
    /// `None` until there is one: most jobs of most miners see none.
    shares: Option<Box<Table>>,
    blocks: Option<Box<Table>>,
    place: JobPlace,
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

/// Where the hash of a share is kept. It is known before the hash is, by what the share names: shares
/// of one job that differ in nothing of it are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl Place {
    #[inline]
    pub(crate) fn of(share: &Share<'_>) -> Self {
        let Share { nonce, version, .. } = *share;
        let time = share.time.as_secs();
        let first = mixed(u64::from(nonce) | u64::from(time) << 32);
        let mut place = mixed(first ^ u64::from(version));
        for rolled in share.extranonce.chunks(8) {
            let mut word = [0; 8];
            word[..rolled.len()].copy_from_slice(rolled);
            place = mixed(place ^ u64::from_le_bytes(word));
        }
        Self((place >> 32) as u32)
    }
}

impl Seen {
    pub(crate) fn new(budget: &MemoryBudget) -> Self {
        Self {
            shares: None,
            blocks: None,
            place: budget.place_for_job(),
        }
    }

    pub(crate) fn shares(&self) -> usize {
        len(self.shares.as_deref())
    }

    pub(crate) fn blocks(&self) -> usize {
        len(self.blocks.as_deref())
    }

    /// Asks for the memory at `place`, so that it is at hand for [`Self::note_share`] when the hash is there.
    /// Where a job has many shares it is in no cache, and takes as long to come as a header to hash.
    #[inline]
    pub(crate) fn approach(&self, place: Place) {
        if let Some(shares) = &self.shares {
            black_box(shares.glance(place));
        }
    }

    #[inline]
    pub(crate) fn note_share(&mut self, hash: &BlockHash, place: Place) -> Noted {
        let shares = self.shares.get_or_insert_default();
        note(shares, self.place.budget().shares(), hash, place)
    }

    pub(crate) fn note_block(&mut self, hash: &BlockHash, place: Place) -> Noted {
        let blocks = self.blocks.get_or_insert_default();
        note(blocks, self.place.budget().blocks(), hash, place)
    }

    /// Forgets the shares, and frees their memory.
    pub(crate) fn clear_shares(&mut self) {
        self.place.budget().shares().give_back(self.shares());
        self.shares = None;
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.clear_shares();
        self.place.budget().blocks().give_back(self.blocks());
    }
}

fn len(hashes: Option<&Table>) -> usize {
    hashes.map_or(0, Table::len)
}

#[inline]
fn note(hashes: &mut Table, room: &Room, hash: &BlockHash, place: Place) -> Noted {
    hashes.make_room();
    match hashes.find(hash, place) {
        Spot::Taken => Noted::Known,
        Spot::Free(free) if room.draw() => {
            hashes.put(free, hash, place);
            Noted::New
        }
        Spot::Free(_) | Spot::None => Noted::NoRoom,
    }
}

/// Spreads words that differ in a few bits over all of them.
fn mixed(word: u64) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let product = u128::from(word ^ ODD.rotate_left(32)) * u128::from(ODD);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use headframe_work::UnixTime;

    use super::*;
    use crate::JobId;

    fn share(nonce: u32, time: u32, version: u32, extranonce: &[u8]) -> Share<'_> {
        Share {
            job_id: JobId::new(1).expect("not 0"),
            version,
            time: UnixTime::from_secs(time),
            nonce,
            extranonce,
        }
    }

    /// However a device goes through its headers, its shares do not crowd: of 4,096 in as many places
    /// some 63 % are taken.
    #[test]
    fn places_are_spread_whatever_is_rolled() {
        let extranonces: Vec<_> = (0..4_096_u64).map(u64::to_be_bytes).collect();
        type Roll<'a> = &'a dyn Fn(u32) -> Share<'a>;
        let rolls: [Roll<'_>; 5] = [
            &|step| share(step, 1_800_000_000, 0x2000_0000, &[]),
            &|step| share(step << 20, 1_800_000_000, 0x2000_0000, &[]),
            &|step| share(7, 1_800_000_000 + step, 0x2000_0000, &[]),
            &|step| share(7, 1_800_000_000, 0x2000_0000 | step << 13, &[]),
            &|step| share(7, 1_800_000_000, 0x2000_0000, &extranonces[step as usize]),
        ];
        for (number, roll) in rolls.iter().enumerate() {
            let mut taken = [false; 4_096];
            (0..4_096).for_each(|step| taken[(Place::of(&roll(step)).0 >> 20) as usize] = true);
            let taken = taken.iter().filter(|it| **it).count();
            assert!((2_300..=4_096).contains(&taken), "{number}: {taken}");
        }
    }

    #[test]
    fn a_place_tells_all_apart_that_a_share_names() {
        let first = Place::of(&share(1, 2, 3, &[4, 5]));
        for other in [
            share(2, 2, 3, &[4, 5]),
            share(1, 3, 3, &[4, 5]),
            share(1, 2, 2, &[4, 5]),
            share(1, 2, 3, &[5, 4]),
        ] {
            assert_ne!(Place::of(&other), first);
        }
    }
}
