//! The chart: hashrate and shares in buckets of wall-clock time, at three resolutions.

use std::collections::VecDeque;

use headframe_api::{History, Series};
use headframe_ledger::Slot;
use headframe_work::{Hashrate, UnixTime, Work};

use super::convert;
use super::counts::Counts;

/// Length and number of the buckets: an hour, a day, a week.
const SERIES: [(u32, usize); 3] = [(5, 720), (60, 1_440), (600, 1_008)];
/// Buckets shorter than this show the estimate over a minute: too few shares fall into one.
const SMOOTHED_BELOW: u32 = 60;

/// The chart of the pool.
#[derive(Debug)]
pub(super) struct Chart {
    tracks: [Track; SERIES.len()],
}

impl Chart {
    /// A chart that begins at `wall`, after what the ledger remembers per minute and per ten
    /// minutes.
    pub(super) fn new(wall: UnixTime, minutes: &[Slot], ten_minutes: &[Slot]) -> Self {
        let mut tracks = SERIES.map(|(seconds, kept)| Track::new(seconds, kept, wall));
        for (track, slots) in tracks.iter_mut().zip([&[], minutes, ten_minutes]) {
            slots.iter().for_each(|slot| track.restore(slot));
        }
        Self { tracks }
    }

    pub(super) fn add(&mut self, counts: &Counts) {
        for track in &mut self.tracks {
            track.add(counts);
        }
    }

    /// Closes the buckets that are full at `wall`; true when there is something new to show.
    /// `one_minute` is the pool's hashrate over the last minute.
    pub(super) fn advance(&mut self, wall: UnixTime, one_minute: f64) -> bool {
        let mut is_new = false;
        for track in &mut self.tracks {
            is_new |= track.advance(wall, one_minute);
        }
        is_new
    }

    pub(super) fn shown(&self) -> History {
        History {
            series: self.tracks.iter().map(Track::shown).collect(),
        }
    }
}

/// The buckets of one length.
#[derive(Debug)]
struct Track {
    seconds: u32,
    kept: usize,
    /// Full buckets, the oldest first. The last one ends where the open one begins.
    closed: VecDeque<Closed>,
    /// The number of the open bucket since 1970.
    number: u32,
    /// From when on the pool ran in the open bucket.
    from: UnixTime,
    open: Open,
}

#[derive(Debug, Clone, Copy, Default)]
struct Closed {
    rate: Option<f64>,
    accepted: u64,
    rejected: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Open {
    work: Work,
    accepted: u64,
    rejected: u64,
}

impl Track {
    fn new(seconds: u32, kept: usize, wall: UnixTime) -> Self {
        Self {
            seconds,
            kept,
            closed: VecDeque::new(),
            number: wall.as_secs() / seconds,
            from: wall,
            open: Open::default(),
        }
    }

    /// Puts in a slot of the ledger, which may be longer than a bucket. Slots come in order.
    fn restore(&mut self, slot: &Slot) {
        let (accepted, rejected) = (slot.sums.accepted, slot.sums.rejected_total().count);
        let first = slot.start.as_secs() / self.seconds;
        if first == self.number {
            self.open.work += accepted.work;
            self.open.accepted += accepted.count;
            self.open.rejected += rejected;
            self.from = slot.start;
            return;
        }
        let buckets = slot.seconds.div_ceil(self.seconds).max(1);
        let rate = Hashrate::of_work(accepted.work, slot.seconds.into()).as_f64();
        for bucket in 0..buckets {
            // What does not divide is in the first.
            let part = |count: u64| match bucket {
                0 => count / u64::from(buckets) + count % u64::from(buckets),
                _ => count / u64::from(buckets),
            };
            let closed = Closed {
                rate: Some(rate),
                accepted: part(accepted.count),
                rejected: part(rejected),
            };
            self.put(first.saturating_add(bucket), closed);
        }
    }

    /// Puts a bucket in its place before the open one, with empty ones in between.
    fn put(&mut self, number: u32, closed: Closed) {
        let Some(age @ 1..) = self.number.checked_sub(number) else {
            return;
        };
        let age = age as usize;
        if age > self.kept {
            return;
        }
        while self.closed.len() < age {
            self.closed.push_front(Closed::default());
        }
        let place = self.closed.len() - age;
        if let Some(bucket) = self.closed.get_mut(place) {
            *bucket = closed;
        }
    }

    fn add(&mut self, counts: &Counts) {
        let open = &mut self.open;
        open.work += counts.work;
        open.accepted = open.accepted.saturating_add(counts.accepted);
        open.rejected = open.rejected.saturating_add(counts.rejected_total());
    }

    fn advance(&mut self, wall: UnixTime, one_minute: f64) -> bool {
        let number = wall.as_secs() / self.seconds;
        let shift = number.abs_diff(self.number) as usize;
        if number == self.number || (number < self.number && shift <= self.kept) {
            // A clock that was set back a little will be here again.
            return false;
        }
        if shift > self.kept {
            // A clock that was set by more than the chart is long begins another one.
            *self = Self::new(self.seconds, self.kept, wall);
            return true;
        }
        self.close(one_minute);
        for _ in 1..shift {
            self.push(Closed::default());
        }
        self.number = number;
        self.from = UnixTime::from_secs(number.saturating_mul(self.seconds));
        true
    }

