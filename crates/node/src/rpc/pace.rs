//! How long a node takes for a template, and what is made of it: deadlines that a small computer keeps too.
//!
//! Not here: the clock. What a call took is told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A call may take so many times what a template took lately: a block that arrives meanwhile doubles it, and a
/// disk that is slow for once doubles that.
const PATIENCE: u32 = 4;
/// No call may take longer than this, however slow the node has been.
const LONGEST_LIMIT: Duration = Duration::from_secs(300);
/// A node is asked for templates by the timer for a fifth of its time at most.
const REST: u32 = 4;
/// What a long poll may take longer than a template does, when the node has said that there is a new tip.
const GRACE: Duration = Duration::from_secs(1);

/// The time that a node's templates took lately.
#[derive(Debug, Default)]
pub(super) struct Pace {
    answered: Lately,
    /// The same with those that were waited for in vain.
    waited: Lately,
}

/// In milliseconds. Slowness is believed at once, and forgotten by a quarter with each template.
#[derive(Debug, Default)]
struct Lately(AtomicU64);

impl Lately {
    fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let lately = self.0.load(Ordering::Relaxed);
        let eased = lately - lately.saturating_sub(took) / 4;
        self.0.store(took.max(eased), Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

impl Pace {
    /// A template took so long.
    pub(super) fn note(&self, took: Duration) {
        self.answered.note(took);
        self.waited.note(took);
    }

    /// A template was not there after so long.
    pub(super) fn note_missed(&self, waited: Duration) {
        self.waited.note(waited);
    }

    /// What a template takes.
    fn lately(&self) -> Duration {
        self.answered.get()
    }

    /// How long a call may take that `usual` would do for on a node of which nothing is known.
    pub(super) fn limit(&self, usual: Duration) -> Duration {
        let lately = self.waited.get().saturating_mul(PATIENCE);
        lately.min(LONGEST_LIMIT).max(usual)
    }

    /// How long after a template the timer asks for the next, where `usual` would do.
    pub(super) fn rest(&self, usual: Duration) -> Duration {
        self.lately().saturating_mul(REST).max(usual)
    }

    /// How long a long poll may take for a tip that the node has told of.
    pub(super) fn grace(&self) -> Duration {
        GRACE + self.lately().saturating_mul(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_fast_node_has_the_usual_limits() {
        let pace = Pace::default();
        pace.note(SECOND / 4);
        assert_eq!(pace.limit(30 * SECOND), 30 * SECOND);
        assert_eq!(pace.rest(30 * SECOND), 30 * SECOND);
        assert_eq!(pace.grace(), SECOND * 3 / 2);
    }

    #[test]
    fn a_slow_node_is_waited_for_and_asked_less() {
        let pace = Pace::default();
        pace.note(20 * SECOND);
        assert_eq!(pace.limit(30 * SECOND), 80 * SECOND);
        assert_eq!(pace.rest(30 * SECOND), 80 * SECOND);
        assert_eq!(pace.grace(), 41 * SECOND);
    }

    /// What was not there within a limit has the next one longer, up to five minutes.
    #[test]
    fn a_node_that_needs_a_minute_is_waited_for_at_the_second_try() {
        let pace = Pace::default();
        for limit in [30, 120, 300, 300] {
            assert_eq!(pace.limit(30 * SECOND), limit * SECOND);
            pace.note_missed(pace.limit(30 * SECOND));
        }
    }

    /// One that was frozen for ten minutes is as fast as before when it goes on: the timer and a dead long poll are not
    /// to wait for it as for a slow one.
    #[test]
    fn what_was_not_answered_says_nothing_of_how_long_a_template_takes() {
        let pace = Pace::default();
        pace.note(SECOND / 4);
        for _ in 0..4 {
            pace.note_missed(pace.limit(30 * SECOND));
        }
        assert_eq!(pace.limit(30 * SECOND), 300 * SECOND);
        assert_eq!(pace.rest(30 * SECOND), 30 * SECOND);
        assert_eq!(pace.grace(), SECOND * 3 / 2);
        for _ in 0..20 {
            pace.note(SECOND / 4);
        }
        assert_eq!(pace.limit(30 * SECOND), 30 * SECOND);
    }

    #[test]
    fn slowness_is_forgotten() {
        let pace = Pace::default();
        pace.note(100 * SECOND);
        for _ in 0..20 {
            pace.note(SECOND);
        }
        assert_eq!(pace.limit(30 * SECOND), 30 * SECOND);
    }
}
