//! A channel: one miner's stream of jobs and shares.

use std::sync::Arc;
use std::time::Instant;

use bitcoin::BlockHash;
use headframe_work::{Block, CoinbaseError, Header, Imprint, Job, Payout, PreparedTemplate};

use crate::jobs::JobTable;
use crate::recipe::Recipe;
use crate::seen::{Noted, Place};
use crate::{
    ChannelJob, Credit, ExtranoncePrefix, JobId, JobTerms, MemoryBudget, RejectReason, Share,
    ShareVerdict,
};

/// The version bits that SV2 lets a miner roll (BIP323).
pub const SV2_VERSION_MASK: u32 = 0x1fff_ffe0;
/// The version bits that SV1 lets a miner roll (BIP310, BIP320).
pub const SV1_VERSION_MASK: u32 = 0x1fff_e000;

/// What a miner may change of the work that it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelKind {
    /// The header only: nonce, time, version bits.
    Standard,
    /// The extranonce too.
    Extended,
}

/// One miner's stream of jobs and shares, for SV1 as for SV2: an SV1 connection is one extended
/// channel.
///
/// Knows what was sent and judges what comes back. Knows no message.
#[derive(Debug)]
pub struct Channel {
    kind: ChannelKind,
    prefix: ExtranoncePrefix,
    rolled_len: usize,
    recipe: Recipe,
    version_mask: u32,
    jobs: JobTable,
    staged: Option<StagedJob>,
}

/// A job that the miner holds for the next tip. No share can name it before its tip is known.
#[derive(Debug)]
pub struct StagedJob {
    id: JobId,
    prepared: Arc<PreparedTemplate>,
    merkle_root: Option<Box<[u8; 32]>>,
}

impl StagedJob {
    /// The id that shares will name.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The merkle root, on a standard channel.
    pub fn merkle_root(&self) -> Option<[u8; 32]> {
        self.merkle_root.as_deref().copied()
    }
}

impl Channel {
    /// The bytes that a miner rolls where it does not ask for more.
    pub const ROLLED_LEN: usize = 8;

    /// A channel on which the miner rolls [`Self::ROLLED_LEN`] bytes, or none on a standard one.
    /// Its blocks pay `payout` and bear the pool's `imprint`. What it remembers draws from `budget`, which it
    /// shares with all channels of its connection.
    pub fn new(
        kind: ChannelKind,
        prefix: ExtranoncePrefix,
        payout: Payout,
        imprint: Imprint,
        budget: &MemoryBudget,
    ) -> Self {
        Self::with_rolled_len(kind, prefix, payout, imprint, Self::ROLLED_LEN, budget)
    }

    /// A channel on which the miner rolls `rolled_len` bytes. On a standard channel they are zero
    /// and belong to the prefix, so that all channels of a group have coinbases of one length
    /// (MP-9).
    pub fn with_rolled_len(
        kind: ChannelKind,
        prefix: ExtranoncePrefix,
        payout: Payout,
        imprint: Imprint,
        rolled_len: usize,
        budget: &MemoryBudget,
    ) -> Self {
        let extranonce_len = ExtranoncePrefix::LEN + rolled_len;
        Self {
            kind,
            prefix,
            rolled_len,
            recipe: Recipe {
                payout,
                imprint,
                extranonce_len,
            },
            version_mask: SV2_VERSION_MASK,
            jobs: JobTable::new(budget.clone()),
            staged: None,
        }
    }

    /// What the miner may change.
    pub fn kind(&self) -> ChannelKind {
        self.kind
    }

    /// The prefix that the pool gave, without the padding of a standard channel.
    pub fn prefix(&self) -> ExtranoncePrefix {
        self.prefix
    }

    /// The bytes of the extranonce that the pool fixes: the prefix, padded on a standard channel.
    pub fn fixed_extranonce(&self) -> Vec<u8> {
        let mut bytes = self.prefix.as_bytes().to_vec();
        if self.kind == ChannelKind::Standard {
            bytes.resize(self.extranonce_len(), 0);
        }
        bytes
    }

    /// The length of what the miner submits as its part of the extranonce.
    pub fn submitted_len(&self) -> usize {
        match self.kind {
            ChannelKind::Standard => 0,
            ChannelKind::Extended => self.rolled_len,
        }
    }

    /// The length of the whole extranonce, in bytes.
    pub fn extranonce_len(&self) -> usize {
        self.recipe.extranonce_len
    }

    /// Whom a block of this channel pays.
    pub fn payout(&self) -> &Payout {
        &self.recipe.payout
    }

    /// Sets the version bits that the miner may roll.
    pub fn set_version_mask(&mut self, mask: u32) {
        self.version_mask = mask;
    }

    /// The version bits that the miner may roll.
    pub fn version_mask(&self) -> u32 {
        self.version_mask
    }

