//! Clocks. The wall clock is for ledger minutes, certificates and what people read. Nothing that
//! judges a share reads it.

use std::future::pending;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use headframe_work::UnixTime;
use tokio::time::sleep_until;

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

/// The wall clock's time; the epoch when the clock is set before it.
pub(crate) fn wall_clock() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    UnixTime::from_secs(u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// Ends at `at`, or never.
pub(crate) async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}
