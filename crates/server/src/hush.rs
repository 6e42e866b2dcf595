//! Lines of the log that strangers can cause: told while they are few, counted when they are many.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines that may come at once.
const BURST: u32 = 20;
/// After a burst there is one line in this time.
const INTERVAL: Duration = Duration::from_secs(3);

/// Says which lines are told. Shared by all connections.
#[derive(Debug)]
pub(crate) struct Hush(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    lines: u32,
    filled_at: Instant,
    left_out: u64,
}

impl Hush {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(Bucket {
            lines: BURST,
            filled_at: now,
            left_out: 0,
        }))
    }

    /// Whether a line may be told at `now`: how many were left out before it, or `None`.
    pub(crate) fn admit(&self, now: Instant) -> Option<u64> {
        // Nothing can panic while it is held.
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.fill(now);
        match bucket.lines.checked_sub(1) {
            Some(lines) => {
                bucket.lines = lines;
                Some(core::mem::take(&mut bucket.left_out))
            }
            None => {
                bucket.left_out += 1;
                None
            }
        }
    }

    /// Tells `line`, or counts it.
    pub(crate) fn tell(&self, line: core::fmt::Arguments<'_>) {
        match self.admit(Instant::now()) {
            Some(0) => tracing::info!("{line}"),
            Some(left_out) => tracing::info!("{line} (and {left_out} lines like this before)"),
            None => tracing::debug!("{line}"),
        }
    }
}

impl Bucket {
    fn fill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.filled_at);
        let lines = since.as_secs() / INTERVAL.as_secs();
        if lines >= u64::from(BURST - self.lines) {
            (self.lines, self.filled_at) = (BURST, now);
        } else if let Ok(lines) = u32::try_from(lines) {
            self.lines += lines;
            self.filled_at += INTERVAL * lines;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_told_of_later() {
        let start = Instant::now();
        let hush = Hush::new(start);
        let told = (0..1_000).filter_map(|_| hush.admit(start)).count();
        assert_eq!(told, 20);
        assert_eq!(hush.admit(start + Duration::from_secs(2)), None);
        assert_eq!(hush.admit(start + Duration::from_secs(3)), Some(981));
        assert_eq!(hush.admit(start + Duration::from_secs(3)), None);
        assert_eq!(hush.admit(start + Duration::from_secs(6)), Some(1));
    }

    #[test]
    fn after_a_quiet_time_there_is_room_for_a_burst() {
        let start = Instant::now();
        let hush = Hush::new(start);
        let told = (0..30).filter_map(|_| hush.admit(start)).count();
        assert_eq!(told, 20);
        let later = start + Duration::from_secs(3_600);
        let told = (0..30).filter_map(|_| hush.admit(later)).count();
        assert_eq!(told, 20);
    }
}
