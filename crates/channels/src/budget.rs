//! The memory of one connection: what its channels may remember together.
//!
//! Not what one job or one channel may remember, which [`crate::jobs`] says: a connection has
//! thousands of channels, and one that means harm has all it can get.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Channel, ChannelJob};

/// Shares that the creditable jobs of a connection hold together: 20 a minute of each of ten thousand
/// miners for the two minutes that a job is remembered, and a quarter more. They take at most some
/// 40 bytes each, where jobs hold many.
const MAX_SHARES: usize = 1 << 19;
/// Blocks that the jobs of a connection hold together. They have proof of work, and go with their tip.
const MAX_BLOCKS: usize = 1 << 12;
/// A connection whose channels have more jobs than this remembers few for each of them. Ten thousand
/// channels have six each before it comes to that.
const CROWD: usize = 1 << 16;

/// What the channels of one connection may remember together. Clones are the same budget.
///
/// Each job draws from it for what it remembers and gives it back when it is retired or forgotten,
/// so that nobody has to count. Whoever judges shares calls [`Self::make_room`] when no more fits; a
/// job that has to remember one more before that is retired, so that no share is ever credited twice.
#[derive(Debug, Clone)]
pub struct MemoryBudget(Arc<Rooms>);

#[derive(Debug)]
struct Rooms {
    shares: Room,
    blocks: Room,
    jobs: Room,
}

/// What is remembered of a kind, and how many of it there is room for.
#[derive(Debug)]
pub(crate) struct Room {
    used: AtomicUsize,
    limit: usize,
}

/// What a job holds while it is remembered.
#[derive(Debug)]
pub(crate) struct JobPlace(MemoryBudget);

impl Default for MemoryBudget {
    fn default() -> Self {
        Self::of_shares(MAX_SHARES)
    }
}

impl MemoryBudget {
    /// A budget of `shares` shares. [`Self::default`] is what a connection has.
    pub fn of_shares(shares: usize) -> Self {
        Self(Arc::new(Rooms {
            shares: Room::new(shares),
            blocks: Room::new(MAX_BLOCKS),
            jobs: Room::new(CROWD),
        }))
    }

    /// Shares that are remembered now.
    pub fn remembered(&self) -> usize {
        self.shares().used()
    }

    /// Whether no share more fits, so that room is to be made.
    pub fn is_used_up(&self) -> bool {
        self.shares().used() >= self.shares().limit
    }

    /// Retires jobs of `channels`, those that were sent first before all others, until a quarter of
    /// the budget is free. A channel whose newest job was among them needs another one.
    ///
    /// `channels` are all that draw from this budget. Goes through all their jobs, which is seldom:
    /// as many shares as a quarter of the budget come in between.
    pub fn make_room<'a>(&self, channels: impl Iterator<Item = &'a mut Channel>) {
        let jobs = channels.flat_map(Channel::jobs_mut);
        let mut jobs: Vec<&mut ChannelJob> = jobs.filter(|job| job.holds_shares()).collect();
        jobs.sort_by_key(|job| job.sent());
        let Room { limit, .. } = self.shares();
        for job in jobs {
            if self.remembered() <= limit - limit.div_ceil(4) {
                return;
            }
            job.retire();
        }
    }

    /// Whether the channels have so many jobs that each is to remember few.
    pub(crate) fn is_crowded(&self) -> bool {
        self.0.jobs.used() > self.0.jobs.limit
    }

    pub(crate) fn shares(&self) -> &Room {
        &self.0.shares
    }

    pub(crate) fn blocks(&self) -> &Room {
        &self.0.blocks
    }

    /// A place for a job, which a channel must have, be there room or not.
    pub(crate) fn place_for_job(&self) -> JobPlace {
        self.0.jobs.insist();
        JobPlace(self.clone())
    }
}

impl JobPlace {
    /// What it was drawn from.
    pub(crate) const fn budget(&self) -> &MemoryBudget {
        &self.0
    }
}

impl Drop for JobPlace {
    fn drop(&mut self) {
        self.0.0.jobs.give_back(1);
    }
}

impl Room {
    const fn new(limit: usize) -> Self {
        let used = AtomicUsize::new(0);
        Self { used, limit }
    }

    fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes a place; false when there is none.
    #[inline]
    pub(crate) fn draw(&self) -> bool {
        let another = |used: usize| (used < self.limit).then_some(used + 1);
        let drawn = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, another);
        drawn.is_ok()
    }

    /// Takes a place, be there one or not.
    fn insist(&self) {
        self.used.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&self, places: usize) {
        self.used.fetch_sub(places, Ordering::Relaxed);
    }
}
