//! Traces: what a worker and the pool say to each other, for a bug report.
//!
//! A [`Tracer`] knows the traces that run. Each connection has a [`Tap`] on it, which copies what is said
//! while somebody listens; a [`Trace`] makes of the copies the lines of a transcript, without addresses
//! and passwords, on a task of its own. While nothing is traced a connection reads one number whenever
//! it wakes up, and nothing for each message.
//!
//! The format of the lines is that of `headframe-testkit`'s transcripts.

mod lines;
mod mask;
mod tap;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use headframe_mining::server::Protocol;
use tokio::sync::mpsc;

pub(crate) use lines::Transcript;
pub(crate) use tap::Tap;

/// Traces at one time. Each costs those who are traced a copy of what is said.
pub(crate) const MAX_TRACES: usize = 4;
/// Messages that wait to be written down, and their bytes. What does not fit is left out, and counted.
const QUEUE: usize = 4_096;
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// The traces that run.
#[derive(Debug, Default)]
pub(crate) struct Tracer {
    /// Changes whenever a trace begins or ends.
    generation: AtomicU64,
    probes: Mutex<Vec<Arc<Probe>>>,
}

/// A trace, as those who are traced see it.
#[derive(Debug)]
struct Probe {
    /// The user name of the worker.
    user: String,
    notes: mpsc::Sender<Note>,
    /// Bytes that are in the queue.
    queued: AtomicUsize,
    /// Notes that were left out since the last that was not.
    left_out: AtomicU64,
}

/// Something that happened on a connection.
#[derive(Debug)]
struct Note {
    connection: u64,
    protocol: Protocol,
    at: Instant,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A frame with its header, or a line.
    Said(Speaker, Box<[u8]>),
    /// The connection is over, and who ended it.
    Ended(Speaker),
}

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaker {
    Client,
    Pool,
}

/// A trace that runs, until it is dropped.
#[derive(Debug)]
pub(crate) struct Trace {
    tracer: Arc<Tracer>,
    probe: Arc<Probe>,
    notes: mpsc::Receiver<Note>,
}

/// What a trace has heard.
#[derive(Debug)]
struct Heard {
    note: Note,
    /// Messages that were left out before it.
    left_out: u64,
}

impl Tracer {
    /// Begins to trace the worker with this user name. `None` if too many traces run.
    pub(crate) fn trace(self: &Arc<Self>, user: &str) -> Option<Trace> {
        let (sender, notes) = mpsc::channel(QUEUE);
        let probe = Arc::new(Probe {
            user: user.to_owned(),
            notes: sender,
            queued: AtomicUsize::new(0),
            left_out: AtomicU64::new(0),
        });
        let is_taken = self.change(|probes| {
            let has_room = probes.len() < MAX_TRACES;
            if has_room {
                probes.push(Arc::clone(&probe));
            }
            has_room
        });
        is_taken.then(|| Trace {
            tracer: Arc::clone(self),
            probe,
            notes,
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Arc<Probe>>) -> T) -> T {
        // Nothing can panic while it is held.
        let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut probes);
        self.generation.fetch_add(1, Ordering::Release);
        changed
    }

    /// The traces that run, and the generation at which they do.
    fn running(&self) -> (u64, Vec<Arc<Probe>>) {
        let probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        (self.generation.load(Ordering::Acquire), probes.clone())
    }
}

impl Probe {
    /// Copies what is said if there is room.
    fn say(&self, connection: (u64, Protocol), at: Instant, from: Speaker, said: &[u8]) {
        let queued = self.queued.fetch_add(said.len(), Ordering::Relaxed);
        let has_room = queued.saturating_add(said.len()) <= QUEUE_BYTES;
        let what = || What::Said(from, said.into());
        if !has_room || !self.tell(connection, at, what()) {
            self.queued.fetch_sub(said.len(), Ordering::Relaxed);
            self.leave_out(1);
        }
    }

    /// The connection is over.
    fn end(&self, connection: (u64, Protocol), at: Instant, by: Speaker) {
        if !self.tell(connection, at, What::Ended(by)) {
            self.leave_out(1);
        }
    }

    fn leave_out(&self, notes: u64) {
        self.left_out.fetch_add(notes, Ordering::Relaxed);
    }

    fn tell(&self, (connection, protocol): (u64, Protocol), at: Instant, what: What) -> bool {
        let note = Note {
            connection,
            protocol,
            at,
            what,
        };
        self.notes.try_send(note).is_ok()
    }
}

impl Trace {
    /// The user name of the worker that is traced.
    pub(crate) fn user(&self) -> &str {
        &self.probe.user
    }

    /// Waits for the next thing that happens. Cancelling loses nothing.
    async fn next(&mut self) -> Heard {
        let note = self.notes.recv().await;
        let note = note.expect("the probe, which is kept here, has a sender");
        if let What::Said(_, bytes) = &note.what {
            self.probe.queued.fetch_sub(bytes.len(), Ordering::Relaxed);
        }
        let left_out = self.probe.left_out.swap(0, Ordering::Relaxed);
        Heard { note, left_out }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let ended = &self.probe;
        self.tracer
            .change(|probes| probes.retain(|probe| !Arc::ptr_eq(probe, ended)));
    }
}
