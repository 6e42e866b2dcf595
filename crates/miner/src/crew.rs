//! The threads that hash, and how to reach them.

use core::num::NonZeroU32;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use crate::slot::Slot;
use crate::worker::{Found, Worker};

/// Solutions that may wait for the connection. Threads that find more wait too.
const FOUND_QUEUE: usize = 64;

/// Threads, the slot that they take work from, and the queue that they put solutions into. They go
/// home when it is dropped.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) slot: Arc<Slot>,
    pub(crate) found: mpsc::Receiver<Found>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Starts `count` threads. Errors where the operating system has no more.
    pub(crate) fn start(count: NonZeroU32, throttle: Option<NonZeroU32>) -> io::Result<Self> {
        let (found_tx, found) = mpsc::channel(FOUND_QUEUE);
        let mut crew = Self {
            slot: Arc::default(),
            found,
            threads: Vec::new(),
        };
        for index in 0..count.get() {
            let slot = Arc::clone(&crew.slot);
            let worker = Worker::new(slot, found_tx.clone(), index, count, throttle);
            let named = std::thread::Builder::new().name(format!("miner-{index}"));
            crew.threads.push(named.spawn(move || worker.run())?);
        }
        Ok(crew)
    }

    /// Sends the threads home and waits for them. The number of solutions that came too late.
    pub(crate) async fn dismiss(mut self) -> u64 {
        self.slot.stop();
        // Whoever waits to pass on a solution learns that nobody listens.
        self.found.close();
        let mut late = 0;
        while self.found.recv().await.is_some() {
            late += 1;
        }
        let threads = core::mem::take(&mut self.threads);
        // A thread ends within the time of some thousand hashes; only a panic makes an error.
        let _ = tokio::task::spawn_blocking(move || {
            threads.into_iter().for_each(|thread| drop(thread.join()));
        })
        .await;
        late
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.slot.stop();
    }
}
