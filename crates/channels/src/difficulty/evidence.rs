//! What speaks for another rung: two balances of evidence, one for each direction.
//!
//! The cumulative sum test (Page 1954) for a Poisson process. Each balance is the logarithm of how
//! much better what was seen fits a changed rate than a kept one, since it was last empty. It is
//! never below zero, so that a long good past does not hide a change. Of all tests that err as
//! seldom, none sees such a change sooner.

use std::time::{Duration, Instant};

/// Rates between these are to be kept, as multiples of what is wanted. Rungs are a factor of two
/// apart, so that one of them always is.
const KEPT_LOW: f64 = core::f64::consts::FRAC_1_SQRT_2;
const KEPT_HIGH: f64 = core::f64::consts::SQRT_2;
/// What a changed rate is taken to be: half of the lowest that is kept, and one and a half times the
/// highest.
const TOO_LOW: f64 = KEPT_LOW / 2.0;
const TOO_HIGH: f64 = KEPT_HIGH * 1.5;
/// A balance that reaches this decides. At the very edge of what is kept, chance does it less than
/// once in e^10 intervals for a harder rung, and in e^7 for an easier one, which costs nobody
/// anything and is on the other edge; in the middle, not in a miner's life.
const HARDER_AT: f64 = 10.0;
const EASIER_AT: f64 = 7.0;
/// Fewer shares than these are no rate.
const FEWEST_SHARES: f64 = 2.0;

/// Shares that came, against those that were expected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence {
    /// The time between two shares at the rate that is wanted.
    interval: Duration,
    /// The part of the wanted rate below which there are too few.
    expected: f64,
    /// What a share of this rung counts.
    share: f64,
    at: Instant,
    too_many: Balance,
    too_few: Balance,
}

/// What speaks for one direction, since nothing did.
#[derive(Debug, Clone, Copy)]
struct Balance {
    weight: f64,
    /// How long ago that was.
    intervals: f64,
    shares: f64,
}

/// What the evidence says of the rate, as a multiple of the one that is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Finding {
    /// More shares than can be kept.
    TooMany(f64),
    /// Fewer shares than can be kept.
    TooFew(f64),
    /// Hardly a share, or none.
    Silent,
}

impl Evidence {
    /// One share per `interval` is wanted. Of a device that cannot have an easier rung only the
    /// part `expected` of that is expected. A share counts `share`: less than one where the shares of
    /// several devices are one's.
    pub(super) fn new(now: Instant, interval: Duration, expected: f64, share: f64) -> Self {
        Self {
            interval,
            expected,
            share,
            at: now,
            too_many: Balance::EMPTY,
            too_few: Balance::EMPTY,
        }
    }

    /// As if all had happened `wait` later.
    pub(super) fn later(self, wait: Duration) -> Self {
        Self {
            at: self.at + wait,
            ..self
        }
    }

    /// The time between two shares at the rate that is wanted.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// A share came; `share` is what it counts, less than one for a share of an easier rung.
    pub(super) fn handle_share(&mut self, now: Instant, share: f64) {
        self.handle_time(now);
        // What begins the balance is not counted, or the rate would seem higher than it is.
        if self.too_many.weight > 0.0 {
            self.too_many.shares += share;
        }
        self.too_many.weight += share * (TOO_HIGH / KEPT_HIGH).ln();
        self.too_few.shares += share;
        self.too_few.weight -= share * (KEPT_LOW / TOO_LOW).ln();
        if self.too_few.weight <= 0.0 {
            self.too_few = Balance::EMPTY;
        }
    }

    /// Time has passed.
    pub(super) fn handle_time(&mut self, now: Instant) {
        let intervals = self.intervals(self.at, now);
        self.at = self.at.max(now);
        self.too_few.intervals += intervals;
        self.too_many.intervals += intervals;
        self.too_few.weight += intervals * self.silence();
        self.too_many.weight -= intervals * (TOO_HIGH - KEPT_HIGH);
        if self.too_many.weight <= 0.0 {
            self.too_many = Balance::EMPTY;
        }
    }

