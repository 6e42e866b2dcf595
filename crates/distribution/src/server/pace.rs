//! How many messages a client may send.

use std::time::Instant;

/// Messages that a client may send at once.
pub const MESSAGES_AT_ONCE: u32 = 256;
/// Messages a second that it may send for ever: more than one that finds a block with every second hash.
pub const MESSAGES_PER_SECOND: u32 = 64;

/// What a client may still send.
#[derive(Debug)]
pub(super) struct Pace {
    left: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: MESSAGES_AT_ONCE.into(),
            at: now,
        }
    }

    /// Counts a message; false when it is one too many.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.at).as_secs_f64();
        let left = self.left + gained * f64::from(MESSAGES_PER_SECOND);
        self.left = left.min(MESSAGES_AT_ONCE.into()) - 1.0;
        self.at = now;
        self.left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_is_taken_and_a_flood_is_not() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert!((0..MESSAGES_AT_ONCE).all(|_| pace.admits(start)));
        assert!(!pace.admits(start));
        let later = start + Duration::from_secs(3);
        assert!((0..100).all(|_| pace.admits(later)));
        let much_later = start + Duration::from_secs(1_000);
        assert!((0..MESSAGES_AT_ONCE).all(|_| pace.admits(much_later)));
        assert!(!pace.admits(much_later), "nothing is saved up");
    }
}
