//! `headframe pool`: the pool on a Bitcoin node.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use headframe_api::{
    Connect, Listener, ListenerProtocol, NodeKind, Payout, PoolState, SetupStep, Snapshot,
};
use headframe_config::{Flag, Loaded, NodeAddress, PoolConfig, Sources, load};
use headframe_ledger::{DataDir, Retention, SqliteLedger};
use headframe_node::rpc::{self, RpcSettings};
use headframe_server::{
    AccessSettings, Board, DifficultySettings, Feed, KeySets, Keys, KeysId, ListenSettings, Parts,
    Pool, Protocols, Settings, StartError, Started, Sv2Rules, Waiting,
};
use headframe_work::{Network, PayoutPolicy};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cli;
use crate::demo::{name_flag, reachable};
use crate::files;
use crate::left::Meanwhile;
use crate::node::{self, Missing};
use crate::web::Web;
use crate::{data, interrupt, lan, left, log, places};

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
    let mut flags = Vec::new();
    for (flag, key, value) in [
        ("--listen", ("pool", "listen"), &command.listen),
        ("--http", ("http", "listen"), &command.http),
        ("--data-dir", ("pool", "data_dir"), &command.data_dir),
    ] {
        let value = value.clone();
        flags.extend(value.map(|value| Flag { flag, key, value }));
    }
    Ok(load(&Sources {
        file: command.config.as_deref(),
        environment: environment(),
        flags,
    })?)
}

