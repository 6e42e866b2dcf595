//! Whether a node answers at all, asked every few seconds on a connection of its own.
//!
//! A node that is frozen breaks no connection, and what waits for its next block would wait for ever.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::BlockSink;

/// How often a node is asked whether it is there.
pub(super) const EVERY: Duration = Duration::from_secs(5);
/// So many questions in a row without an answer, and it is not. A single one may have met a busy moment.
pub(super) const MISSED: u32 = 2;
/// The second question after a miss comes so long after the first at the earliest: a node that refuses at once, as with
/// too many requests, refuses two within the same millisecond.
const APART: Duration = Duration::from_secs(1);

/// Asks until nobody wants to know, or until the other end of `stop` is dropped. Blocks its thread.
pub(super) fn run(mut node: Box<dyn BlockSink>, missed: &watch::Sender<u32>, stop: &Receiver<()>) {
    loop {
        let asked = Instant::now();
        let is_there = node.stand_by().is_ok();
        missed.send_if_modified(|missed| {
            let before = *missed;
            *missed = if is_there {
                0
            } else {
                before.saturating_add(1)
            };
            (before >= MISSED) != (*missed >= MISSED)
        });
        let wait = wait_after(*missed.borrow(), asked.elapsed());
        match stop.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) if !missed.is_closed() => {}
            _ => return,
        }
    }
}

/// When the next question comes after one that took so long, with so many misses in a row. One that was not
/// answered in time is asked again at once.
fn wait_after(misses: u32, took: Duration) -> Duration {
    match misses {
        1 => APART.saturating_sub(took),
        _ => EVERY,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use bitcoin::BlockHash;
    use headframe_work::BlockHex;

    use super::*;
    use crate::{BlockFate, NodeError, SubmitAnswer};

    /// A node that answers as it is told, and ends the questions when nothing is left.
    struct Script(Vec<bool>, Option<std::sync::mpsc::Sender<()>>);

    impl BlockSink for Script {
        fn submit(&mut self, _: &BlockHex) -> SubmitAnswer {
            unreachable!("no block is submitted")
        }

        fn fate(&mut self, _: BlockHash) -> Result<BlockFate, NodeError> {
            unreachable!("no block is asked for")
        }

        fn stand_by(&mut self) -> Result<(), NodeError> {
            let answers = self.0.remove(0);
            if self.0.is_empty() {
                self.1 = None;
            }
            answers.then_some(()).ok_or(NodeError::Busy)
        }
    }

    #[test]
    fn a_node_that_refuses_at_once_is_asked_again_a_moment_later() {
        let millis = Duration::from_millis;
        assert_eq!(wait_after(1, millis(1)), millis(999));
        assert_eq!(wait_after(1, millis(2_000)), Duration::ZERO, "it timed out");
        assert_eq!(wait_after(0, millis(1)), EVERY);
        assert_eq!(wait_after(2, millis(1)), EVERY);
    }

    #[test]
    fn two_misses_in_a_row_are_silence() {
        for (answers, is_silent) in [
            (vec![false], false),
            (vec![false, false], true),
            (vec![false, false, false], true),
        ] {
            let (alive, stop) = channel();
            let (missed, heard) = watch::channel(0);
            let node = Script(answers, Some(alive));
            // The last answer ends it.
            run(Box::new(node), &missed, &stop);
            assert_eq!(*heard.borrow() >= MISSED, is_silent);
        }
    }
}
