//! A miner's place in the pool: its channel, and how hard its shares are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headframe_channels::{
    Channel, ChannelId, ChannelJob, ChannelKind, DifficultyControl, JobId, JobTerms, Past, Share,
    ShareVerdict, StagedJob,
};
use headframe_work::{Job, Miner, PreparedTemplate, Rung, UnixTime};

use super::{PoolWork, SessionEvent};

/// A miner's own jobs, those that no fan-out caused, come at most this often.
const OWN_JOB_INTERVAL: Duration = Duration::from_secs(1);
/// A miner for which no job could be made is tried again after this time, if no other work comes
/// before.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// The headers of a standard job: 2^32 nonces, and 2^16 versions as BIP320 has them. A new job
/// comes when half of them may be used up.
const STANDARD_JOB_HASHES: f64 = (1u64 << 47) as f64;
/// A standard job is good for this long at most.
const STANDARD_JOB_AGE: Duration = Duration::from_secs(30);

/// One miner, on either protocol.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) id: ChannelId,
    pub(crate) miner: Miner,
    pub(crate) channel: Channel,
    pub(crate) control: DifficultyControl,
    /// The rung that the miner was told last.
    announced: Rung,
    /// The earliest time at which the miner may get a job of its own.
    own_job_due: Instant,
    /// What the miner was sent ahead of the next tip.
    staged: Option<Staged>,
}

/// What a miner was sent ahead of its tip, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Staged {
    /// The number of the pool's staged work.
    pub(crate) number: JobId,
    /// The id of the channel or group that the job was addressed to, which the tip has to be
    /// addressed to as well.
    pub(crate) to: ChannelId,
}

impl Seat {
    pub(crate) fn new(
        id: ChannelId,
        miner: Miner,
        channel: Channel,
        control: DifficultyControl,
        work: &PoolWork,
        now: Instant,
    ) -> Self {
        let announced = control.rung_for(work.prepared.target());
        Self {
            id,
            miner,
            channel,
            control,
            announced,
            own_job_due: now,
            staged: None,
        }
    }

    /// The rung that the miner was told last.
    pub(crate) fn announced(&self) -> Rung {
        self.announced
    }

    /// The rung that the miner is to be told before its next job, if it is another one.
    pub(crate) fn announce(&mut self, work: &PoolWork) -> Option<Rung> {
        self.change_announced(self.rung(work))
    }

    /// The same for a miner that keeps the rung that it was told last, as far as that is not harder
    /// than the network's target.
    pub(crate) fn announce_last(&mut self, work: &PoolWork) -> Option<Rung> {
        let network = work.prepared.target();
        self.change_announced(self.announced.no_harder_than(network))
    }

    fn change_announced(&mut self, rung: Rung) -> Option<Rung> {
        let changed = rung != self.announced;
        self.announced = rung;
        changed.then_some(rung)
    }

    /// Whether the miner has a job for the tip that `work` builds on.
    pub(crate) fn is_on_tip_of(&self, work: &PoolWork) -> bool {
        let newest = self.channel.newest_job();
        newest.is_some_and(|job| job.tip() == work.tip())
    }

    /// Whether the miner knows the tip and the bits of `work`.
    pub(crate) fn knows_tip_and_bits_of(&self, work: &PoolWork) -> bool {
        let template = work.prepared.template();
        let newest = self.channel.newest_job();
        newest.is_some_and(|job| job.template().same_tip_and_bits(template))
    }

    /// The header time that a job sent at `now` begins with: never before that of an earlier job on
    /// the same tip, since a node's clock may be set back and SRI's translator leaves a pool whose
    /// jobs go back in time.
    pub(crate) fn next_time(&self, now: Instant, work: &PoolWork) -> UnixTime {
        let newest = self.channel.newest_job();
        let before = newest.filter(|job| job.tip() == work.tip());
        let before = before.map_or(work.earliest, ChannelJob::min_time);
        work.time(now).max(before.min(work.last_time()))
    }

    /// Records that the miner is sent `job`, whose shares must meet the announced rung.
    pub(crate) fn send_job(
        &mut self,
        now: Instant,
        id: JobId,
        work: &PoolWork,
        job: &Job,
        min_time: UnixTime,
    ) {
        let terms = self.terms(now, id, work, min_time);
        self.channel.send_job(terms, job);
    }

    /// Records that the miner is sent `job` ahead of its tip.
    pub(crate) fn stage_job(&mut self, staged: Staged, id: JobId, job: &Job) {
        self.staged = Some(staged);
        self.channel.stage_job(id, job);
    }

