//! A ledger as a value: what the pool's ledger thread does, with a disk that is slow at times and
//! refuses at others.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use headframe_work::Work;

/// A commit is begun this long after the first share that waits for it.
const COMMIT_INTERVAL: Duration = Duration::from_millis(10);
/// The rest after a write that was refused.
const REST: Duration = Duration::from_secs(1);

/// A number of shares and what they are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) shares: u64,
    pub(super) work: Work,
}

/// How the disk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    /// A write takes this long.
    Takes(Duration),
    /// Nothing can be written.
    Refuses,
}

/// The sums, and what waits to be added to them.
#[derive(Debug)]
pub(super) struct ModelLedger {
    pub(super) disk: Disk,
    committed: Tally,
    waiting: Tally,
    writing: Tally,
    /// Who is to be told of the next commit, and of the one that is being written.
    to_tell: BTreeMap<u64, u64>,
    telling: BTreeMap<u64, u64>,
    is_due: bool,
}

impl ModelLedger {
    pub(super) fn new() -> Self {
        Self {
            disk: Disk::Takes(Duration::ZERO),
            committed: Tally::default(),
            waiting: Tally::default(),
            writing: Tally::default(),
            to_tell: BTreeMap::new(),
            telling: BTreeMap::new(),
            is_due: false,
        }
    }

    /// Takes a share, the `sequence`th of a connection. Says when to write, if that was not said.
    pub(super) fn take(
        &mut self,
        now: Instant,
        connection: u64,
        sequence: u64,
        work: Work,
    ) -> Option<Instant> {
        self.waiting.add(Tally { shares: 1, work });
        self.to_tell.insert(connection, sequence);
        (!core::mem::replace(&mut self.is_due, true)).then_some(now + COMMIT_INTERVAL)
    }

    /// Begins to write. Says when it is done, or when to try again: `Err`.
    pub(super) fn write(&mut self, now: Instant) -> Result<Instant, Instant> {
        match self.disk {
            Disk::Takes(time) => {
                self.writing = core::mem::take(&mut self.waiting);
                self.telling = core::mem::take(&mut self.to_tell);
                Ok(now + time)
            }
            Disk::Refuses => {
                // Those who wait are answered by then; the shares themselves are kept.
                self.to_tell.clear();
                Err(now + REST)
            }
        }
    }

    /// What was being written is on the disk. Says who is to be told, and when to write again.
    pub(super) fn finish(&mut self, now: Instant) -> (BTreeMap<u64, u64>, Option<Instant>) {
        self.committed.add(core::mem::take(&mut self.writing));
        self.is_due = self.waiting.shares > 0;
        let told = core::mem::take(&mut self.telling);
        (told, self.is_due.then_some(now + COMMIT_INTERVAL))
    }

    /// What is on the disk.
    pub(super) fn committed(&self) -> Tally {
        self.committed
    }

    /// All that it was ever given.
    pub(super) fn given(&self) -> Tally {
        let mut given = self.committed;
        given.add(self.waiting);
        given.add(self.writing);
        given
    }
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.shares += other.shares;
        self.work += other.work;
    }
}
