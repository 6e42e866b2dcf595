//! What the sessions of both protocols have in common: the pool's side of the table.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headframe_channels::{
    ChannelId, ChannelJob, ExtranoncePrefix, JobId, MemoryBudget, RejectReason, ShareVerdict,
};
use headframe_work::{Block, Job, Payout, PreparedTemplate, Work};

use super::seat::Seat;
use super::{FoundBlock, PoolRules, PoolWork, SessionEvent, ShareEvent};

/// A reply waits this long for the ledger, and goes out all the same then.
pub const REPLY_WITHIN: Duration = Duration::from_millis(100);
/// Replies of one connection that wait for the ledger. The ledger commits every thousand shares, so
/// that more than this means it has stopped; they all go out then.
pub(crate) const MAX_WAITING: usize = 4096;

/// The pool's rules, its present work, and what is still to be told to the rest of it.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) rules: Arc<PoolRules>,
    pub(crate) work: Arc<PoolWork>,
    /// What all seats remember together.
    pub(crate) budget: MemoryBudget,
    prefix: Option<ExtranoncePrefix>,
    events: VecDeque<SessionEvent>,
    next_sequence: u64,
    /// Jobs made since the present work came, so that channels with equal payouts share them: one
    /// for each number and length of the extranonce.
    jobs: HashMap<Payout, Vec<(JobId, Arc<Job>)>>,
    /// The staged job that the present work puts on its tip, before and after.
    activated: Option<(Arc<Job>, Arc<Job>)>,
}

/// An accepted share, as the reply to it needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accepted {
    /// Its number; the ledger commits numbers in order.
    pub(crate) sequence: u64,
    /// What it is worth.
    pub(crate) work: Work,
    /// When the reply goes out though the ledger has said nothing.
    pub(crate) deadline: Instant,
}

impl Desk {
    pub(crate) fn new(rules: Arc<PoolRules>, work: Arc<PoolWork>) -> Self {
        Self {
            rules,
            work,
            budget: MemoryBudget::default(),
            prefix: None,
            events: VecDeque::new(),
            next_sequence: 1,
            jobs: HashMap::new(),
            activated: None,
        }
    }

    pub(crate) fn wants_prefix(&self) -> bool {
        self.prefix.is_none()
    }

    pub(crate) fn add_prefix(&mut self, prefix: ExtranoncePrefix) {
        if let Some(spare) = self.prefix.replace(prefix) {
            self.tell(SessionEvent::PrefixReturned(spare));
        }
    }

    pub(crate) fn take_prefix(&mut self) -> Option<ExtranoncePrefix> {
        self.prefix.take()
    }

    pub(crate) fn tell(&mut self, event: SessionEvent) {
        self.events.push_back(event);
    }

    pub(crate) fn poll_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    /// Frees the memory of events that were taken.
    pub(crate) fn release_events(&mut self) {
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
    }

    /// Takes newer work; false when it is what the desk has, whose jobs must not be sent twice
    ///
    pub(crate) fn handle_work(&mut self, work: &Arc<PoolWork>) -> bool {
        if work.job_id == self.work.job_id {
            return false;
        }
        self.work = Arc::clone(work);
        self.jobs.clear();
        self.activated = None;
        true
    }

    /// The pool's present work as job `id`, joined to the payout of `seat`. `None`, and told, when
    /// that cannot be.
    pub(crate) fn present_job(&mut self, seat: &Seat, id: JobId) -> Option<Arc<Job>> {
        let prepared = Arc::clone(&self.work.prepared);
        match id == self.work.job_id {
            true => self.shared_job(seat, &prepared, id),
            false => self.make_job(seat, &prepared, id),
        }
    }

    /// The job `id` of `prepared`, joined to the payout of `seat`: one for all seats that are paid
    /// alike.
    pub(crate) fn shared_job(
        &mut self,
        seat: &Seat,
        prepared: &Arc<PreparedTemplate>,
        id: JobId,
    ) -> Option<Arc<Job>> {
        let payout = seat.channel.payout();
        let extranonce_len = seat.channel.extranonce_len();
        let made = self.jobs.get(payout).into_iter().flatten();
        let fits = |(made, job): &&(JobId, Arc<Job>)| {
            *made == id && job.coinbase().extranonce_len() == extranonce_len
        };
        if let Some((_, job)) = made.clone().find(fits) {
            return Some(Arc::clone(job));
        }
        let job = self.make_job(seat, prepared, id)?;
        let jobs = self.jobs.entry(payout.clone()).or_default();
        jobs.push((id, Arc::clone(&job)));
        Some(job)
    }

    /// The job `id` of `prepared`, for one seat.
    fn make_job(
        &mut self,
        seat: &Seat,
        prepared: &Arc<PreparedTemplate>,
        id: JobId,
    ) -> Option<Arc<Job>> {
        match seat.make_job(&self.rules, prepared, id) {
            Ok(job) => Some(job),
            Err(error) => {
                let seat = seat.id;
                self.tell(SessionEvent::NoJob { seat, error });
                None
            }
        }
    }

    /// The staged job `staged` on the present tip, whose template is `prepared`.
    pub(crate) fn on_tip(
        &mut self,
        staged: &Arc<Job>,
        prepared: &Arc<PreparedTemplate>,
    ) -> Arc<Job> {
        if let Some((before, job)) = &self.activated
            && Arc::ptr_eq(before, staged)
            && Arc::ptr_eq(job.prepared(), prepared)
        {
            return Arc::clone(job);
        }
        let job = Arc::new(staged.on_tip(Arc::clone(prepared)));
        self.activated = Some((Arc::clone(staged), Arc::clone(&job)));
        job
    }

    /// Tells the pool of a block.
    pub(crate) fn hand_in(&mut self, seat: ChannelId, block: Block) {
        let hash = block.hash();
        let found = FoundBlock { seat, block, hash };
        self.tell(SessionEvent::Block(Box::new(found)));
    }

    /// Tells the pool of a judged share of job `job`, under the name of `worker`: the block first,
    /// then the share.
    pub(crate) fn record(
        &mut self,
        now: Instant,
        seat: &Seat,
        worker: ChannelId,
        job: JobId,
        verdict: ShareVerdict,
    ) -> Result<Accepted, RejectReason> {
        let outcome = verdict.credit();
        if let ShareVerdict::Block(block, _) = verdict {
            self.hand_in(worker, *block);
        }
        let sequence = self.next_sequence;
        self.tell(SessionEvent::Share(ShareEvent {
            seat: worker,
            rung: seat
                .channel
                .job(job)
                .map_or_else(|| seat.announced(), ChannelJob::rung),
            outcome,
            sequence,
        }));
        let credit = outcome?;
        if let Some(settled) = seat.control.newly_settled() {
            let seat = worker;
            self.tell(SessionEvent::Settled { seat, settled });
        }
        self.next_sequence += 1;
        Ok(Accepted {
            sequence,
            work: credit.work(),
            deadline: now + REPLY_WITHIN,
        })
    }
}
