//! A thread that hashes.

use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use headframe_mining::client::Solution;
use headframe_work::{HeaderSearch, Target};
use tokio::sync::mpsc;

use crate::slot::{Assignment, Slot};
use crate::variants::{Variant, Variants};

/// Nonces between two looks at the slot: less than a millisecond's worth.
const CHUNK: u32 = 4096;

/// How long a thread that has nothing left to roll waits for time to pass.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(250);

/// A solution on its way to the connection that its work came on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) connection: u64,
    pub(crate) solution: Solution,
}

/// One of the threads, with its share of the nonces.
#[derive(Debug)]
pub(crate) struct Worker {
    slot: Arc<Slot>,
    found: mpsc::Sender<Found>,
    /// First nonce and number of nonces.
    nonces: (u32, u64),
    pace: Pace,
}

impl Worker {
    /// The worker `index` of `count`. All go through the same headers, each with nonces of its own.
    pub(crate) fn new(
        slot: Arc<Slot>,
        found: mpsc::Sender<Found>,
        index: u32,
        count: NonZeroU32,
        throttle: Option<NonZeroU32>,
    ) -> Self {
        let bound = |index: u32| (u64::from(index) << 32) / u64::from(count.get());
        let (first, end) = (bound(index), bound(index + 1));
        let first_nonce = u32::try_from(first).expect("index is less than count");
        Self {
            slot,
            found,
            nonces: (first_nonce, end - first),
            pace: Pace::new(throttle, Instant::now()),
        }
    }

    /// Hashes until the slot is stopped.
    pub(crate) fn run(mut self) {
        let slot = Arc::clone(&self.slot);
        while let Some((assignment, generation)) = slot.wait_for_work() {
            self.mine(&assignment, generation);
        }
    }

    fn mine(&mut self, assignment: &Assignment, generation: u64) {
        let mut variants = Variants::new(&assignment.work);
        while self.slot.is_current(generation) {
            match variants.next(Instant::now()) {
                Some(variant) => self.search(assignment, generation, &variant),
                None => self.slot.pause(generation, EXHAUSTED_PAUSE),
            }
        }
    }

    fn search(&mut self, assignment: &Assignment, generation: u64, variant: &Variant) {
        let mut search = HeaderSearch::new(&variant.header);
        let (mut nonce, mut left) = self.nonces;
        while left > 0 && self.slot.is_current(generation) {
            // Before new work too: work that comes often would make a slow pace a fast one.
            if let Some(pause) = self.pace.pause(Instant::now()) {
                self.slot.pause(generation, pause);
                continue;
            }
            let count = u32::try_from(left)
                .unwrap_or(u32::MAX)
                .min(self.pace.chunk());
            let top = top(assignment);
            let found = search.find(nonce, count, top);
            let done = found.map_or(count, |found| found.wrapping_sub(nonce) + 1);
            if let Some(found) = found {
                self.report(assignment, variant, found);
            }
            nonce = nonce.wrapping_add(done);
            left -= u64::from(done);
            self.slot.add_hashes(done);
            self.pace.count(Instant::now(), done);
        }
    }

    /// Checks the whole hash of a candidate and passes it on. A block comes before everything else:
    /// it is passed on whatever the share target says.
    fn report(&self, assignment: &Assignment, variant: &Variant, nonce: u32) {
        let Assignment {
            connection,
            work,
            solved,
        } = assignment;
        let mut header = variant.header;
        header.nonce = nonce;
        let hash = header.hash();
        let is_block =
            work.network_target().is_met_by(&hash) && !solved.swap(true, Ordering::Relaxed);
        if !is_block && !work.target.is_met_by(&hash) {
            return;
        }
        let solution = Solution {
            job: work.job,
            version: header.version,
            ntime: header.time,
            nonce,
            extranonce: variant.extranonce,
        };
        // An error says that nobody mines any more.
        let _ = self.found.blocking_send(Found {
            connection: *connection,
            solution,
        });
    }
}

