//! What calls connections to do something, other than their miners and time.
//!
//! A connection waits for many things at once, and there are thousands. Were it in a list of waiters for
//! each, it would be put into all of them, and taken out, whenever it has done something. So it has
//! one bell, which says what it was rung for, and stays in one list for as long as it lives.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::{Bound, Deref};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use atomic_waker::AtomicWaker;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::closing::Closing;

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
    /// The operator wants a worker closed.
    Close = 16,
}

impl Call {
    const ALL: [Self; 5] = [
        Self::Shutdown,
        Self::Service,
        Self::Work,
        Self::Committed,
        Self::Close,
    ];
}

/// The bell of one connection, which alone listens to it.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// What it was rung for, a bit for each call.
    rung: AtomicU8,
    /// Whether it has given a call for work that is not answered. Only who listens asks; here it takes no room.
    owes_answer: AtomicBool,
    /// How far the ledger has come with the shares of the connection.
    committed: AtomicU64,
    waker: AtomicWaker,
}

impl Bell {
    pub(crate) fn ring(&self, call: Call) {
        self.note(call);
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

    /// Whether it was not rung for this already.
    fn note(&self, call: Call) -> bool {
        self.rung.fetch_or(call as u8, Ordering::AcqRel) & call as u8 == 0
    }

    /// Whether it was rung for this.
    fn take(&self, call: Call) -> bool {
        self.rung.fetch_and(!(call as u8), Ordering::AcqRel) & call as u8 != 0
    }

    fn take_call(&self) -> Option<Call> {
        let rung = self.rung.load(Ordering::Acquire);
        let mut calls = Call::ALL.into_iter();
        calls.find(|call| rung & *call as u8 != 0 && self.take(*call))
    }
}

/// The bells of all connections.
#[derive(Debug, Default)]
pub(crate) struct Bells {
    list: Mutex<List>,
    /// Bells that were rung for work, whose miners were not told of it. While they are being rung it is not
    /// exact.
    unanswered: AtomicIsize,
    /// Told when there are none.
    answered: Notify,
}

/// What the operator wants closed, by the connections' numbers.
type Closings = BTreeMap<u64, Vec<Arc<Closing>>>;

#[derive(Debug, Default)]
struct List {
    /// By the connections' numbers.
    bells: BTreeMap<u64, Arc<Bell>>,
    /// Of those who have not looked at it.
    closings: Closings,
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
        self.unanswered.fetch_add(1, Ordering::AcqRel);
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

    /// Rings at shutdown.
    pub(crate) async fn await_shutdown(self: Arc<Self>, shutdown: CancellationToken) {
        shutdown.cancelled().await;
        self.list().is_shut_down = true;
        self.ring(Call::Shutdown);
    }

    /// Rings all.
    pub(crate) fn ring(&self, call: Call) {
        self.ring_with(call, |_, _| {});
    }

    /// Gives all connections a worker to close, and rings.
    pub(crate) fn close(&self, closing: &Arc<Closing>) {
        self.ring_with(Call::Close, |closings, connection| {
            let own = closings.entry(connection).or_default();
            own.push(Arc::clone(closing));
        });
    }

    /// Rings all, each after it was given what belongs to the call.
    fn ring_with(&self, call: Call, give: impl Fn(&mut Closings, u64)) {
        let mut from = Bound::Unbounded;
        while let Some(last) = self.ring_some(call, from, &give) {
            from = Bound::Excluded(last);
        }
    }

    /// Waits until each connection that was rung for work has answered. Cancelling loses nothing.
    pub(crate) async fn answered(&self) {
        while self.unanswered.load(Ordering::Acquire) > 0 {
            self.answered.notified().await;
        }
    }

    /// Rings a few, and gives the last of them.
    fn ring_some(
        &self,
        call: Call,
        from: Bound<u64>,
        give: impl Fn(&mut Closings, u64),
    ) -> Option<u64> {
        let mut list = self.list();
        let List {
            bells, closings, ..
        } = &mut *list;
        let mut last = None;
        let mut rung = 0;
        for (connection, bell) in bells.range((from, Bound::Unbounded)).take(PEAL) {
            give(closings, *connection);
            rung += isize::from(bell.note(call));
            bell.waker.wake();
            last = Some(*connection);
        }
        if call == Call::Work {
            self.unanswered.fetch_add(rung, Ordering::AcqRel);
        }
        last
    }

