//! Blocks that an earlier run left, for a program that cannot start its pool. They are given to the
//! node all the same; nothing is written, so that the next pool that starts submits them once more
//! and enters them into its ledger.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use headframe_node::{BlockSink, SubmitAnswer};
use tokio_util::sync::CancellationToken;

use super::herald::log_answer;
use super::journal::{Journal, Unanswered};
use super::parcel::{Delivery, Origin, Parcel};
use super::road::RETRY;

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

    /// Submits each block to all nodes, each with what it is called in the log, until one has taken it or all
    /// have refused it, or until `stop`. Each is tried once with each node whatever happens. Blocks its thread.
    pub fn submit(self, nodes: Vec<(String, Box<dyn BlockSink>)>, stop: &CancellationToken) {
        let parcel = |block: Unanswered| {
            let hex = block.hex.as_str().into();
            Arc::new(Parcel::new(block.height, block.hash, hex, Origin::Journal))
        };
        let parcels: Vec<_> = self.0.into_iter().map(parcel).collect();
        // A node that hangs delays no other.
        thread::scope(|scope| {
            for (name, mut sink) in nodes {
                let deliveries = parcels.iter().map(Delivery::of).collect();
                scope.spawn(move || submit_to(&mut *sink, &name, deliveries, stop));
            }
        });
    }
}

fn submit_to(
    sink: &mut dyn BlockSink,
    name: &str,
    mut left: Vec<Delivery>,
    stop: &CancellationToken,
) {
    loop {
        left.retain_mut(|block| {
            block.attempts = block.attempts.saturating_add(1);
            let answer = sink.submit(&block.parcel.hex);
            log_answer(name, block, &answer);
            if matches!(answer, SubmitAnswer::Accepted | SubmitAnswer::AlreadyKnown) {
                block.parcel.make_safe();
            }
            matches!(answer, SubmitAnswer::Retry(_))
        });
        left.retain(|block| !block.parcel.is_safe());
        if left.is_empty() || stop.is_cancelled() {
            return;
        }
        thread::sleep(RETRY);
    }
}
