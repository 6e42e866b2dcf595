//! Jobs, tips and targets go out (spec §5.3.15–5.3.17, §5.3.21).

use std::time::Instant;

use bitcoin::hashes::Hash;
use headframe_channels::{ChannelId, JobId};
use headframe_sv2_wire::mining::{NewExtendedMiningJob, NewMiningJob, SetNewPrevHash, SetTarget};
use headframe_sv2_wire::{Bytes64K, Seq255, U256, write_frame};
use headframe_work::{Rung, UnixTime};

use super::Sv2Session;
use crate::server::seat::Seat;
use crate::server::{PoolWork, SessionEvent};

impl Sv2Session {
    /// Gives a channel the pool's present work.
    pub(super) fn send_pool_job(&mut self, now: Instant, id: ChannelId) {
        let job_id = self.desk.work.job_id;
        self.send_job(now, id, job_id);
    }

    /// Gives a job of its own to each channel that needs one: a changed target applies to jobs
    /// that come after it, so one must come (MP-124).
    pub(super) fn send_own_jobs(&mut self, now: Instant) {
        let work = &self.desk.work;
        let wanting = self.seats.values().filter(|seat| seat.wants_job(now, work));
        let wanting: Vec<ChannelId> = wanting.map(|seat| seat.id).collect();
        for id in wanting {
            self.send_own_job(now, id);
        }
    }

    /// `UpdateChannel` is always answered with `SetTarget`, and with a job only if the target
    /// changed.
    pub(super) fn answer_update(&mut self, now: Instant, id: ChannelId) {
        let Some(seat) = self.seats.get_mut(&id) else {
            return;
        };
        let work = &self.desk.work;
        let changed = seat.announce(work);
        write_target(id, seat.announced(), &mut self.output);
        let is_job_due = seat.wants_job(now, work);
        self.look_at = self.look_at.min(seat.poll_timeout(work));
        if let Some(rung) = changed {
            self.desk.tell(SessionEvent::Difficulty { seat: id, rung });
        }
        if is_job_due {
            self.send_own_job(now, id);
        }
    }

    fn send_own_job(&mut self, now: Instant, id: ChannelId) {
        let job_id = self.desk.rules.job_ids.next();
        let is_made = self.send_job(now, id, job_id);
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.note_own_job(now, is_made);
        }
    }

    /// Sends the present work under `job_id`, after the target if that is another one. False when
    /// no job could be made.
    ///
    /// A channel that is not on the present tip gets one future job, and then the `SetNewPrevHash`
    /// that names it (MP-86 to MP-88).
    fn send_job(&mut self, now: Instant, id: ChannelId, job_id: JobId) -> bool {
        let Some(seat) = self.seats.get_mut(&id) else {
            return false;
        };
        self.look_at = self.look_at.min(seat.poll_timeout(&self.desk.work));
        let job = match job_id == self.desk.work.job_id {
            true => self.desk.pool_job(seat),
            false => self.desk.make_job(seat, job_id),
        };
        let Some(job) = job else { return false };
        let work = &self.desk.work;
        let changed = seat.announce(work);
        if let Some(rung) = changed {
            write_target(id, rung, &mut self.output);
        }
        let is_on_tip = seat.is_on_tip_of(work);
        let time = seat.next_time(now, work);
        seat.send_job(now, job_id, work, job, time);
        write_job(seat, is_on_tip.then_some(time.as_secs()), &mut self.output);
        if !is_on_tip {
            write_tip(id, job_id, work, time, &mut self.output);
        }
        self.look_at = self.look_at.min(seat.poll_timeout(work));
        if let Some(rung) = changed {
            self.desk.tell(SessionEvent::Difficulty { seat: id, rung });
        }
        true
    }
}

fn write_target(id: ChannelId, rung: Rung, output: &mut Vec<u8>) {
    let message = SetTarget {
        channel_id: id.get(),
        maximum_target: U256::from_le_bytes(rung.target().to_le_bytes()),
    };
    write_frame(&message, output);
}

/// Activates the future job `job_id`.
fn write_tip(
    id: ChannelId,
    job_id: JobId,
    work: &PoolWork,
    min_time: UnixTime,
    output: &mut Vec<u8>,
) {
    let template = work.prepared.template();
    let message = SetNewPrevHash {
        channel_id: id.get(),
        job_id: job_id.get(),
        prev_hash: U256::from_le_bytes(template.prev_hash.to_byte_array()),
        min_ntime: min_time.as_secs(),
        nbits: template.bits.to_consensus(),
    };
    write_frame(&message, output);
}

/// Writes the newest job of `seat`, a future one where `min_ntime` is not set. A standard job
/// has a merkle root, an extended one the parts to make it from.
fn write_job(seat: &Seat, min_ntime: Option<u32>, output: &mut Vec<u8>) {
    let Some(sent) = seat.channel.newest_job() else {
        return;
    };
    let (channel_id, job_id) = (seat.id.get(), sent.id().get());
    let prepared = sent.job().prepared();
    let version = prepared.template().version;
    if let Some(merkle_root) = sent.merkle_root() {
        let merkle_root = U256::from_le_bytes(merkle_root);
        let job = NewMiningJob {
            channel_id,
            job_id,
            min_ntime,
            version,
            merkle_root,
        };
        return write_frame(&job, output);
    }
    let coinbase = sent.job().coinbase();
    let job = NewExtendedMiningJob {
        channel_id,
        job_id,
        min_ntime,
        version,
        version_rolling_allowed: true,
        merkle_path: Seq255::from_hashes(prepared.merkle_path())
            .expect("a block has fewer than 2^255 transactions"),
        coinbase_tx_prefix: Bytes64K::new(coinbase.prefix())
            .expect("a coinbase input is at most 141 bytes"),
        coinbase_tx_suffix: Bytes64K::new(coinbase.suffix())
            .expect("a handful of outputs is far below 64 KiB"),
    };
    write_frame(&job, output);
}
