//! The work that a session has given out, by handle.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::{JobHandle, MiningWork, Solution, SolutionError, Submission};

/// Jobs that a session remembers, void ones included. A pool sends one about every thirty seconds.
pub const MAX_JOBS: usize = 16;

/// Jobs by the name `Id` that they have on the wire.
#[derive(Debug)]
pub(super) struct JobTable<Id> {
    jobs: VecDeque<Job<Id>>,
    max: usize,
    next: u64,
}

#[derive(Debug)]
struct Job<Id> {
    id: Id,
    work: Arc<MiningWork>,
    void: bool,
}

impl<Id: Clone + PartialEq> JobTable<Id> {
    /// A table of up to `max` jobs, void ones included.
    pub(super) const fn new(max: usize) -> Self {
        Self {
            jobs: VecDeque::new(),
            max,
            next: 0,
        }
    }

    /// Adds a job, the oldest leaving for it; `work` is given its handle. Clean work makes all others
    /// void, and a job of the same id is void in any case.
    pub(super) fn add(
        &mut self,
        id: Id,
        work: impl FnOnce(JobHandle) -> MiningWork,
    ) -> Arc<MiningWork> {
        let work = Arc::new(work(JobHandle(self.next)));
        self.next += 1;
        for job in &mut self.jobs {
            job.void |= work.clean || job.id == id;
        }
        if self.jobs.len() >= self.max {
            self.jobs.pop_front();
        }
        self.jobs.push_back(Job {
            id,
            work: Arc::clone(&work),
            void: false,
        });
        work
    }

    /// Makes all jobs void. They are kept: a block is a block.
    pub(super) fn void_all(&mut self) {
        for job in &mut self.jobs {
            job.void = true;
        }
    }

    /// The newest job that is not void.
    pub(super) fn newest(&self) -> Option<&Arc<MiningWork>> {
        self.jobs
            .iter()
            .rev()
            .find(|job| !job.void)
            .map(|job| &job.work)
    }

    /// The wire's name of a job that is not void, and its work.
    pub(super) fn find(&self, handle: JobHandle) -> Option<(&Id, &MiningWork)> {
        let mut live = self.jobs.iter().filter(|job| !job.void);
        let job = live.find(|job| job.work.job == handle)?;
        Some((&job.id, &job.work))
    }

    /// Judges a solution: the wire's name of its job and its work, or why it is not to be sent.
    /// A solution of void work is sent only if it is a block.
    pub(super) fn judge(
        &self,
        now: Instant,
        solution: &Solution,
    ) -> Result<Judged<'_, Id>, Submission> {
        let job = self.jobs.iter().find(|job| job.work.job == solution.job);
        let job = job.ok_or(Submission::Void)?;
        let hash = job.work.check(now, solution).map_err(Submission::Wrong)?;
        let block = job.work.network_target().is_met_by(&hash);
        match () {
            () if block => {}
            () if job.void => return Err(Submission::Void),
            () if job.work.target.is_met_by(&hash) => {}
            () => return Err(Submission::Wrong(SolutionError::Target)),
        }
        Ok(Judged {
            id: &job.id,
            work: &job.work,
            block,
        })
    }
}

/// A solution that is worth sending.
#[derive(Debug)]
pub(super) struct Judged<'t, Id> {
    pub(super) id: &'t Id,
    pub(super) work: &'t MiningWork,
    pub(super) block: bool,
}
