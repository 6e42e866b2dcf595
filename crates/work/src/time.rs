//! Time as block headers count it.

use core::fmt;
use core::time::Duration;

/// Seconds since 1970-01-01 UTC, as in the `nTime` field of a block header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime(u32);

impl UnixTime {
    /// The time `seconds` after the epoch.
    pub const fn from_secs(seconds: u32) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    pub const fn as_secs(self) -> u32 {
        self.0
    }

    /// This time and `duration` (whole seconds) more, at most the last time a header can hold.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)),
        )
    }

    /// This time less `duration` (whole seconds), at least the epoch.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)),
        )
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_within_what_a_header_can_hold() {
        let (zero, last) = (UnixTime::from_secs(0), UnixTime::from_secs(u32::MAX));
        let minute = Duration::from_millis(60_999);
        assert_eq!(zero.saturating_add(minute).as_secs(), 60);
        assert_eq!(zero.saturating_sub(minute), zero);
        assert_eq!(last.saturating_add(minute), last);
        assert_eq!(last.saturating_sub(Duration::MAX), zero);
        assert_eq!(zero.saturating_add(Duration::MAX), last);
    }
}