/// The highest 32 bits of the easiest hash that is worth a look.
fn top(assignment: &Assignment) -> u32 {
    let Assignment { work, solved, .. } = assignment;
    let target = match solved.load(Ordering::Relaxed) {
        true => work.target,
        false => work.target.max(work.network_target()),
    };
    top_bits(target)
}

fn top_bits(target: Target) -> u32 {
    let [a, b, c, d, ..] = target.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// Keeps a thread to so many hashes a second.
#[derive(Debug)]
struct Pace {
    per_second: Option<NonZeroU32>,
    since: Instant,
    done: u64,
    /// Not before this comes the next hash.
    due: Instant,
}

impl Pace {
    const fn new(per_second: Option<NonZeroU32>, now: Instant) -> Self {
        Self {
            per_second,
            since: now,
            done: 0,
            due: now,
        }
    }

    /// Nonces to search in one go: a fiftieth of a second's worth where the pace is slow.
    fn chunk(&self) -> u32 {
        self.per_second
            .map_or(CHUNK, |rate| (rate.get() / 50).clamp(1, CHUNK))
    }

    /// Counts hashes that were made until `now`.
    fn count(&mut self, now: Instant, count: u32) {
        let Some(rate) = self.per_second else {
            return;
        };
        self.done += u64::from(count);
        let seconds = self.done as f64 / f64::from(rate.get());
        self.due = self.since + Duration::from_secs_f64(seconds);
        // What was missed, as while there was no work, is not made up for.
        if self.due <= now || self.done > 1 << 32 {
            (self.since, self.done) = (now.max(self.due), 0);
        }
    }

    /// How long to wait before the next hash.
    fn pause(&self, now: Instant) -> Option<Duration> {
        let pause = self.due.saturating_duration_since(now);
        (!pause.is_zero()).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every nonce belongs to exactly one thread.
    #[test]
    fn threads_share_the_nonces_without_gap_or_overlap() {
        for count in [1, 2, 3, 7, 64, 1000].map(|count| NonZeroU32::new(count).unwrap()) {
            let mut next = 0;
            for index in 0..count.get() {
                let (found, _) = mpsc::channel(1);
                let worker = Worker::new(Arc::default(), found, index, count, None);
                assert_eq!(u64::from(worker.nonces.0), next);
                next += worker.nonces.1;
            }
            assert_eq!(next, 1 << 32);
        }
    }

    /// Whatever the chunks, a second's worth of hashes takes a second.
    #[test]
    fn a_pace_is_kept_over_chunks_of_any_size() {
        let start = Instant::now();
        let mut now = start;
        let mut pace = Pace::new(NonZeroU32::new(1_000), start);
        let mut done = 0;
        for count in [1, 20, 7, 300, 2, 670].into_iter().cycle().take(60) {
            pace.count(now, count);
            now += pace.pause(now).unwrap_or_default();
            done += u64::from(count);
        }
        assert_eq!((now - start).as_millis(), u128::from(done));
    }

    #[test]
    fn idle_time_is_not_made_up_for() {
        let start = Instant::now();
        let mut pace = Pace::new(NonZeroU32::new(100), start);
        let later = start + Duration::from_secs(60);
        pace.count(later, 100);
        assert_eq!(pace.pause(later), None);
        pace.count(later, 100);
        assert_eq!(pace.pause(later), Some(Duration::from_secs(1)));
        let mut unbound = Pace::new(None, start);
        unbound.count(later, 100);
        assert_eq!(unbound.pause(later), None);
    }

    /// On a chain whose every second hash is a block, new work comes with each.
    #[test]
    fn new_work_does_not_quicken_a_slow_pace() {
        let start = Instant::now();
        let mut pace = Pace::new(NonZeroU32::new(1), start);
        pace.count(start, 1);
        let later = start + Duration::from_millis(10);
        assert_eq!(pace.pause(later), Some(Duration::from_millis(990)));
    }
}
