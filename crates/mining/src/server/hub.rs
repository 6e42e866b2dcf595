//! What all sessions of a pool work on, and the extranonce space that they share.
//!
//! Not here: how long a template waits before it is worked on, which [`super::refresh`] says.

use std::sync::Arc;
use std::time::Instant;

use bitcoin::{BlockHash, CompactTarget};
use headframe_channels::{
    DifficultyMemory, ExtranoncePrefix, ExtranonceSpace, JobId, NetworkClock, Past,
};
use headframe_work::{
    KeptVersion, PreparedTemplate, Template, TemplateError, UnixTime, VersionBits,
};

use super::parking::Parking;
use super::refresh::{RENUMBER_AFTER, wait_for};
use super::{JobIds, ParkedSession, SessionId};

/// How far the earliest time of an announced tip's next block may be ahead of the network's clock, in seconds: no
/// further than nodes let it be.
const MOST_AHEAD: u32 = 7_200;

/// The one owner of a pool's shared state.
#[derive(Debug)]
pub struct Hub {
    job_ids: JobIds,
    space: ExtranonceSpace,
    work: Option<Arc<PoolWork>>,
    /// When the present work was made.
    since: Option<Instant>,
    /// The node's newest template, until it is worked on.
    waiting: Option<NewTemplate>,
    /// What is staged for the block after the present one.
    next: Option<Arc<NextWork>>,
    /// Whether anything is to be.
    is_staging: bool,
    /// What was worked on before a tip was begun without a template, while none has come.
    ahead: Option<Ahead>,
    memory: DifficultyMemory,
    parking: Parking,
    version_bits: VersionBits,
    kept_version: Option<KeptVersion>,
}

/// A template as the node gave it, with what is known of its time.
#[derive(Debug, Clone)]
pub struct NewTemplate {
    /// The template.
    pub template: Arc<Template>,
    /// When the node's answer arrived.
    pub received: Instant,
    /// The earliest header time that the template holds for.
    pub earliest: UnixTime,
    /// The latest, where there is one before the usual two hours into the future.
    pub latest: Option<UnixTime>,
}

/// A block that the node has validated and builds on, told before it has a template on it. The block after it is
/// like the one that was worked on in all but this, its height and its subsidy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnouncedTip {
    /// The block.
    pub hash: BlockHash,
    /// The block that it builds on.
    pub parent: BlockHash,
    /// Its height.
    pub height: u32,
    /// The bits of the block after it.
    pub bits: CompactTarget,
    /// The earliest header time of the block after it.
    pub earliest: UnixTime,
}

/// A tip that was begun without a template.
#[derive(Debug)]
struct Ahead {
    since: Instant,
    /// What was worked on before.
    before: Arc<PoolWork>,
}

/// A template made ready for all sessions, under the number of one fan-out event.
///
/// Each session joins it to its own miners' payouts.
#[derive(Debug, Clone)]
pub struct PoolWork {
    /// The number that the jobs made of this carry.
    pub job_id: JobId,
    /// The template.
    pub prepared: Arc<PreparedTemplate>,
    /// The network's time.
    pub clock: NetworkClock,
    /// The earliest header time.
    pub earliest: UnixTime,
    /// The latest header time, where there is one.
    pub latest: Option<UnixTime>,
    /// How a session begins on the tip if it holds the job that was staged for it.
    pub(crate) start: Option<TipStart>,
    /// What is to be staged for the next tip.
    pub(crate) next: Option<Arc<NextWork>>,
}

/// The empty block that is staged for the tip after the present one.
#[derive(Debug)]
pub(crate) struct NextWork {
    /// Tells it from others; the jobs made of it carry this number or one of their own.
    pub(crate) number: JobId,
    /// Its template, without a previous hash.
    pub(crate) prepared: Arc<PreparedTemplate>,
}

/// What was staged, now that its tip is known.
#[derive(Debug, Clone)]
pub(crate) struct TipStart {
    /// The number under which it was staged.
    pub(crate) number: JobId,
    /// Its template, on the tip.
    pub(crate) prepared: Arc<PreparedTemplate>,
    /// Whether no template is known that could follow.
    pub(crate) is_ahead: bool,
}

impl TipStart {
    fn template(&self) -> &Template {
        self.prepared.template()
    }
}

