//! The open channel: tip, jobs, target, shares (spec §5.3).

use std::collections::VecDeque;
use std::time::Instant;

use bitcoin::{BlockHash, CompactTarget, hashes::Hash};
use headframe_sv2_wire::mining::{
    NewExtendedMiningJob, NewMiningJob, SetNewPrevHash, SubmitSharesExtended, SubmitSharesStandard,
};
use headframe_sv2_wire::tlv::TlvTail;
use headframe_sv2_wire::{Bytes32, U256};
use headframe_work::{Target, UnixTime};
use tracing::debug;

use super::bip141;
use super::settings::framed;
use crate::client::jobs::{JobTable, Judged, MAX_JOBS};
use crate::client::outstanding::Outstanding;
use crate::client::{
    ClientEvent, CoinbaseParts, Extranonce, MiningWork, NtimeWindow, RootSource, SessionError,
    Solution, Submission,
};

/// The general-purpose bits of the version (BIP 323, MP-70).
const BIP323_MASK: u32 = 0x1fff_ffe0;

/// The longest extranonce, fixed and rolled parts together (spec §5.3.5).
const MAX_EXTRANONCE: usize = 32;

/// A channel that a pool has opened for us.
#[derive(Debug)]
pub(super) struct Channel {
    id: u32,
    group: u32,
    shape: Shape,
    /// The bits that we may roll where a job allows it.
    version_mask: u32,
    target: Target,
    tip: Option<Tip>,
    held: VecDeque<HeldJob>,
    jobs: JobTable<u32>,
    shares: Outstanding,
}

/// What is rolled besides the header.
#[derive(Debug)]
pub(super) enum Shape {
    /// Nothing.
    Standard,
    /// Bytes after the pool's part of the extranonce.
    Extended {
        /// The pool's part, for jobs that are yet to come.
        prefix: Extranonce,
        /// The length of our part.
        rolled_len: usize,
    },
}

#[derive(Debug, Clone, Copy)]
struct Tip {
    prev_hash: BlockHash,
    min_ntime: UnixTime,
    bits: CompactTarget,
    received: Instant,
}

/// A job that waits for its tip. The target is no part of it: it is frozen when work begins (MP-121).
#[derive(Debug)]
struct HeldJob {
    id: u32,
    min_ntime: Option<UnixTime>,
    version: u32,
    version_mask: u32,
    root: RootSource,
}

impl Shape {
    /// The shape of an extended channel, if the sizes are ones to mine with: at least one byte to
    /// roll, and no fewer than `min_size` (MP-40).
    pub(super) fn extended(
        prefix: Bytes32<'_>,
        rolled: u16,
        min_size: u16,
    ) -> Result<Self, SessionError> {
        let (fixed, rolled_len) = (prefix.as_bytes().len(), usize::from(rolled));
        let wrong = SessionError::Extranonce {
            fixed,
            rolled: rolled_len,
        };
        if rolled < min_size.max(1) || fixed + rolled_len > MAX_EXTRANONCE {
            return Err(wrong);
        }
        let prefix = Extranonce::new(prefix.as_bytes()).ok_or(wrong)?;
        Ok(Self::Extended { prefix, rolled_len })
    }
}

impl Channel {
    /// `max_jobs` is how many jobs are remembered, void ones included.
    pub(super) fn new(
        id: u32,
        group: u32,
        shape: Shape,
        target: U256,
        roll_version: bool,
        max_jobs: usize,
    ) -> Self {
        Self {
            id,
            group,
            shape,
            version_mask: if roll_version { BIP323_MASK } else { 0 },
            target: Target::from_le_bytes(target.to_le_bytes()),
            tip: None,
            held: VecDeque::new(),
            jobs: JobTable::new(max_jobs),
            shares: Outstanding::default(),
        }
    }

    pub(super) const fn id(&self) -> u32 {
        self.id
    }

