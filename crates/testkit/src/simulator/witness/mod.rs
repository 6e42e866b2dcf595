//! The invariants of the whole pool. What concerns one connection is in [`sv2`] and [`sv1`].

mod account;
mod generations;
mod parked;
pub(super) mod sv1;
pub(super) mod sv2;
mod verdict;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, ScriptBuf, consensus};
use headframe_channels::{ExtranoncePrefix, RejectReason};
use headframe_mining::server::{FoundBlock, PoolWork, SessionEvent, ShareEvent};
use headframe_work::PreparedTemplate;

use self::generations::Generations;
use self::parked::Parked;
use super::ledger::Tally;

/// What is wrong, with the rule that it is against.
pub(super) type Violation = String;

/// A tip that stayed for this long was seen by every session.
const SEEN_WITHIN: Duration = Duration::from_secs(10);
/// Templates of one tip that may be held though they were replaced long ago: what a channel holds
/// whatever its age, and as many that other channels hold.
const OLD_TEMPLATES: usize = 64;
/// Longer than a channel remembers a job that was replaced.
const LONG_AGO: Duration = Duration::from_secs(150);

/// What is true of the whole pool at any time.
#[derive(Debug)]
pub(super) struct Witness {
    prefixes: HashMap<ExtranoncePrefix, Place>,
    /// How many of these rest.
    resting: usize,
    /// Prefixes on the wire, by the channel that has them.
    on_wire: HashMap<[u8; 4], (u64, u32)>,
    spaces: Generations<u64, ()>,
    numbers: Generations<u32, Purpose>,
    credited: Generations<BlockHash, ()>,
    parked: Parked,
    blocks: HashSet<BlockHash>,
    templates: VecDeque<Published>,
    tips: VecDeque<(BlockHash, Instant)>,
    pub(super) accepted: Tally,
    pub(super) acknowledged: u64,
    pub(super) not_durable: u64,
    /// Accepted shares of channels and connections that were gone before the answer.
    pub(super) unanswered: u64,
    pub(super) rejected: BTreeMap<RejectReason, u64>,
}

/// Where a prefix is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Leased(u64),
    /// With a session that may be gone on with.
    Parked,
    /// On its way back.
    Returning,
    /// Back, on a tip for which a job with it may be creditable.
    Resting,
}

/// What a job's number was drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The whole pool's work.
    Published,
    /// A job that is sent ahead of its tip.
    Staged,
    /// One channel's.
    Own(u64, u32),
}

#[derive(Debug)]
struct Published {
    template: Weak<PreparedTemplate>,
    tip: BlockHash,
    at: Instant,
}

/// What a session told the pool in one step.
#[derive(Default)]
pub(super) struct Heard<'a> {
    pub(super) block: Option<&'a FoundBlock>,
    pub(super) share: Option<ShareEvent>,
    pub(super) not_durable: u32,
    pub(super) is_jobless: bool,
}

impl fmt::Debug for Heard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let block = self.block.map(|found| found.hash);
        write!(f, "heard of block {block:?} and share {:?}", self.share)
    }
}

impl<'a> Heard<'a> {
    /// Sorts `events`. A block comes before all but the news of whose it is; there is no more than one
    /// block, and one share, at a time.
    pub(super) fn of(events: &'a [SessionEvent]) -> Result<Self, Violation> {
        let mut heard = Self::default();
        let mut is_late = false;
        for event in events {
            match event {
                SessionEvent::Block(_) if is_late => {
                    return Err("R-19: a block is not the first event".to_owned());
                }
                SessionEvent::Block(found) => {
                    ensure(heard.block.is_none(), || {
                        "two blocks of one share".to_owned()
                    })?;
                    heard.block = Some(found);
                }
                SessionEvent::Share(share) => {
                    ensure(heard.share.is_none(), || {
                        "a share is counted twice".to_owned()
                    })?;
                    heard.share = Some(*share);
                }
                SessionEvent::NotDurable { shares, .. } => heard.not_durable += shares,
                SessionEvent::NoJob { .. } => heard.is_jobless = true,
                SessionEvent::Joined(_)
                | SessionEvent::Left { .. }
                | SessionEvent::Vacated { .. }
                | SessionEvent::NameRefused { .. }
                | SessionEvent::PasswordRefused { .. }
                | SessionEvent::Difficulty { .. }
                | SessionEvent::Learnt { .. }
                | SessionEvent::LongCoinbase { .. }
                | SessionEvent::PrefixReturned(_)
                | SessionEvent::Parked(_) => {}
            }
            is_late |= !matches!(
                event,
                SessionEvent::Joined(_) | SessionEvent::Vacated { .. } | SessionEvent::Block(_)
            );
        }
        Ok(heard)
    }
}

