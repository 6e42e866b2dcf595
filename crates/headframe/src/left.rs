//! Blocks that an earlier run left, when the pool itself cannot start or is in its set-up: they come
//! before whatever is wrong with it.

use std::path::PathBuf;

use headframe_config::NodeConfig;
use headframe_ledger::DataDir;
use headframe_server::LeftBlocks;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{error, warn};

use crate::node::{self, Nodes};

/// Gives the nodes the blocks of the journal that have no answer, if there are any, and returns when
/// they have one or the operator wants no more. `problem` is why there is no pool.
pub(crate) async fn submit(
    data: &DataDir,
    config: &NodeConfig,
    problem: &anyhow::Error,
    stop: &CancellationToken,
) {
    let Some(left) = read(data) else {
        return;
    };
    error!("{}", crate::told(problem));
    warn!("the pool cannot start; it ends when blocks that were found before have an answer");
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let look = async || node::find(config, home.as_deref()).await;
    if let Some(nodes) = node::wait_for(stop, look).await {
        give(left, nodes, stop.clone()).await;
    }
}

/// The same while the pool is in its set-up, where there is a node and something else is missing.
/// Ends when it is dropped, with the blocks that are not answered tried once.
pub(crate) struct Meanwhile<'a> {
    data: &'a DataDir,
    stop: DropGuard,
    has_begun: bool,
}

impl<'a> Meanwhile<'a> {
    pub(crate) fn new(data: &'a DataDir, stop: &CancellationToken) -> Self {
        Self {
            data,
            stop: stop.child_token().drop_guard(),
            has_begun: false,
        }
    }

    /// Begins, if it has not begun.
    pub(crate) fn begin(&mut self, nodes: &Nodes) {
        if core::mem::replace(&mut self.has_begun, true) {
            return;
        }
        if let Some(left) = read(self.data) {
            let (nodes, stop) = (nodes.clone(), self.stop.token().clone());
            tokio::spawn(give(left, nodes, stop));
        }
    }
}

fn read(data: &DataDir) -> Option<LeftBlocks> {
    let left = LeftBlocks::read(data.path());
    let left =
        left.inspect_err(|error| warn!("the journal of found blocks cannot be read: {error}"));
    left.ok().filter(|left| !left.is_empty())
}

async fn give(left: LeftBlocks, nodes: Nodes, stop: CancellationToken) {
    let sinks = match nodes.sinks() {
        Ok(sinks) => sinks,
        Err(error) => return error!("cannot start the nodes' connections: {error}"),
    };
    let submitted = tokio::task::spawn_blocking(move || left.submit(sinks, &stop)).await;
    if let Err(error) = submitted {
        error!("the blocks could not be submitted: {error}");
    }
}