    /// What the evidence says, if it says anything. `patience` times as much as usual must speak
    /// for easing.
    pub(super) fn finding(&self, patience: f64) -> Option<Finding> {
        // A balance that began in this very instant is no infinite rate.
        let rate = |balance: &Balance, shares: f64| shares / balance.intervals.max(1e-3);
        if self.too_many.weight >= HARDER_AT {
            return Some(Finding::TooMany(rate(&self.too_many, self.too_many.shares)));
        }
        if self.at < self.too_few_at(patience) {
            return None;
        }
        Some(match self.too_few.shares {
            shares if shares < FEWEST_SHARES * self.share => Finding::Silent,
            // The next share is due about now: the silence before it is a part of the rate.
            shares => Finding::TooFew(rate(&self.too_few, shares + self.share)),
        })
    }

    /// When there will have been too few shares if none comes.
    pub(super) fn too_few_at(&self, patience: f64) -> Instant {
        let missing = EASIER_AT * patience - self.too_few.weight;
        let intervals = missing.max(0.0) / self.silence();
        self.at + self.interval.mul_f64(intervals)
    }

    /// What an interval without a share adds to what speaks for easing.
    fn silence(&self) -> f64 {
        self.expected * (KEPT_LOW - TOO_LOW)
    }

    fn intervals(&self, from: Instant, to: Instant) -> f64 {
        to.saturating_duration_since(from)
            .div_duration_f64(self.interval)
    }
}

impl Balance {
    const EMPTY: Self = Self {
        weight: 0.0,
        intervals: 0.0,
        shares: 0.0,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    fn regular(rate: f64, intervals: u32) -> Option<Finding> {
        let began = Instant::now();
        let mut evidence = Evidence::new(began, INTERVAL, 1.0, 1.0);
        let shares = (f64::from(intervals) * rate) as u32;
        for number in 1..=shares {
            let now = began + INTERVAL.mul_f64(f64::from(number) / rate);
            evidence.handle_time(now);
            if let Some(finding) = evidence.finding(1.0) {
                return Some(finding);
            }
            evidence.handle_share(now, 1.0);
            if let Some(finding) = evidence.finding(1.0) {
                return Some(finding);
            }
        }
        evidence.handle_time(began + INTERVAL * intervals);
        evidence.finding(1.0)
    }

    #[test]
    fn a_rate_that_is_kept_says_nothing() {
        for rate in [0.6, 0.7, 1.0, 1.4, 1.7] {
            assert_eq!(regular(rate, 100_000), None, "{rate}");
        }
    }

    #[test]
    fn a_changed_rate_is_found_and_measured() {
        for rate in [2.0, 4.0, 100.0, 10_000.0] {
            let Some(Finding::TooMany(found)) = regular(rate, 1000) else {
                panic!("{rate}: nothing was found");
            };
            assert!((0.9..1.1).contains(&(found / rate)), "{rate}: {found}");
        }
        for rate in [0.2, 0.3, 0.4] {
            let Some(Finding::TooFew(found)) = regular(rate, 1000) else {
                panic!("{rate}: nothing was found");
            };
            assert!((0.5..1.5).contains(&(found / rate)), "{rate}: {found}");
        }
    }

    #[test]
    fn silence_is_noticed_when_the_timer_says() {
        let began = Instant::now();
        for (patience, seconds) in [(1.0, 98.995), (2.0, 197.990)] {
            let mut evidence = Evidence::new(began, INTERVAL, 1.0, 1.0);
            let at = evidence.too_few_at(patience);
            let wait = (at - began).as_secs_f64();
            assert!((wait - seconds).abs() < 0.001, "{wait}");
            evidence.handle_time(at);
            assert_eq!(evidence.finding(patience), Some(Finding::Silent));
        }
    }

    /// A share of a rung sixteen times easier counts a sixteenth.
    #[test]
    fn easier_shares_count_less() {
        let began = Instant::now();
        let mut evidence = Evidence::new(began, INTERVAL, 1.0, 1.0);
        for _ in 0..16 * 24 {
            evidence.handle_share(began, 1.0 / 16.0);
        }
        assert_eq!(evidence.finding(1.0), None);
        for _ in 0..16 {
            evidence.handle_share(began, 1.0 / 16.0);
        }
        assert!(matches!(evidence.finding(1.0), Some(Finding::TooMany(_))));
    }
}
