//! What all connections of a swarm count together.

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use bitcoin::BlockHash;
use hdrhistogram::Histogram;

use super::report::{ShareCounts, Spread};
use super::tips::Tips;

/// Kinds of errors and refusals that are counted apart. A pool may invent as many as it likes.
const MAX_KINDS: usize = 32;
const OTHER_KINDS: &str = "other";

/// Decimal digits that a percentile is exact to.
const DIGITS: u8 = 3;

/// An hour, in nanoseconds.
const HOUR: u64 = 3_600_000_000_000;

/// The counts of a run.
#[derive(Debug)]
pub(super) struct Tally {
    /// Connections that are neither ready nor have failed.
    pub(super) pending: usize,
    /// Connections that were ready at any time.
    pub(super) ready: usize,
    pub(super) failed: usize,
    pub(super) lost: usize,
    /// Ready connections that still look for shares beforehand.
    pub(super) preparing: usize,
    pub(super) accepted: u64,
    pub(super) rejected: BTreeMap<String, u64>,
    pub(super) sent: u64,
    /// Shares whose connection was lost before they were answered.
    pub(super) dropped: u64,
    pub(super) not_found_in_time: u64,
    pub(super) skipped: u64,
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) tips: Tips,
    reply: Durations,
    connect_to_job: Durations,
}

/// What one connection brings at once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) replies: Vec<Duration>,
    pub(super) accepted: u64,
    pub(super) rejected: Vec<String>,
    pub(super) errors: Vec<String>,
    pub(super) tips: Vec<(BlockHash, Instant)>,
    pub(super) sent: u64,
    pub(super) not_found_in_time: u64,
    pub(super) skipped: u64,
}

impl Batch {
    fn is_empty(&self) -> bool {
        let counts = self.sent + self.not_found_in_time + self.skipped;
        counts == 0 && self.replies.is_empty() && self.errors.is_empty() && self.tips.is_empty()
    }
}

impl Tally {
    pub(super) fn new(connections: usize, has_node: bool) -> Self {
        Self {
            pending: connections,
            ready: 0,
            failed: 0,
            lost: 0,
            preparing: 0,
            accepted: 0,
            rejected: BTreeMap::new(),
            sent: 0,
            dropped: 0,
            not_found_in_time: 0,
            skipped: 0,
            errors: BTreeMap::new(),
            tips: Tips::new(has_node),
            reply: Durations::new(),
            connect_to_job: Durations::new(),
        }
    }

    /// Adds what a connection has, and empties it.
    pub(super) fn add(&mut self, batch: &mut Batch) {
        if batch.is_empty() {
            return;
        }
        batch.replies.drain(..).for_each(|it| self.reply.record(it));
        for code in batch.rejected.drain(..) {
            count(&mut self.rejected, &code);
        }
        for kind in batch.errors.drain(..) {
            count(&mut self.errors, &kind);
        }
        for (hash, at) in batch.tips.drain(..) {
            self.tips.handle_arrival(hash, at);
        }
        self.accepted += core::mem::take(&mut batch.accepted);
        self.sent += core::mem::take(&mut batch.sent);
        self.not_found_in_time += core::mem::take(&mut batch.not_found_in_time);
        self.skipped += core::mem::take(&mut batch.skipped);
    }

    pub(super) fn add_first_job(&mut self, after: Duration) {
        self.connect_to_job.record(after);
    }

    /// Shares that were answered.
    pub(super) fn answered(&self) -> u64 {
        self.reply.0.len()
    }

    /// Shares that will not be waited for any longer: answered, or gone with their connection.
    pub(super) fn done(&self) -> u64 {
        self.answered() + self.dropped
    }

    pub(super) fn reply(&self) -> Spread {
        self.reply.spread()
    }

    pub(super) fn connect_to_job(&self) -> Spread {
        self.connect_to_job.spread()
    }