    /// The job `id` of `prepared`, as this channel has it. Another channel that pays the same, with an
    /// extranonce of the same length, has the same one.
    ///
    /// # Errors
    ///
    /// When its coinbase cannot be built.
    pub fn make_job(
        &self,
        prepared: &Arc<PreparedTemplate>,
        id: JobId,
    ) -> Result<Job, CoinbaseError> {
        self.recipe.job(prepared, id)
    }

    /// Records that `job` is sent on `terms`. A job for another tip makes all others stale.
    ///
    /// It is what [`Self::make_job`] makes under the id of the terms: only its template is kept.
    pub fn send_job(&mut self, terms: JobTerms, job: &Job) {
        let merkle_root = self.fixed_merkle_root(terms.id, job);
        self.insert_job(terms, Arc::clone(job.prepared()), merkle_root);
    }

    /// Records that `job` is sent ahead of its tip, in place of one that was. It is what
    /// [`Self::make_job`] makes under this id.
    pub fn stage_job(&mut self, id: JobId, job: &Job) {
        let merkle_root = self.fixed_merkle_root(id, job);
        self.staged = Some(StagedJob {
            id,
            prepared: Arc::clone(job.prepared()),
            merkle_root,
        });
    }

    /// The job that was sent ahead of its tip.
    pub fn staged_job(&self) -> Option<&StagedJob> {
        self.staged.as_ref()
    }

    /// Records that the tip of the staged job is known: `prepared` continues its template
    /// ([`Template::continues`](headframe_work::Template::continues)), so that its coinbase stays as it is,
    /// and `terms` has its id. Nothing is hashed. `None`, and nothing is changed, if no job of this id is
    /// staged.
    pub fn activate_job(
        &mut self,
        terms: JobTerms,
        prepared: Arc<PreparedTemplate>,
    ) -> Option<&ChannelJob> {
        let staged = self.staged.take_if(|staged| staged.id == terms.id)?;
        let template = staged.prepared.template();
        debug_assert!(prepared.template().continues(template));
        self.insert_job(terms, prepared, staged.merkle_root);
        self.jobs.newest()
    }

    fn insert_job(
        &mut self,
        terms: JobTerms,
        prepared: Arc<PreparedTemplate>,
        merkle_root: Option<Box<[u8; 32]>>,
    ) {
        // A client forgets what it was sent ahead once it is told a tip (MP-103).
        let newest = self.newest_job();
        if newest.is_some_and(|newest| !newest.template().same_tip_and_bits(prepared.template())) {
            self.staged = None;
        }
        let budget = self.jobs.budget();
        self.jobs
            .insert(ChannelJob::new(terms, prepared, merkle_root, budget));
    }

    /// The merkle root of `job`, where the miner cannot change it.
    fn fixed_merkle_root(&self, id: JobId, job: &Job) -> Option<Box<[u8; 32]>> {
        debug_assert!(
            self.make_job(job.prepared(), id)
                .is_ok_and(|ours| ours.coinbase() == job.coinbase()),
            "a job of another channel"
        );
        match self.kind {
            ChannelKind::Standard => {
                let root = job.merkle_root(&self.fixed_extranonce(), &[]);
                Some(Box::new(root))
            }
            ChannelKind::Extended => None,
        }
    }

    /// The job that was sent last.
    pub fn newest_job(&self) -> Option<&ChannelJob> {
        self.jobs.newest()
    }

    /// The job with this id, if it was sent and is remembered.
    pub fn job(&self, id: JobId) -> Option<&ChannelJob> {
        self.jobs.find(id)
    }

    pub(crate) fn jobs_mut(&mut self) -> impl Iterator<Item = &mut ChannelJob> {
        self.jobs.iter_mut()
    }

    /// The tip moved on while nobody was served on this channel: its jobs earn nothing more. A block
    /// is still a block.
    pub fn retire_jobs(&mut self) {
        self.jobs.iter_mut().for_each(ChannelJob::retire);
    }

    /// Whether the newest job takes no more shares, so that the miner needs another.
    pub fn needs_job(&self) -> bool {
        self.jobs.newest().is_some_and(ChannelJob::is_stale)
    }

    /// Whether `share` makes a block, whatever it earns its sender. Nothing is remembered of it.
    pub fn makes_block(&self, share: &Share<'_>) -> bool {
        if share.extranonce.len() != self.submitted_len() {
            return false;
        }
        self.jobs.find(share.job_id).is_some_and(|entry| {
            let root = entry.merkle_root().unwrap_or_else(|| {
                let job = entry.remade(&self.recipe);
                job.merkle_root(self.prefix.as_bytes(), share.extranonce)
            });
            let hash = header(entry, root, share).hash();
            entry.prepared().target().is_met_by(&hash)
        })
    }

