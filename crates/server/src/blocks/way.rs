//! Ways to one node: as many as it gives, or one that is shared.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcoin::BlockHash;
use headframe_node::{BlockFate, BlockSink, NodeError, SubmitAnswer};
use headframe_work::BlockHex;

/// Ways to one node.
pub(crate) struct Ways {
    /// The first courier's.
    pub(crate) first: Box<dyn BlockSink>,
    /// The follower's.
    pub(crate) to_ask: Box<dyn BlockSink>,
    /// Gives more of them; `None`: there are no more, and the two above are the same.
    pub(crate) more: Option<Box<dyn BlockSink>>,
}

/// The ways that a node gives.
pub(crate) fn several(sink: Box<dyn BlockSink>) -> Ways {
    match (sink.another_way(), sink.another_way()) {
        (Some(to_ask), Some(more)) => Ways {
            first: sink,
            to_ask,
            more: Some(more),
        },
        _ => {
            let shared = Shared(Arc::new(Mutex::new(sink)));
            Ways {
                to_ask: Box::new(Shared(Arc::clone(&shared.0))),
                first: Box::new(shared),
                more: None,
            }
        }
    }
}

/// A way that one thread has at a time: a block may wait for a question.
struct Shared(Arc<Mutex<Box<dyn BlockSink>>>);

impl Shared {
    fn sink(&self) -> MutexGuard<'_, Box<dyn BlockSink>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockSink for Shared {
    fn submit(&mut self, block: &BlockHex) -> SubmitAnswer {
        self.sink().submit(block)
    }

    fn fate(&mut self, hash: BlockHash) -> Result<BlockFate, NodeError> {
        self.sink().fate(hash)
    }

    fn stand_by(&mut self) -> Result<(), NodeError> {
        self.sink().stand_by()
    }
}
