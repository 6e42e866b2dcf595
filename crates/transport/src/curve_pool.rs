//! Where the curve operations of handshakes run, of Noise and of TLS alike.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::Arc;
use std::task::Wake;

use tokio::sync::{Notify, Semaphore};

/// One handshake's curve work at a time, on a thread that judges no shares: a storm of reconnects
/// takes one core at most, and who waits too long meets his deadline.
///
/// Clones share the one place.
#[derive(Debug, Clone)]
pub struct CurvePool(Arc<Semaphore>);

impl CurvePool {
    /// A pool with one place.
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Runs `work` when its turn has come. Whoever stops waiting gives up his turn; work that has begun
    /// keeps the place until it is done.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let permit = Arc::clone(&self.0).acquire_owned().await;
        let permit = permit.map_err(io::Error::other)?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        done.await.map_err(io::Error::other)?
    }

    /// Takes `work` to its end, one step in each turn: between its steps it waits for the network, and
    /// keeps no place. Whoever stops waiting ends it.
    pub(crate) async fn drive<W>(&self, mut work: W) -> io::Result<W::Output>
    where
        W: Future<Output: Send + 'static> + Unpin + Send + 'static,
    {
        let woken = Arc::new(Woken(Notify::new()));
        loop {
            let waker = Waker::from(Arc::clone(&woken));
            let step = move || {
                let polled = Pin::new(&mut work).poll(&mut Context::from_waker(&waker));
                Ok((work, polled))
            };
            let (rest, polled) = self.run(step).await?;
            if let Poll::Ready(output) = polled {
                return Ok(output);
            }
            work = rest;
            woken.0.notified().await;
        }
    }
}

/// Remembers a wake that comes before somebody waits for it.
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

impl Default for CurvePool {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn two_never_run_at_once_even_when_their_callers_have_left() {
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        static FINISHED: AtomicUsize = AtomicUsize::new(0);
        let pool = CurvePool::new();
        let work = || {
            assert_eq!(RUNNING.fetch_add(1, Ordering::SeqCst), 0);
            std::thread::yield_now();
            RUNNING.fetch_sub(1, Ordering::SeqCst);
            FINISHED.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        let callers: Vec<_> = (0..32)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move { pool.run(work).await })
            })
            .collect();
        for (i, caller) in callers.into_iter().enumerate() {
            match i % 4 {
                0 => caller.abort(),
                _ => caller.await.unwrap().unwrap(),
            }
        }
        pool.run(|| Ok(())).await.unwrap();
        assert!(FINISHED.load(Ordering::SeqCst) >= 24);
    }

    #[tokio::test]
    async fn work_that_waits_keeps_no_place() {
        let pool = CurvePool::new();
        let (go, gone) = tokio::sync::oneshot::channel();
        let waiting = pool.drive(Box::pin(gone));
        let other = async {
            pool.run(|| Ok(())).await.unwrap();
            go.send(7).unwrap();
        };
        let (waited, ()) = tokio::join!(waiting, other);
        assert_eq!(waited.unwrap(), Ok(7));
    }
}
