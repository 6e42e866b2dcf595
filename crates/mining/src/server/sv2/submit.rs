//! Shares come in (spec §5.3.11–5.3.14).

use std::time::Instant;

use headframe_channels::{ChannelId, ChannelKind, JobId, RejectReason, Share, ShareVerdict};
use headframe_sv2_wire::codes::Code;
use headframe_sv2_wire::mining::{SubmitSharesError, SubmitSharesExtended, SubmitSharesStandard};
use headframe_sv2_wire::tlv::{TlvTail, UserIdentity, UserIdentityTooLong};
use headframe_sv2_wire::{Extension, codes, write_frame};
use headframe_work::UnixTime;

use super::Sv2Session;
use super::workers::Claim;

/// A share of either kind of channel.
pub(super) struct Submitted<'a> {
    kind: ChannelKind,
    channel_id: u32,
    sequence_number: u32,
    job_id: u32,
    nonce: u32,
    ntime: u32,
    version: u32,
    extranonce: &'a [u8],
    tlvs: TlvTail<'a>,
}

impl<'a> Submitted<'a> {
    pub(super) fn standard(submit: &SubmitSharesStandard) -> Self {
        Self {
            kind: ChannelKind::Standard,
            channel_id: submit.channel_id,
            sequence_number: submit.sequence_number,
            job_id: submit.job_id,
            nonce: submit.nonce,
            ntime: submit.ntime,
            version: submit.version,
            extranonce: &[],
            tlvs: TlvTail::EMPTY,
        }
    }

    pub(super) fn extended(submit: &SubmitSharesExtended<'a>) -> Self {
        Self {
            kind: ChannelKind::Extended,
            channel_id: submit.channel_id,
            sequence_number: submit.sequence_number,
            job_id: submit.job_id,
            nonce: submit.nonce,
            ntime: submit.ntime,
            version: submit.version,
            extranonce: submit.extranonce.as_bytes(),
            tlvs: submit.tlvs,
        }
    }

    /// The name that extension 0x0002 puts behind a share. A tail that cannot be read, or is of
    /// other extensions, says nothing (EX-14, EX-17).
    fn worker(&self) -> Result<Option<UserIdentity<'a>>, UserIdentityTooLong> {
        let fields = self.tlvs.read(&[Extension::WORKER_HASHRATE_TRACKING]);
        fields.map_or(Ok(None), |fields| fields.user_identity())
    }

    fn share(&self) -> Option<Share<'a>> {
        Some(Share {
            job_id: JobId::new(self.job_id)?,
            version: self.version,
            time: UnixTime::from_secs(self.ntime),
            nonce: self.nonce,
            extranonce: self.extranonce,
        })
    }
}

impl Sv2Session {
    /// An error goes out at once; an acceptance waits for the ledger. Before the connection has
    /// had a channel there is no answer: ESP-Miner, which goes on with its old work when it comes back,
    /// takes whatever comes before the answer to its request for a channel for a refusal, and leaves.
    pub(super) fn handle_submit(&mut self, now: Instant, submitted: &Submitted<'_>) {
        if !self.has_had_channels() {
            return;
        }
        if let Err(error_code) = self.judge(now, submitted) {
            let error = SubmitSharesError {
                channel_id: submitted.channel_id,
                sequence_number: submitted.sequence_number,
                error_code,
            };
            write_frame(&error, &mut self.output);
        }
        self.make_room(now);
        if self.acks.is_full() {
            let released = self.acks.release_all(&mut self.output);
            self.tell_not_durable(released);
        }
    }

    fn judge(&mut self, now: Instant, submitted: &Submitted<'_>) -> Result<(), Code<'static>> {
        let id = ChannelId::new(submitted.channel_id);
        let place = self.seats.place_mut(id);
        let place = place.filter(|place| place.seat.channel.kind() == submitted.kind);
        let place = place.ok_or(codes::INVALID_CHANNEL_ID)?;
        let seat = &mut *place.seat;
        let share = submitted.share().ok_or(codes::INVALID_JOB_ID)?;
        let is_named = self.extensions.has_worker_names();
        let name = match is_named {
            true => submitted.worker(),
            false => Ok(None),
        };
        // A name that is too long is refused with its share (EX-13), but not with a block.
        if name.is_err() && !seat.channel.makes_block(&share) {
            return Err(codes::INVALID_USER_IDENTITY);
        }
        let verdict = seat.judge(now, &share);
        let booked = match &self.setup {
            Some(setup) if is_named || !self.workers.is_empty() => {
                let is_block = matches!(verdict, ShareVerdict::Block(..));
                let claim = Claim {
                    name: name.unwrap_or(None),
                    is_proven: is_block || verdict.credit().is_ok(),
                };
                let who = (&setup.device, &*seat);
                let booked = self.workers.book(now, &mut self.desk, who, claim);
                let workers = self.workers.heard(now, id);
                seat.control.handle_miners(now, workers);
                booked
            }
            Some(_) | None => id,
        };
        let recorded = self.desk.record(now, seat, booked, share.job_id, verdict);
        let due = place.due(&self.desk.work);
        self.seats.look_at_by(due);
        let accepted = recorded.map_err(code)?;
        self.acks
            .push((id, booked), submitted.sequence_number, accepted);
        Ok(())
    }

    /// Sees to it that the next share can be remembered. Channels whose newest job had to go are
    /// looked at, and get another.
    fn make_room(&mut self, now: Instant) {
        if self.desk.budget.is_used_up() {
            let channels = self.seats.look_at_all(now);
            self.desk.budget.make_room(channels);
        }
    }
}

/// What a rejection is called on the wire.
fn code(reason: RejectReason) -> Code<'static> {
    match reason {
        RejectReason::UnknownJob => codes::INVALID_JOB_ID,
        RejectReason::Stale => codes::STALE_SHARE,
        RejectReason::Duplicate => codes::DUPLICATE_SHARE,
        RejectReason::LowDifficulty => codes::DIFFICULTY_TOO_LOW,
        RejectReason::BadExtranonceSize => codes::BAD_EXTRANONCE_SIZE,
        RejectReason::BadVersionBits => codes::INVALID_NON_ROLLABLE_VERSION_BIT,
        RejectReason::TimeTooOld | RejectReason::TimeTooNew => codes::INVALID_SHARE,
    }
}

#[cfg(test)]
mod tests;