    fn close(&mut self, one_minute: f64) {
        let Open {
            work,
            accepted,
            rejected,
        } = core::mem::take(&mut self.open);
        let end = u64::from(self.number + 1) * u64::from(self.seconds);
        let ran = end.saturating_sub(convert::unix(self.from)) as f64;
        let rate = match self.seconds < SMOOTHED_BELOW {
            true => one_minute,
            // A bucket of which the pool saw only the end would show one share as many.
            false => Hashrate::of_work(work, ran.max(f64::from(self.seconds) / 6.0)).as_f64(),
        };
        self.push(Closed {
            rate: Some(convert::finite(rate)),
            accepted,
            rejected,
        });
    }

    fn push(&mut self, closed: Closed) {
        self.closed.push_back(closed);
        if self.closed.len() > self.kept {
            self.closed.pop_front();
        }
    }

    fn shown(&self) -> Series {
        let length = u32::try_from(self.closed.len()).unwrap_or(u32::MAX);
        let first_at = u64::from(self.number.saturating_sub(length)) * u64::from(self.seconds);
        Series {
            bucket_seconds: self.seconds.into(),
            first_at: if length == 0 { 0 } else { first_at },
            hashes_per_second: self.closed.iter().map(|bucket| bucket.rate).collect(),
            accepted: self.closed.iter().map(|bucket| bucket.accepted).collect(),
            rejected: self.closed.iter().map(|bucket| bucket.rejected).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headframe_ledger::{Sums, Tally};

    fn at(seconds: u32) -> UnixTime {
        UnixTime::from_secs(seconds)
    }

    fn slot(start: u32, seconds: u32, count: u64, units: u128) -> Slot {
        let work = Work::from_units(units);
        let sums = Sums {
            accepted: Tally { count, work },
            ..Sums::default()
        };
        let start = at(start);
        Slot {
            start,
            seconds,
            sums,
        }
    }

    fn counts(accepted: u64, units: u128) -> Counts {
        let work = Work::from_units(units);
        Counts {
            accepted,
            work,
            ..Counts::default()
        }
    }

    #[test]
    fn buckets_end_on_the_clock_and_say_what_they_cover() {
        let mut chart = Chart::new(at(630), &[], &[]);
        chart.add(&counts(3, 65535 * 60));
        assert!(!chart.advance(at(634), 1.0));
        assert!(chart.advance(at(635), 7.0));
        assert!(chart.advance(at(661), 8.0));
        let [fine, minutes, tens] = chart.shown().series.try_into().unwrap();
        assert_eq!(
            (fine.first_at, fine.accepted),
            (630, vec![3, 0, 0, 0, 0, 0])
        );
        assert_eq!(fine.hashes_per_second[..3], [Some(7.0), Some(8.0), None]);
        // The pool ran in half of this minute.
        assert_eq!(minutes.first_at, 600);
        assert_eq!(minutes.hashes_per_second, [Some(65536.0 * 2.0)]);
        assert_eq!((tens.first_at, tens.accepted), (0, vec![]));
    }

    #[test]
    fn the_past_stands_before_the_present_with_gaps_where_the_pool_did_not_run() {
        let minutes = [slot(600, 60, 6, 60 * 65535), slot(720, 60, 1, 65535)];
        let mut chart = Chart::new(at(750), &minutes, &[slot(0, 3_600, 61, 3_600 * 65535)]);
        chart.add(&counts(1, 59 * 65535));
        chart.advance(at(780), 0.0);
        let [_, minutes, tens] = chart.shown().series.try_into().unwrap();
        assert_eq!(minutes.first_at, 600);
        assert_eq!(minutes.accepted, [6, 0, 2]);
        let rates = [Some(65536.0), None, Some(65536.0)];
        assert_eq!(minutes.hashes_per_second, rates);
        // Of a slot that is coarser than the series, the part before the open bucket.
        assert_eq!((tens.first_at, tens.accepted), (0, vec![11]));
    }

    #[test]
    fn a_clock_that_is_set_loses_no_more_than_it_must() {
        let mut chart = Chart::new(at(1_000_000), &[], &[]);
        chart.advance(at(1_000_060), 1.0);
        let before = chart.shown();
        assert!(!chart.advance(at(1_000_000), 1.0));
        assert_eq!(chart.shown(), before);
        // From 1970 to now, as on a machine without a battery.
        let mut chart = Chart::new(at(0), &[], &[]);
        assert!(chart.advance(at(1_700_000_000), 1.0));
        chart.advance(at(1_700_000_060), 1.0);
        assert_eq!(chart.shown().series[1].first_at, 1_699_999_980);
    }
}
