//! The bounded send buffer of a connection.

use core::fmt;

use crate::error::TransportError;

/// Bytes that may wait for a peer. A job for a device is below 1 KiB, so a peer that lets this much
/// pile up has not read for minutes.
pub const OUTBOX_LIMIT: usize = 256 * 1024;

/// Capacity that is kept when everything is written.
const KEPT: usize = 16 * 1024;

/// Bytes that wait to be written.
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    written: usize,
    limit: usize,
}

impl Outbox {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            written: 0,
            limit,
        }
    }

    /// The buffer to append exactly `len` bytes to.
    ///
    /// Errors when they would not fit, and then nothing may be appended.
    pub(crate) fn append(&mut self, len: usize) -> Result<&mut Vec<u8>, TransportError> {
        let queued = self.pending().len().saturating_add(len);
        if queued > self.limit {
            return Err(TransportError::SlowReader {
                queued,
                limit: self.limit,
            });
        }
        if self.written > self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        Ok(&mut self.bytes)
    }

    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    pub(crate) fn wrote(&mut self, len: usize) {
        self.written += len;
        if self.pending().is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT);
            self.written = 0;
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
    fn the_limit_counts_what_was_not_written() {
        let mut outbox = Outbox::new(10);
        outbox.append(10).unwrap().extend_from_slice(&[0; 10]);
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
}
