//! The jobs that a channel knows, each with the target it was given.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use headframe_work::{Job, PreparedTemplate, Rung, Template, UnixTime};

use crate::recipe::Recipe;
use crate::seen::{Noted, Place, Seen};
use crate::{JobId, MemoryBudget};

/// Jobs that a channel remembers, whatever their age. Each holds on to its template, which is up to
/// 4 MB; all channels of a pool hold the same ones.
const KEPT_JOBS: usize = 16;
/// Jobs that were replaced less than this ago are remembered too: longer than any device takes to
/// submit what it found, and than a proxy's miners take to follow.
const KEPT_FOR: Duration = Duration::from_secs(120);
/// Jobs that a channel remembers, whatever their age, where the connection has very many: what is
/// sent in [`KEPT_FOR`] when nobody asks for more.
const KEPT_IN_A_CROWD: usize = 4;
/// More jobs than this are not remembered, however young: twice what a channel gets in
/// [`KEPT_FOR`] at one job per second.
const MAX_JOBS: usize = 256;
/// Shares that one job can hold before it is retired. A device that finds 20 a minute gets
/// nowhere near; it bounds a flood to about 2 MB per job.
const MAX_SHARES_PER_JOB: usize = 1 << 16;
/// Shares that the jobs before the newest can hold together. The oldest is retired above it.
const MAX_OLD_SHARES: usize = 1 << 16;
/// How far a header time may run ahead of the network's time. Consensus says 7,200 s; a minute is
/// kept for the clocks of other nodes.
const MAX_TIME_AHEAD: Duration = Duration::from_secs(7_200 - 60);

/// A job as one channel was given it.
#[derive(Debug)]
pub struct ChannelJob {
    id: JobId,
    prepared: Arc<PreparedTemplate>,
    /// The job itself, made again when shares come whose extranonces are rolled. Most jobs of most miners
    /// see none.
    job: Option<Box<Job>>,
    /// The target's rung, frozen when the job was sent (MP-122).
    rung: Rung,
    /// The earliest header time that is accepted.
    min_time: UnixTime,
    /// The latest that the template holds for.
    max_time: UnixTime,
    /// The merkle root, where the miner cannot change it: on a standard channel. Boxed, since others would
    /// have its room four times over.
    merkle_root: Option<Box<[u8; 32]>>,
    sent: Instant,
    network_time: Reading,
    /// The shares that were credited, which are freed when the job is retired, since none is credited then;
    /// and the blocks, which are found on a retired job too.
    seen: Seen,
    state: JobState,
}

/// What a share of a job can still earn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JobState {
    /// For the current tip.
    Live,
    /// For an older tip, or retired: not credited any more, but still tested for a block.
    Stale,
}

/// The network's idea of time, carried on by a monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkClock {
    time: UnixTime,
    at: Instant,
}

impl NetworkClock {
    /// It was `time` on the network at the instant `at`.
    pub const fn new(time: UnixTime, at: Instant) -> Self {
        Self { time, at }
    }

    /// The network's time at `now`.
    pub fn at(&self, now: Instant) -> UnixTime {
        self.time
            .saturating_add(now.saturating_duration_since(self.at))
    }

    fn read(&self, now: Instant) -> Reading {
        Reading {
            time: self.at(now),
            nanos: now.saturating_duration_since(self.at).subsec_nanos(),
        }
    }
}

/// What the clock said when a job was sent: the clock itself, in a third of its room.
#[derive(Debug, Clone, Copy)]
struct Reading {
    time: UnixTime,
    nanos: u32,
}

impl Reading {
    /// The network's time at `now`, when this was read at `then`.
    #[inline]
    fn at(self, then: Instant, now: Instant) -> UnixTime {
        let since = now.saturating_duration_since(then) + Duration::from_nanos(self.nanos.into());
        self.time.saturating_add(since)
    }
}

/// What a job is sent with.
#[derive(Debug, Clone, Copy)]
pub struct JobTerms {
    /// The id that shares name.
    pub id: JobId,
    /// The rung that shares must meet.
    pub rung: Rung,
    /// The earliest header time that is accepted.
    pub min_time: UnixTime,
    /// The latest header time that the template's bits hold for, where there is one (testnet4).
    pub max_time: Option<UnixTime>,
    /// The network's time.
    pub clock: NetworkClock,
    /// When the job is sent.
    pub sent: Instant,
}

impl ChannelJob {
    pub(crate) fn new(
        terms: JobTerms,
        prepared: Arc<PreparedTemplate>,
        merkle_root: Option<Box<[u8; 32]>>,
        budget: &MemoryBudget,
    ) -> Self {
        let JobTerms {
            id,
            rung,
            min_time,
            max_time,
            clock,
            sent,
        } = terms;
        Self {
            id,
            prepared,
            job: None,
            rung,
            min_time,
            max_time: max_time.unwrap_or(UnixTime::from_secs(u32::MAX)),
            merkle_root,
            sent,
            network_time: clock.read(sent),
            seen: Seen::new(budget),
            state: JobState::Live,
        }
    }

    /// The id that shares name.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The template that it was made of.
    pub fn prepared(&self) -> &Arc<PreparedTemplate> {
        &self.prepared
    }

    /// The rung that its shares must meet.
    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// The earliest header time that is accepted.
    pub fn min_time(&self) -> UnixTime {
        self.min_time
    }