    fn note_answer(&self) {
        if self.unanswered.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.answered.notify_one();
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // Nothing in here panics half way.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HungBell {
    /// For those who ring this one alone.
    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// The next call. When there is none, `waker` is woken by the next. One for work is to be answered.
    pub(crate) fn poll_call(&mut self, waker: &Waker) -> Poll<Call> {
        let call = self.bell.poll_call(waker);
        if call == Poll::Ready(Call::Work) {
            // An earlier one is answered with this.
            self.answer();
            self.bell.owes_answer.store(true, Ordering::Relaxed);
        }
        call
    }

    /// The miner was told of the work that there was a call for. Not before: who waits for the last answer
    /// has other work by the time that the connection looks.
    pub(crate) fn answer(&mut self) {
        if self.bell.owes_answer.swap(false, Ordering::Relaxed) {
            self.bells.note_answer();
        }
    }

    /// The workers that are to be closed, if they are here.
    pub(crate) fn take_closings(&self) -> Vec<Arc<Closing>> {
        let closings = self.bells.list().closings.remove(&self.connection);
        closings.unwrap_or_default()
    }

    /// It is not rung with the others any more, and nobody waits for its answer.
    pub(crate) fn take_down(&mut self) {
        self.answer();
        let closings = {
            let mut list = self.bells.list();
            list.bells.remove(&self.connection);
            list.closings.remove(&self.connection)
        };
        drop(closings);
        if self.bell.take(Call::Work) {
            self.bells.note_answer();
        }
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
        self.take_down();
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

    fn calls(bell: &mut HungBell, waker: &Waker) -> Vec<Call> {
        let next = || match bell.poll_call(waker) {
            Poll::Ready(call) => Some(call),
            Poll::Pending => None,
        };
        std::iter::from_fn(next).collect()
    }

    fn calls_of(bell: &mut HungBell) -> Vec<Call> {
        calls(bell, Waker::noop())
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
        for bell in &mut hung {
            assert_eq!(calls(bell, &waker), [Call::Work], "what it may have missed");
        }
        hung.remove(0);
        bells.ring(Call::Work);
        bells.ring(Call::Work);
        bells.ring(Call::Shutdown);
        assert_eq!(woken.0.load(Ordering::Relaxed), count - 1);
        for bell in &mut hung {
            assert_eq!(calls(bell, &waker), [Call::Shutdown, Call::Work]);
        }
    }

    #[test]
    fn who_waits_for_a_commit_keeps_other_calls() {
        let bell = Bell::default();
        let mut context = std::task::Context::from_waker(Waker::noop());
        let mut waits = std::pin::pin!(bell.committed_to(2));
        let mut is_over = || waits.as_mut().poll(&mut context).is_ready();
        assert!(!is_over());
        bell.ring(Call::Shutdown);
        bell.tell_committed(1);
        assert!(!is_over());
        bell.tell_committed(2);
        assert!(is_over());
        let call = || bell.poll_call(Waker::noop());
        assert_eq!(call(), Poll::Ready(Call::Shutdown));
        assert_eq!(call(), Poll::Ready(Call::Committed));
    }

    #[tokio::test]
    async fn who_comes_after_shutdown_hears_of_it() {
        let (bells, shutdown) = (Arc::new(Bells::default()), CancellationToken::new());
        let ringing = tokio::spawn(Arc::clone(&bells).await_shutdown(shutdown.clone()));
        let mut early = bells.hang(1);
        assert_eq!(calls_of(&mut early), [Call::Work]);
        shutdown.cancel();
        ringing.await.unwrap();
        assert_eq!(calls_of(&mut early), [Call::Shutdown]);
        let mut late = bells.hang(2);
        assert_eq!(calls_of(&mut late), [Call::Shutdown, Call::Work]);
    }

    #[test]
    fn all_have_answered_whose_miners_were_told_or_who_are_gone() {
        let bells = Arc::new(Bells::default());
        let answered = || {
            let mut context = std::task::Context::from_waker(Waker::noop());
            std::pin::pin!(bells.answered())
                .poll(&mut context)
                .is_ready()
        };
        assert!(answered(), "nobody is there");
        let [mut first, mut second, mut third] = [1, 2, 3].map(|number| bells.hang(number));
        for bell in [&mut first, &mut second, &mut third] {
            assert_eq!(calls_of(bell), [Call::Work]);
            assert!(!answered(), "its miner was not told yet");
            bell.answer();
        }
        assert!(answered());
        first.answer();
        assert!(answered(), "nothing is answered twice");
        bells.ring(Call::Work);
        bells.ring(Call::Work);
        bells.ring(Call::Service);
        assert_eq!(calls_of(&mut first), [Call::Service, Call::Work]);
        bells.ring(Call::Work);
        assert_eq!(calls_of(&mut first), [Call::Work], "and the earlier is not");
        second.take_down();
        assert_eq!(calls_of(&mut third), [Call::Service, Call::Work]);
        drop(third);
        assert!(!answered());
        first.answer();
        assert!(answered());
        bells.ring(Call::Work);
        assert!(!answered());
        assert_eq!(calls_of(&mut first), [Call::Work]);
        first.answer();
        assert!(answered(), "the second is not rung any more");
    }

    /// A task that waits is woken by the last answer.
    #[tokio::test]
    async fn who_waits_for_answers_is_told_of_the_last() {
        let bells = Arc::new(Bells::default());
        let hung = [1, 2].map(|connection| bells.hang(connection));
        let waiting = tokio::spawn({
            let bells = Arc::clone(&bells);
            async move { bells.answered().await }
        });
        for mut bell in hung {
            assert_eq!(calls_of(&mut bell), [Call::Work]);
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished());
            bell.answer();
        }
        waiting.await.unwrap();
    }
}
