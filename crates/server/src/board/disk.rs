//! Whether the disk keeps up with the shares: how many of the last ones were acknowledged before the
//! ledger had them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use headframe_work::UnixTime;

/// What the judgement rests on.
const LATELY: Duration = Duration::from_secs(600);
/// Shares are summed for so long, and forgotten together.
const SPAN: Duration = Duration::from_secs(30);
/// Fewer shares that went ahead of the disk are a hiccup, which every disk has.
const SLOW_SHARES: u64 = 10;
/// The disk is slow when more than one share of so many went ahead of it.
const SLOW_ONE_IN: u64 = 100;

/// The shares of the last ten minutes.
#[derive(Debug, Default)]
pub(super) struct Disk {
    spans: VecDeque<Span>,
    slow_since: Option<UnixTime>,
}

/// The shares of one span of time.
#[derive(Debug)]
struct Span {
    began: Instant,
    accepted: u64,
    early: u64,
}

/// A disk that does not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slow {
    /// Shares that were acknowledged before they were durable, ...
    pub(super) early: u64,
    /// ... of so many.
    pub(super) of: u64,
    pub(super) since: UnixTime,
}

impl Disk {
    /// Takes in shares: those accepted, and those of them that were acknowledged early.
    pub(super) fn add(&mut self, (accepted, early): (u64, u64), now: Instant) {
        let is_new = |span: &Span| now.saturating_duration_since(span.began) >= SPAN;
        if self.spans.back().is_none_or(is_new) {
            self.spans.push_back(Span {
                began: now,
                accepted: 0,
                early: 0,
            });
        }
        if let Some(span) = self.spans.back_mut() {
            span.accepted = span.accepted.saturating_add(accepted);
            span.early = span.early.saturating_add(early);
        }
    }

    /// Forgets what is over, and judges anew.
    pub(super) fn advance(&mut self, now: Instant, wall: UnixTime) {
        self.spans
            .retain(|span| now.saturating_duration_since(span.began) < LATELY);
        let (accepted, early) = self.sums();
        let is_slow = early >= SLOW_SHARES && early > accepted / SLOW_ONE_IN;
        self.slow_since = is_slow.then(|| self.slow_since.unwrap_or(wall));
    }

    /// How bad it is, if it is.
    pub(super) fn slow(&self) -> Option<Slow> {
        let since = self.slow_since?;
        let (accepted, early) = self.sums();
        // A share is told a moment before it is told to have been early.
        let of = accepted.max(early);
        Some(Slow { early, of, since })
    }

    fn sums(&self) -> (u64, u64) {
        self.spans.iter().fold((0, 0), |(accepted, early), span| {
            (
                u64::saturating_add(accepted, span.accepted),
                u64::saturating_add(early, span.early),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The judgement at each of these seconds, after the shares told then.
    fn judged(told: &[(u64, (u64, u64))]) -> Vec<Option<(u64, u64, u32)>> {
        let start = Instant::now();
        let mut disk = Disk::default();
        let judge = |&(at, shares): &(u64, (u64, u64))| {
            let now = start + Duration::from_secs(at);
            disk.add(shares, now);
            disk.advance(now, UnixTime::from_secs(at as u32));
            let slow = disk.slow()?;
            Some((slow.early, slow.of, slow.since.as_secs()))
        };
        told.iter().map(judge).collect()
    }

    #[test]
    fn some_shares_are_a_hiccup_however_few_there_were() {
        assert_eq!(judged(&[(0, (9, 9))]), [None]);
        assert_eq!(judged(&[(0, (10, 10))]), [Some((10, 10, 0))]);
    }

    #[test]
    fn one_in_a_hundred_is_a_hiccup_however_many_there_were() {
        let told = [(0, (2_000, 20)), (5, (0, 1)), (9, (200, 0))];
        assert_eq!(judged(&told), [None, Some((21, 2_000, 5)), None]);
    }

    #[test]
    fn what_was_ten_minutes_ago_is_over() {
        let told = [(0, (100, 6)), (300, (100, 6)), (599, (0, 0)), (600, (0, 0))];
        let slow = Some((12, 200, 300));
        assert_eq!(judged(&told), [None, slow, slow, None]);
    }

    #[test]
    fn shares_do_not_pile_up() {
        let start = Instant::now();
        let mut disk = Disk::default();
        for second in 0..10_000 {
            let now = start + Duration::from_secs(second);
            disk.add((u64::MAX, u64::MAX), now);
            disk.advance(now, UnixTime::default());
            assert!(disk.spans.len() <= 20);
        }
    }
}