    /// The block that the newest job makes of its own header with the first nonce and extranonce, built
    /// as a found one is. Its hash meets no target but by chance: for a node that judges blocks without
    /// proof of work.
    pub fn unproven_block(&self) -> Option<Block> {
        let newest = self.jobs.newest()?;
        let extranonce = vec![0; self.submitted_len()];
        let share = Share {
            job_id: newest.id(),
            version: newest.template().version,
            time: newest.min_time(),
            nonce: 0,
            extranonce: &extranonce,
        };
        let job = newest.remade(&self.recipe);
        let extranonce = full_extranonce(self.prefix, self.rolled_len, &extranonce);
        let header = header(newest, job.merkle_root(&extranonce, &[]), &share);
        Some(job.block(header, &extranonce))
    }

    /// Judges a share that arrived at `now`.
    ///
    /// The network's target comes before every other rule: a block is a block, be the share late,
    /// or its time or version against the pool's rules.
    pub fn judge(&mut self, now: Instant, share: &Share<'_>) -> ShareVerdict {
        if share.extranonce.len() != self.submitted_len() {
            return ShareVerdict::Rejected(RejectReason::BadExtranonceSize);
        }
        let Some(entry) = self.jobs.find_mut(share.job_id) else {
            return ShareVerdict::Rejected(RejectReason::UnknownJob);
        };
        let place = Place::of(share);
        entry.approach_share(place);
        let root = entry.merkle_root().unwrap_or_else(|| {
            let job = entry.at_hand(&self.recipe);
            job.merkle_root(self.prefix.as_bytes(), share.extranonce)
        });
        let header = header(entry, root, share);
        let hash = header.hash();
        if entry.prepared().target().is_met_by(&hash) {
            let noted = entry.note_block(&hash, place);
            if noted == Noted::Known {
                return ShareVerdict::Rejected(RejectReason::Duplicate);
            }
            let credit = judge_block(entry, self.version_mask, now, share, hash);
            if noted == Noted::NoRoom && credit.is_ok() {
                entry.retire();
            }
            let extranonce = full_extranonce(self.prefix, self.rolled_len, share.extranonce);
            let block = entry.remade(&self.recipe).block(header, &extranonce);
            return ShareVerdict::Block(Box::new(block), credit);
        }
        match judge_hash(entry, self.version_mask, now, share, (hash, place)) {
            Ok(credit) => ShareVerdict::Accepted(credit),
            Err(reason) => ShareVerdict::Rejected(reason),
        }
    }
}

fn header(entry: &ChannelJob, merkle_root: [u8; 32], share: &Share<'_>) -> Header {
    let template = entry.template();
    Header {
        version: share.version,
        prev_hash: template.prev_hash,
        merkle_root,
        time: share.time,
        bits: template.bits,
        nonce: share.nonce,
    }
}

/// What a block earns its finder. A retired job earns nothing, and neither does a block that misses
/// the share target of a client that takes none as easy as the network's.
fn judge_block(
    entry: &mut ChannelJob,
    version_mask: u32,
    now: Instant,
    share: &Share<'_>,
    hash: BlockHash,
) -> Result<Credit, RejectReason> {
    let rung = entry.rung();
    check_policy(entry, version_mask, now, share)?;
    retire_full(entry);
    match rung.target().is_met_by(&hash) {
        true => Ok(Credit { rung, hash }),
        false => Err(RejectReason::LowDifficulty),
    }
}

/// What a share that is no block earns.
fn judge_hash(
    entry: &mut ChannelJob,
    version_mask: u32,
    now: Instant,
    share: &Share<'_>,
    (hash, place): (BlockHash, Place),
) -> Result<Credit, RejectReason> {
    let rung = entry.rung();
    check_policy(entry, version_mask, now, share)?;
    if !rung.target().is_met_by(&hash) {
        return Err(RejectReason::LowDifficulty);
    }
    match entry.note_share(&hash, place) {
        Noted::New => retire_full(entry),
        Noted::Known => return Err(RejectReason::Duplicate),
        // A share that cannot be remembered could come again, but not for a retired job.
        Noted::NoRoom => entry.retire(),
    }
    Ok(Credit { rung, hash })
}

fn retire_full(entry: &mut ChannelJob) {
    if entry.is_full() {
        entry.retire();
    }
}

fn check_policy(
    entry: &ChannelJob,
    version_mask: u32,
    now: Instant,
    share: &Share<'_>,
) -> Result<(), RejectReason> {
    let rolled = share.version ^ entry.template().version;
    match () {
        () if entry.is_stale() => Err(RejectReason::Stale),
        () if rolled & !version_mask != 0 => Err(RejectReason::BadVersionBits),
        () if share.time < entry.min_time() => Err(RejectReason::TimeTooOld),
        () if share.time > entry.max_time(now) => Err(RejectReason::TimeTooNew),
        () => Ok(()),
    }
}

fn full_extranonce(prefix: ExtranoncePrefix, rolled_len: usize, submitted: &[u8]) -> Vec<u8> {
    let mut extranonce = prefix.as_bytes().to_vec();
    extranonce.extend_from_slice(submitted);
    extranonce.resize(ExtranoncePrefix::LEN + rolled_len, 0);
    extranonce
}
