//! Questions to whichever node is mined on.

use std::sync::Arc;

use bitcoin::Txid;
use tokio::sync::watch;

use crate::{BlockCheck, BoxFuture, CheckAnswer, NodeError, TransactionSource};

/// One of several, by which node is mined on.
pub(super) struct Delegate<T: ?Sized> {
    nodes: Vec<Arc<T>>,
    mined_on: watch::Receiver<usize>,
}

impl<T: ?Sized> Delegate<T> {
    /// `preferred` is the first of the nodes.
    pub(super) fn new(
        preferred: Arc<T>,
        others: impl Iterator<Item = Arc<T>>,
        mined_on: watch::Receiver<usize>,
    ) -> Self {
        let nodes = core::iter::once(preferred).chain(others).collect();
        Self { nodes, mined_on }
    }

    fn node(&self) -> &T {
        let place = *self.mined_on.borrow();
        // There is a first one always.
        self.nodes.get(place).unwrap_or(&self.nodes[0])
    }
}

impl BlockCheck for Delegate<dyn BlockCheck> {
    fn check<'a>(&'a self, block_hex: &'a str) -> BoxFuture<'a, Result<CheckAnswer, NodeError>> {
        self.node().check(block_hex)
    }
}

impl TransactionSource for Delegate<dyn TransactionSource> {
    fn transactions<'a>(
        &'a self,
        txids: &'a [Txid],
    ) -> BoxFuture<'a, Result<Vec<Option<Vec<u8>>>, NodeError>> {
        self.node().transactions(txids)
    }
}
