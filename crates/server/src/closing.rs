//! A worker that the operator wants closed, and what became of that on the connections where it was found.
//!
//! Each connection holds one until it has looked; when the last lets go of it, all have. Not here: who is
//! closed how, which the connection knows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// A worker to be closed.
#[derive(Debug)]
pub(crate) struct Closing {
    user: String,
    outcome: Arc<Mutex<Outcome>>,
    /// Closed with this value.
    _looked: oneshot::Sender<()>,
}

/// Tells when all have looked, and what became of it.
#[derive(Debug)]
pub(crate) struct Closed {
    outcome: Arc<Mutex<Outcome>>,
    looked: oneshot::Receiver<()>,
}

/// What became of it, on all connections together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Outcome {
    /// Channels that were closed; their connections stay.
    pub(crate) channels: u64,
    /// Connections that were closed.
    pub(crate) connections: u64,
    /// Connections on which nothing could be closed without others.
    pub(crate) kept: u64,
    /// The others there.
    pub(crate) others: u64,
}

impl Closing {
    /// The worker with this user name is to be closed.
    pub(crate) fn new(user: &str) -> (Arc<Self>, Closed) {
        let (_looked, looked) = oneshot::channel();
        let outcome = Arc::default();
        let closed = Closed {
            outcome: Arc::clone(&outcome),
            looked,
        };
        let user = user.to_owned();
        let closing = Self {
            user,
            outcome,
            _looked,
        };
        (Arc::new(closing), closed)
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn note_channels(&self, closed: usize) {
        lock(&self.outcome).channels += closed as u64;
    }

    pub(crate) fn note_connection(&self) {
        lock(&self.outcome).connections += 1;
    }

    /// It is on a connection with so many others, who would be closed with it.
    pub(crate) fn note_kept(&self, others: usize) {
        let mut outcome = lock(&self.outcome);
        outcome.kept += 1;
        outcome.others += others as u64;
    }
}

impl Closed {
    /// Waits until all have looked. Cancelling loses nothing.
    pub(crate) async fn looked(&mut self) {
        // Nothing is ever sent: it ends with the sender.
        let _ = (&mut self.looked).await;
    }

    /// What became of it so far.
    pub(crate) fn outcome(&self) -> Outcome {
        *lock(&self.outcome)
    }
}

fn lock(outcome: &Mutex<Outcome>) -> MutexGuard<'_, Outcome> {
    // Nothing can panic while it is held.
    outcome.lock().unwrap_or_else(PoisonError::into_inner)
}
