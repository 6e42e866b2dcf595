//! Jobs, tips and targets go out (spec §5.3.15–5.3.17, §5.3.21).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::hashes::Hash;
use headframe_channels::{ChannelId, JobId};
use headframe_sv2_wire::mining::{NewExtendedMiningJob, NewMiningJob, SetNewPrevHash, SetTarget};
use headframe_sv2_wire::{Bytes64K, Seq255, U256, write_frame};
use headframe_work::{Job, Rung, UnixTime};

use super::Sv2Session;
use super::groups::{Audience, Place};
use super::round::Round;
use super::setup::Setup;
use crate::server::hub::{NextWork, TipStart};
use crate::server::seat::Staged;

/// The next tip's job is sent this long after what made it necessary, so that it stands in nobody's
/// way, and once for all channels that are opened together.
const STAGE_AFTER: Duration = Duration::from_secs(1);

impl Sv2Session {
    /// Tells the channels that hold the staged job of their tip that it is known.
    pub(super) fn begin_tip(&mut self, now: Instant) {
        let Some(start) = self.desk.work.start.clone() else {
            return;
        };
        for audience in self.audiences() {
            self.activate(now, &audience, &start);
        }
    }

    /// Gives some channels the pool's present work.
    pub(super) fn send_pool_jobs(&mut self, now: Instant) {
        let job_id = self.desk.work.job_id;
        for audience in self.jobs.next(&self.groups, self.is_single()) {
            // Who has begun with the job sent ahead has all that there is.
            if self.desk.work.is_ahead() && self.know_tip(&audience) {
                continue;
            }
            for audience in self.without(audience, job_id) {
                self.send_job(now, &audience, job_id);
            }
        }
    }

    /// Those of an audience that were not sent the job `job_id`: some may have been opened since it was
    /// everybody's turn to get it.
    fn without(&self, audience: Audience, job_id: JobId) -> Vec<Audience> {
        let has = |id: &&ChannelId| {
            let seat = self.seats.get(**id);
            seat.is_some_and(|seat| seat.channel.job(job_id).is_some())
        };
        let members = audience.members();
        if !members.iter().any(|id| has(&id)) {
            return vec![audience];
        }
        let others = members.iter().filter(|id| !has(id));
        others.copied().map(Audience::alone).collect()
    }

    /// Gives a channel that was just opened the pool's present work.
    pub(super) fn send_first_job(&mut self, now: Instant, id: ChannelId) {
        let job_id = self.desk.work.job_id;
        self.send_job(now, &Audience::alone(id), job_id);
    }

    /// Gives a job of its own to each channel of these that needs one: a changed target applies to jobs
    /// that come after it, so one must come (MP-124). Groups all of whose members need one, as when
    /// their last is used up, get it together.
    pub(super) fn send_own_jobs(&mut self, now: Instant, due: &[ChannelId]) {
        let work = &self.desk.work;
        let due = due.iter().filter_map(|id| self.seats.get(*id));
        let wanting = due.filter(|seat| seat.wants_job(now, work));
        let wanting: BTreeSet<ChannelId> = wanting.map(|seat| seat.id).collect();
        let audiences = match wanting.len() {
            0 | 1 => Vec::new(),
            _ => self.audiences(),
        };
        let mut rest = wanting.clone();
        for audience in audiences {
            let members = audience.members();
            if members.iter().all(|member| wanting.contains(member)) {
                members.iter().for_each(|member| {
                    rest.remove(member);
                });
                self.send_own_job(now, &audience);
            }
        }
        for id in rest {
            self.send_own_job(now, &Audience::alone(id));
        }
    }

    /// `UpdateChannel` is always answered with `SetTarget`, and with a job only if the target
    /// changed.
    pub(super) fn answer_update(&mut self, now: Instant, id: ChannelId) {
        let Some(seat) = self.seats.get_mut(id) else {
            return;
        };
        let work = &self.desk.work;
        let changed = seat.announce(work);
        write_target(id, seat.announced(), &mut self.output);
        let is_job_due = seat.wants_job(now, work);
        self.seats.look_by(id, work);
        if let Some(rung) = changed {
            self.workers.tell_difficulty(&mut self.desk, id, rung);
        }
        if is_job_due {
            self.send_own_job(now, &Audience::alone(id));
        }
    }

    /// What is staged is to be looked at soon.
    pub(super) fn plan_staging(&mut self, now: Instant) {
        if self.desk.work.next.is_some() && !self.seats.is_empty() {
            self.staging.plan(now + STAGE_AFTER);
        }
    }

    /// Sends the next tip's job ahead to some who do not hold it.
    pub(super) fn stage_jobs(&mut self) {
        let Some(next) = self.desk.work.next.clone() else {
            self.staging = Round::NONE;
            return;
        };
        for audience in self.staging.next(&self.groups, self.is_single()) {
            self.stage(&audience, &next);
        }
    }

