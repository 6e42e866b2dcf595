//! Where worker threads find what to hash.

use core::time::Duration;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use headframe_mining::client::MiningWork;

/// A piece of work and the connection that it came on.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) connection: u64,
    pub(crate) work: Arc<MiningWork>,
    /// A block was found on it. One is all that its tip has room for: further hashes have to be
    /// shares, or a pool on an easy chain would be flooded until the next work comes.
    pub(crate) solved: AtomicBool,
}

/// The newest assignment, or none. Readers notice a change by one relaxed load.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    state: Mutex<State>,
    changed: Condvar,
    generation: AtomicU64,
    hashes: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    assignment: Option<Arc<Assignment>>,
    stopped: bool,
}

impl Slot {
    /// Gives the workers something to do, or nothing.
    pub(crate) fn assign(&self, assignment: Option<Assignment>) {
        let mut state = self.lock();
        state.assignment = assignment.map(Arc::new);
        self.notify(&state);
    }

    /// Sends the workers home.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.assignment = None;
        state.stopped = true;
        self.notify(&state);
    }

    /// Waits for an assignment and says of which generation it is; `None` when there will be no more.
    pub(crate) fn wait_for_work(&self) -> Option<(Arc<Assignment>, u64)> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(assignment) = &state.assignment {
                return Some((
                    Arc::clone(assignment),
                    self.generation.load(Ordering::Relaxed),
                ));
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether the assignment of `generation` is still the newest.
    pub(crate) fn is_current(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Relaxed) == generation
    }

    /// Waits as long as `pause` while the assignment of `generation` is the newest.
    pub(crate) fn pause(&self, generation: u64, pause: Duration) {
        let unchanged = |_: &mut State| self.is_current(generation);
        // Either way the caller looks at the generation next.
        drop(
            self.changed
                .wait_timeout_while(self.lock(), pause, unchanged),
        );
    }

    /// Counts hashes that were made.
    pub(crate) fn add_hashes(&self, count: u32) {
        self.hashes.fetch_add(count.into(), Ordering::Relaxed);
    }

    /// All hashes so far.
    pub(crate) fn hashes(&self) -> u64 {
        self.hashes.load(Ordering::Relaxed)
    }

    fn notify(&self, _locked: &MutexGuard<'_, State>) {
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// The state is whole after every statement, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
