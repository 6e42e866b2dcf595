//! Sums along time, for charts.

use headframe_work::UnixTime;

use crate::Sums;

/// A half-open range of time: `from` is in it, `to` is not.
pub type TimeRange = core::ops::Range<UnixTime>;

/// How long the slots of a history are. Each divides the next, so that slots never straddle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bucket {
    /// One minute, the finest there is.
    Minute,
    /// Five minutes.
    FiveMinutes,
    /// Ten minutes.
    TenMinutes,
    /// One hour.
    Hour,
    /// One day, from midnight UTC.
    Day,
}

impl Bucket {
    /// Its length in seconds.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Minute => Span::Minute.seconds(),
            Self::FiveMinutes => 5 * 60,
            Self::TenMinutes => 10 * 60,
            Self::Hour => Span::Hour.seconds(),
            Self::Day => Span::Day.seconds(),
        }
    }
}

/// The sums of one slot of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its first second, a multiple of its length.
    pub start: UnixTime,
    /// Its length in seconds: that of the bucket asked for, or longer where only coarser sums are
    /// kept.
    pub seconds: u32,
    /// What came of the shares in it.
    pub sums: Sums,
}

/// The lengths in which sums are stored: minutes first, hours when they are old, days when they
/// are very old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Span {
    Minute,
    Hour,
    Day,
}

impl Span {
    /// The coarsest first.
    pub(crate) const COARSEST_FIRST: [Self; 3] = [Self::Day, Self::Hour, Self::Minute];

    pub(crate) const fn seconds(self) -> u32 {
        match self {
            Self::Minute => 60,
            Self::Hour => 60 * 60,
            Self::Day => 24 * 60 * 60,
        }
    }
}

/// The start of the slot of the given length that holds `time`.
pub(crate) fn floor_to(time: UnixTime, seconds: u32) -> UnixTime {
    UnixTime::from_secs(time.as_secs() - time.as_secs() % seconds)
}

/// The starts of stored rows of the given span that belong to the slots that touch the range, as
/// seconds: an inclusive lower and an exclusive upper bound. The first and the last slot are whole.
pub(crate) fn starts_touching(
    range: &TimeRange,
    bucket: Bucket,
    span: Span,
) -> core::ops::Range<u32> {
    let seconds = span.seconds().max(bucket.seconds());
    let end = range.end.as_secs();
    let whole_end = end.div_ceil(seconds).saturating_mul(seconds);
    floor_to(range.start, seconds).as_secs()..whole_end.max(end)
}

/// Builds the slots of a history out of stored rows, which must come [coarsest
/// first](Span::COARSEST_FIRST) and by time within each span. The slots are disjoint and ordered:
/// a fine row that came late for a time of which only a coarse one is kept joins the coarse one.
#[derive(Debug)]
pub(crate) struct SlotBuilder {
    bucket: Bucket,
    slots: std::collections::BTreeMap<UnixTime, Slot>,
}

impl SlotBuilder {
    pub(crate) const fn new(bucket: Bucket) -> Self {
        Self {
            bucket,
            slots: std::collections::BTreeMap::new(),
        }
    }

    /// The sums to which a row of the given span and start belongs.
    pub(crate) fn slot(&mut self, span: Span, start: UnixTime) -> &mut Sums {
        let seconds = span.seconds().max(self.bucket.seconds());
        let covering = self
            .slots
            .range(..=start)
            .next_back()
            .filter(|(_, slot)| start.as_secs() - slot.start.as_secs() < slot.seconds)
            .map(|(at, _)| *at);
        let at = covering.unwrap_or_else(|| floor_to(start, seconds));
        let new = || Slot {
            start: at,
            seconds,
            sums: Sums::default(),
        };
        &mut self.slots.entry(at).or_insert_with(new).sums
    }

    pub(crate) fn finish(self) -> Vec<Slot> {
        self.slots.into_values().collect()
    }
}
