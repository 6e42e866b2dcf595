//! Blocks that an earlier run left, when the pool itself cannot start: they come before whatever is
//! wrong with it.

use std::path::PathBuf;

use headframe_config::NodeConfig;
use headframe_ledger::DataDir;
use headframe_node::rpc;
use headframe_server::LeftBlocks;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::node::{self, LOOK_EVERY};

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
    let Some(node) = known_node(config, stop).await else {
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

/// Looks for the node until it is found; `None` when the program is stopped meanwhile.
async fn known_node(config: &NodeConfig, stop: &CancellationToken) -> Option<rpc::RpcSettings> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut told = None;
    loop {
        let found = tokio::select! {
            () = stop.cancelled() => return None,
            found = node::find(config, home.as_deref()) => found,
        };
        let missing = match found {
            Ok(node) => return Some(node),
            Err(missing) => missing,
        };
        if told.as_ref() != Some(&missing) {
            warn!("{}; {}", missing.what, missing.next_step);
            told = Some(missing);
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