    /// Everybody.
    fn audiences(&self) -> Vec<Audience> {
        let single = self.is_single();
        self.groups.audiences(Place::FIRST, usize::MAX, single).0
    }

    /// Whether each channel is addressed by itself.
    pub(super) fn is_single(&self) -> bool {
        let setup = self.setup.as_ref();
        setup.is_some_and(Setup::requires_standard_jobs)
    }

    fn send_own_job(&mut self, now: Instant, audience: &Audience) {
        let job_id = self.desk.rules.job_ids.next();
        let is_made = self.send_job(now, audience, job_id);
        for id in audience.members() {
            if let Some(seat) = self.seats.get_mut(*id) {
                seat.note_own_job(now, is_made);
            }
        }
    }

    /// Sends the present work under `job_id`, after the target where that is another one. False
    /// when no job could be made.
    ///
    /// An audience that does not know the present tip, or its bits, gets one future job, and then the
    /// `SetNewPrevHash` that names it, to the same id (R-9, MP-86 to MP-88).
    fn send_job(&mut self, now: Instant, audience: &Audience, job_id: JobId) -> bool {
        let Some(job) = self.make_job(audience, job_id) else {
            return false;
        };
        self.announce(audience);
        let (time, is_on_tip) = (self.next_time(now, audience), self.know_tip(audience));
        for id in audience.members() {
            if let Some(place) = self.seats.place_mut(*id) {
                let work = &self.desk.work;
                place.seat.send_job(now, job_id, work, &job, time);
                let due = place.due(work);
                self.seats.look_at_by(due);
            }
        }
        let root = self.merkle_root(audience);
        let begin = is_on_tip.then_some(time);
        self.write_job(audience.to, job_id, &job, root, begin);
        if !is_on_tip {
            self.write_tip(audience.to, job_id, time);
        }
        true
    }

    fn make_job(&mut self, audience: &Audience, job_id: JobId) -> Option<Arc<Job>> {
        let seat = self.seats.get_mut(*audience.members().first()?)?;
        let job = self.desk.present_job(seat, job_id);
        if job.is_none() {
            // It is tried again.
            let id = seat.id;
            self.seats.look_by(id, &self.desk.work);
        }
        job
    }

    /// Sends a job ahead of its tip, unless it was sent so already. A channel that has no tip yet
    /// gets none: ESP-Miner would begin with the wrong one.
    fn stage(&mut self, audience: &Audience, next: &NextWork) {
        let staged = Staged {
            number: next.number,
            to: audience.to,
        };
        let seats = || {
            audience
                .members()
                .iter()
                .filter_map(|id| self.seats.get(*id))
        };
        let has_all = seats().all(|seat| seat.staged_job(staged).is_some());
        if has_all || seats().any(|seat| seat.channel.newest_job().is_none()) {
            return;
        }
        // No id twice on a channel, though the same work was staged under another address.
        let job_id = match seats().any(|seat| seat.was_staged(next.number)) {
            true => self.desk.rules.job_ids.next(),
            false => next.number,
        };
        let Some(seat) = seats().next() else { return };
        let Some(job) = self.desk.job(seat, &next.prepared, job_id) else {
            return;
        };
        for id in audience.members() {
            if let Some(seat) = self.seats.get_mut(*id) {
                seat.stage_job(staged, job_id, &job);
            }
        }
        let root = self.staged_root(audience);
        self.write_job(audience.to, job_id, &job, root, None);
    }

    /// Names the staged job in a `SetNewPrevHash`, if all of the audience hold it and wait for it.
    fn activate(&mut self, now: Instant, audience: &Audience, start: &TipStart) {
        let staged = Staged {
            number: start.number,
            to: audience.to,
        };
        let mut held = audience.members().iter().map(|id| {
            let held = self.seats.get(*id)?.staged_job(staged)?;
            Some(held.id())
        });
        let Some(Some(job_id)) = held.next() else {
            return;
        };
        if !held.all(|other| other == Some(job_id)) {
            return;
        }
        self.announce(audience);
        let time = self.next_time(now, audience);
        for id in audience.members() {
            if let Some(place) = self.seats.place_mut(*id) {
                let (work, prepared) = (&self.desk.work, Arc::clone(&start.prepared));
                place.seat.activate_job(now, job_id, work, prepared, time);
                let due = place.due(work);
                self.seats.look_at_by(due);
            }
        }
        self.write_tip(audience.to, job_id, time);
    }