    /// The merkle root, on a standard channel.
    pub fn merkle_root(&self) -> Option<[u8; 32]> {
        self.merkle_root.as_deref().copied()
    }

    /// When it was sent.
    pub fn sent(&self) -> Instant {
        self.sent
    }

    /// The template of [`Self::prepared`].
    pub fn template(&self) -> &Template {
        self.prepared.template()
    }

    /// The job itself, made again if it is not at hand.
    pub(crate) fn remade(&self, recipe: &Recipe) -> Job {
        match &self.job {
            Some(job) => Job::clone(job),
            None => remade(recipe, &self.prepared, self.id),
        }
    }

    /// The job itself, which is at hand from now on.
    #[inline]
    pub(crate) fn at_hand(&mut self, recipe: &Recipe) -> &Job {
        let Self {
            id, prepared, job, ..
        } = self;
        job.get_or_insert_with(|| {
            let job = Box::new(remade(recipe, prepared, *id));
            job.expect_extranonces();
            job
        })
    }

    /// The block that it builds on.
    pub fn tip(&self) -> BlockHash {
        self.template().prev_hash
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.state == JobState::Stale
    }

    /// The latest header time that is accepted at `now`.
    #[inline]
    pub(crate) fn max_time(&self, now: Instant) -> UnixTime {
        let ahead = self.network_time.at(self.sent, now);
        ahead.saturating_add(MAX_TIME_AHEAD).min(self.max_time)
    }

    /// A share is about to be hashed that is kept at `place`.
    #[inline]
    pub(crate) fn approach_share(&self, place: Place) {
        self.seen.approach(place);
    }

    /// Remembers a share.
    #[inline]
    pub(crate) fn note_share(&mut self, hash: &BlockHash, place: Place) -> Noted {
        self.seen.note_share(hash, place)
    }

    /// Remembers a block. One that there is no room for is to be taken for a new one: a node that
    /// gets a block twice says so, one that does not get it cannot.
    pub(crate) fn note_block(&mut self, hash: &BlockHash, place: Place) -> Noted {
        self.seen.note_block(hash, place)
    }

    /// Whether the job has taken all the shares that it can remember.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.seen.shares() + self.seen.blocks() >= MAX_SHARES_PER_JOB
    }

    pub(crate) fn holds_shares(&self) -> bool {
        self.seen.shares() > 0
    }

    pub(crate) fn retire(&mut self) {
        self.state = JobState::Stale;
        self.seen.clear_shares();
        self.job = None;
    }
}

/// A job that was made before, of the same parts.
fn remade(recipe: &Recipe, prepared: &Arc<PreparedTemplate>, id: JobId) -> Job {
    let job = recipe.job(prepared, id);
    job.expect("what was made of these parts can be made of them again")
}

/// The jobs of one channel, newest last.
#[derive(Debug)]
pub(crate) struct JobTable {
    jobs: VecDeque<ChannelJob>,
    budget: MemoryBudget,
}

impl JobTable {
    pub(crate) const fn new(budget: MemoryBudget) -> Self {
        let jobs = VecDeque::new();
        Self { jobs, budget }
    }

    pub(crate) const fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// Adds a job. One for another tip makes those before it stale, and drops those that were for
    /// an older tip already: the last tip's jobs are kept, since a share that comes late for them
    /// may be a block.
    pub(crate) fn insert(&mut self, job: ChannelJob) {
        let (new_tip, now) = (job.tip(), job.sent);
        if let Some(last_tip) = self.newest().map(ChannelJob::tip)
            && last_tip != new_tip
        {
            self.jobs.retain_mut(|old| {
                // A tip can come back: what was sent for it is still good for a block.
                let is_kept = old.tip() == last_tip || old.tip() == new_tip;
                if is_kept {
                    old.retire();
                }
                is_kept
            });
        }
        self.jobs.retain(|old| old.id != job.id);
        self.jobs.push_back(job);
        while self.has_too_many(now) {
            self.jobs.pop_front();
        }
        self.bound_old_shares();
    }

    #[inline]
    pub(crate) fn find(&self, id: JobId) -> Option<&ChannelJob> {
        self.jobs.iter().rev().find(|job| job.id == id)
    }

    #[inline]
    pub(crate) fn find_mut(&mut self, id: JobId) -> Option<&mut ChannelJob> {
        self.jobs.iter_mut().rev().find(|job| job.id == id)
    }

    pub(crate) fn newest(&self) -> Option<&ChannelJob> {
        self.jobs.back()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut ChannelJob> {
        self.jobs.iter_mut()
    }

    /// Whether the oldest job is to be forgotten at `now`.
    fn has_too_many(&self, now: Instant) -> bool {
        let replaced = self.jobs.get(1).map_or(now, |job| job.sent);
        let is_old = now.saturating_duration_since(replaced) >= KEPT_FOR;
        match self.jobs.len() {
            len if len > MAX_JOBS => true,
            len if len > KEPT_JOBS => is_old || self.budget.is_crowded(),
            len => len > KEPT_IN_A_CROWD && self.budget.is_crowded(),
        }
    }

    fn bound_old_shares(&mut self) {
        let mut shares = 0;
        for job in self.jobs.iter_mut().rev().skip(1) {
            shares += job.seen.shares();
            if shares > MAX_OLD_SHARES {
                job.retire();
            }
        }
    }
}
