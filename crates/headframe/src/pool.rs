//! `headframe pool`: the pool on a Bitcoin node.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use headframe_api::{
    Connect, Listener, ListenerProtocol, NodeKind, Payout, PoolState, SetupStep, Snapshot, Summary,
};
use headframe_config::{Flag, Loaded, PoolConfig, Sources, load};
use headframe_ledger::{DataDir, Retention, SqliteLedger};
use headframe_node::rpc::{self, RpcSettings};
use headframe_server::{
    Board, DifficultySettings, Feed, Keys, ListenSettings, Parts, Pool, Settings, StartError,
};
use headframe_work::{Network, PayoutPolicy};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cli;
use crate::demo::name_flag;
use crate::files;
use crate::node::{self, LOOK_EVERY, Missing};
use crate::web::Web;
use crate::{interrupt, lan, log};

pub(crate) fn run(command: cli::Pool) -> anyhow::Result<()> {
    if command.sample_config {
        print!("{}", headframe_config::sample());
        return Ok(());
    }
    let Loaded {
        config, notices, ..
    } = configuration(&command)?;
    let _log = log::start(config.log_level.name());
    for notice in notices {
        warn!("{notice}");
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(serve(config))
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

async fn serve(config: PoolConfig) -> anyhow::Result<()> {
    let data = DataDir::open(&config.data_dir)?;
    let ledger = SqliteLedger::open(&data, Retention::default())?;
    let keys = Keys::open(data.path())?;
    let stop = interrupt::token();
    let web_stop = CancellationToken::new();
    let (web, feed) = start_web(&config, &web_stop)?;
    if let Some((node, payouts)) = wait_for_node(&config, &feed, &stop).await {
        let name = format!("the node at {}", node.address);
        info!("mining on {} with {name}", node.network);
        let settings = settings(&config, payouts);
        let started = Pool::start(Parts {
            board: board(&config, &settings, &node, feed),
            settings,
            node: rpc::connect(node).context("cannot start the node's connection")?,
            node_name: name,
            ledger: Box::new(ledger),
            keys,
            data_directory: data.path(),
            shutdown: stop.clone(),
        });
        match started.await {
            Ok(pool) => {
                for address in pool.addresses() {
                    info!("miners connect to {address}, with their address as user name");
                }
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
fn start_web(config: &PoolConfig, stop: &CancellationToken) -> anyhow::Result<(Option<Web>, Feed)> {
    let Some(address) = config.http.listen else {
        let (snapshots, _) = watch::channel(Arc::default());
        let (history, _) = watch::channel(Arc::default());
        return Ok((None, Feed { snapshots, history }));
    };
    let hosts = config.http.allowed_hosts.clone();
    let (web, feed) = Web::start(address, "--http", hosts, stop.clone())?;
    info!("dashboard: http://{}", web.address);
    Ok((Some(web), feed))
}

/// Waits for a node, and says on the dashboard and in the log what is missing until there is one.
/// `None` when the pool is stopped meanwhile.
async fn wait_for_node(
    config: &PoolConfig,
    feed: &Feed,
    stop: &CancellationToken,
) -> Option<(RpcSettings, PayoutPolicy)> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut told = None;
    let mut sequence = 0;
    loop {
        let (config_node, home) = (config.node.clone(), home.clone());
        let looked = tokio::task::spawn_blocking(move || node::find(&config_node, home));
        let missing = match looked
            .await
            .ok()?
            .and_then(|node| with_payouts(config, node))
        {
            Ok(found) => return Some(found),
            Err(missing) => missing,
        };
        sequence += 1;
        feed.snapshots
            .send_replace(Arc::new(setup(config, &missing, sequence)));
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

/// The operator's addresses have to be of the node's network.
fn with_payouts(
    config: &PoolConfig,
    node: RpcSettings,
) -> Result<(RpcSettings, PayoutPolicy), Missing> {
    match config.payout.policy(node.network) {
        Ok(payouts) => Ok((node, payouts)),
        Err(error) => Err(Missing {
            what: error.to_string(),
            next_step: "correct the address in [payout], or the network in [node]".to_owned(),
            command: None,
        }),
    }
}

fn setup(config: &PoolConfig, missing: &Missing, sequence: u64) -> Snapshot {
    let state = PoolState::Setup(SetupStep {
        missing: missing.what.clone(),
        next_step: missing.next_step.clone(),
        command: missing.command.clone(),
    });
    let taken_at = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Snapshot {
        summary: Summary {
            sequence,
            taken_at: taken_at.as_secs(),
            state,
            connect: connect(&listeners(config), config.public_host.clone(), ""),
            ..Summary::default()
        },
        ..Snapshot::default()
    }
}

fn settings(config: &PoolConfig, payouts: PayoutPolicy) -> Settings {
    Settings {
        listen: listeners(config),
        max_connections: files::room_for(config.max_connections),
        payouts,
        tag: config.tag.clone(),
        difficulty: DifficultySettings {
            shares_per_minute: config.difficulty.shares_per_minute,
            start: config.difficulty.start,
            min: config.difficulty.min,
            max: config.difficulty.max,
        },
    }
}

fn listeners(config: &PoolConfig) -> Vec<ListenSettings> {
    let listener = |address: &SocketAddr| ListenSettings {
        address: *address,
        plaintext_sv2: config.plaintext_sv2,
    };
    config.listen.iter().map(listener).collect()
}

fn board(config: &PoolConfig, settings: &Settings, node: &RpcSettings, feed: Feed) -> Board {
    let example = example_address(node.network);
    let fee = config.payout.fee.as_ref();
    Board {
        feed,
        network: node.network,
        demo: false,
        persistent: true,
        connect: connect(&settings.listen, config.public_host.clone(), example),
        payout: Payout {
            fee_percent: fee.map_or(0.0, |fee| f64::from(fee.rate.get()) / 100.0),
            fee_address: fee.map(|fee| fee.address.to_string()),
            plain_name_address: config.payout.plain_names.as_ref().map(ToString::to_string),
        },
        node_kind: NodeKind::Rpc,
        node_endpoint: node.address.to_string(),
    }
}

/// What miners need to know to connect.
pub(crate) fn connect(
    listen: &[ListenSettings],
    public_host: Option<String>,
    example_address: &str,
) -> Connect {
    let listener = |listener: &ListenSettings| Listener {
        address: listener.address.ip().to_string(),
        port: listener.address.port(),
        protocols: match listener.plaintext_sv2 {
            true => vec![
                ListenerProtocol::Sv1,
                ListenerProtocol::Sv2,
                ListenerProtocol::Sv2Plain,
            ],
            false => vec![ListenerProtocol::Sv1, ListenerProtocol::Sv2],
        },
        loopback_only: listener.address.ip().is_loopback(),
        open: false,
    };
    Connect {
        public_host,
        lan_hosts: lan::hosts(),
        listeners: listen.iter().map(listener).collect(),
        authority_key: None,
        example_address: example_address.to_owned(),
    }
}

/// An address to show in examples: that of the private key 1, which nobody should use.
pub(crate) fn example_address(network: Network) -> &'static str {
    match network {
        Network::Mainnet => "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        Network::Testnet4 | Network::Signet => "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
        Network::Regtest => "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
    }
}