impl PoolWork {
    /// The block that this work builds on.
    pub fn tip(&self) -> BlockHash {
        self.prepared.template().prev_hash
    }

    /// The header time that a job sent at `now` begins with.
    pub fn time(&self, now: Instant) -> UnixTime {
        self.clock.at(now).max(self.earliest).min(self.last_time())
    }

    /// The latest header time that the template holds for.
    pub(crate) fn last_time(&self) -> UnixTime {
        self.latest.unwrap_or(UnixTime::from_secs(u32::MAX))
    }

    /// Whether this is the empty block that a tip is begun with, which the full one follows.
    pub fn is_start(&self) -> bool {
        let start = self.start.as_ref();
        start.is_some_and(|start| Arc::ptr_eq(&start.prepared, &self.prepared))
    }

    /// Whether this is such a block, and the node has no full one yet.
    pub(crate) fn is_ahead(&self) -> bool {
        self.is_start() && self.start.as_ref().is_some_and(|start| start.is_ahead)
    }
}

impl Hub {
    /// A hub that numbers work by `job_ids`, which all rules of the pool share, and gives out extranonce
    /// prefixes from `first_prefix` on, which is random, so that restarts differ.
    pub fn new(job_ids: JobIds, first_prefix: u32) -> Self {
        Self {
            job_ids,
            space: ExtranonceSpace::new(first_prefix),
            work: None,
            since: None,
            waiting: None,
            next: None,
            is_staging: true,
            ahead: None,
            memory: DifficultyMemory::default(),
            parking: Parking::default(),
            version_bits: VersionBits::default(),
            kept_version: None,
        }
    }

    /// Has no tip begun on a block without transactions: nothing is staged for the next one.
    #[must_use]
    pub fn without_empty_blocks(self) -> Self {
        Self {
            is_staging: false,
            ..self
        }
    }

    /// Has blocks signal so, where their template allows it.
    #[must_use]
    pub fn signalling(self, version_bits: VersionBits) -> Self {
        Self {
            version_bits,
            ..self
        }
    }

    /// The node has another template. It is to be worked on at [`Self::poll_timeout`]; one that comes
    /// before takes its place, so that it is the newest that is worked on, and a node that pushes
    /// templates without end makes no more jobs than another. One that a tip has overtaken which was begun
    /// without a template takes nobody back.
    pub fn offer(&mut self, new: NewTemplate) {
        if !self.is_overtaken(&new) {
            self.waiting = Some(new);
        }
    }

