//! The bounded send buffer of a connection.

use core::fmt;

use crate::error::TransportError;

/// Bytes that may wait for a peer. A job for a device is below 1 KiB, so a peer that lets this much
/// pile up has not read for minutes.
pub const OUTBOX_LIMIT: usize = 256 * 1024;

/// What one event may queue, whatever the limit: the thousands of channels of a proxy are told a tip at once, and what came in
/// one read is answered at once, before a byte of it can be written. Jobs of so many follow a few at a time.
const BURST_LIMIT: usize = 32 * 1024 * 1024;

/// Bytes that wait to be written. While there are none it has no memory: a pool has thousands of
/// connections to which nothing is said for half a minute.
///
/// A peer is slow when bytes pile up over several events, not when one event has many. So what may
/// wait is the limit, or twice the largest burst since the buffer was last empty; a burst is what is
/// queued between two attempts to write.
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    written: usize,
    limit: usize,
    burst: usize,
    largest_burst: usize,
}

impl Outbox {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            written: 0,
            limit,
            burst: 0,
            largest_burst: 0,
        }
    }

    /// The buffer to append exactly `len` bytes to.
    ///
    /// Errors when they would not fit, and then nothing may be appended.
    pub(crate) fn append(&mut self, len: usize) -> Result<&mut Vec<u8>, TransportError> {
        let queued = self.pending().len().saturating_add(len);
        let burst = self.burst.saturating_add(len);
        let largest_burst = self.largest_burst.max(burst).min(BURST_LIMIT);
        let limit = self.limit.max(2 * largest_burst);
        if queued > limit || burst > self.limit.max(BURST_LIMIT) {
            return Err(TransportError::SlowReader { queued, limit });
        }
        (self.burst, self.largest_burst) = (burst, largest_burst);
        if self.written > self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        Ok(&mut self.bytes)
    }

    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// An attempt to write is made: what is queued from now on is another burst.
    pub(crate) fn end_burst(&mut self) {
        self.burst = 0;
    }

    pub(crate) fn wrote(&mut self, len: usize) {
        self.written += len;
        if self.pending().is_empty() {
            self.bytes = Vec::new();
            self.written = 0;
            self.largest_burst = 0;
        }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pending = self.pending().len();
        f.debug_struct("Outbox")
            .field("pending", &pending)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_writes_lose_nothing_and_keep_the_order() {
        let mut outbox = Outbox::new(100);
        let mut written = Vec::new();
        for i in 0..50_u8 {
            outbox.append(2).unwrap().extend_from_slice(&[i, i]);
            let n = outbox.pending().len().min(1 + usize::from(i % 3));
            written.extend_from_slice(&outbox.pending()[..n]);
            outbox.wrote(n);
        }
        written.extend_from_slice(outbox.pending());
        let expected: Vec<u8> = (0..50).flat_map(|i| [i, i]).collect();
        assert_eq!(written, expected);
    }

    #[test]
    fn what_piles_up_over_several_events_is_limited() {
        let mut outbox = Outbox::new(10);
        for _ in 0..10 {
            outbox.append(1).unwrap().push(0);
            outbox.end_burst();
        }
        let refused = outbox.append(1).map(|_| ());
        assert!(matches!(
            refused,
            Err(TransportError::SlowReader {
                queued: 11,
                limit: 10
            })
        ));
        outbox.wrote(4);
        assert!(outbox.append(4).is_ok());
    }

    #[test]
    fn one_event_of_any_size_is_taken_and_another_like_it() {
        let mut outbox = Outbox::new(10);
        for event in 0..2 {
            for _ in 0..100 {
                let taken = outbox
                    .append(10)
                    .map(|bytes| bytes.extend_from_slice(&[0; 10]));
                assert!(taken.is_ok(), "event {event}");
            }
            outbox.end_burst();
        }
        assert!(
            outbox.append(1).is_err(),
            "the peer has read nothing of two"
        );
        outbox.wrote(2_000);
        for _ in 0..10 {
            outbox.append(1).unwrap().push(0);
            outbox.end_burst();
        }
        assert!(
            outbox.append(1).is_err(),
            "an empty buffer forgets large events"
        );
    }

    #[test]
    fn an_event_beyond_all_measure_is_refused() {
        let mut outbox = Outbox::new(10);
        assert!(outbox.append(BURST_LIMIT).is_ok());
        assert!(outbox.append(1).is_err());
    }
}