    /// The job that the miner was sent ahead of its tip, if that was as `staged` says.
    pub(crate) fn staged_job(&self, staged: Staged) -> Option<&StagedJob> {
        self.channel
            .staged_job()
            .filter(|_| self.staged == Some(staged))
    }

    /// Whether the pool's staged work `number` was ever sent to the miner.
    pub(crate) fn was_staged(&self, number: JobId) -> bool {
        self.staged.is_some_and(|staged| staged.number == number)
    }

    /// Records that the tip of the staged job is known; `prepared` is its template on it.
    pub(crate) fn activate_job(
        &mut self,
        now: Instant,
        id: JobId,
        work: &PoolWork,
        prepared: Arc<PreparedTemplate>,
        min_time: UnixTime,
    ) {
        let terms = self.terms(now, id, work, min_time);
        self.channel.activate_job(terms, prepared);
    }

    /// Judges a share, and lets the difficulty control know.
    pub(crate) fn judge(&mut self, now: Instant, share: &Share<'_>) -> ShareVerdict {
        let verdict = self.channel.judge(now, share);
        if let Ok(credit) = verdict.credit() {
            self.control.handle_share(now, &credit);
        }
        verdict
    }

    /// Lets the difficulty control do what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if now >= self.control.poll_timeout() {
            self.control.handle_timeout(now);
        }
    }

    /// What was found out about the miner and is to be remembered at once.
    pub(crate) fn learnt(&mut self, now: Instant) -> Option<SessionEvent> {
        let past = self.control.poll_past(now)?;
        Some(self.remembered(past))
    }

    /// What is to be remembered of the miner, who goes.
    pub(crate) fn farewell(&self, now: Instant) -> Option<SessionEvent> {
        let past = self.control.past(now)?;
        Some(self.remembered(past))
    }

    /// Whether the miner is to get a job of its own now.
    pub(crate) fn wants_job(&self, now: Instant, work: &PoolWork) -> bool {
        self.own_job_at(work).is_some_and(|at| now >= at)
    }

    /// A job of the miner's own is sent, or cannot be made.
    pub(crate) fn note_own_job(&mut self, now: Instant, is_made: bool) {
        self.own_job_due = match is_made {
            true => now + OWN_JOB_INTERVAL,
            false => now + RETRY_AFTER,
        };
    }

    /// When the seat is to be looked at again.
    pub(crate) fn poll_timeout(&self, work: &PoolWork) -> Instant {
        let control = self.poll_control_timeout();
        let own_job = self.own_job_at(work);
        own_job.map_or(control, |at| at.min(control))
    }

    /// When [`Self::handle_timeout`] is due, whatever job the miner is to get.
    pub(crate) fn poll_control_timeout(&self) -> Instant {
        self.control.poll_timeout()
    }

    fn remembered(&self, past: Box<Past>) -> SessionEvent {
        let user = Arc::clone(&self.miner.user);
        SessionEvent::Learnt { user, past }
    }

    fn terms(&self, now: Instant, id: JobId, work: &PoolWork, min_time: UnixTime) -> JobTerms {
        JobTerms {
            id,
            rung: self.announced,
            min_time,
            max_time: work.latest,
            clock: work.clock,
            sent: now,
        }
    }

    /// The rung that the miner's next job is to have.
    pub(crate) fn rung(&self, work: &PoolWork) -> Rung {
        self.control.rung_for(work.prepared.target())
    }

    /// When the miner is to get a job of its own: at once if its difficulty is another one or its
    /// job is full, and before it has used up a standard job. A miner without a job for the tip
    /// waits for the pool's next.
    fn own_job_at(&self, work: &PoolWork) -> Option<Instant> {
        if !self.is_on_tip_of(work) {
            return None;
        }
        let newest = self.channel.newest_job()?;
        let is_outdated = newest.rung() != self.rung(work) || self.channel.needs_job();
        match (is_outdated, self.channel.kind()) {
            (true, _) => Some(self.own_job_due),
            (false, ChannelKind::Standard) => {
                let used_up = newest.sent() + self.standard_job_age();
                Some(used_up.max(self.own_job_due))
            }
            (false, ChannelKind::Extended) => None,
        }
    }

    fn standard_job_age(&self) -> Duration {
        let seconds = STANDARD_JOB_HASHES / self.control.hashrate_at_most().as_f64();
        // A rate of zero has no such time, and `min` takes the other one then.
        let seconds = seconds.min(STANDARD_JOB_AGE.as_secs_f64());
        Duration::from_secs_f64(seconds)
    }
}