    /// The counts; `rate` is what was answered a second.
    pub(super) fn shares(&self, rate: f64) -> ShareCounts {
        ShareCounts {
            sent: self.sent,
            answered: self.answered(),
            accepted: self.accepted,
            rejected: self.rejected.clone(),
            unanswered: self.sent.saturating_sub(self.answered()),
            answered_per_second: rate,
            not_found_in_time: self.not_found_in_time,
            skipped: self.skipped,
        }
    }
}

fn count(kinds: &mut BTreeMap<String, u64>, kind: &str) {
    if let Some(count) = kinds.get_mut(kind) {
        *count += 1;
        return;
    }
    let kind = match kinds.len() < MAX_KINDS {
        true => kind,
        false => OTHER_KINDS,
    };
    *kinds.entry(kind.to_owned()).or_default() += 1;
}

/// Durations, counted in nanoseconds; one of more than an hour counts as an hour.
#[derive(Debug)]
struct Durations(Histogram<u64>);

impl Durations {
    fn new() -> Self {
        let histogram = Histogram::new_with_max(HOUR, DIGITS);
        Self(histogram.expect("three digits of an hour are possible"))
    }

    fn record(&mut self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanoseconds);
    }

    fn spread(&self) -> Spread {
        let ms = |nanoseconds: u64| (nanoseconds as f64 / 1e3).round() / 1e3;
        let at = |quantile| (!self.0.is_empty()).then(|| ms(self.0.value_at_quantile(quantile)));
        Spread {
            count: self.0.len(),
            p50: at(0.5),
            p99: at(0.99),
            p99_9: at(0.999),
            max: (!self.0.is_empty()).then(|| ms(self.0.max())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut tally = Tally::new(1, false);
        let mut batch = Batch {
            replies: (1..=10_000).rev().map(Duration::from_micros).collect(),
            ..Batch::default()
        };
        tally.add(&mut batch);
        let spread = tally.reply();
        assert_eq!((spread.count, tally.answered()), (10_000, 10_000));
        let near = |value: Option<f64>, exact: f64| {
            let value = value.unwrap();
            assert!((value / exact - 1.0).abs() < 2e-3, "{value} {exact}");
        };
        near(spread.p50, 5.0);
        near(spread.p99, 9.9);
        near(spread.p99_9, 9.99);
        near(spread.max, 10.0);
    }

    #[test]
    fn nothing_measured_is_no_number() {
        let spread = Tally::new(1, false).reply();
        assert_eq!(spread, Spread::default());
    }

    #[test]
    fn what_is_extreme_is_kept() {
        let mut durations = Durations::new();
        durations.record(Duration::ZERO);
        durations.record(Duration::MAX);
        assert_eq!(durations.0.len(), 2);
        assert!(durations.spread().max >= Some(3_600_000.0));
    }

    #[test]
    fn a_batch_is_counted_once() {
        let mut tally = Tally::new(1, false);
        let mut batch = Batch {
            replies: vec![Duration::from_millis(1); 3],
            accepted: 2,
            rejected: vec!["stale-share".to_owned()],
            errors: vec!["closed by the pool".to_owned()],
            sent: 4,
            skipped: 5,
            ..Batch::default()
        };
        tally.add(&mut batch);
        tally.add(&mut batch);
        let shares = tally.shares(0.0);
        assert_eq!((shares.sent, shares.answered, shares.accepted), (4, 3, 2));
        assert_eq!((shares.unanswered, shares.skipped), (1, 5));
        assert_eq!(shares.rejected["stale-share"], 1);
        assert_eq!(tally.errors["closed by the pool"], 1);
    }

    #[test]
    fn a_pool_that_invents_reasons_fills_no_memory() {
        let mut tally = Tally::new(1, false);
        tally.add(&mut Batch {
            errors: (0..1_000)
                .map(|number| format!("reason {number}"))
                .collect(),
            ..Batch::default()
        });
        assert_eq!(tally.errors.len(), MAX_KINDS + 1);
        assert_eq!(tally.errors.values().sum::<u64>(), 1_000);
    }
}