impl Witness {
    pub(super) fn new() -> Self {
        Self {
            prefixes: HashMap::new(),
            resting: 0,
            on_wire: HashMap::new(),
            spaces: Generations::new(),
            numbers: Generations::new(),
            credited: Generations::new(),
            parked: Parked::default(),
            blocks: HashSet::new(),
            templates: VecDeque::new(),
            tips: VecDeque::new(),
            accepted: Tally::default(),
            acknowledged: 0,
            not_durable: 0,
            unanswered: 0,
            rejected: BTreeMap::new(),
        }
    }

    /// The hub has published `work`.
    pub(super) fn publish(&mut self, now: Instant, work: &Arc<PoolWork>) -> Result<(), Violation> {
        let id = work.job_id.get();
        ensure(self.numbers.insert(id, Purpose::Published), || {
            format!("R-10: the number {id} of the pool's work was used before")
        })?;
        self.expire(now);
        let tip = work.tip();
        if self.tips.back().is_none_or(|(last, _)| *last != tip) {
            self.tips.push_back((tip, now));
            self.prefixes.retain(|_, place| *place != Place::Resting);
            self.resting = 0;
        }
        let is_new = |last: &Published| last.template.as_ptr() != Arc::as_ptr(&work.prepared);
        if self.templates.back().is_none_or(is_new) {
            self.templates.push_back(Published {
                template: Arc::downgrade(&work.prepared),
                tip,
                at: now,
            });
        }
        Ok(())
    }

    pub(super) fn lease(&mut self, prefix: ExtranoncePrefix, to: u64) -> Result<(), Violation> {
        match self.prefixes.insert(prefix, Place::Leased(to)) {
            None => Ok(()),
            Some(place) => Err(format!("R-6: {prefix:?} is leased while it is {place:?}")),
        }
    }

    /// A session gives a prefix back.
    pub(super) fn release(&mut self, prefix: ExtranoncePrefix, by: u64) -> Result<(), Violation> {
        match self.prefixes.insert(prefix, Place::Returning) {
            Some(Place::Leased(to)) if to == by => Ok(()),
            place => Err(format!("{prefix:?} comes back while it is {place:?}")),
        }
    }

    /// A session has ended that its client may go on with.
    pub(super) fn park(
        &mut self,
        now: Instant,
        (prefix, by): (ExtranoncePrefix, u64),
        past: sv1::Past,
    ) -> Result<(), Violation> {
        match self.prefixes.insert(prefix, Place::Parked) {
            Some(Place::Leased(to)) if to == by => {}
            place => return Err(format!("R-7: {prefix:?} is left while it is {place:?}")),
        }
        self.parked.leave(now, prefix, past);
        self.expire(now);
        Ok(())
    }

    /// Such a session goes on over another connection.
    pub(super) fn resume(
        &mut self,
        prefix: ExtranoncePrefix,
        to: u64,
    ) -> Result<sv1::Past, Violation> {
        let place = self.prefixes.insert(prefix, Place::Leased(to));
        let past = self.parked.take(prefix, to);
        past.filter(|_| place == Some(Place::Parked))
            .ok_or_else(|| format!("R-7: {prefix:?} is resumed while it is {place:?}"))
    }

    /// How many sessions went on.
    pub(super) fn resumed(&self) -> u64 {
        self.parked.resumed
    }

    fn expire(&mut self, now: Instant) {
        for prefix in self.parked.expire(now) {
            self.rest(prefix);
        }
    }

    /// The hub has a prefix back.
    pub(super) fn rest(&mut self, prefix: ExtranoncePrefix) {
        if self.prefixes.insert(prefix, Place::Resting) != Some(Place::Resting) {
            self.resting += 1;
        }
    }

    /// Blocks that were handed out.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// How many prefixes are out.
    pub(super) fn prefixes(&self) -> usize {
        self.prefixes.len() - self.resting
    }

    /// A channel is told its prefix.
    fn assign(&mut self, prefix: &[u8], to: (u64, u32)) -> Result<(), Violation> {
        let prefix: [u8; 4] = prefix
            .first_chunk()
            .copied()
            .ok_or("R-11: a prefix of fewer than four bytes")?;
        match self.on_wire.insert(prefix, to) {
            None => Ok(()),
            Some(other) => Err(format!(
                "R-6: channels {other:?} and {to:?} have the prefix {prefix:02x?}"
            )),
        }
    }

    fn unassign(&mut self, prefix: &[u8]) {
        if let Some(prefix) = prefix.first_chunk::<4>() {
            self.on_wire.remove(prefix);
        }
    }

    /// A channel is given a place to search in, named by all that is hashed before what it may change.
    fn search(&mut self, parts: &[&[u8]]) -> Result<(), Violation> {
        let mut hasher = DefaultHasher::new();
        parts.hash(&mut hasher);
        ensure(self.spaces.insert(hasher.finish(), ()), || {
            "R-6: two channels, or two jobs, share work".to_owned()
        })
    }

