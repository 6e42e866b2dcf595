//! What happened, in few words: a digest of all of it, and the last of it.

use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::time::Duration;

/// Entries that are kept for a report.
const KEPT: usize = 40;
/// FNV-1a, 64 bits.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The log of a simulation.
#[derive(Debug)]
pub(super) struct Log {
    digest: u64,
    last: VecDeque<Entry>,
    events: u64,
}

#[derive(Debug)]
struct Entry {
    at: Duration,
    what: super::schedule::Event,
    bytes: usize,
}

impl Log {
    pub(super) fn new() -> Self {
        Self {
            digest: OFFSET,
            last: VecDeque::with_capacity(KEPT),
            events: 0,
        }
    }

    /// Notes an event.
    pub(super) fn note(&mut self, at: Duration, what: super::schedule::Event) {
        self.events += 1;
        self.mix(&at.as_nanos().to_le_bytes());
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        let bytes = 0;
        self.last.push_back(Entry { at, what, bytes });
    }

    /// Notes what is sent because of it.
    pub(super) fn note_sent(&mut self, sent: &[u8]) {
        self.mix(sent);
        if let Some(entry) = self.last.back_mut() {
            entry.bytes += sent.len();
        }
    }

    /// Stands for all that has happened.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn events(&self) -> u64 {
        self.events
    }

    fn mix(&mut self, bytes: &[u8]) {
        let mut digest = self.digest;
        for byte in bytes {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
        self.digest = digest;
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Entry { at, what, bytes } in &self.last {
            writeln!(
                f,
                "{:>16.6} s  {what:?}, {bytes} bytes sent",
                at.as_secs_f64()
            )?;
        }
        Ok(())
    }
}
