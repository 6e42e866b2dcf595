//! `headframe demo`: everything at once on a chain of its own, nothing to install or configure.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use bitcoin::{Address, CompressedPublicKey, KnownHrp, NetworkKind};
use headframe_ledger::{DataDir, Retention, SqliteLedger};
use headframe_miner::{Channel, Miner, MinerReport, MinerSettings};
use headframe_node::embedded::{ChainSettings, EmbeddedChain};
use headframe_server::{
    Board, DifficultySettings, Keys, ListenSettings, Parts, Pool, Settings, StartError,
};
use headframe_transport::PoolUrl;
use headframe_work::{Network, PayoutPolicy, PoolTag, Rung};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cli;
use crate::web::Web;
use crate::{files, interrupt, log, pool};

/// The embedded chain gives a fresh template this often.
const REFRESH: Duration = Duration::from_secs(10);
/// Hashes per second of each built-in miner: what one core of any computer does with ease.
const THROTTLE: NonZeroU32 = NonZeroU32::new(400_000).expect("not zero");
/// Connections that the demonstration serves.
const MAX_CONNECTIONS: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Standard,
    Extended,
    Sv1,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Standard, Self::Extended, Self::Sv1];

    /// The user name of the built-in miner of this kind: an address of the private key 1, 2 or 3,
    /// one of each form that wallets use today, and a worker name.
    fn user(self) -> String {
        let secp = Secp256k1::new();
        let key = |number: u8| {
            let mut secret = [0; 32];
            secret[31] = number;
            let secret = SecretKey::from_slice(&secret).expect("small numbers are keys");
            secret.public_key(&secp)
        };
        match self {
            Self::Standard => {
                let address = Address::p2wpkh(&CompressedPublicKey(key(1)), KnownHrp::Regtest);
                format!("{address}.standard")
            }
            Self::Extended => {
                let (key, _) = key(2).x_only_public_key();
                let address = Address::p2tr(&secp, key, None, KnownHrp::Regtest);
                format!("{address}.extended")
            }
            Self::Sv1 => {
                let address = Address::p2pkh(CompressedPublicKey(key(3)), NetworkKind::Test);
                format!("{address}.sv1")
            }
        }
    }
}

/// The last line of a demonstration that was given a number of blocks.
#[derive(Debug, Serialize)]
struct Outcome {
    blocks_accepted: u32,
    seconds: f64,
    miners: Vec<MinerReport>,
}