    /// Whether a message to `id` is meant for this channel, directly or as a member of its group.
    pub(super) const fn is_addressed_by(&self, id: u32) -> bool {
        id == self.id || id == self.group
    }

    /// `SetGroupChannel` with this channel among its members.
    pub(super) const fn join_group(&mut self, group: u32) -> Result<(), SessionError> {
        if group == self.id {
            return Err(SessionError::GroupIsChannel { id: group });
        }
        self.group = group;
        Ok(())
    }

    /// `SetTarget`: work in progress keeps its own (MP-122).
    pub(super) fn set_target(&mut self, target: U256) -> ClientEvent {
        self.target = Target::from_le_bytes(target.to_le_bytes());
        ClientEvent::Target(self.target)
    }

    /// `SetExtranoncePrefix`: jobs received earlier keep theirs (MP-58).
    pub(super) fn set_extranonce_prefix(&mut self, new: Bytes32<'_>) -> Result<(), SessionError> {
        let Shape::Extended { prefix, rolled_len } = &mut self.shape else {
            return Ok(());
        };
        let fixed = new.as_bytes().len();
        let wrong = SessionError::Extranonce {
            fixed,
            rolled: *rolled_len,
        };
        if fixed + *rolled_len > MAX_EXTRANONCE {
            return Err(wrong);
        }
        *prefix = Extranonce::new(new.as_bytes()).ok_or(wrong)?;
        Ok(())
    }

    /// `NewMiningJob`: for standard channels only (MP-4).
    pub(super) fn handle_job(&mut self, job: &NewMiningJob) -> Option<ClientEvent> {
        let Shape::Standard = self.shape else {
            debug!(
                job = job.job_id,
                "standard job on an extended channel ignored"
            );
            return None;
        };
        let held = HeldJob {
            id: job.job_id,
            min_ntime: job.min_ntime.map(UnixTime::from_secs),
            version: job.version,
            version_mask: self.version_mask,
            root: RootSource::Fixed(job.merkle_root.to_le_bytes()),
        };
        self.take_job(held)
    }

    /// `NewExtendedMiningJob`: for extended channels only (MP-21).
    pub(super) fn handle_extended_job(
        &mut self,
        job: &NewExtendedMiningJob<'_>,
    ) -> Option<ClientEvent> {
        let Shape::Extended {
            prefix: extranonce_prefix,
            rolled_len,
        } = self.shape
        else {
            debug!(
                job = job.job_id,
                "extended job on a standard channel ignored"
            );
            return None;
        };
        let stripped = bip141::strip(
            job.coinbase_tx_prefix.as_bytes(),
            job.coinbase_tx_suffix.as_bytes(),
        );
        let Some((prefix, suffix)) = stripped else {
            let text = format!("job {} ignored: its coinbase is none", job.job_id);
            return Some(ClientEvent::Notice(text));
        };
        let merkle_path = job.merkle_path.iter().map(U256::to_le_bytes).collect();
        let held = HeldJob {
            id: job.job_id,
            min_ntime: job.min_ntime.map(UnixTime::from_secs),
            version: job.version,
            version_mask: if job.version_rolling_allowed {
                self.version_mask
            } else {
                0
            },
            root: RootSource::Coinbase(CoinbaseParts {
                prefix,
                extranonce_prefix,
                rolled_len,
                suffix,
                merkle_path,
            }),
        };
        self.take_job(held)
    }

    /// `SetNewPrevHash`: all work but that of the job it names is void (MP-102, MP-103). Where it names
    /// none that is held, there is no work at all (MP-104).
    pub(super) fn handle_new_prev_hash(
        &mut self,
        now: Instant,
        message: &SetNewPrevHash,
    ) -> ClientEvent {
        let tip = Tip {
            prev_hash: BlockHash::from_byte_array(message.prev_hash.to_le_bytes()),
            min_ntime: UnixTime::from_secs(message.min_ntime),
            bits: CompactTarget::from_consensus(message.nbits),
            received: now,
        };
        self.tip = Some(tip);
        let named = self.held.iter().rposition(|job| job.id == message.job_id);
        let named = named.and_then(|index| self.held.remove(index));
        self.held.clear();
        match named {
            Some(job) => self.begin(job, tip, true),
            None => {
                debug!(
                    job = message.job_id,
                    "new tip for a job that was not sent ahead"
                );
                self.jobs.void_all();
                ClientEvent::NoWork
            }
        }
    }

