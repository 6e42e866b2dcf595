//! A channel: one miner's stream of jobs and shares.

use std::sync::Arc;
use std::time::Instant;

use bitcoin::BlockHash;
use headframe_work::{Header, Job, Payout};

use crate::jobs::JobTable;
use crate::{
    ChannelJob, Credit, ExtranoncePrefix, JobId, JobTerms, RejectReason, Share, ShareVerdict,
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
}

impl Channel {
    /// The bytes that a miner rolls where it does not ask for more.
    pub const ROLLED_LEN: usize = 8;

    /// A channel on which the miner rolls [`Self::ROLLED_LEN`] bytes, or none on a standard one.
    pub fn new(kind: ChannelKind, prefix: ExtranoncePrefix, payout: Payout) -> Self {
        Self::with_rolled_len(kind, prefix, payout, Self::ROLLED_LEN)
    }

    /// A channel on which the miner rolls `rolled_len` bytes. On a standard channel they are zero
    /// and belong to the prefix, so that all channels of a group have coinbases of one length
    /// (MP-9).
    pub fn with_rolled_len(
        kind: ChannelKind,
        prefix: ExtranoncePrefix,
        payout: Payout,
        rolled_len: usize,
    ) -> Self {
        Self {
            kind,
            prefix,
            rolled_len,
            payout,
            version_mask: SV2_VERSION_MASK,
            jobs: JobTable::default(),
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
    pub fn send_job(&mut self, terms: JobTerms, job: Arc<Job>) -> &ChannelJob {
        debug_assert_eq!(job.payout(), &self.payout, "a job that pays somebody else");
        debug_assert_eq!(job.coinbase().extranonce_len(), self.extranonce_len());
        let merkle_root = match self.kind {
            ChannelKind::Standard => Some(job.merkle_root(&self.fixed_extranonce(), &[])),
            ChannelKind::Extended => None,
        };
        self.jobs.insert(ChannelJob::new(terms, job, merkle_root));
        self.jobs.newest().expect("a job was just inserted")
    }

    /// The job that was sent last.
    pub fn newest_job(&self) -> Option<&ChannelJob> {
        self.jobs.newest()
    }

    /// The job with this id, if it was sent and is remembered.
    pub fn job(&self, id: JobId) -> Option<&ChannelJob> {
        self.jobs.find(id)
    }

    /// Whether the newest job takes no more shares, so that the miner needs another.
    pub fn needs_job(&self) -> bool {
        self.jobs.newest().is_some_and(ChannelJob::is_stale)
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
            let credit = match entry.remember_block(&hash) {
                true => judge_block(entry, self.version_mask, now, share, hash),
                false => return ShareVerdict::Rejected(RejectReason::Duplicate),
            };
            let extranonce = full_extranonce(self.prefix, self.rolled_len, share.extranonce);
            let block = entry.job().block(header, &extranonce);
            return ShareVerdict::Block(Box::new(block), credit);
        }
        match judge_hash(entry, self.version_mask, now, share, hash) {
            Ok(credit) => ShareVerdict::Accepted(credit),
            Err(reason) => ShareVerdict::Rejected(reason),
        }
    }
}

fn header(entry: &ChannelJob, prefix: ExtranoncePrefix, share: &Share<'_>) -> Header {
    let template = entry.job().prepared().template();
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
    if !entry.remember_share(&hash) {
        return Err(RejectReason::Duplicate);
    }
    retire_full(entry);
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
    let rolled = share.version ^ entry.job().prepared().template().version;
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