    /// When there is to be other work: [`Self::take_offered`], or [`Self::refresh`] where nothing
    /// was offered. At once where the tip or what a header must be is another one. `None` before the
    /// first template.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (&self.work, self.since, &self.waiting) {
            (_, Some(since), Some(_)) if self.ahead.is_some() => Some(since),
            (Some(work), Some(since), Some(new)) => Some(since + wait_for(work, new)),
            (_, Some(since), None) => Some(since + RENUMBER_AFTER),
            (_, _, waiting) => waiting.as_ref().map(|new| new.received),
        }
    }

    /// The newest template that was offered and is not worked on, to be given to
    /// [`Self::begin_tip`] and [`Self::handle_template`].
    pub fn take_offered(&mut self) -> Option<NewTemplate> {
        self.waiting.take()
    }

    /// The node has a template for another tip: what miners that hold the staged job can begin with
    /// at once, before the template is made ready. `None` if nothing is staged for it, or what is
    /// staged is not what the node says of the block. [`Self::handle_template`] is to follow.
    pub fn begin_tip(&mut self, now: Instant, new: &NewTemplate) -> Option<Arc<PoolWork>> {
        if self.work.as_ref()?.tip() == new.template.prev_hash {
            return None;
        }
        let empty = self
            .version_bits
            .applied_to(Arc::new(new.template.emptied()?));
        let staged = self.next.as_ref()?;
        if !empty.continues(staged.prepared.template()) {
            return None;
        }
        let number = staged.number;
        let prepared = Arc::new(PreparedTemplate::new(empty).ok()?);
        let start = TipStart {
            number,
            prepared: Arc::clone(&prepared),
            is_ahead: false,
        };
        Some(self.publish(now, prepared, new, (Some(start), None)))
    }

    /// The node has told of a tip, and has no template on it yet: what miners can begin with at once. `None` where
    /// that tip is not the one that was worked for, or the block after it may be unlike to what is staged.
    /// Until a template comes that block is all there is, at the longest for as long as
    /// [`Self::take_back`] is put off.
    pub fn begin_ahead(&mut self, now: Instant, tip: &AnnouncedTip) -> Option<Arc<PoolWork>> {
        let before = self.work.clone().filter(|work| !work.is_start())?;
        let (present, next) = (before.prepared.template(), tip.height.checked_add(1)?);
        let is_next = present.prev_hash == tip.parent
            && present.height == tip.height
            && present.bits == tip.bits
            && present.min_time <= tip.earliest
            && present.network.is_like_its_parent(next);
        let staged = self.next.as_ref().filter(|_| is_next)?;
        let clock = before.clock.at(now);
        let empty = Template {
            prev_hash: tip.hash,
            bits: tip.bits,
            min_time: tip.earliest,
            current_time: clock.max(tip.earliest),
            ..staged.prepared.template().clone()
        };
        // A time that the network would not take yet says that the node's clock, or the word of it, is wrong.
        if empty.height != next || empty.current_time.as_secs() - clock.as_secs() > MOST_AHEAD {
            return None;
        }
        let new = NewTemplate {
            template: Arc::new(empty),
            received: now,
            earliest: tip.earliest,
            latest: None,
        };
        let prepared = Arc::new(PreparedTemplate::new(Arc::clone(&new.template)).ok()?);
        let start = TipStart {
            number: staged.number,
            prepared: Arc::clone(&prepared),
            is_ahead: true,
        };
        let work = self.publish(now, prepared, &new, (Some(start), None));
        let since = now;
        self.ahead = Some(Ahead { since, before });
        self.waiting = self.waiting.take().filter(|new| !self.is_overtaken(new));
        Some(work)
    }

    /// Since when a tip is worked on of which no template has come.
    pub fn ahead_since(&self) -> Option<Instant> {
        self.ahead.as_ref().map(|ahead| ahead.since)
    }

    /// No template has come on a tip that was begun without: what was worked on before is again, under another
    /// number.
    pub fn take_back(&mut self, now: Instant) -> Option<Arc<PoolWork>> {
        let Ahead { before, .. } = self.ahead.take()?;
        self.space.handle_new_tip();
        let again = PoolWork {
            job_id: self.job_ids.next(),
            start: None,
            ..PoolWork::clone(&before)
        };
        self.since = Some(now);
        Some(Arc::clone(self.work.insert(Arc::new(again))))
    }

    /// A template is to be worked on.
    ///
    /// # Errors
    ///
    /// When no valid block can be built from it. What was worked on before stays.
    pub fn handle_template(
        &mut self,
        now: Instant,
        new: NewTemplate,
    ) -> Result<Arc<PoolWork>, TemplateError> {
        let template = self.version_bits.applied_to(Arc::clone(&new.template));
        let prepared = PreparedTemplate::new(template)?;
        self.kept_version = self.version_bits.version(&new.template).err();
        self.ahead = None;
        self.stage(prepared.template());
        // What a tip was begun with is for its bits alone.
        let is_same = |start: &TipStart| start.template().same_tip_and_bits(&new.template);
        let before = self.work.as_ref().and_then(|work| work.start.as_ref());
        let start = before.filter(|start| is_same(start)).cloned();
        let next = self.next.clone();
        Ok(self.publish(now, Arc::new(prepared), &new, (start, next)))
    }

    /// No block can be built on the node's template as it is. If it is on another tip than what is
    /// worked on, which is worth nothing then, its block without transactions is worked on.
    pub fn handle_unusable(&mut self, now: Instant, mut new: NewTemplate) -> Option<Arc<PoolWork>> {
        let work = self.work.as_ref();
        if work.is_some_and(|work| work.tip() == new.template.prev_hash && !work.is_start()) {
            return None;
        }
        new.template = Arc::new(new.template.emptied()?);
        self.handle_template(now, new).ok()
    }

    /// Numbers the work anew, so that miners get another search space and a later time while the
    /// node has no new template.
    pub fn refresh(&mut self, now: Instant) -> Option<Arc<PoolWork>> {
        self.expire_parked(now);
        let work = self.work.as_ref()?;
        let again = PoolWork {
            job_id: self.job_ids.next(),
            // What is begun with twice is no beginning: nothing fuller has come.
            start: work.start.clone().filter(|_| !work.is_start()),
            ..PoolWork::clone(work)
        };
        self.since = Some(now);
        Some(Arc::clone(self.work.insert(Arc::new(again))))
    }

    /// What the pool works on.
    pub fn work(&self) -> Option<&Arc<PoolWork>> {
        self.work.as_ref()
    }

    /// Why what the pool works on has the version that the node gave it, in place of what blocks are to signal.
    pub const fn kept_version(&self) -> Option<KeptVersion> {
        self.kept_version
    }

    /// A prefix that no live channel has; `None` when all are out.
    pub fn lease_prefix(&mut self) -> Option<ExtranoncePrefix> {
        self.space.lease()
    }

    /// Takes a closed channel's prefix back.
    pub fn give_back_prefix(&mut self, prefix: ExtranoncePrefix) {
        self.space.give_back(prefix);
    }

    /// The connection of a Stratum V1 session has ended, and its client may come back.
    pub fn park(&mut self, now: Instant, session: ParkedSession) {
        let gone = self.parking.park(now, session);
        self.give_back(gone);
    }

    /// The session that a client wants to go on with. None while its connection lasts, after it was
    /// resumed, and after two minutes.
    pub fn resume(&mut self, now: Instant, id: SessionId) -> Option<ParkedSession> {
        self.parking.resume(now, id)
    }

    /// How many sessions may be resumed.
    pub fn sessions_parked(&self) -> usize {
        self.parking.len()
    }

    /// What is known now of the miner that calls itself `user`.
    pub fn remember(&mut self, user: Arc<str>, past: Box<Past>) {
        self.memory.remember(user, past);
    }

    /// What was known of the miner that calls itself `user` when it was here last.
    pub fn recall(&self, now: Instant, user: &str) -> Option<&Past> {
        self.memory.recall(now, user)
    }

    /// How many prefixes are out.
    pub fn prefixes_in_use(&self) -> usize {
        self.space.in_use()
    }

    /// Whether a template is for the tip before one that was begun without, and from before its announcement.
    fn is_overtaken(&self, new: &NewTemplate) -> bool {
        self.ahead.as_ref().is_some_and(|ahead| {
            new.template.prev_hash == ahead.before.tip() && new.received <= ahead.since
        })
    }

    fn expire_parked(&mut self, now: Instant) {
        let gone = self.parking.expire(now);
        self.give_back(gone);
    }

    fn give_back(&mut self, prefixes: Vec<ExtranoncePrefix>) {
        let prefixes = prefixes.into_iter();
        prefixes.for_each(|prefix| self.give_back_prefix(prefix));
    }

    /// Keeps what is staged if it still is the next block, and stages another if not.
    fn stage(&mut self, present: &Template) {
        let next = present.next_emptied().filter(|_| self.is_staging);
        let is_staged =
            |staged: &Arc<NextWork>, next: &Template| next.continues(staged.prepared.template());
        self.next = match (self.next.take(), next) {
            (Some(staged), Some(next)) if is_staged(&staged, &next) => Some(staged),
            (_, next) => next.and_then(|next| {
                let prepared = Arc::new(PreparedTemplate::new(next).ok()?);
                let number = self.job_ids.next();
                Some(Arc::new(NextWork { number, prepared }))
            }),
        };
    }

    fn publish(
        &mut self,
        now: Instant,
        prepared: Arc<PreparedTemplate>,
        new: &NewTemplate,
        (start, next): (Option<TipStart>, Option<Arc<NextWork>>),
    ) -> Arc<PoolWork> {
        self.expire_parked(now);
        let tip = new.template.prev_hash;
        if self.work.as_ref().is_some_and(|work| work.tip() != tip) {
            self.space.handle_new_tip();
        }
        let work = PoolWork {
            job_id: self.job_ids.next(),
            prepared,
            clock: NetworkClock::new(new.template.current_time, new.received),
            earliest: new.earliest,
            latest: new.latest,
            start,
            next,
        };
        self.since = Some(now);
        Arc::clone(self.work.insert(Arc::new(work)))
    }
}
