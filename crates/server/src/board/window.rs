//! Hashrates over sliding windows, from sums of work in buckets of time.
//!
//! A window is twelve full buckets and the running one. Its work is divided by the time that those
//! buckets cover up to now, so that a rate is exact for what it covers: between one and thirteen
//! twelfths of the window, or all the time observed while that is shorter.

use std::time::{Duration, Instant};

use headframe_api::HashrateWindows;
use headframe_work::{Hashrate, Work};

/// Full buckets of a window.
const FULL: u64 = 12;
/// Buckets of a window, the running one among them.
const KEPT: usize = FULL as usize + 1;
/// A rate is never taken over less time than this, so that the first share of a miner does not
/// make it the fastest.
const AT_LEAST: f64 = 10.0;

/// One minute, five minutes, one hour, one day.
const WINDOWS: [Duration; 4] = [
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(3_600),
    Duration::from_secs(86_400),
];

/// The work of something that hashes, over the four windows that are shown.
#[derive(Debug, Clone)]
pub(super) struct Windows {
    /// When observation began.
    origin: Instant,
    rings: [Ring; WINDOWS.len()],
}

impl Windows {
    /// Nothing yet, observed from `origin` on.
    pub(super) fn new(origin: Instant) -> Self {
        Self {
            origin,
            rings: [Ring::default(); WINDOWS.len()],
        }
    }

    pub(super) fn add(&mut self, now: Instant, work: Work) {
        let elapsed = now.saturating_duration_since(self.origin);
        for (ring, window) in self.rings.iter_mut().zip(WINDOWS) {
            ring.add(bucket_number(elapsed, window), work);
        }
    }

    pub(super) fn rates(&self, now: Instant) -> HashrateWindows {
        let elapsed = now.saturating_duration_since(self.origin);
        let mut rates = [0.0; WINDOWS.len()];
        for ((rate, ring), window) in rates.iter_mut().zip(&self.rings).zip(WINDOWS) {
            *rate = ring.rate(elapsed, window);
        }
        let [one_minute, five_minutes, one_hour, one_day] = rates;
        HashrateWindows {
            one_minute,
            five_minutes,
            one_hour,
            one_day,
            observed_seconds: elapsed.as_secs(),
        }
    }
}

/// The buckets of one window; bucket `n` has the place `n % KEPT`.
#[derive(Debug, Clone, Copy, Default)]
struct Ring {
    newest: u64,
    buckets: [Work; KEPT],
}

impl Ring {
    fn add(&mut self, number: u64, work: Work) {
        // Time does not go back; a caller that was late adds to the newest bucket.
        let number = number.max(self.newest);
        let oldest_kept = (number + 1).saturating_sub(KEPT as u64);
        for empty in oldest_kept.max(self.newest + 1)..=number {
            *self.bucket(empty) = Work::ZERO;
        }
        self.newest = number;
        *self.bucket(number) += work;
    }

    fn rate(&self, elapsed: Duration, window: Duration) -> f64 {
        let running = bucket_number(elapsed, window).max(self.newest);
        let first = running.saturating_sub(FULL);
        let work = (first..=self.newest).map(|n| self.buckets[place(n)]).sum();
        let covered = elapsed.as_secs_f64() - first as f64 * bucket(window).as_secs_f64();
        Hashrate::of_work(work, covered.max(AT_LEAST)).as_f64()
    }

    fn bucket(&mut self, number: u64) -> &mut Work {
        &mut self.buckets[place(number)]
    }
}

fn bucket(window: Duration) -> Duration {
    window / FULL as u32
}

fn bucket_number(elapsed: Duration, window: Duration) -> u64 {
    elapsed.as_secs() / bucket(window).as_secs()
}

fn place(number: u64) -> usize {
    (number % KEPT as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use headframe_work::Rung;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_share_a_second_is_its_work_a_second() {
        let start = Instant::now();
        let mut windows = Windows::new(start);
        for second in 1..=60 {
            windows.add(
                start + seconds(second),
                Work::of_rung(Rung::from_exponent(10)),
            );
        }
        let rate = 2f64.powi(42) * 65536.0 / 65535.0;
        let rates = windows.rates(start + seconds(60));
        assert_eq!(rates.one_minute, rate);
        assert_eq!(rates.one_day, rate);
        // What was done in a minute is spread over what has been observed since.
        let rates = windows.rates(start + seconds(240));
        assert_eq!(rates.one_minute, 0.0);
        assert_eq!(rates.five_minutes, rate / 4.0);
        assert_eq!(rates.observed_seconds, 240);
    }

    #[test]
    fn a_young_miner_s_rate_is_taken_over_its_life_but_ten_seconds_at_least() {
        let start = Instant::now();
        let mut windows = Windows::new(start);
        let work = Work::of_rung(Rung::ONE);
        windows.add(start + seconds(1), work);
        let rates = windows.rates(start + seconds(1));
        assert_eq!(rates.one_minute, work.expected_hashes() / 10.0);
        let rates = windows.rates(start + seconds(20));
        assert_eq!(rates.one_hour, work.expected_hashes() / 20.0);
    }
}