pub(crate) fn run(command: cli::Demo) -> anyhow::Result<()> {
    let log = log::start_demo();
    let temporary;
    let directory = match &command.data_dir {
        Some(directory) => directory.as_path(),
        None => {
            temporary = tempfile::tempdir().context("cannot make a temporary directory")?;
            temporary.path()
        }
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let outcome = runtime.block_on(demonstrate(&command, directory))?;
    // The outcome is the last that is printed.
    drop(log);
    if let Some(outcome) = outcome {
        println!("{}", serde_json::to_string(&outcome)?);
    }
    Ok(())
}

async fn demonstrate(command: &cli::Demo, directory: &Path) -> anyhow::Result<Option<Outcome>> {
    let data = DataDir::open(directory)?;
    let chain = EmbeddedChain::open(Some(&data.join("chain")), ChainSettings::default())?;
    let ledger = SqliteLedger::open(&data, Retention::default())?;
    let keys = Keys::open(data.path())?;
    let authority = keys.authority();
    let stop = interrupt::token();
    let web_stop = CancellationToken::new();
    let (web, feed) = Web::start(command.http, "--http", Vec::new(), web_stop.clone())?;
    let settings = settings(command.listen);
    let pool = Pool::start(Parts {
        node: chain.node(REFRESH),
        node_name: "the embedded chain".to_owned(),
        ledger: Box::new(ledger),
        keys,
        data_directory: data.path(),
        board: Board {
            network: Network::Regtest,
            demo: true,
            persistent: command.data_dir.is_some(),
            connect: pool::connect(
                &settings.listen,
                None,
                pool::example_address(Network::Regtest),
            ),
            payout: headframe_api::Payout::default(),
            node_kind: headframe_api::NodeKind::Embedded,
            node_endpoint: "in this process".to_owned(),
            feed,
        },
        settings,
        shutdown: stop.clone(),
    })
    .await
    .map_err(name_flag)?;

    let miner_stop = CancellationToken::new();
    let place = reachable(pool.addresses()[0]);
    info!("dashboard: http://{}", reachable(web.address));
    info!("miners connect to stratum+tcp://{place} or stratum2+tcp://{place}/{authority}");
    let start = Instant::now();
    let miners = Kind::ALL.map(|kind| {
        let url = match kind {
            Kind::Sv1 => format!("stratum+tcp://{place}"),
            Kind::Standard | Kind::Extended => format!("stratum2+tcp://{place}/{authority}"),
        };
        start_miner(&url, kind, miner_stop.clone())
    });
    let blocks = count_blocks(&chain, command.blocks, &stop).await;
    let seconds = start.elapsed().as_secs_f64();
    // The pool first: it answers the shares that it has taken, and miners count the answers.
    stop.cancel();
    pool.stopped().await;
    miner_stop.cancel();
    let mut reports = Vec::new();
    for miner in miners {
        reports.extend(miner.await?);
    }
    web_stop.cancel();
    tokio::task::spawn_blocking(|| web.join()).await?;
    Ok(command.blocks.map(|_| Outcome {
        blocks_accepted: blocks,
        seconds,
        miners: reports,
    }))
}

fn settings(listen: SocketAddr) -> Settings {
    Settings {
        listen: vec![ListenSettings {
            address: listen,
            plaintext_sv2: false,
        }],
        max_connections: files::room_for(MAX_CONNECTIONS),
        payouts: PayoutPolicy {
            network: Network::Regtest,
            fee: None,
            plain_names: None,
        },
        tag: PoolTag::new("headframe demo").expect("the tag is short and printable"),
        difficulty: DifficultySettings {
            // What the built-in SV1 miner, which declares no hashrate, finds at this rate.
            start: Rung::from_exponent(-11),
            ..DifficultySettings::default()
        },
    }
}

fn start_miner(url: &str, kind: Kind, stop: CancellationToken) -> JoinHandle<Option<MinerReport>> {
    let user = kind.user();
    let settings = PoolUrl::parse(url, false).map(|url| MinerSettings {
        threads: NonZeroU32::new(1),
        throttle: Some(THROTTLE),
        channel: match kind {
            Kind::Standard => Some(Channel::Standard),
            Kind::Extended => Some(Channel::Extended),
            Kind::Sv1 => None,
        },
        ..MinerSettings::new(url, &user)
    });
    tokio::spawn(async move {
        let (miner, _observer) = Miner::new(settings.ok()?);
        match miner.run(stop.cancelled_owned()).await {
            Ok(report) => Some(report),
            Err(error) => {
                warn!("{user} has stopped: {error}");
                None
            }
        }
    })
}

/// Counts the blocks that the chain accepts: `wanted` of them, or until the demonstration is
/// stopped.
async fn count_blocks(
    chain: &EmbeddedChain,
    wanted: Option<NonZeroU32>,
    stop: &CancellationToken,
) -> u32 {
    let mut tips = chain.subscribe();
    let first = tips.borrow_and_update().height;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            changed = tips.changed() => if changed.is_err() { break },
        }
        let accepted = tips.borrow_and_update().height - first;
        if wanted.is_some_and(|wanted| accepted >= wanted.get()) {
            return accepted;
        }
    }
    chain.tip().height - first
}

/// An address under which this computer reaches a listener of its own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A port in use is named with the flag that moves it.
pub(crate) fn name_flag(error: StartError) -> anyhow::Error {
    match error {
        StartError::Listen { .. } => {
            anyhow::anyhow!("{error}; choose another place with --listen")
        }
        error => error.into(),
    }
}
