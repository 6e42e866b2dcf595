//! `headframe template-provider`: the node's templates for pools and declarators of any make.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use headframe_config::Loaded;
use headframe_ledger::DataDir;
use headframe_server::{Keys, NODE_GRACE, Provider, ProviderParts};
use headframe_work::Reserve;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::demo::reachable;
use crate::node::Nodes;
use crate::reach::Reach;
use crate::{cli, data, interrupt, log, node, places};

/// Its directory in the pool's data directory, which a pool on this computer holds for itself.
const DIRECTORY: &str = "template-provider";
/// How often the node is asked for a template while it has no new block: what clients learn of fees is as old
/// as that at the most.
const REFRESH: Duration = Duration::from_secs(10);

/// Outputs that a node is asked to leave room for, where it can be asked: clients that need more have transactions
/// taken out for them.
const LARGE_COINBASE: u32 = 32;

pub(crate) fn run(command: cli::TemplateProvider) -> anyhow::Result<()> {
    let loaded = data::configuration(command.config.as_deref(), [])?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let _log = log::start(loaded.config.log_level.name());
    for notice in &loaded.notices {
        warn!("{notice}");
    }
    runtime.block_on(serve(&loaded, command))
}

async fn serve(loaded: &Loaded, command: cli::TemplateProvider) -> anyhow::Result<()> {
    let config = &loaded.config;
    let data = match &command.data_dir {
        Some(directory) => data::open_from(directory, None)?,
        None => open_below(loaded)?,
    };
    places::check(command.listen.iter().copied(), None)?;
    let keys = Keys::open(data.path())?;
    let stop = interrupt::token();
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let look = async || node::find(&config.node, home.as_deref()).await;
    let Some(nodes) = node::wait_for(&stop, look).await else {
        return Ok(());
    };
    let nodes = often(nodes);
    let (name, network) = (nodes.preferred.name(), nodes.network);
    info!("serving templates of {}, on {network}", nodes.names());
    let (node, backups) = nodes
        .connect(Reserve::for_outputs(LARGE_COINBASE))
        .context("cannot start the node's connection")?;
    let provider = Provider::start(ProviderParts {
        listen: command.listen,
        unlimited: config.unlimited_from.clone(),
        node,
        node_name: name,
        backups,
        network,
        keys,
        data_directory: data.path(),
        node_grace: NODE_GRACE,
        shutdown: stop.clone(),
    })?;
    tell(&provider);
    stopped(provider, &stop).await;
    Ok(())
}

/// The provider's own directory, in that of the pool.
fn open_below(loaded: &Loaded) -> anyhow::Result<DataDir> {
    data::open_from(&loaded.config.data_dir.join(DIRECTORY), None)
}

/// Nodes that are asked more often than a pool's, whose work does not change with each fee.
fn often(mut nodes: Nodes) -> Nodes {
    for reach in core::iter::once(&mut nodes.preferred).chain(&mut nodes.backups) {
        if let Reach::Rpc(rpc) = reach {
            rpc.refresh = REFRESH;
        }
    }
    nodes
}

fn tell(provider: &Provider) {
    let authority = provider.authority();
    for address in provider.addresses() {
        let place = reachable(*address);
        info!("pools take templates from {place}/{authority}");
    }
}

async fn stopped(provider: Provider, stop: &CancellationToken) {
    stop.cancelled().await;
    provider.stopped().await;
}
