//! What the pool cannot do without: if one of its vital parts panics, the pool stops, so that
//! whoever watches over it starts a whole one, instead of miners mining for nobody.

use std::io;
use std::thread::{self, JoinHandle};

use tokio_util::sync::CancellationToken;
use tracing::error;

/// Stops the pool when a vital part panics.
#[derive(Debug, Clone)]
pub(crate) struct Vital(CancellationToken);

/// Held by a vital part while it works.
#[derive(Debug)]
pub(crate) struct VitalGuard {
    shutdown: CancellationToken,
    name: &'static str,
}

impl Vital {
    pub(crate) const fn new(shutdown: CancellationToken) -> Self {
        Self(shutdown)
    }

    pub(crate) fn guard(&self, name: &'static str) -> VitalGuard {
        VitalGuard {
            shutdown: self.0.clone(),
            name,
        }
    }

    /// Starts a thread that the pool cannot do without.
    pub(crate) fn spawn(
        &self,
        name: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let guard = self.guard(name);
        let thread = thread::Builder::new().name(name.to_owned());
        thread.spawn(move || {
            let _guard = guard;
            work();
        })
    }
}

impl Drop for VitalGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            error!("the {} of the pool has failed; the pool stops", self.name);
            self.shutdown.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_stops_the_pool_and_an_end_does_not() {
        let token = CancellationToken::new();
        let vital = Vital::new(token.clone());
        drop(vital.guard("test"));
        assert!(!token.is_cancelled());
        let guard = vital.guard("test");
        let thread = thread::spawn(move || {
            let _guard = guard;
            panic!("on purpose");
        });
        assert!(thread.join().is_err());
        assert!(token.is_cancelled());
    }
}
