//! How often a client that changes what it needs is given a template for that.

use std::time::{Duration, Instant};

/// Changes of its needs that a client is answered at once.
pub const CHANGES_AT_ONCE: u32 = 4;
/// Another one in this time.
pub const CHANGE_INTERVAL: Duration = Duration::from_secs(1);
/// Changes that were answered for so long ago are not counted any more.
const SAVED: Duration = CHANGE_INTERVAL.saturating_mul(CHANGES_AT_ONCE - 1);

/// The changes that a client may still make.
#[derive(Debug)]
pub(super) struct Changes {
    /// When it has all of them again.
    whole_at: Instant,
}

impl Changes {
    pub(super) const fn new(now: Instant) -> Self {
        Self { whole_at: now }
    }

    /// Counts a change; where there is none left it is not counted, and one is left at the time that is given.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Instant> {
        match self.due(now) {
            Some(due) => Err(due),
            None => {
                self.whole_at = self.whole_at.max(now) + CHANGE_INTERVAL;
                Ok(())
            }
        }
    }

    /// When there is a change left, if none is now.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let missing = self.whole_at.saturating_duration_since(now);
        let wait = missing.checked_sub(SAVED).filter(|wait| !wait.is_zero());
        wait.map(|wait| now + wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_changes_are_answered_at_once_and_then_one_a_second() {
        let start = Instant::now();
        let mut changes = Changes::new(start);
        for _ in 0..CHANGES_AT_ONCE {
            assert_eq!(changes.due(start), None);
            assert_eq!(changes.admit(start), Ok(()));
        }
        let next = start + CHANGE_INTERVAL;
        let soon = start + CHANGE_INTERVAL / 2;
        for now in [start, soon] {
            assert_eq!(changes.due(now), Some(next));
            assert_eq!(changes.admit(now), Err(next), "it is not counted");
        }
        assert_eq!(changes.admit(next), Ok(()));
        assert_eq!(changes.admit(next), Err(next + CHANGE_INTERVAL));
        let later = start + Duration::from_secs(1_000);
        assert!((0..CHANGES_AT_ONCE).all(|_| changes.admit(later).is_ok()));
        assert!(changes.admit(later).is_err(), "no more are saved up");
    }
}
