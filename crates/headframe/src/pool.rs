//! `headframe pool`: the pool on a Bitcoin node.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use headframe_api::{Connect, History, Miner, NodeKind, Overview, Payout, PoolState, SetupStep};
use headframe_config::{Flag, Loaded, NodeAddress, PoolConfig};
use headframe_ledger::{DataDir, Retention, SqliteLedger};
use headframe_server::{
    AccessSettings, Board, Feed, ListenSettings, Parts, Pool, Settings, StartError, Started,
    Sv2Rules, Waiting,
};
use headframe_transport::AddressSet;
use headframe_work::{Network, PayoutPolicy, Reserve};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cli;
use crate::demo::name_flag;
use crate::files;
use crate::left::Meanwhile;
use crate::node::{self, Missing, Nodes};
use crate::reach::Reach;
use crate::web::Web;
use crate::{data, interrupt, left, listeners, log, places};

pub(crate) fn run(command: cli::Pool) -> anyhow::Result<()> {
    if command.sample_config {
        crate::say(headframe_config::sample().trim_end());
        return Ok(());
    }
    let started = Started::now();
    let loaded = configuration(&command)?;
    // Before the log, so that a second Ctrl-C is heard for as long as lines wait to be printed.
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let _log = log::start(loaded.config.log_level.name());
    for notice in &loaded.notices {
        warn!("{notice}");
    }
    runtime.block_on(serve(&loaded, started))
}

fn configuration(command: &cli::Pool) -> anyhow::Result<Loaded> {
    let listen = (!command.listen.is_empty()).then(|| command.listen.join(","));
    let named = [
        ("--listen", ("pool", "listen"), listen),
        ("--http", ("http", "listen"), command.http.clone()),
    ];
    let named = named
        .into_iter()
        .filter_map(|(flag, key, value)| value.map(|value| Flag { flag, key, value }));
    let data_dir = data::data_dir_flag(command.data_dir.as_ref());
    data::configuration(command.config.as_deref(), named.chain(data_dir))
}

async fn serve(loaded: &Loaded, started: Started) -> anyhow::Result<()> {
    let data = data::open(loaded)?;
    let config = &loaded.config;
    let stop = interrupt::token();
    let served = serve_from(&data, config, started, &stop).await;
    if let Err(problem) = &served {
        left::submit(&data, &config.node, problem, &stop).await;
    }
    served
}

async fn serve_from(
    data: &DataDir,
    config: &PoolConfig,
    started: Started,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    // Also while there is no node to mine with: whoever set the pool up may be gone when there is.
    let addresses = config.listeners.iter().map(|listener| listener.address);
    places::check(addresses, config.http.listen)?;
    let ledger = SqliteLedger::open(data, Retention::default())?;
    let (credentials, listen) = listeners::open(data, config)?;
    let mut unready = Unready {
        config,
        waiting: Waiting::new(&ledger, true, kind(config), started)?,
        connect: listeners::connect(&listen, &credentials, config.public_host.clone(), ""),
    };
    let connect = unready.connect.clone();
    let web_stop = CancellationToken::new();
    let _web_ends = web_stop.clone().drop_guard();
    let (web, mut feed) = start_web(&mut unready, &web_stop)?;
    let left = Meanwhile::new(data, stop);
    if let Some((nodes, payouts)) = wait_for_node(unready, left, &mut feed, stop).await {
        let (name, names) = (nodes.preferred.name(), nodes.names());
        let network = nodes.network;
        let reserve = Reserve::of(&payouts);
        info!("waiting for work from {names}, on {network}");
        let listeners = connect.listeners.clone();
        let board = board(config, connect, &nodes, feed, started);
        let (node, backups) = nodes
            .connect(reserve)
            .context("cannot start a node's connection")?;
        let pool = Pool::start(Parts {
            board,
            settings: settings(config, listen, payouts),
            node,
            node_name: name,
            backups,
            ledger: Box::new(ledger),
            keys: credentials.keys,
            certificates: credentials.certificates,
            data_directory: data.path(),
            shutdown: stop.clone(),
        });
        match pool.await {
            Ok(pool) => {
                info!("mining on {network} with {names}");
                if !config.version_bits.is_empty() {
                    info!(
                        "blocks signal by pool.version_bits: {}",
                        config.version_bits
                    );
                }
                listeners::tell(config, &listeners, pool.addresses());
                pool.stopped().await;
            }
            Err(StartError::Stopped) => {}
            Err(error) => return Err(name_flag(error)),
        }
    }
    web_stop.cancel();
    if let Some(web) = web {
        tokio::task::spawn_blocking(|| web.join()).await?;
    }
    Ok(())
}

/// The dashboard, if it is wanted, and where its content goes.
fn start_web(
    unready: &mut Unready<'_>,
    stop: &CancellationToken,
) -> anyhow::Result<(Option<Web>, Feed)> {
    let Some(address) = unready.config.http.listen else {
        return Ok((None, Feed::new(Overview::default(), History::default())));
    };
    let hosts = unready.config.http.allowed_hosts.clone();
    let first = unready.shown(PoolState::Starting, None);
    let first = (first, unready.waiting.history());
    let (web, feed) = Web::start(address, hosts, first, stop.clone())?;
    info!("dashboard: http://{}", web.address);
    Ok((Some(web), feed))
}

