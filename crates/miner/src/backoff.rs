//! How long to wait before the next attempt.

use core::num::NonZeroU32;
use core::time::Duration;

/// The rhythm of attempts after a lost or refused connection: each wait is twice the one before, up to
/// the longest, and a part of it is left to chance, so that the miners of a pool that was away do not
/// all come back in the same moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// The part of each wait that is left to chance, from 0 to 1.
    pub jitter: f64,
    /// Failures in a row after which to give up; `None` for never.
    pub attempts: Option<NonZeroU32>,
}

impl Default for Backoff {
    /// One second to a minute, half of it left to chance, without end.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            jitter: 0.5,
            attempts: None,
        }
    }
}

impl Backoff {
    /// The wait after `failures` failures in a row, the first being number 1; `None` when it is time to
    /// give up. `chance` is from 0 to 1.
    pub(crate) fn wait(&self, failures: u32, chance: f64) -> Option<Duration> {
        if self
            .attempts
            .is_some_and(|attempts| failures >= attempts.get())
        {
            return None;
        }
        let doublings = failures.saturating_sub(1).min(16);
        let wait = self.first.saturating_mul(1 << doublings).min(self.longest);
        Some(wait.mul_f64(1.0 - self.jitter.clamp(0.0, 1.0) * chance.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_shrink_by_chance_only() {
        let backoff = Backoff::default();
        let seconds = |failures, chance| backoff.wait(failures, chance).unwrap().as_secs_f64();
        let waits: Vec<f64> = (1..=8).map(|failures| seconds(failures, 0.0)).collect();
        assert_eq!(waits, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!(seconds(u32::MAX, 0.0), 60.0);
        assert_eq!(seconds(3, 1.0), 2.0);
        assert_eq!(seconds(3, 0.5), 3.0);
    }

    #[test]
    fn gives_up_when_told_to() {
        let attempts = NonZeroU32::new(3);
        let backoff = Backoff {
            attempts,
            ..Backoff::default()
        };
        assert!(backoff.wait(2, 0.0).is_some());
        assert_eq!(backoff.wait(3, 0.0), None);
    }
}
