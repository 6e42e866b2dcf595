//! A channel: one miner's stream of jobs and shares.

use std::time::Instant;

use bitcoin::BlockHash;
use headframe_work::{Block, Header, Job, Payout};

use crate::jobs::JobTable;
use crate::seen::Noted;
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
    payout: Payout,
    version_mask: u32,
    jobs: JobTable,
    staged: Option<StagedJob>,
}

/// A job that the miner holds for the next tip. No share can name it before its tip is known.
#[derive(Debug)]
pub struct StagedJob {
    id: JobId,
    job: Job,
    merkle_root: Option<[u8; 32]>,
}

impl StagedJob {
    /// The id that shares will name.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The job, whose template has no previous hash yet.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// The merkle root, on a standard channel.
    pub fn merkle_root(&self) -> Option<[u8; 32]> {
        self.merkle_root
    }
}

impl Channel {
    /// The bytes that a miner rolls where it does not ask for more.
    pub const ROLLED_LEN: usize = 8;

    /// A channel on which the miner rolls [`Self::ROLLED_LEN`] bytes, or none on a standard one.
    /// What it remembers draws from `budget`, which it shares with all channels of its connection.
    pub fn new(
        kind: ChannelKind,
        prefix: ExtranoncePrefix,
        payout: Payout,
        budget: &MemoryBudget,
    ) -> Self {
        Self::with_rolled_len(kind, prefix, payout, Self::ROLLED_LEN, budget)
    }

    /// A channel on which the miner rolls `rolled_len` bytes. On a standard channel they are zero
    /// and belong to the prefix, so that all channels of a group have coinbases of one length
    /// (MP-9).
    pub fn with_rolled_len(
        kind: ChannelKind,
        prefix: ExtranoncePrefix,
        payout: Payout,
        rolled_len: usize,
        budget: &MemoryBudget,
    ) -> Self {
        Self {
            kind,
            prefix,
            rolled_len,
            payout,
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
        ExtranoncePrefix::LEN + self.rolled_len
    }

    /// Whom a block of this channel pays.
    pub fn payout(&self) -> &Payout {
        &self.payout
    }

    /// Sets the version bits that the miner may roll.
    pub fn set_version_mask(&mut self, mask: u32) {
        self.version_mask = mask;
    }

    /// The version bits that the miner may roll.
    pub fn version_mask(&self) -> u32 {
        self.version_mask
    }

    /// Records that `job` is sent on `terms`. A job for another tip makes all others stale.
    ///
    /// The job must pay this channel's payout and have room for its extranonce.
    pub fn send_job(&mut self, terms: JobTerms, job: Job) -> &ChannelJob {
        let merkle_root = self.fixed_merkle_root(&job);
        let job = self.sent_job(terms, job, merkle_root);
        self.jobs.insert(job, drop);
        self.jobs.newest().expect("a job was just inserted")
    }

    /// Records that `job` is sent ahead of its tip, in place of one that was.
    pub fn stage_job(&mut self, id: JobId, job: Job) -> &StagedJob {
        let merkle_root = self.fixed_merkle_root(&job);
        self.staged.insert(StagedJob {
            id,
            job,
            merkle_root,
        })
    }

    /// The job that was sent ahead of its tip.
    pub fn staged_job(&self) -> Option<&StagedJob> {
        self.staged.as_ref()
    }

    /// Records that the tip of the staged job is known: `job` is that job on it
    /// ([`Job::on_tip`]), and `terms` has its id. Nothing is hashed, and no memory freed: old jobs are put
    /// into `old`, which is to be emptied when nobody waits for a tip any more. `None`, and nothing is
    /// changed, if no job of this id is staged.
    pub fn activate_job(
        &mut self,
        terms: JobTerms,
        job: Job,
        old: &mut Vec<Job>,
    ) -> Option<&ChannelJob> {
        let staged = self.staged.take_if(|staged| staged.id == terms.id)?;
        let job = self.sent_job(terms, job, staged.merkle_root);
        self.jobs.insert(job, |job| old.push(job));
        self.jobs.newest()
    }

    fn sent_job(&mut self, terms: JobTerms, job: Job, merkle_root: Option<[u8; 32]>) -> ChannelJob {
        let job = ChannelJob::new(terms, job, merkle_root, self.jobs.budget());
        // A client forgets what it was sent ahead once it is told a tip (MP-103).
        let newest = self.newest_job();
        if newest.is_some_and(|newest| !newest.template().same_tip_and_bits(job.template())) {
            self.staged = None;
        }
        job
    }

    /// The merkle root of `job`, where the miner cannot change it.
    fn fixed_merkle_root(&self, job: &Job) -> Option<[u8; 32]> {
        debug_assert_eq!(job.payout(), &self.payout, "a job that pays somebody else");
        debug_assert_eq!(job.coinbase().extranonce_len(), self.extranonce_len());
        match self.kind {
            ChannelKind::Standard => Some(job.merkle_root(&self.fixed_extranonce(), &[])),
            ChannelKind::Extended => {
                job.expect_extranonces();
                None
            }
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
        let has_size = share.extranonce.len() == self.submitted_len();
        self.jobs.find(share.job_id).is_some_and(|entry| {
            let target = entry.job().prepared().target();
            has_size && target.is_met_by(&header(entry, self.prefix, share).hash())
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
        let header = header(newest, self.prefix, &share);
        let place = (self.prefix, self.rolled_len);
        Some(block(newest, place, &share, header))
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
        let header = header(entry, self.prefix, share);
        let hash = header.hash();
        if entry.job().prepared().target().is_met_by(&hash) {
            let noted = entry.note_block(&hash);
            if noted == Noted::Known {
                return ShareVerdict::Rejected(RejectReason::Duplicate);
            }
            let credit = judge_block(entry, self.version_mask, now, share, hash);
            if noted == Noted::NoRoom && credit.is_ok() {
                entry.retire();
            }
            let block = block(entry, (self.prefix, self.rolled_len), share, header);
            return ShareVerdict::Block(Box::new(block), credit);
        }
        match judge_hash(entry, self.version_mask, now, share, hash) {
            Ok(credit) => ShareVerdict::Accepted(credit),
            Err(reason) => ShareVerdict::Rejected(reason),
        }
    }
}

fn header(entry: &ChannelJob, prefix: ExtranoncePrefix, share: &Share<'_>) -> Header {
    let template = entry.template();
    let merkle_root = entry
        .merkle_root()
        .unwrap_or_else(|| entry.job().merkle_root(prefix.as_bytes(), share.extranonce));
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
    hash: BlockHash,
) -> Result<Credit, RejectReason> {
    let rung = entry.rung();
    check_policy(entry, version_mask, now, share)?;
    if !rung.target().is_met_by(&hash) {
        return Err(RejectReason::LowDifficulty);
    }
    match entry.note_share(&hash) {
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

/// The block that `share` is, whose header is `header`.
fn block(
    entry: &ChannelJob,
    (prefix, rolled_len): (ExtranoncePrefix, usize),
    share: &Share<'_>,
    header: Header,
) -> Block {
    let extranonce = full_extranonce(prefix, rolled_len, share.extranonce);
    entry.job().block(header, &extranonce)
}

fn full_extranonce(prefix: ExtranoncePrefix, rolled_len: usize, submitted: &[u8]) -> Vec<u8> {
    let mut extranonce = prefix.as_bytes().to_vec();
    extranonce.extend_from_slice(submitted);
    extranonce.resize(ExtranoncePrefix::LEN + rolled_len, 0);
    extranonce
}
