//! The bounded receive buffer of a connection.

use core::cell::Cell;
use core::fmt;
use core::ops::Range;

/// Bytes that a read may bring, and the least that a buffer grows to: a hundred shares of either protocol.
pub(crate) const INITIAL: usize = 8 * 1024;

/// A read is offered at least this much room, so that a nearly full buffer does not make for many
/// small reads.
const MIN_ROOM: usize = 1024;

thread_local! {
    /// The memory of the inbox that was emptied last on this thread, for the one that is filled next. A
    /// thread reads one connection after the other, and what came is mostly taken out at once.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Received bytes that were not yet taken out.
///
/// It grows with the bytes that arrive, never with the length that a peer announces, up to a limit
/// that holds the longest message and one read. While it is empty it has no memory: a pool has thousands
/// of connections that are silent.
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    limit: usize,
}

impl Inbox {
    /// A buffer for messages of up to `message_limit` bytes on the wire.
    pub(crate) const fn new(message_limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            end: 0,
            limit: message_limit.saturating_add(INITIAL),
        }
    }

    /// The same bytes, for messages of another length.
    pub(crate) const fn set_message_limit(&mut self, message_limit: usize) {
        self.limit = message_limit.saturating_add(INITIAL);
    }

    /// What was received and not taken.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn pending_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Takes the next `len` bytes out. They stay readable through [`Inbox::slice`] until room is made
    /// for the next read.
    pub(crate) fn take(&mut self, len: usize) -> Range<usize> {
        let taken = self.start..self.start + len;
        debug_assert!(taken.end <= self.end);
        self.start = taken.end;
        taken
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// Gives back the memory of what was taken out. True when there is nothing else.
    pub(crate) fn release(&mut self) -> bool {
        let is_empty = self.start == self.end;
        if is_empty {
            let bytes = core::mem::take(&mut self.bytes);
            if bytes.capacity() == INITIAL {
                SPARE.set(bytes);
            }
            (self.start, self.end) = (0, 0);
        }
        is_empty
    }

    /// Takes what was received elsewhere, [`INITIAL`] bytes at most, where there is nothing yet.
    pub(crate) fn fill(&mut self, received: &[u8]) {
        debug_assert!(self.bytes.is_empty());
        self.bytes = SPARE.take();
        self.bytes.clear();
        self.bytes.reserve_exact(INITIAL);
        self.bytes.extend_from_slice(received);
        self.end = received.len();
    }

    /// Room to read into behind what is pending: empty only when the buffer is at its limit.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.bytes.len() - self.end < MIN_ROOM {
            self.compact();
        }
        if self.bytes.len() - self.end < MIN_ROOM {
            self.grow();
        }
        &mut self.bytes[self.end..]
    }

    /// Says that `len` bytes of the room were filled.
    pub(crate) const fn received(&mut self, len: usize) {
        self.end += len;
    }

    fn compact(&mut self) {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
    }

    fn grow(&mut self) {
        let doubled = (self.bytes.len() * 2).max(INITIAL);
        self.bytes
            .resize(doubled.min(self.limit).max(self.bytes.len()), 0);
    }
}

/// What was received may be secret, and is long.
impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pending = self.pending().len();
        f.debug_struct("Inbox")
            .field("pending", &pending)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(inbox: &mut Inbox, data: &[u8]) {
        for chunk in data.chunks(700) {
            inbox.room()[..chunk.len()].copy_from_slice(chunk);
            inbox.received(chunk.len());
        }
    }

    #[test]
    fn what_goes_in_comes_out_in_order_across_moves_and_growth() {
        let mut inbox = Inbox::new(100_000);
        let data: Vec<u8> = (0..50_000_u32).map(|i| (i % 251) as u8).collect();
        let mut out = Vec::new();
        for part in data.chunks(9_999) {
            push(&mut inbox, part);
            let range = inbox.take(7_000);
            out.extend_from_slice(inbox.slice(range));
        }
        out.extend_from_slice(inbox.pending());
        assert_eq!(out, data);
    }

    #[test]
    fn it_stops_at_its_limit() {
        let mut inbox = Inbox::new(10_000);
        let mut total = 0;
        loop {
            let room = inbox.room().len();
            if room == 0 {
                break;
            }
            inbox.received(room);
            total += room;
        }
        assert_eq!(total, 10_000 + INITIAL);
    }

    /// Nothing of what one connection sent is seen on another.
    #[test]
    fn emptied_memory_serves_the_next_inbox_clean() {
        let mut first = Inbox::new(1_000_000);
        first.fill(&[7; 3_000]);
        let memory = first.bytes.as_ptr();
        first.take(3_000);
        assert!(first.release());
        let mut second = Inbox::new(1_000_000);
        second.fill(&[1, 2]);
        assert_eq!(second.bytes.as_ptr(), memory);
        assert_eq!(second.pending(), [1, 2]);
        assert!(second.room().iter().all(|byte| *byte == 0));
    }

    #[test]
    fn it_has_no_memory_when_all_is_taken_out() {
        let mut inbox = Inbox::new(1_000_000);
        push(&mut inbox, &vec![1; 500_000]);
        inbox.take(499_999);
        assert!(!inbox.release());
        assert_eq!(inbox.pending(), [1]);
        inbox.take(1);
        assert!(inbox.release());
        assert_eq!(inbox.bytes.capacity(), 0);
        inbox.fill(&[2, 3]);
        assert_eq!(inbox.pending(), [2, 3]);
        push(&mut inbox, &[4; 5_000]);
        assert_eq!(inbox.pending().len(), 5_002);
    }
}
