//! Shares come in: `mining.submit`.

use std::iter;
use std::time::Instant;

use headframe_channels::{Channel, ChannelId, JobId, RejectReason, Share, ShareVerdict};
use headframe_sv1_wire::{ErrorCode, Id, Refusal, Reply, Submit};
use headframe_work::UnixTime;

use super::{Sv1Session, asked};
use crate::server::desk::Accepted;

impl Sv1Session {
    pub(super) fn handle_submit(&mut self, now: Instant, id: Id<'_>, submit: &Submit<'_>) {
        match self.judge(now, submit) {
            Ok((worker, accepted)) => self.replies.push_accepted(id, worker, accepted),
            Err(refusal) => self.replies.push(&Reply::refused(id, refusal)),
        }
    }

    /// Whose share was accepted, or why it was not.
    fn judge(
        &mut self,
        now: Instant,
        submit: &Submit<'_>,
    ) -> Result<(ChannelId, Accepted), Refusal<'static>> {
        if !self.is_subscribed {
            return Err(Refusal::new(ErrorCode::NOT_SUBSCRIBED));
        }
        let Some(seat) = &mut self.seat else {
            return Err(Refusal::new(ErrorCode::UNAUTHORIZED));
        };
        let job_id = job_id(&submit.job_id).ok_or(Refusal::new(ErrorCode::JOB_NOT_FOUND))?;
        let share = Share {
            job_id,
            version: version(&seat.channel, job_id, submit.version_bits),
            time: UnixTime::from_secs(submit.ntime),
            nonce: submit.nonce,
            extranonce: submit.extranonce2.as_bytes(),
        };
        let worker = asked::unescaped(&submit.worker);
        let (name, _) = asked::split_name(&worker);
        let mut workers = self.workers.iter();
        let Some(worker) = workers.find(|worker| &*worker.name == name) else {
            // The share is refused, the block is not: it pays whom the connection pays.
            if seat.channel.makes_block(&share)
                && let ShareVerdict::Block(block, _) = seat.judge(now, &share)
            {
                self.desk.hand_in(seat.id, *block);
            }
            return Err(Refusal::with_message(
                ErrorCode::UNAUTHORIZED,
                "Worker mismatch",
            ));
        };
        let verdict = seat.judge(now, &share);
        if self.desk.budget.is_used_up() {
            self.desk.budget.make_room(iter::once(&mut seat.channel));
        }
        let recorded = self
            .desk
            .record(now, seat, worker.seat, job_id, verdict)
            .map_err(refusal);
        Ok((worker.seat, recorded?))
    }
}

/// The job that a client names.
pub(super) fn job_id(text: &str) -> Option<JobId> {
    u32::from_str_radix(text, 16).ok().and_then(JobId::new)
}

/// The header version of a share: rolled bits replace those of the job within the mask (BIP310).
/// Bits outside it are kept as they are sent, for the channel to judge.
fn version(channel: &Channel, job_id: JobId, rolled: Option<u32>) -> u32 {
    let job = channel.job(job_id);
    let version = job.map_or(0, |job| job.template().version);
    match rolled {
        Some(bits) => version & !(channel.version_mask() | bits) | bits,
        None => version,
    }
}

/// What a rejection is called on the wire: in ckpool's words, which miners explain to their owners,
/// under the field's codes.
fn refusal(reason: RejectReason) -> Refusal<'static> {
    match reason {
        RejectReason::UnknownJob => Refusal::new(ErrorCode::JOB_NOT_FOUND),
        RejectReason::Stale => Refusal::with_message(ErrorCode::JOB_NOT_FOUND, "Stale"),
        RejectReason::Duplicate => Refusal::new(ErrorCode::DUPLICATE),
        RejectReason::LowDifficulty => Refusal::new(ErrorCode::LOW_DIFFICULTY),
        RejectReason::BadExtranonceSize => {
            Refusal::with_message(ErrorCode::OTHER, "Invalid nonce2 length")
        }
        RejectReason::BadVersionBits => {
            Refusal::with_message(ErrorCode::OTHER, "Invalid version mask")
        }
        RejectReason::TimeTooOld | RejectReason::TimeTooNew => {
            Refusal::with_message(ErrorCode::OTHER, "Ntime out of range")
        }
    }
}
