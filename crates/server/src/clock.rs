//! Clocks. The wall clock is for ledger minutes, certificates and what people read. Nothing that
//! judges a share reads it.

use std::fmt;
use std::future::pending;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use headframe_work::UnixTime;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// When the process began, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Started {
    pub(crate) instant: Instant,
    pub(crate) at: UnixTime,
}

impl Started {
    /// Now.
    pub fn now() -> Self {
        Self {
            instant: Instant::now(),
            at: wall_clock(),
        }
    }
}

/// A time as people read it: `2026-11-22 23:05 UTC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Utc(pub UnixTime);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let (hours, minutes, _) = self.time();
        write!(f, "{year}-{month:02}-{day:02} {hours:02}:{minutes:02} UTC")
    }
}

impl Utc {
    /// As RFC 3339 has it: `2026-11-22T23:05:00Z`.
    pub fn rfc_3339(self) -> String {
        let (year, month, day) = self.date();
        let (hours, minutes, seconds) = self.time();
        format!("{year}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}Z")
    }

    /// Year, month and day.
    fn date(self) -> (u32, u32, u32) {
        const DAYS_OF_400_YEARS: u32 = 146_097;
        // Days since 1 March of the year 0, so that a leap day is the last of its year.
        let days = self.0.as_secs() / 86_400 + 719_468;
        let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, carry) = match month {
            0..=9 => (month + 3, 0),
            _ => (month - 9, 1),
        };
        (era * 400 + year + carry, month, day)
    }

    /// Hours, minutes and seconds.
    fn time(self) -> (u32, u32, u32) {
        let seconds = self.0.as_secs() % 86_400;
        (seconds / 3_600, seconds / 60 % 60, seconds % 60)
    }
}

/// The wall clock's time; the epoch when the clock is set before it.
pub(crate) fn wall_clock() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    UnixTime::from_secs(u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// Does something at once, and again after each `period`, until shutdown.
pub(crate) async fn until_shutdown(
    period: Duration,
    shutdown: &CancellationToken,
    mut act: impl FnMut(),
) {
    loop {
        act();
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(period) => {}
        }
    }
}

/// Ends at `at`, or never.
pub(crate) async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `date -u -d @SECONDS` has them.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (951_868_800, "2000-03-01 00:00 UTC"),
            (1_704_067_199, "2023-12-31 23:59 UTC"),
            (1_709_164_800, "2024-02-29 00:00 UTC"),
            (1_795_388_700, "2026-11-22 23:05 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
            (u32::MAX, "2106-02-07 06:28 UTC"),
        ] {
            assert_eq!(Utc(UnixTime::from_secs(seconds)).to_string(), date);
        }
        let last = Utc(UnixTime::from_secs(1_735_689_599));
        assert_eq!(last.rfc_3339(), "2024-12-31T23:59:59Z");
    }
}