    /// Tells each channel its target where that is another one: once for a group, where one target
    /// is right for all of its members (§5.3.21).
    fn announce(&mut self, audience: &Audience) {
        let mut changed: Vec<(ChannelId, Rung)> = Vec::new();
        for &id in audience.members() {
            let seat = self.seats.get_mut(id);
            let rung = seat.and_then(|seat| seat.announce(&self.desk.work));
            changed.extend(rung.map(|rung| (id, rung)));
        }
        if changed.is_empty() {
            return;
        }
        match self.common_rung(audience) {
            Some(rung) if changed.len() > 1 => write_target(audience.to, rung, &mut self.output),
            Some(_) | None => changed
                .iter()
                .for_each(|(id, rung)| write_target(*id, *rung, &mut self.output)),
        }
        for (id, rung) in changed {
            self.workers.tell_difficulty(&mut self.desk, id, rung);
        }
    }

    /// The rung that all members of an audience were told, if it is one.
    fn common_rung(&self, audience: &Audience) -> Option<Rung> {
        let seats = audience
            .members()
            .iter()
            .filter_map(|id| self.seats.get(*id));
        let mut rungs = seats.map(|seat| seat.announced());
        let first = rungs.next()?;
        rungs.all(|rung| rung == first).then_some(first)
    }

    fn know_tip(&self, audience: &Audience) -> bool {
        let mut seats = audience
            .members()
            .iter()
            .filter_map(|id| self.seats.get(*id));
        seats.all(|seat| seat.knows_tip_and_bits_of(&self.desk.work))
    }

    fn next_time(&self, now: Instant, audience: &Audience) -> UnixTime {
        let work = &self.desk.work;
        let seats = audience
            .members()
            .iter()
            .filter_map(|id| self.seats.get(*id));
        let latest = seats.map(|seat| seat.next_time(now, work)).max();
        latest.unwrap_or_else(|| work.time(now))
    }

    /// Whether jobs allow version rolling (MP-28).
    fn allows_rolling(&self) -> bool {
        !self.desk.rules.sv2.fixed_version
    }

    /// The merkle root of the newest job, where the audience is one standard channel.
    fn merkle_root(&self, audience: &Audience) -> Option<[u8; 32]> {
        let seat = self.seats.get(audience.to)?;
        seat.channel.newest_job()?.merkle_root()
    }

    /// The same of the staged job.
    fn staged_root(&self, audience: &Audience) -> Option<[u8; 32]> {
        let seat = self.seats.get(audience.to)?;
        seat.channel.staged_job()?.merkle_root()
    }

    /// Activates the future job `job_id`.
    fn write_tip(&mut self, to: ChannelId, job_id: JobId, min_time: UnixTime) {
        let template = self.desk.work.prepared.template();
        let message = SetNewPrevHash {
            channel_id: to.get(),
            job_id: job_id.get(),
            prev_hash: U256::from_le_bytes(template.prev_hash.to_byte_array()),
            min_ntime: min_time.as_secs(),
            nbits: template.bits.to_consensus(),
        };
        write_frame(&message, &mut self.output);
    }

    /// Writes a job, a future one where it does not `begin` at a time. With a merkle root it is a
    /// standard one; without, it has the parts that the root is made of.
    fn write_job(
        &mut self,
        to: ChannelId,
        job_id: JobId,
        job: &Job,
        merkle_root: Option<[u8; 32]>,
        begin: Option<UnixTime>,
    ) {
        let (channel_id, job_id) = (to.get(), job_id.get());
        let (prepared, coinbase) = (job.prepared(), job.coinbase());
        let version = prepared.template().version;
        let min_ntime = begin.map(UnixTime::as_secs);
        if let Some(merkle_root) = merkle_root {
            let merkle_root = U256::from_le_bytes(merkle_root);
            let job = NewMiningJob {
                channel_id,
                job_id,
                min_ntime,
                version,
                merkle_root,
            };
            return write_frame(&job, &mut self.output);
        }
        let job = NewExtendedMiningJob {
            channel_id,
            job_id,
            min_ntime,
            version,
            version_rolling_allowed: self.allows_rolling(),
            merkle_path: Seq255::from_hashes(prepared.merkle_path())
                .expect("a block has fewer than 2^255 transactions"),
            coinbase_tx_prefix: Bytes64K::new(coinbase.prefix())
                .expect("a coinbase input is at most 141 bytes"),
            coinbase_tx_suffix: Bytes64K::new(coinbase.suffix())
                .expect("a handful of outputs is far below 64 KiB"),
        };
        write_frame(&job, &mut self.output);
    }
}

fn write_target(id: ChannelId, rung: Rung, output: &mut Vec<u8>) {
    let message = SetTarget {
        channel_id: id.get(),
        maximum_target: U256::from_le_bytes(rung.target().to_le_bytes()),
    };
    write_frame(&message, output);
}
