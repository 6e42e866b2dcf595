//! What the operator wants of difficulty.

use std::time::Duration;

use headframe_work::{Hashrate, Rung};

/// The longest and the shortest time between two shares that may be aimed for, in seconds, so that
/// no setting makes a timer that never comes or always does.
const INTERVAL_SECONDS: core::ops::RangeInclusive<f64> = 0.1..=600.0;

/// What the operator wants of difficulty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DifficultySettings {
    /// The rate of shares to aim for, per minute and channel. Rungs are a factor of two apart, so
    /// that a miner settles at 0.7 to 1.4 times it.
    pub shares_per_minute: f64,
    /// The rung of a miner that declares no hashrate.
    pub start: Rung,
    /// The easiest rung.
    pub min: Rung,
    /// The hardest rung.
    pub max: Rung,
}

impl Default for DifficultySettings {
    fn default() -> Self {
        Self {
            shares_per_minute: 12.0,
            start: Rung::from_exponent(10),
            min: Rung::EASIEST,
            max: Rung::HARDEST,
        }
    }
}

impl DifficultySettings {
    /// The time between two shares that is aimed for.
    pub(super) fn interval(&self) -> Duration {
        let seconds = 60.0 / self.shares_per_minute;
        // `max` takes the other number where this one is none.
        let seconds = seconds.max(*INTERVAL_SECONDS.start());
        Duration::from_secs_f64(seconds.min(*INTERVAL_SECONDS.end()))
    }

    /// The rung on which a machine of `rate` comes nearest to the rate of shares.
    pub(super) fn rung_for(&self, rate: Hashrate) -> Rung {
        Rung::for_hashrate(
            rate,
            self.shares_per_minute * core::f64::consts::FRAC_1_SQRT_2,
        )
    }
}
