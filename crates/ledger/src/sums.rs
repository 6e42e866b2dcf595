//! Exact sums of shares: how many, and how much work.

use std::collections::BTreeMap;

use headframe_work::Work;

/// A number of shares and the work that they prove. Both stop at their largest value instead of
/// wrapping; 2^128 units of work are more than all of Bitcoin's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// How many shares.
    pub count: u64,
    /// The sum of the work that their targets stand for, exact.
    pub work: Work,
}

impl Tally {
    /// One share of the given work.
    pub const fn one(work: Work) -> Self {
        Self { count: 1, work }
    }

    /// Adds another tally to this one.
    pub fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count).min(MAX_COUNT);
        self.work = self.work.saturating_add(other.work);
    }
}

/// The largest count: SQLite's integers are signed.
pub(crate) const MAX_COUNT: u64 = i64::MAX as u64;

/// What came of the shares of a worker, or of the pool, in some span of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sums {
    /// Accepted shares, blocks among them.
    pub accepted: Tally,
    /// Rejected shares by reason. The work is that of the target they were sent for.
    pub rejected: BTreeMap<Rejection, Tally>,
    /// How many of the accepted shares were answered before they were on disk.
    pub not_durable: u64,
    /// How many blocks were found.
    pub blocks: u64,
}

impl Sums {
    /// Adds other sums to these.
    pub fn add(&mut self, other: &Self) {
        self.accepted.add(other.accepted);
        for (reason, tally) in &other.rejected {
            self.rejected.entry(*reason).or_default().add(*tally);
        }
        self.not_durable = capped_sum(self.not_durable, other.not_durable);
        self.blocks = capped_sum(self.blocks, other.blocks);
    }

    /// All rejected shares, whatever the reason.
    pub fn rejected_total(&self) -> Tally {
        let mut total = Tally::default();
        for tally in self.rejected.values() {
            total.add(*tally);
        }
        total
    }

    /// The shares that came too late for their tip.
    pub fn stale(&self) -> Tally {
        self.rejected
            .get(&Rejection::Stale)
            .copied()
            .unwrap_or_default()
    }

    /// The sums, kind by kind, without those that are zero.
    pub(crate) fn tallies(&self) -> impl Iterator<Item = (Kind, Tally)> {
        let count_only = |count| Tally {
            count,
            work: Work::default(),
        };
        let rejected = self
            .rejected
            .iter()
            .map(|(reason, tally)| (Kind::Rejected(*reason), *tally));
        [
            (Kind::Accepted, self.accepted),
            (Kind::NotDurable, count_only(self.not_durable)),
            (Kind::Block, count_only(self.blocks)),
        ]
        .into_iter()
        .chain(rejected)
        .filter(|(_, tally)| *tally != Tally::default())
    }

    /// Adds the tally of one kind.
    pub(crate) fn add_kind(&mut self, kind: Kind, tally: Tally) {
        match kind {
            Kind::Accepted => self.accepted.add(tally),
            Kind::Rejected(reason) => self.rejected.entry(reason).or_default().add(tally),
            Kind::NotDurable => self.not_durable = capped_sum(self.not_durable, tally.count),
            Kind::Block => self.blocks = capped_sum(self.blocks, tally.count),
        }
    }
}

fn capped_sum(a: u64, b: u64) -> u64 {
    a.saturating_add(b).min(MAX_COUNT)
}

/// One of the things that [`Sums`] count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Accepted,
    NotDurable,
    Block,
    Rejected(Rejection),
}

impl Kind {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::NotDurable => "not-durable",
            Self::Block => "block",
            Self::Rejected(reason) => reason.code(),
        }
    }

    pub(crate) fn from_code(code: &str) -> Option<Self> {
        [Self::Accepted, Self::NotDurable, Self::Block]
            .into_iter()
            .chain(Rejection::ALL.map(Self::Rejected))
            .find(|kind| kind.code() == code)
    }
}

/// Why a share was rejected, as far as the ledger tells reasons apart. The set is closed, so that
/// no peer can make it grow; the texts that go over the wire are not decided here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rejection {
    /// For a job of a tip that is no more.
    Stale,
    /// The same share came before.
    Duplicate,
    /// The hash does not meet the share target.
    LowDifficulty,
    /// No such job on that channel.
    UnknownJob,
    /// No such channel on that connection.
    UnknownChannel,
    /// The extranonce has the wrong length.
    BadExtranonceSize,
    /// Version bits were rolled that may not be.
    BadVersionBits,
    /// The header time is before the job's.
    TimeTooOld,
    /// The header time is too far ahead.
    TimeTooNew,
    /// From a worker that was not authorised.
    Unauthorized,
    /// A header that no rule above rejects and that still cannot count.
    Other,
}

impl Rejection {
    /// All reasons.
    pub const ALL: [Self; 11] = [
        Self::Stale,
        Self::Duplicate,
        Self::LowDifficulty,
        Self::UnknownJob,
        Self::UnknownChannel,
        Self::BadExtranonceSize,
        Self::BadVersionBits,
        Self::TimeTooOld,
        Self::TimeTooNew,
        Self::Unauthorized,
        Self::Other,
    ];

    /// The stable code under which the reason is stored and shown.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Duplicate => "duplicate",
            Self::LowDifficulty => "low-difficulty",
            Self::UnknownJob => "unknown-job",
            Self::UnknownChannel => "unknown-channel",
            Self::BadExtranonceSize => "bad-extranonce-size",
            Self::BadVersionBits => "bad-version-bits",
            Self::TimeTooOld => "time-too-old",
            Self::TimeTooNew => "time-too-new",
            Self::Unauthorized => "unauthorized",
            Self::Other => "other",
        }
    }

    /// The reason of a stored code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_no_two_are_equal() {
        let kinds = [Kind::Accepted, Kind::NotDurable, Kind::Block]
            .into_iter()
            .chain(Rejection::ALL.map(Kind::Rejected));
        for kind in kinds {
            assert_eq!(Kind::from_code(kind.code()), Some(kind));
        }
    }

    #[test]
    fn sums_stop_at_the_largest_value() {
        let mut tally = Tally {
            count: MAX_COUNT,
            work: Work::from_units(u128::MAX - 1),
        };
        tally.add(Tally::one(Work::from_units(7)));
        assert_eq!((tally.count, tally.work.units()), (MAX_COUNT, u128::MAX));
    }

    #[test]
    fn tallies_and_add_kind_are_inverse() {
        let mut sums = Sums {
            accepted: Tally::one(Work::from_units(1 << 70)),
            not_durable: 3,
            blocks: 1,
            ..Sums::default()
        };
        for reason in Rejection::ALL {
            sums.rejected
                .insert(reason, Tally::one(Work::from_units(reason as u128 + 1)));
        }
        let mut again = Sums::default();
        for (kind, tally) in sums.tallies() {
            again.add_kind(kind, tally);
        }
        assert_eq!(again, sums);
        assert_eq!(sums.rejected_total().work.units(), 66);
        assert_eq!(sums.stale().count, 1);
    }
}
