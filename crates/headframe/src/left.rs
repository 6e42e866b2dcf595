//! Blocks that an earlier run left, when the pool itself cannot start: they come before whatever is
//! wrong with it.

use std::path::PathBuf;

use headframe_config::NodeConfig;
use headframe_ledger::DataDir;
use headframe_node::rpc;
use headframe_server::LeftBlocks;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::node;

/// Gives the node the blocks of the journal that have no answer, if there are any, and returns when
/// they have one or the operator wants no more. `problem` is why there is no pool.
pub(crate) async fn submit(
    data: &DataDir,
    config: &NodeConfig,
    problem: &anyhow::Error,
    stop: &CancellationToken,
) {
    let left = match LeftBlocks::read(data.path()) {
        Ok(left) if left.is_empty() => return,
        Ok(left) => left,
        Err(error) => return warn!("the journal of found blocks cannot be read: {error}"),
    };
    error!("{}", crate::told(problem));
    warn!("the pool cannot start; it ends when blocks that were found before have an answer");
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let look = async || node::find(config, home.as_deref()).await;
    let Some(node) = node::wait_for(stop, look).await else {
        return;
    };
    let name = format!("the node at {}", node.address);
    let mut sink = match rpc::connect(node) {
        Ok(node) => node.sink,
        Err(error) => return error!("cannot start the node's connection: {error}"),
    };
    let stop = stop.clone();
    let submitted =
        tokio::task::spawn_blocking(move || left.submit(&mut *sink, &name, &stop)).await;
    if let Err(error) = submitted {
        error!("the blocks could not be submitted: {error}");
    }
}
