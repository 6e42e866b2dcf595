//! How fast the threads have been of late.

use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

use headframe_work::Hashrate;

/// Over so long the rate is taken: what a slow pace does is not seen in a second.
const SPAN: Duration = Duration::from_secs(60);
/// Between two samples, so that their number is bounded.
const APART: Duration = Duration::from_secs(1);

/// The hashrate of the last minute, or since the start.
#[derive(Debug)]
pub(crate) struct Gauge {
    /// When the count of all hashes was what; the oldest first, never empty.
    samples: VecDeque<(Instant, u64)>,
}

impl Gauge {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            samples: VecDeque::from([(now, 0)]),
        }
    }

    /// Takes the count of all hashes until `now`, and gives the rate.
    pub(crate) fn measure(&mut self, now: Instant, hashes: u64) -> Hashrate {
        let age = |at: Instant| now.saturating_duration_since(at);
        while self.samples.get(1).is_some_and(|(at, _)| age(*at) >= SPAN) {
            self.samples.pop_front();
        }
        let (since, before) = self.samples[0];
        if self.samples.back().is_some_and(|(at, _)| age(*at) >= APART) {
            self.samples.push_back((now, hashes));
        }
        let rate = hashes.saturating_sub(before) as f64 / age(since).as_secs_f64();
        // Nothing in no time is no rate.
        Hashrate::from_hashes_per_second(rate).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(seconds: impl Iterator<Item = (u64, u64)>) -> Vec<f64> {
        let start = Instant::now();
        let mut gauge = Gauge::new(start);
        seconds
            .map(|(second, hashes)| {
                let now = start + Duration::from_secs(second);
                gauge.measure(now, hashes).as_f64()
            })
            .collect()
    }

    #[test]
    fn one_hash_in_ten_seconds_is_a_tenth_of_a_hash_a_second() {
        let rates = rates((1..=200).map(|second| (second, second / 10)));
        assert_eq!(rates[199], 0.1);
        assert!(rates[60..].iter().all(|rate| *rate > 0.08), "{rates:?}");
    }

    #[test]
    fn what_is_more_than_a_minute_ago_does_not_count() {
        let rates = rates((1..=120).map(|second| (second, second.min(30) * 1_000)));
        assert_eq!(rates[29], 1_000.0);
        assert_eq!(rates[59], 500.0);
        assert_eq!(rates[119], 0.0);
    }

    #[test]
    fn no_time_is_no_rate_and_samples_are_bounded() {
        let start = Instant::now();
        let mut gauge = Gauge::new(start);
        assert_eq!(gauge.measure(start, 5), Hashrate::ZERO);
        for millisecond in 0..200_000 {
            gauge.measure(start + Duration::from_millis(millisecond), millisecond);
        }
        assert!(gauge.samples.len() <= 62, "{}", gauge.samples.len());
    }
}
