//! What the sessions of both protocols have in common: the pool's side of the table.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headframe_channels::{
    ChannelId, ChannelJob, ExtranoncePrefix, JobId, MemoryBudget, RejectReason, ShareVerdict,
};
use headframe_work::{Block, Job, PreparedTemplate, Work};

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
    /// The job that was made last. Channels with equal payouts, which get theirs one after another, share it.
    made: Option<(JobId, Arc<Job>)>,
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
            made: None,
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

    /// Frees the memory of events that were taken, and of the job that was made last.
    pub(crate) fn release(&mut self) {
        self.made = None;
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
        self.made = None;
        true
    }

    /// The pool's present work as job `id`, joined to the payout of `seat`. `None`, and told, when
    /// that cannot be.
    pub(crate) fn present_job(&mut self, seat: &Seat, id: JobId) -> Option<Arc<Job>> {
        let prepared = Arc::clone(&self.work.prepared);
        self.job(seat, &prepared, id)
    }

    /// The job `id` of `prepared`, joined to the payout of `seat`.
    pub(crate) fn job(
        &mut self,
        seat: &Seat,
        prepared: &Arc<PreparedTemplate>,
        id: JobId,
    ) -> Option<Arc<Job>> {
        let fits = |(made, job): &&(JobId, Arc<Job>)| {
            *made == id
                && Arc::ptr_eq(job.prepared(), prepared)
                && job.payout() == seat.channel.payout()
                && job.coinbase().extranonce_len() == seat.channel.extranonce_len()
        };
        if let Some((_, job)) = self.made.as_ref().filter(fits) {
            return Some(Arc::clone(job));
        }
        match seat.channel.make_job(prepared, id) {
            Ok(job) => {
                let (_, job) = self.made.insert((id, Arc::new(job)));
                Some(Arc::clone(job))
            }
            Err(error) => {
                let seat = seat.id;
                self.tell(SessionEvent::NoJob { seat, error });
                None
            }
        }
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
        seat: &mut Seat,
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
        if let Some(learnt) = seat.learnt(now) {
            self.tell(learnt);
        }
        self.next_sequence += 1;
        Ok(Accepted {
            sequence,
            work: credit.work(),
            deadline: now + REPLY_WITHIN,
        })
    }
}
