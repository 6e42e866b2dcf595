//! What the log has of a publisher: one that comes and goes, or loses messages, says so once a minute and not with
//! each time. Not here: the words.

use std::time::Duration;

use tokio::time::Instant;

/// That a publisher is lost, or has lost messages, is told again after so long at the earliest.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// What was told of a publisher, and when.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Whether it is heard, by the log; `None`: nothing was told.
    is_heard: Option<bool>,
    lost_at: Option<Instant>,
    gap_at: Option<Instant>,
    /// Messages that were lost and not told of.
    missing: u64,
}

impl Told {
    /// It is heard; whether to tell so.
    pub(super) fn handle_heard(&mut self) -> bool {
        self.is_heard.replace(true) != Some(true)
    }

    /// It is not heard any more, or not yet; whether to tell so.
    pub(super) fn handle_lost(&mut self, now: Instant) -> bool {
        let is_news = self.is_heard != Some(false) && is_due(self.lost_at, now);
        if is_news {
            self.is_heard = Some(false);
            self.lost_at = Some(now);
        }
        is_news
    }

    /// So many of its messages were lost; how many to tell of.
    pub(super) fn handle_gap(&mut self, now: Instant, messages: u32) -> Option<u64> {
        self.missing += u64::from(messages);
        if self.missing == 0 || !is_due(self.gap_at, now) {
            return None;
        }
        self.gap_at = Some(now);
        Some(core::mem::take(&mut self.missing))
    }
}

fn is_due(told: Option<Instant>, now: Instant) -> bool {
    told.is_none_or(|told| now >= told + TELL_AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_publisher_that_comes_and_goes_is_two_lines_a_minute() {
        let (mut told, start) = (Told::default(), Instant::now());
        let mut lines = 0;
        for second in 0..600 {
            lines += u32::from(told.handle_heard());
            lines += u32::from(told.handle_lost(start + second * SECOND));
        }
        assert_eq!(
            lines,
            1 + 2 * 10,
            "its first word, and ten times its loss and return"
        );
    }

    #[test]
    fn one_that_stays_away_is_told_of_once_and_its_return_too() {
        let (mut told, start) = (Told::default(), Instant::now());
        assert!(told.handle_lost(start));
        assert!((1..600).all(|second| !told.handle_lost(start + second * SECOND)));
        assert!(told.handle_heard());
        assert!(!told.handle_heard());
    }

    #[test]
    fn messages_that_are_lost_with_each_block_are_counted_together() {
        let (mut told, start) = (Told::default(), Instant::now());
        assert_eq!(told.handle_gap(start, 0), None);
        assert_eq!(told.handle_gap(start, 3), Some(3));
        assert_eq!(told.handle_gap(start + SECOND, 2), None);
        assert_eq!(told.handle_gap(start + 2 * SECOND, u32::MAX), None);
        let sum = u64::from(u32::MAX) + 2;
        assert_eq!(told.handle_gap(start + 60 * SECOND, 0), Some(sum));
        assert_eq!(told.handle_gap(start + 200 * SECOND, 0), None);
    }
}