    /// A job with this number goes to a channel or group.
    fn number(&mut self, id: u32, is_future: bool, to: (u64, u32)) -> Result<(), Violation> {
        let purpose = match is_future {
            true => Purpose::Staged,
            false => Purpose::Own(to.0, to.1),
        };
        match self.numbers.get(&id) {
            Some(Purpose::Published) => Ok(()),
            Some(Purpose::Staged) if is_future => Ok(()),
            Some(other) => Err(format!(
                "R-10: number {id} is {other:?} and goes to {to:?} as {purpose:?}"
            )),
            None => {
                self.numbers.insert(id, purpose);
                Ok(())
            }
        }
    }

    /// A share was credited.
    fn credit(&mut self, share: &ShareEvent) -> Result<(), Violation> {
        match share.outcome {
            Ok(credit) => {
                let work = credit.work();
                self.accepted.add(Tally { shares: 1, work });
                ensure(self.credited.insert(credit.hash, ()), || {
                    format!("R-6, R-18: {} was credited before", credit.hash)
                })
            }
            Err(reason) => {
                *self.rejected.entry(reason).or_default() += 1;
                Ok(())
            }
        }
    }

    /// A block was handed out. It is one, nobody had it before, and it pays `script`.
    fn take_block(&mut self, found: &FoundBlock, script: &ScriptBuf) -> Result<(), Violation> {
        ensure(self.blocks.insert(found.hash), || {
            format!("block {} is handed out twice", found.hash)
        })?;
        let block: bitcoin::Block = consensus::deserialize(&found.block.to_bytes())
            .map_err(|error| format!("a block that is none: {error}"))?;
        let is_sound = block.block_hash().to_byte_array() == found.hash.to_byte_array()
            && block.check_merkle_root()
            && block.check_witness_commitment();
        ensure(is_sound, || format!("block {} is not sound", found.hash))?;
        let outputs = &block
            .txdata
            .first()
            .ok_or("a block without a coinbase")?
            .output;
        ensure(
            outputs.iter().any(|out| out.script_pubkey == *script),
            || format!("R-1: block {} pays somebody else", found.hash),
        )
    }

    /// What is held of templates that are no longer worked on.
    pub(super) fn check_memory(&mut self, now: Instant) -> Result<(), Violation> {
        self.templates
            .retain(|published| published.template.strong_count() > 0);
        self.forget_tips(now);
        let mut held = self.templates.iter();
        let stray = held.find(|it| {
            let is_kept = self.tips.iter().any(|(tip, _)| *tip == it.tip);
            !is_kept && !self.parked.hold(it.tip.to_byte_array())
        });
        if let Some(template) = stray.and_then(|stray| stray.template.upgrade()) {
            let transactions = template.template().transactions.len();
            return Err(format!(
                "memory: a template of an old tip is held, with {transactions} transactions"
            ));
        }
        let is_old = |it: &&Published| now.saturating_duration_since(it.at) > LONG_AGO;
        let old = self.templates.iter().filter(is_old).count();
        ensure(old <= OLD_TEMPLATES * self.tips.len(), || {
            format!("memory: {old} templates are held that were replaced long ago")
        })
    }

    /// Forgets the tips before the last one but one that every session has seen: no channel holds a
    /// job for them.
    fn forget_tips(&mut self, now: Instant) {
        let ends = self.tips.iter().skip(1).map(|(_, began)| *began);
        let ends = ends.chain([now]);
        let stayed = self.tips.iter().zip(ends);
        let seen = stayed.map(|((_, began), end)| end - *began >= SEEN_WITHIN);
        let seen: Vec<usize> = (0..).zip(seen).filter(|it| it.1).map(|it| it.0).collect();
        let is_present_seen = seen.last().is_some_and(|last| last + 1 == self.tips.len());
        if let [.., before, _] = seen[..]
            && is_present_seen
        {
            self.tips.drain(..before);
        }
    }

    /// After the end of all sessions and of the hub: nothing is held.
    pub(super) fn check_end(&self) -> Result<(), Violation> {
        let held = self.templates.iter();
        let held = held.filter(|it| it.template.strong_count() > 0).count();
        ensure(held == 0, || {
            format!("memory: {held} templates are held at the end")
        })?;
        ensure(self.on_wire.is_empty(), || {
            "channels are left at the end".to_owned()
        })?;
        let left = self.prefixes.values();
        let left = left.filter(|place| **place != Place::Resting).count();
        ensure(left == 0, || format!("{left} prefixes did not come back"))
    }
}

pub(super) fn ensure(
    is_true: bool,
    violation: impl FnOnce() -> Violation,
) -> Result<(), Violation> {
    match is_true {
        true => Ok(()),
        false => Err(violation()),
    }
}