/// Waits for a node, and says on the dashboard and in the log what is missing until there is one.
/// `None` when the pool is stopped meanwhile.
async fn wait_for_node(
    mut unready: Unready<'_>,
    mut left: Meanwhile<'_>,
    feed: &mut Feed,
    stop: &CancellationToken,
) -> Option<(Nodes, PayoutPolicy)> {
    let config = unready.config;
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let (overviews, miners) = (feed.overviews.clone(), unready.waiting.miners().into());
    let found = node::wait_for(stop, async || {
        let (missing, node) = match node::find(&config.node, home.as_deref()).await {
            Err(missing) => (missing, None),
            Ok(nodes) => match payouts(config, nodes.network) {
                Ok(payouts) => return Ok((nodes, payouts)),
                Err(missing) => {
                    left.begin(&nodes);
                    (missing, Some(nodes.preferred))
                }
            },
        };
        let step = PoolState::Setup(SetupStep {
            missing: missing.what.clone(),
            next_step: missing.next_step.clone(),
            command: missing.command.clone(),
        });
        let overview = unready.shown(step, node.as_ref());
        overviews.send_replace(Arc::new(overview));
        Err(missing)
    });
    tokio::select! {
        found = found => found,
        never = show_miners(feed, &miners) => match never {},
    }
}

/// Tells all who ask for the miners that these are they.
async fn show_miners(feed: &mut Feed, miners: &Arc<[Miner]>) -> Infallible {
    loop {
        // Who has gone need not know.
        let _ = feed.roll_call().await.send(Arc::clone(miners));
    }
}

/// The operator's addresses have to be of the node's network.
fn payouts(config: &PoolConfig, network: Network) -> Result<PayoutPolicy, Missing> {
    config.payout.policy(network).map_err(|error| Missing {
        what: error.to_string(),
        next_step:
            "correct the address in [payout], or the network in [node], and restart headframe"
                .to_owned(),
        command: None,
    })
}

/// What is shown before there is a pool.
struct Unready<'a> {
    config: &'a PoolConfig,
    waiting: Waiting,
    connect: Connect,
}

impl Unready<'_> {
    /// Nothing that is not known. `node` is one that was found.
    fn shown(&mut self, state: PoolState, node: Option<&Reach>) -> Overview {
        let config = self.config;
        let network = node.map_or(config.node.network, |node| Some(node.network()));
        let mut overview = self.waiting.overview(state, network);
        let summary = &mut overview.summary;
        summary.payout = payout(config);
        let example = network.map_or("", example_address);
        summary.connect = Connect {
            example_address: example.to_owned(),
            ..self.connect.clone()
        };
        summary.node.endpoint = match (node, &config.node.preferred.address) {
            (Some(node), _) => node.place(),
            (None, Some(NodeAddress { host, port })) => {
                let port = port.map_or_else(String::new, |port| format!(":{port}"));
                listeners::bracketed(host) + &port
            }
            (None, None) => String::new(),
        };
        overview
    }
}

fn settings(config: &PoolConfig, listen: Vec<ListenSettings>, payouts: PayoutPolicy) -> Settings {
    Settings {
        listen,
        max_connections: files::room_for(config.max_connections),
        payouts,
        tag: config.tag.clone(),
        sv2: Sv2Rules {
            fixed_version: config.sv2.fixed_version,
            extended_channels_only: config.sv2.extended_channels_only,
            worker_names_required: config.sv2.require_worker_names,
        },
        hold: config.node.hold,
        empty_blocks: config.empty_blocks,
        version_bits: config.version_bits,
        move_to: config.move_to.clone(),
        access: AccessSettings {
            unlimited: config.unlimited_from.clone(),
            // Each listener has its own.
            proxies: AddressSet::NONE,
        },
    }
}

/// How the preferred node will be spoken with.
fn kind(config: &PoolConfig) -> NodeKind {
    let node = &config.node.preferred;
    match (&node.template_provider, &node.socket) {
        (Some(_), _) => NodeKind::TemplateDistribution,
        (None, Some(_)) => NodeKind::Ipc,
        (None, None) => NodeKind::Rpc,
    }
}

fn payout(config: &PoolConfig) -> Payout {
    let fee = config.payout.fee.as_ref();
    Payout {
        fee_percent: fee.map_or(0.0, |fee| f64::from(fee.rate.get()) / 100.0),
        fee_address: fee.map(|fee| fee.address.to_string()),
        plain_name_address: config.payout.plain_names.as_ref().map(ToString::to_string),
    }
}

fn board(
    config: &PoolConfig,
    connect: Connect,
    nodes: &Nodes,
    feed: Feed,
    started: Started,
) -> Board {
    Board {
        feed,
        started,
        network: nodes.network,
        demo: false,
        persistent: true,
        connect: Connect {
            example_address: example_address(nodes.network).to_owned(),
            ..connect
        },
        payout: payout(config),
        node_kind: nodes.preferred.kind(),
        node_endpoint: nodes.preferred.place(),
        backups: nodes
            .backups
            .iter()
            .map(|node| (node.kind(), node.place()))
            .collect(),
    }
}

/// How an address begins, to show in examples. No example is an address: somebody would be paid for
/// what is copied.
fn example_address(network: Network) -> &'static str {
    match network {
        Network::Mainnet => "bc1q…",
        Network::Testnet4 | Network::Signet => "tb1q…",
        Network::Regtest => "bcrt1q…",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_be_paid_at_an_example() {
        for network in Network::ALL {
            let example = example_address(network);
            let nobody = PayoutPolicy {
                network,
                fee: None,
                plain_names: None,
            };
            for name in [example.to_owned(), format!("{example}.worker1")] {
                assert!(nobody.miner(&name).is_err(), "{name}");
            }
        }
    }
}
