//! Jobs and difficulties go out: `mining.notify`, `mining.set_difficulty`.

use std::borrow::Cow;
use std::time::Instant;

use bitcoin::hashes::Hash;
use headframe_channels::JobId;
use headframe_sv1_wire::{Difficulty, Notification, Notify};
use headframe_work::{Job, Rung, UnixTime};

use super::{Sv1Session, WorkFlow};
use crate::server::{LongCoinbase, SessionEvent};

impl Sv1Session {
    /// The difficulty that fits the miner, whatever it was told.
    pub(super) fn fitting_rung(&self) -> Option<Rung> {
        self.seat.as_ref().map(|seat| seat.control.rung())
    }

    /// The request that was just answered may have changed the difficulty, which was `before`. It is
    /// told after that reply, which may wait for the ledger behind others.
    pub(super) fn note_consequence(&mut self, before: Option<Rung>) {
        if before.is_some() && before != self.fitting_rung() {
            self.told_after = self.replies.pushed();
        }
    }

    /// Whether the miner may be told its difficulty: what brought it about is answered.
    pub(super) fn is_answered(&self) -> bool {
        self.replies.have_gone(self.told_after)
    }

    /// The first work of a connection, with its difficulty before it.
    pub(super) fn send_first_job(&mut self, now: Instant) {
        self.work = WorkFlow::Flowing;
        self.announce();
        if let Some(seat) = &mut self.seat {
            seat.control.handle_first_job(now);
            self.replies.notify(&set_difficulty(seat.announced()));
        }
        self.send_pool_job(now);
    }

    /// The pool's present work.
    pub(super) fn send_pool_job(&mut self, now: Instant) {
        // Under a number of its own where the prefix has had it already: its shares were found, whether
        // they are known here or were forgotten with the session of another address.
        let job_id = match core::mem::take(&mut self.is_prefix_worn) {
            true => self.desk.rules.job_ids.next(),
            false => self.desk.work.job_id,
        };
        self.send_job(now, job_id);
    }

    /// A job of the miner's own, if it needs one.
    pub(super) fn send_own_job(&mut self, now: Instant) {
        let work = &self.desk.work;
        let seat = self.seat.as_ref();
        if !seat.is_some_and(|seat| seat.wants_job(now, work)) || !self.is_answered() {
            return;
        }
        let job_id = self.desk.rules.job_ids.next();
        let is_made = self.send_job(now, job_id);
        if let Some(seat) = &mut self.seat {
            seat.note_own_job(now, is_made);
        }
    }

    /// Sends the present work under `job_id`, after the difficulty if that is another one. False
    /// when no job could be made. On another tip the miner is told to drop what it has.
    fn send_job(&mut self, now: Instant, job_id: JobId) -> bool {
        let Some(seat) = &self.seat else { return false };
        let Some(job) = self.desk.present_job(seat, job_id) else {
            return false;
        };
        if let Some(rung) = self.announce() {
            self.replies.notify(&set_difficulty(rung));
        }
        self.warn(job.coinbase().stripped_len());
        let work = &self.desk.work;
        let Some(seat) = &mut self.seat else {
            return false;
        };
        let clean_jobs = !seat.is_on_tip_of(work);
        // SV1 names no earliest time, so that a miner may take any that consensus allows.
        seat.send_job(now, job_id, work, &job, work.earliest);
        let notify = notify(job_id, &job, work.time(now), clean_jobs);
        self.replies.notify(&Notification::Notify(notify));
        true
    }

    /// Tells of a coinbase of `len` bytes, if that is known to be too long for the device.
    fn warn(&mut self, len: usize) {
        let Some(limit) = self.quirks.coinbase_len.filter(|limit| len > *limit) else {
            return;
        };
        for worker in self.workers.iter_mut().filter(|worker| !worker.is_warned) {
            worker.is_warned = true;
            let seat = worker.seat;
            let coinbase = LongCoinbase { len, limit };
            self.desk
                .tell(SessionEvent::LongCoinbase { seat, coinbase });
        }
    }

    /// What the miner is to be told before its next job: the difficulty that fits it, or, as long as
    /// that has to wait for a reply, the last one as far as the network's target allows.
    fn announce(&mut self) -> Option<Rung> {
        let is_answered = self.is_answered();
        let seat = self.seat.as_mut()?;
        let rung = match is_answered {
            true => seat.announce(&self.desk.work)?,
            false => seat.announce_last(&self.desk.work)?,
        };
        let seat = seat.id;
        self.desk.tell(SessionEvent::Difficulty { seat, rung });
        Some(rung)
    }
}

fn set_difficulty(rung: Rung) -> Notification<'static> {
    let difficulty = Difficulty::new(rung.difficulty().as_f64());
    Notification::SetDifficulty(difficulty.expect("a rung's difficulty is positive and finite"))
}

fn notify(id: JobId, job: &Job, time: UnixTime, clean_jobs: bool) -> Notify<'_> {
    let template = job.prepared().template();
    Notify {
        job_id: Cow::Owned(id.to_string()),
        prev_hash: template.prev_hash.to_byte_array(),
        coinbase1: job.coinbase().prefix().into(),
        coinbase2: job.coinbase().suffix().into(),
        merkle_branch: job.prepared().merkle_path().into(),
        version: template.version,
        bits: template.bits.to_consensus(),
        ntime: time.as_secs(),
        clean_jobs,
    }
}
