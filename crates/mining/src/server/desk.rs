//! What the sessions of both protocols have in common: the pool's side of the table.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headframe_channels::{
    ChannelId, ChannelJob, ExtranoncePrefix, JobId, RejectReason, ShareVerdict,
};
use headframe_work::{Job, Payout, Work};

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
    prefix: Option<ExtranoncePrefix>,
    events: VecDeque<SessionEvent>,
    next_sequence: u64,
    /// Jobs made of the present work, so that channels with equal payouts share them: one for each
    /// length of the extranonce.
    jobs: HashMap<Payout, Vec<Arc<Job>>>,
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
            prefix: None,
            events: VecDeque::new(),
            next_sequence: 1,
            jobs: HashMap::new(),
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

    /// Takes newer work; false when it is what the desk has, whose jobs must not be sent twice
    ///
    pub(crate) fn handle_work(&mut self, work: &Arc<PoolWork>) -> bool {
        if work.job_id == self.work.job_id {
            return false;
        }
        self.work = Arc::clone(work);
        self.jobs.clear();
        true
    }

    /// The pool's present work, joined to the payout of `seat`. `None`, and told, when that cannot
    /// be.
    pub(crate) fn pool_job(&mut self, seat: &Seat) -> Option<Arc<Job>> {
        let payout = seat.channel.payout();
        let extranonce_len = seat.channel.extranonce_len();
        let fits = |job: &&Arc<Job>| job.coinbase().extranonce_len() == extranonce_len;
        if let Some(job) = self
            .jobs
            .get(payout)
            .and_then(|jobs| jobs.iter().find(fits))
        {
            return Some(Arc::clone(job));
        }
        let job = self.make_job(seat, self.work.job_id)?;
        let jobs = self.jobs.entry(payout.clone()).or_default();
        jobs.push(Arc::clone(&job));
        Some(job)
    }

    /// The present work under a number of its own, for one seat.
    pub(crate) fn make_job(&mut self, seat: &Seat, id: JobId) -> Option<Arc<Job>> {
        match seat.make_job(&self.rules, &self.work, id) {
            Ok(job) => Some(job),
            Err(error) => {
                let seat = seat.id;
                self.tell(SessionEvent::NoJob { seat, error });
                None
            }
        }
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
            self.tell(SessionEvent::Block(Box::new(FoundBlock {
                seat: worker,
                hash: block.hash(),
                block: *block,
            })));
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
        self.next_sequence += 1;
        Ok(Accepted {
            sequence,
            work: credit.work(),
            deadline: now + REPLY_WITHIN,
        })
    }
}
