//! What a share must be told, by what stands on the wire.

use std::time::{Duration, Instant};

use bitcoin::hashes::Hash;
use headframe_channels::RejectReason;
use headframe_mining::server::ShareEvent;
use headframe_work::Target;

use super::{Heard, Violation, ensure};
use crate::simulator::jobs::{Channel, Claim};

/// A job that was replaced less than this ago is good for shares.
const CREDITABLE_FOR: Duration = Duration::from_secs(120);
/// How far a header time may run ahead.
const MAX_TIME_AHEAD: u32 = 7_200 - 60;
/// The network's time is known to the second; shares near the bound are not looked at.
const TOLERANCE: u32 = 3;

/// Whether something must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Must,
    MustNot,
    May,
}

/// What is to become of a share.
#[derive(Debug)]
pub(in crate::simulator) struct Foreseen {
    job_id: u32,
    hash: bitcoin::BlockHash,
    /// That of its job.
    target: Option<Target>,
    credit: Wish,
    block: Wish,
}

/// What differs between protocols.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) version_mask: u32,
    /// Whether the job's first time is on the wire; SV1 has none.
    pub(super) has_min_time: bool,
}

impl Wish {
    fn check(self, is_so: bool, what: impl FnOnce() -> Violation) -> Result<(), Violation> {
        ensure(
            match self {
                Self::Must => is_so,
                Self::MustNot => !is_so,
                Self::May => true,
            },
            what,
        )
    }
}

impl Foreseen {
    /// What is to become of `claim`, which arrives at `now` on `channel`.
    pub(super) fn of(now: Instant, channel: &Channel, claim: &Claim<'_>, terms: Terms) -> Self {
        let refused = |hash, target| Self {
            job_id: claim.job_id,
            hash,
            target,
            credit: Wish::MustNot,
            block: Wish::MustNot,
        };
        let nothing = bitcoin::BlockHash::all_zeros();
        if claim.extranonce.len() != channel.size {
            return refused(nothing, None);
        }
        let Some(job) = channel.job(claim.job_id) else {
            return refused(nothing, None);
        };
        let header = channel.header(job, claim);
        let hash = header.block_hash();
        let knows = channel.surely_knows(now, claim.job_id, CREDITABLE_FOR);
        let is_known = match knows {
            true => Wish::Must,
            false => Wish::May,
        };
        let is_block = job.network_target().is_met_by(&hash);
        let is_version_good = (claim.version ^ job.draft.version) & !terms.version_mask == 0;
        let latest = job.network_time(now) + MAX_TIME_AHEAD;
        let is_good = is_version_good && job.target.is_met_by(&hash);
        let is_old = job.credited.contains(&hash) || job.found.contains(&hash);
        let credit = match () {
            () if job.is_stale || !is_good || is_old => Wish::MustNot,
            () if terms.has_min_time && claim.time < job.min_time => Wish::MustNot,
            () if claim.time > latest + TOLERANCE => Wish::MustNot,
            () if claim.time > job.sent.latest => Wish::MustNot,
            () if claim.time < job.min_time || claim.time + TOLERANCE > latest => Wish::May,
            () => is_known,
        };
        Self {
            credit,
            block: match is_block && !job.found.contains(&hash) {
                true => is_known,
                false => Wish::MustNot,
            },
            ..refused(hash, Some(job.target))
        }
    }

    /// Compares what became of the share, and remembers it.
    pub(super) fn check(&self, channel: &mut Channel, heard: &Heard<'_>) -> Result<(), Violation> {
        self.check_block(channel, heard)?;
        let share = heard.share.ok_or("a share without a verdict")?;
        self.credit.check(share.outcome.is_ok(), || {
            format!("a share is judged wrongly: {self:?}, heard {share:?}")
        })?;
        self.check_reason(&share)?;
        let Some(job) = channel.job_mut(self.job_id) else {
            return Ok(());
        };
        if let Ok(credit) = share.outcome {
            job.credited.insert(credit.hash);
            let is_same = credit.hash == self.hash && credit.rung.target() == job.target;
            ensure(is_same, || {
                format!("MP-122: {share:?} is not judged by the target of its job: {self:?}")
            })?;
        }
        Ok(())
    }

    /// The same of what only a block may come of.
    pub(super) fn check_block(
        &self,
        channel: &mut Channel,
        heard: &Heard<'_>,
    ) -> Result<(), Violation> {
        self.block.check(heard.block.is_some(), || {
            format!("whether a block is handed out: {self:?}, {heard:?}")
        })?;
        let job = channel.job_mut(self.job_id);
        if let Some(job) = job.filter(|_| heard.block.is_some()) {
            job.found.insert(self.hash);
        }
        Ok(())
    }

    fn check_reason(&self, share: &ShareEvent) -> Result<(), Violation> {
        let is_met = self
            .target
            .is_some_and(|target| target.is_met_by(&self.hash));
        match share.outcome {
            Err(RejectReason::LowDifficulty) => ensure(!is_met, || {
                format!("MP-122: {self:?} is said to be too low")
            }),
            Err(RejectReason::UnknownJob) => ensure(self.block != Wish::Must, || {
                format!("R-18: the job of {self:?} is forgotten")
            }),
            _ => Ok(()),
        }
    }
}
