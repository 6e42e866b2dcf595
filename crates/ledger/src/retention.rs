//! How long sums are kept, so that a ledger of many years stays small.

use core::time::Duration;

use headframe_work::UnixTime;

use crate::history::{Span, floor_to};

/// How many workers are remembered; past it the least recently seen are forgotten. Their shares
/// stay in the pool's sums.
pub const MAX_WORKERS: usize = 100_000;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long sums are kept at each resolution. Sums over the whole life of a worker and of the pool
/// are kept besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How long per minute; then they become hours.
    pub minutes: Duration,
    /// How long per hour; then they become days.
    pub hours: Duration,
    /// How long per day; then they are dropped.
    pub days: Duration,
    /// How many workers, at least 1.
    pub workers: usize,
}

impl Default for Retention {
    /// A week of minutes (10,080 a worker) for the charts that people zoom into, a quarter of hours
    /// (2,160), ten years of days (3,650), [`MAX_WORKERS`].
    fn default() -> Self {
        Self {
            minutes: 7 * DAY,
            hours: 90 * DAY,
            days: 3650 * DAY,
            workers: MAX_WORKERS,
        }
    }
}

impl Retention {
    /// Stored slots of this span that start before the result have served their time at `now`. It
    /// is a boundary of the next coarser span, so that one never becomes two.
    pub(crate) fn horizon(&self, span: Span, now: UnixTime) -> UnixTime {
        match span {
            Span::Minute => floor_to(now.saturating_sub(self.minutes), Span::Hour.seconds()),
            Span::Hour => floor_to(now.saturating_sub(self.hours), Span::Day.seconds()),
            Span::Day => now.saturating_sub(self.days),
        }
    }
}

/// What becomes of a span past its horizon: the next coarser one, or nothing.
pub(crate) const fn coarser(span: Span) -> Option<Span> {
    match span {
        Span::Minute => Some(Span::Hour),
        Span::Hour => Some(Span::Day),
        Span::Day => None,
    }
}

/// How many workers are forgotten when the limit is reached: some at once, since finding the least
/// recently seen reads all.
pub(crate) fn room(limit: usize) -> usize {
    (limit / 100).max(1)
}
