//! What panics in one connection is no reason for another to suffer, nor for what it holds to be lost.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// The future panicked; what it worked on may be half done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Waits for `future`, and says if it panics. It takes no more room than the pointer.
pub(crate) fn unless_panic<F: Future>(
    mut future: Pin<&mut F>,
) -> impl Future<Output = Result<F::Output, Panicked>> {
    poll_fn(
        move |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use tokio::task::yield_now;

    #[tokio::test]
    async fn a_panic_is_told_and_all_else_goes_through() {
        let well = async {
            yield_now().await;
            7
        };
        assert_eq!(unless_panic(pin!(well)).await, Ok(7));
        let unwell = async {
            yield_now().await;
            panic!("on purpose");
        };
        assert_eq!(
            unless_panic::<_>(pin!(unwell)).await,
            Err::<(), _>(Panicked)
        );
    }
}
