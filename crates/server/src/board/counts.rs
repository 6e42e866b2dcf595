//! Counted shares: of a miner, and of the pool.

use std::collections::BTreeMap;

use headframe_api::{RejectReason, ShareCounts};
use headframe_ledger::Sums;
use headframe_work::Work;

use super::convert;
use crate::news::ShareTally;

/// Counted shares and their exact work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) accepted: u64,
    pub(super) work: Work,
    pub(super) rejected: BTreeMap<RejectReason, u64>,
}

impl Counts {
    pub(super) fn of_sums(sums: &Sums) -> Self {
        Self {
            accepted: sums.accepted.count,
            work: sums.accepted.work,
            rejected: convert::rejected(sums),
        }
    }

    pub(super) fn of_tally(tally: &ShareTally) -> Self {
        let mut rejected = BTreeMap::new();
        for (rejection, count) in &tally.rejected {
            convert::add(&mut rejected, convert::reason(*rejection), *count);
        }
        Self {
            accepted: tally.accepted,
            work: tally.work,
            rejected,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.work += other.work;
        for (reason, count) in &other.rejected {
            convert::add(&mut self.rejected, *reason, *count);
        }
    }

    pub(super) fn rejected_total(&self) -> u64 {
        self.rejected
            .values()
            .fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Accepted and rejected shares.
    pub(super) fn judged(&self) -> u64 {
        self.accepted.saturating_add(self.rejected_total())
    }

    pub(super) fn shown(&self) -> ShareCounts {
        ShareCounts {
            accepted: self.accepted,
            accepted_work: self.work.difficulty_sum(),
            rejected: self.rejected_total(),
            rejected_by_reason: self.rejected.clone(),
        }
    }
}