/// The environment, as far as it is text.
pub(crate) fn environment() -> Vec<(String, String)> {
    let variables = std::env::vars_os();
    let text = variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    text.collect()
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
    places::check(config.listen.iter().copied(), config.http.listen)?;
    let ledger = SqliteLedger::open(data, Retention::default())?;
    let keys = KeySets::new(Keys::open(data.path())?);
    let authority = keys.authority(KeysId::FIRST).to_string();
    let mut unready = Unready {
        config,
        waiting: Waiting::new(&ledger, true, NodeKind::Rpc, started)?,
        authority: authority.clone(),
    };
    let web_stop = CancellationToken::new();
    let _web_ends = web_stop.clone().drop_guard();
    let (web, feed) = start_web(&mut unready, &web_stop)?;
    let left = Meanwhile::new(data, stop);
    if let Some((node, payouts)) = wait_for_node(unready, left, &feed, stop).await {
        let name = format!("the node at {}", node.address);
        let network = node.network;
        info!("waiting for work from {name}, on {network}");
        let settings = settings(config, payouts);
        let pool = Pool::start(Parts {
            board: board(config, &authority, &node, feed, started),
            settings,
            node: rpc::connect(node).context("cannot start the node's connection")?,
            node_name: name.clone(),
            ledger: Box::new(ledger),
            keys,
            data_directory: data.path(),
            shutdown: stop.clone(),
        });
        match pool.await {
            Ok(pool) => {
                info!("mining on {network} with {name}");
                tell_places(config, pool.addresses(), &authority);
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

/// Where miners connect, in the forms that they are configured with.
fn tell_places(config: &PoolConfig, addresses: &[SocketAddr], authority: &str) {
    for address in addresses {
        info!("miners connect to {address}, with their address as user name");
    }
    for address in addresses {
        let place = match &config.public_host {
            Some(host) => format!("{}:{}", bracketed(host), address.port()),
            None => dialled(*address, &lan::hosts()).to_string(),
        };
        info!("and with Stratum V2 to stratum2+tcp://{place}/{authority}");
    }
}

/// An IPv6 address as it stands before a port.
fn bracketed(host: &str) -> String {
    match host.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => host.to_owned(),
    }
}

/// An address that others on the network can dial, or at least programs on this computer. `hosts` are
/// this computer's.
fn dialled(address: SocketAddr, hosts: &[String]) -> SocketAddr {
    let host = hosts.iter().filter_map(|host| host.parse::<IpAddr>().ok());
    let mut same_family = host.filter(|host| host.is_ipv4() == address.is_ipv4());
    match same_family.next() {
        Some(host) if address.ip().is_unspecified() => SocketAddr::new(host, address.port()),
        _ => reachable(address),
    }
}

/// The dashboard, if it is wanted, and where its content goes.
fn start_web(
    unready: &mut Unready<'_>,
    stop: &CancellationToken,
) -> anyhow::Result<(Option<Web>, Feed)> {
    let Some(address) = unready.config.http.listen else {
        let (snapshots, _) = watch::channel(Arc::default());
        let (history, _) = watch::channel(Arc::default());
        return Ok((None, Feed { snapshots, history }));
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
    feed: &Feed,
    stop: &CancellationToken,
) -> Option<(RpcSettings, PayoutPolicy)> {
    let config = unready.config;
    let home = std::env::var_os("HOME").map(PathBuf::from);
    node::wait_for(stop, async || {
        let (missing, node) = match node::find(&config.node, home.as_deref()).await {
            Err(missing) => (missing, None),
            Ok(node) => match payouts(config, node.network) {
                Ok(payouts) => return Ok((node, payouts)),
                Err(missing) => {
                    left.begin(&node);
                    (missing, Some(node))
                }
            },
        };
        let step = PoolState::Setup(SetupStep {
            missing: missing.what.clone(),
            next_step: missing.next_step.clone(),
            command: missing.command.clone(),
        });
        let snapshot = unready.shown(step, node.as_ref());
        feed.snapshots.send_replace(Arc::new(snapshot));
        Err(missing)
    })
    .await
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
    authority: String,
}

impl Unready<'_> {
    /// Nothing that is not known. `node` is one that was found.
    fn shown(&mut self, state: PoolState, node: Option<&RpcSettings>) -> Snapshot {
        let config = self.config;
        let network = node.map_or(config.node.network, |node| Some(node.network));
        let mut snapshot = self.waiting.snapshot(state, network);
        let summary = &mut snapshot.summary;
        summary.payout = payout(config);
        let example = network.map_or("", example_address);
        summary.connect = connect(
            &listeners(config),
            &self.authority,
            config.public_host.clone(),
            example,
        );
        summary.node.endpoint = match (node, &config.node.address) {
            (Some(node), _) => node.address.to_string(),
            (None, Some(NodeAddress { host, port })) => {
                let port = port.map_or_else(String::new, |port| format!(":{port}"));
                bracketed(host) + &port
            }
            (None, None) => String::new(),
        };
        snapshot
    }
}

fn settings(config: &PoolConfig, payouts: PayoutPolicy) -> Settings {
    Settings {
        listen: listeners(config),
        max_connections: files::room_for(config.max_connections),
        payouts,
        tag: config.tag.clone(),
        sv2: Sv2Rules {
            fixed_version: config.sv2.fixed_version,
            extended_channels_only: config.sv2.extended_channels_only,
            worker_names_required: config.sv2.require_worker_names,
        },
        access: AccessSettings {
            unlimited: config.unlimited_from.clone(),
            proxies: config.proxy_protocol_from.clone(),
        },
    }
}

fn listeners(config: &PoolConfig) -> Vec<ListenSettings> {
    let listener = |address: &SocketAddr| ListenSettings {
        address: *address,
        protocols: Protocols {
            plaintext_sv2: config.plaintext_sv2,
            ..Protocols::USUAL
        },
        difficulty: DifficultySettings {
            shares_per_minute: config.difficulty.shares_per_minute,
            start: config.difficulty.start,
            min: config.difficulty.min,
            max: config.difficulty.max,
        },
        keys: KeysId::FIRST,
    };
    config.listen.iter().map(listener).collect()
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
    authority: &str,
    node: &RpcSettings,
    feed: Feed,
    started: Started,
) -> Board {
    let example = example_address(node.network);
    Board {
        feed,
        started,
        network: node.network,
        demo: false,
        persistent: true,
        connect: connect(
            &listeners(config),
            authority,
            config.public_host.clone(),
            example,
        ),
        payout: payout(config),
        node_kind: NodeKind::Rpc,
        node_endpoint: node.address.to_string(),
    }
}

/// What miners need to know to connect.
pub(crate) fn connect(
    listen: &[ListenSettings],
    authority: &str,
    public_host: Option<String>,
    example_address: &str,
) -> Connect {
    let listener = |listener: &ListenSettings| Listener {
        address: listener.address.ip().to_string(),
        port: listener.address.port(),
        protocols: shown_protocols(listener.protocols),
        loopback_only: listener.address.ip().is_loopback(),
        open: false,
    };
    Connect {
        public_host,
        lan_hosts: lan::hosts(),
        listeners: listen.iter().map(listener).collect(),
        authority_key: Some(authority.to_owned()),
        example_address: example_address.to_owned(),
    }
}

fn shown_protocols(protocols: Protocols) -> Vec<ListenerProtocol> {
    let Protocols {
        sv1,
        sv2,
        plaintext_sv2,
    } = protocols;
    let served = [
        (sv1, ListenerProtocol::Sv1),
        (sv2, ListenerProtocol::Sv2),
        (plaintext_sv2, ListenerProtocol::Sv2Plain),
    ];
    let served = served.into_iter().filter(|(is_served, _)| *is_served);
    served.map(|(_, protocol)| protocol).collect()
}

/// An address to show in examples: that of the private key 1, which nobody should use.
pub(crate) fn example_address(network: Network) -> &'static str {
    match network {
        Network::Mainnet => "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        Network::Testnet4 | Network::Signet => "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
        Network::Regtest => "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_is_told_can_be_dialled() {
        let hosts = ["192.168.1.20".to_owned(), "fd00::20".to_owned()];
        for (bound, with_hosts, alone) in [
            ("0.0.0.0:3333", "192.168.1.20:3333", "127.0.0.1:3333"),
            ("[::]:3333", "[fd00::20]:3333", "[::1]:3333"),
            ("127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1"),
            ("10.0.0.7:1", "10.0.0.7:1", "10.0.0.7:1"),
        ] {
            let bound = bound.parse().unwrap();
            assert_eq!(dialled(bound, &hosts).to_string(), with_hosts);
            assert_eq!(dialled(bound, &[]).to_string(), alone);
        }
        assert_eq!(bracketed("fd00::20"), "[fd00::20]");
        assert_eq!(bracketed("pool.example.org"), "pool.example.org");
    }
}
