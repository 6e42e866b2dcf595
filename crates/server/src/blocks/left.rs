//! Blocks that an earlier run left, for a program that cannot start its pool. They are given to the
//! node all the same; nothing is written, so that the next pool that starts submits them once more
//! and enters them into its ledger.

use std::io;
use std::path::Path;
use std::thread;

use headframe_node::{BlockSink, SubmitAnswer};
use tokio_util::sync::CancellationToken;

use super::courier::RETRY;
use super::herald::log_answer;
use super::journal::{Journal, Unanswered};
use super::{Origin, Pending};

/// The blocks of a journal that no node has answered for.
#[derive(Debug)]
pub struct LeftBlocks(Vec<Unanswered>);

impl LeftBlocks {
    /// Reads the journal in a data directory that this process holds. Blocks its thread.
    ///
    /// # Errors
    ///
    /// The directory of the journal cannot be read, which is the operator's to mend.
    pub fn read(data_directory: &Path) -> io::Result<Self> {
        Ok(Self(Journal::open(data_directory)?.unanswered()?))
    }

    /// Whether nothing was left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Submits each block until the node, called `node_name` in the log, has answered for it, or
    /// until `stop`. Each is tried once whatever happens. Blocks its thread.
    pub fn submit(self, sink: &mut dyn BlockSink, node_name: &str, stop: &CancellationToken) {
        let pending = |block: Unanswered| {
            Pending::new(block.height, block.hash, block.hex.into(), Origin::Journal)
        };
        let mut left: Vec<_> = self.0.into_iter().map(pending).collect();
        loop {
            left.retain_mut(|block| {
                block.attempts = block.attempts.saturating_add(1);
                let answer = sink.submit(&block.hex);
                log_answer(node_name, block, &answer);
                matches!(answer, SubmitAnswer::Retry(_))
            });
            if left.is_empty() || stop.is_cancelled() {
                return;
            }
            thread::sleep(RETRY);
        }
    }
}