    /// The frame of a share, with `tail` behind it, and whether it is a block.
    pub(super) fn submit(
        &mut self,
        now: Instant,
        solution: &Solution,
        tail: &[u8],
    ) -> Result<(Vec<u8>, bool), Submission> {
        let Judged { id, block, .. } = self.jobs.judge(now, solution)?;
        Ok((self.share(now, *id, solution, tail), block))
    }

    /// The frame of a share that is not looked at; `None` when its work is void or unknown.
    pub(super) fn submit_unjudged(&mut self, now: Instant, solution: &Solution) -> Option<Vec<u8>> {
        let (id, _) = self.jobs.find(solution.job)?;
        Some(self.share(now, *id, solution, &[]))
    }

    /// `tail` is what extensions put behind it; a standard share has none.
    fn share(&mut self, now: Instant, job_id: u32, solution: &Solution, tail: &[u8]) -> Vec<u8> {
        let channel_id = self.id;
        let sequence_number = self.shares.send(now);
        let Solution { nonce, version, .. } = *solution;
        let ntime = solution.ntime.as_secs();
        match self.shape {
            Shape::Standard => framed(&SubmitSharesStandard {
                channel_id,
                sequence_number,
                job_id,
                nonce,
                ntime,
                version,
            }),
            Shape::Extended { .. } => framed(&SubmitSharesExtended {
                channel_id,
                sequence_number,
                job_id,
                nonce,
                ntime,
                version,
                extranonce: Bytes32::new(solution.extranonce.as_bytes())
                    .expect("an Extranonce has at most 32 bytes"),
                tlvs: TlvTail::new(tail).expect("a name is short"),
            }),
        }
    }

    /// `SubmitShares.Success`: everything sent up to `last` and not refused was good (MP-85).
    pub(super) fn accept_through(&mut self, last: u32) -> Option<ClientEvent> {
        let sent = self.shares.accept_through(last);
        (!sent.is_empty()).then_some(ClientEvent::ShareAccepted { sent })
    }

    /// `SubmitShares.Error`.
    pub(super) fn reject(&mut self, sequence: u32, code: String) -> Option<ClientEvent> {
        let sent = self.shares.answer(sequence)?;
        Some(ClientEvent::ShareRejected { code, sent })
    }

    /// A job with a time begins at once on the present tip (MP-89, MP-94). One without waits until it is
    /// named (MP-90), and so does one that came before the first tip.
    fn take_job(&mut self, job: HeldJob) -> Option<ClientEvent> {
        match (job.min_ntime, self.tip) {
            (Some(_), Some(tip)) => Some(self.begin(job, tip, false)),
            (None, _) | (_, None) => {
                self.hold(job);
                None
            }
        }
    }

    fn hold(&mut self, job: HeldJob) {
        self.held.retain(|held| held.id != job.id);
        if self.held.len() == MAX_JOBS {
            self.held.pop_front();
        }
        self.held.push_back(job);
    }

    fn begin(&mut self, job: HeldJob, tip: Tip, clean: bool) -> ClientEvent {
        let earliest = job
            .min_ntime
            .map_or(tip.min_ntime, |own| own.max(tip.min_ntime));
        let target = self.target;
        let work = self.jobs.add(job.id, |handle| MiningWork {
            job: handle,
            clean,
            prev_hash: tip.prev_hash,
            version: job.version,
            version_mask: job.version_mask,
            root: job.root,
            ntime: NtimeWindow::new(earliest, tip.min_ntime, tip.received),
            bits: tip.bits,
            target,
        });
        ClientEvent::Work(work)
    }
}
