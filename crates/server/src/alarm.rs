//! When a task is to be woken, where that changes with nearly all that it does.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

/// A timer that is moved as seldom as can be. The runtime keeps all timers behind a few locks, and a
/// connection's next time is mostly later than it was: the timer is left as it is then, and moved
/// when it goes off too early.
pub(crate) struct Alarm<'a>(Pin<&'a mut Sleep>);

impl<'a> Alarm<'a> {
    /// On a timer of [`Self::unset`].
    pub(crate) fn new(timer: Pin<&'a mut Sleep>) -> Self {
        Self(timer)
    }

    /// A timer that nobody has set yet.
    pub(crate) fn unset() -> Sleep {
        const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
        sleep(A_YEAR)
    }

    /// Ready once `due` has come; never without. The task is woken then, or before.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>, due: Option<Instant>) -> Poll<()> {
        let Some(due) = due.map(tokio::time::Instant::from) else {
            return Poll::Pending;
        };
        loop {
            match self.0.is_elapsed() {
                true if due <= self.0.deadline() => return Poll::Ready(()),
                false if due >= self.0.deadline() => {}
                true | false => self.0.as_mut().reset(due),
            }
            ready!(self.0.as_mut().poll(context));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;
    use tokio::time;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_when_it_is_due_however_often_that_changes() {
        let timer = pin!(Alarm::unset());
        let mut alarm = Alarm::new(timer);
        let began = time::Instant::now();
        let at = |seconds: u32| (began + SECOND * seconds).into_std();
        let mut look = |due| {
            let mut context = Context::from_waker(std::task::Waker::noop());
            alarm.poll(&mut context, due).is_ready()
        };
        assert!(!look(None));
        assert!(!look(Some(at(5))));
        assert!(!look(Some(at(9))), "later than it was set for");
        time::advance(SECOND * 6).await;
        assert!(!look(Some(at(9))), "it goes off too early");
        assert!(!look(Some(at(7))), "earlier than it was set for");
        time::advance(SECOND).await;
        assert!(look(Some(at(7))));
        assert!(!look(Some(at(8))), "it has gone off, and is set anew");
        assert!(!look(None));
        time::advance(SECOND).await;
        assert!(look(Some(at(8))));
        assert!(look(Some(at(2))), "a time that is past");
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_is_woken_for_a_time_that_was_put_off() {
        let timer = pin!(Alarm::unset());
        let mut alarm = Alarm::new(timer);
        let began = time::Instant::now();
        let mut looks = 0;
        poll_fn(|context| {
            looks += 1;
            let due = began + SECOND * if looks == 1 { 3 } else { 8 };
            let poll = alarm.poll(context, Some(due.into_std()));
            if looks == 1 {
                context.waker().wake_by_ref();
            }
            poll
        })
        .await;
        assert_eq!(began.elapsed(), SECOND * 8);
    }
}
