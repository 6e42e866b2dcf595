//! What calls connections to do something, other than their miners and time.
//!
//! A connection waits for many things at once, and there are thousands. Were it in a list of waiters for
//! each, it would be put into all of them, and taken out, whenever it has done something. So it has
//! one bell, which says what it was rung for, and stays in one list for as long as it lives.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::{Bound, Deref};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use atomic_waker::AtomicWaker;
use headframe_mining::server::PoolWork;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::hold::Service;

/// Bells that are rung before connections that come or go have their turn with the list.
const PEAL: usize = 64;

/// What a connection is called for. The first in order is answered first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Call {
    /// The pool stops.
    Shutdown = 1,
    /// Miners are served in another way.
    Service = 2,
    /// There is new work.
    Work = 4,
    /// The ledger has committed shares of this connection.
    Committed = 8,
}

impl Call {
    const ALL: [Self; 4] = [Self::Shutdown, Self::Service, Self::Work, Self::Committed];
}

/// The bell of one connection, which alone listens to it.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// What it was rung for, a bit for each call.
    rung: AtomicU8,
    /// How far the ledger has come with the shares of the connection.
    committed: AtomicU64,
    waker: AtomicWaker,
}

impl Bell {
    pub(crate) fn ring(&self, call: Call) {
        self.rung.fetch_or(call as u8, Ordering::Release);
        self.waker.wake();
    }

    /// The ledger has committed share number `sequence`, and those before it.
    pub(crate) fn tell_committed(&self, sequence: u64) {
        self.committed.store(sequence, Ordering::Release);
        self.ring(Call::Committed);
    }

    /// The number of the last share that the ledger has committed.
    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    /// The next call. When there is none, `waker` is woken by the next.
    pub(crate) fn poll_call(&self, waker: &Waker) -> Poll<Call> {
        if let Some(call) = self.take_call() {
            return Poll::Ready(call);
        }
        self.waker.register(waker);
        // It may have been rung in between.
        self.take_call().map_or(Poll::Pending, Poll::Ready)
    }

    /// Waits until the ledger has committed share number `sequence`. Other calls are kept.
    pub(crate) async fn committed_to(&self, sequence: u64) {
        poll_fn(|context| {
            self.waker.register(context.waker());
            match self.committed() < sequence {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        })
        .await;
    }

    fn take_call(&self) -> Option<Call> {
        let rung = self.rung.load(Ordering::Acquire);
        let call = Call::ALL.into_iter().find(|call| rung & *call as u8 != 0)?;
        self.rung.fetch_and(!(call as u8), Ordering::AcqRel);
        Some(call)
    }
}

/// The bells of all connections.
#[derive(Debug, Default)]
pub(crate) struct Bells(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    /// By the connections' numbers.
    bells: BTreeMap<u64, Arc<Bell>>,
    /// Whether whoever comes now comes too late.
    is_shut_down: bool,
}

/// A bell that is rung with the others until it is dropped.
#[derive(Debug)]
pub(crate) struct HungBell {
    connection: u64,
    bell: Arc<Bell>,
    bells: Arc<Bells>,
}

impl Bells {
    /// A bell for connection number `connection`. It was rung for new work already, which may have come
    /// since the connection began.
    pub(crate) fn hang(self: &Arc<Self>, connection: u64) -> HungBell {
        let bell = Arc::new(Bell::default());
        bell.ring(Call::Work);
        let mut list = self.list();
        if list.is_shut_down {
            bell.ring(Call::Shutdown);
        }
        list.bells.insert(connection, Arc::clone(&bell));
        HungBell {
            connection,
            bell,
            bells: Arc::clone(self),
        }
    }

    /// Rings for what happens, until shutdown.
    pub(crate) async fn follow(
        self: Arc<Self>,
        mut work: watch::Receiver<Arc<PoolWork>>,
        mut service: watch::Receiver<Service>,
        shutdown: CancellationToken,
    ) {
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Ok(()) = service.changed() => self.ring(Call::Service),
                Ok(()) = work.changed() => self.ring(Call::Work),
                else => shutdown.cancelled().await,
            }
        }
        self.list().is_shut_down = true;
        self.ring(Call::Shutdown);
    }

    fn ring(&self, call: Call) {
        let mut from = Bound::Unbounded;
        loop {
            let list = self.list();
            let mut last = None;
            for (connection, bell) in list.bells.range((from, Bound::Unbounded)).take(PEAL) {
                bell.ring(call);
                last = Some(*connection);
            }
            match last {
                Some(last) => from = Bound::Excluded(last),
                None => return,
            }
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // Nothing in here panics half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HungBell {
    /// For those who ring this one alone.
    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }
}

impl Deref for HungBell {
    type Target = Bell;

    fn deref(&self) -> &Bell {
        &self.bell
    }
}

impl Drop for HungBell {
    fn drop(&mut self) {
        self.bells.list().bells.remove(&self.connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Wake;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicU64);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn calls(bell: &Bell, waker: &Waker) -> Vec<Call> {
        let next = || match bell.poll_call(waker) {
            Poll::Ready(call) => Some(call),
            Poll::Pending => None,
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn each_bell_is_rung_once_for_each_call_until_it_is_taken_down() {
        let bells = Arc::new(Bells::default());
        let count = PEAL as u64 * 2 + 1;
        let mut hung: Vec<_> = (0..count)
            .map(|connection| bells.hang(connection))
            .collect();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        for bell in &hung {
            assert_eq!(calls(bell, &waker), [Call::Work], "what it may have missed");
        }
        hung.remove(0);
        bells.ring(Call::Work);
        bells.ring(Call::Work);
        bells.ring(Call::Shutdown);
        assert_eq!(woken.0.load(Ordering::Relaxed), count - 1);
        for bell in &hung {
            assert_eq!(calls(bell, &waker), [Call::Shutdown, Call::Work]);
        }
    }

    #[test]
    fn who_waits_for_a_commit_keeps_other_calls() {
        let bell = Bell::default();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = std::task::Context::from_waker(&waker);
        let mut waits = std::pin::pin!(bell.committed_to(2));
        let mut is_over = || waits.as_mut().poll(&mut context).is_ready();
        assert!(!is_over());
        bell.ring(Call::Shutdown);
        bell.tell_committed(1);
        assert!(!is_over());
        bell.tell_committed(2);
        assert!(is_over());
        assert_eq!(calls(&bell, &waker), [Call::Shutdown, Call::Committed]);
    }

    #[tokio::test]
    async fn connections_that_come_late_hear_what_they_missed() {
        let (bells, shutdown) = (Arc::new(Bells::default()), CancellationToken::new());
        let (_work, news) = watch::channel(crate::silent::work().await);
        let (service, serviced) = watch::channel(Service::Usual);
        let following = tokio::spawn(Arc::clone(&bells).follow(news, serviced, shutdown.clone()));
        let call = async |bell: &Bell| poll_fn(|it| bell.poll_call(it.waker())).await;
        let early = bells.hang(1);
        assert_eq!(call(&early).await, Call::Work);
        service.send_replace(Service::Held);
        assert_eq!(call(&early).await, Call::Service);
        shutdown.cancel();
        following.await.unwrap();
        assert_eq!(call(&early).await, Call::Shutdown);
        assert_eq!(call(&bells.hang(2)).await, Call::Shutdown);
    }
}
