//! `headframe demo`: everything at once on a chain of its own, nothing to install or configure.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use bitcoin::{Address, CompressedPublicKey, KnownHrp, NetworkKind};
use headframe_api::{NodeKind, Payout, PoolState};
use headframe_ledger::{Retention, SqliteLedger};
use headframe_miner::{Channel, Miner, MinerReport, MinerSettings};
use headframe_node::Tip;
use headframe_node::embedded::{ChainSettings, EmbeddedChain};
use headframe_server::{
    AccessSettings, Board, CertificateId, Certificates, DifficultySettings, KeySets, Keys, KeysId,
    ListenSettings, Parts, Pool, Protocols, Settings, StartError, Started, Sv2Rules, Waiting,
};
use headframe_transport::PoolUrl;
use headframe_work::{Network, PayoutPolicy, PoolTag, Rung, VersionBits};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::cli;
use crate::listeners::Credentials;
use crate::web::Web;
use crate::{data, files, interrupt, listeners, log, places};

/// Whom a visitor's blocks pay, whose coins are worth nothing: the address of the private key 1.
const VISITOR: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
/// The embedded chain gives a fresh template this often.
const REFRESH: Duration = Duration::from_secs(10);
/// Hashes per second of each built-in miner: what one core of any computer does with ease.
const THROTTLE: NonZeroU32 = NonZeroU32::new(400_000).expect("not zero");
/// Connections that the demonstration serves.
const MAX_CONNECTIONS: usize = 1_000;
/// How often the temporary directory is tried to be removed while somebody still writes into it.
const REMOVALS: usize = 10;

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
    // Before the log, so that a second Ctrl-C is heard for as long as lines wait to be printed.
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let log = log::start_demo();
    let temporary;
    let directory = match &command.data_dir {
        Some(directory) => directory.as_path(),
        None => {
            let named = tempfile::Builder::new().prefix("headframe-demo-").tempdir();
            temporary = named.context("cannot make a temporary directory")?;
            temporary.path()
        }
    };
    let outcome = runtime.block_on(demonstrate(&command, directory))?;
    // The outcome is the last that is printed.
    drop(log);
    if let Some(outcome) = outcome {
        crate::say(&serde_json::to_string(&outcome)?);
    }
    Ok(())
}

async fn demonstrate(command: &cli::Demo, directory: &Path) -> anyhow::Result<Option<Outcome>> {
    let started = Started::now();
    let data = data::open_from(directory, None)?;
    places::check([command.listen], Some(command.http))?;
    let chain = EmbeddedChain::open(Some(&data.join("chain")), ChainSettings::default())?;
    let ledger = SqliteLedger::open(&data, Retention::default())?;
    let mut certificates = Certificates::default();
    let certificate = certificates.open(listeners::own_certificate(&data, None))?;
    let credentials = Credentials {
        keys: KeySets::new(Keys::open(data.path())?),
        certificates,
    };
    let authority = credentials.keys.authority(KeysId::FIRST).to_string();
    let stop = match command.data_dir {
        Some(_) => interrupt::token(),
        None => {
            let temporary = directory.to_owned();
            interrupt::token_and(move || remove(&temporary))
        }
    };
    let web_stop = CancellationToken::new();
    let mut waiting = Waiting::new(
        &ledger,
        command.data_dir.is_some(),
        NodeKind::Embedded,
        started,
    )?;
    let mut first = waiting.overview(PoolState::Starting, Some(Network::Regtest));
    first.summary.demo = true;
    let first = (first, waiting.history());
    let (web, feed) = Web::start(command.http, Vec::new(), first, web_stop.clone())?;
    let settings = settings(command.listen, certificate);
    let connect = listeners::connect(&settings.listen, &credentials, None, VISITOR);
    let pool = Pool::start(Parts {
        node: chain.node(REFRESH),
        node_name: "the embedded chain".to_owned(),
        backups: None,
        ledger: Box::new(ledger),
        keys: credentials.keys,
        certificates: credentials.certificates,
        data_directory: data.path(),
        board: Board {
            network: Network::Regtest,
            demo: true,
            persistent: command.data_dir.is_some(),
            connect,
            payout: Payout::default(),
            node_kind: NodeKind::Embedded,
            node_endpoint: "in this process".to_owned(),
            backups: Vec::new(),
            feed,
            started,
        },
        settings,
        shutdown: stop.clone(),
    });
    let outcome = match pool.await {
        Ok(pool) => {
            info!("dashboard: http://{}", reachable(web.address));
            let mined = mine(pool, &chain, &authority, command.blocks, &stop).await;
            mined.map(Some)
        }
        Err(StartError::Stopped) => Ok(None),
        Err(error) => Err(name_flag(error)),
    };
    web_stop.cancel();
    tokio::task::spawn_blocking(|| web.join()).await?;
    Ok(outcome?.filter(|_| command.blocks.is_some()))
}

/// Mines with the built-in miners for as long as is wanted, and ends miners and pool.
async fn mine(
    pool: Pool,
    chain: &EmbeddedChain,
    authority: &str,
    wanted: Option<NonZeroU32>,
    stop: &CancellationToken,
) -> anyhow::Result<Outcome> {
    let miner_stop = CancellationToken::new();
    let place = reachable(pool.addresses()[0]);
    info!("miners connect to stratum+tcp://{place} or stratum2+tcp://{place}/{authority}");
    let start = Instant::now();
    let (failed, failures) = mpsc::channel(Kind::ALL.len());
    let mut miners = Vec::new();
    for kind in Kind::ALL {
        let url = match kind {
            Kind::Sv1 => format!("stratum+tcp://{place}"),
            Kind::Standard | Kind::Extended => format!("stratum2+tcp://{place}/{authority}"),
        };
        let settings = miner_settings(PoolUrl::parse(&url, false)?, kind);
        miners.push(start_miner(settings, failed.clone(), miner_stop.clone()));
    }
    drop(failed);
    let blocks = watch_over(chain.subscribe(), wanted, failures, stop).await;
    let seconds = start.elapsed().as_secs_f64();
    // The pool first: it answers the shares that it has taken, and miners count the answers.
    stop.cancel();
    pool.stopped().await;
    miner_stop.cancel();
    let mut reports = Vec::new();
    for miner in miners {
        reports.push(miner.await?);
    }
    Ok(Outcome {
        blocks_accepted: blocks?,
        seconds,
        miners: reports,
    })
}

/// Removes a directory that others may be writing into. What is left has nobody to be told to.
fn remove(directory: &Path) {
    let _ = (0..REMOVALS).any(|_| fs::remove_dir_all(directory).is_ok());
}

fn settings(listen: SocketAddr, certificate: CertificateId) -> Settings {
    Settings {
        listen: vec![ListenSettings {
            address: listen,
            protocols: Protocols::USUAL,
            difficulty: DifficultySettings {
                // What the built-in SV1 miner, which declares no hashrate, finds at this rate.
                start: Rung::from_exponent(-11),
                ..DifficultySettings::default()
            },
            ignores_suggestions: false,
            keys: KeysId::FIRST,
            certificate: Some(certificate),
            password: None,
            proxies: None,
        }],
        max_connections: files::room_for(MAX_CONNECTIONS),
        payouts: PayoutPolicy {
            network: Network::Regtest,
            fee: None,
            plain_names: None,
        },
        tag: PoolTag::new("headframe demo").expect("the tag is short and printable"),
        sv2: Sv2Rules::default(),
        hold: None,
        empty_blocks: Duration::from_secs(30),
        version_bits: VersionBits::default(),
        move_to: None,
        access: AccessSettings::default(),
    }
}

fn miner_settings(url: PoolUrl, kind: Kind) -> MinerSettings {
    MinerSettings {
        threads: NonZeroU32::new(1),
        throttle: Some(THROTTLE),
        channel: match kind {
            Kind::Standard => Some(Channel::Standard),
            Kind::Extended => Some(Channel::Extended),
            Kind::Sv1 => None,
        },
        ..MinerSettings::new(url, kind.user())
    }
}

/// Starts a miner that connects again by itself, as often as it takes. What it cannot go on after is
/// told to `failed`.
fn start_miner(
    settings: MinerSettings,
    failed: mpsc::Sender<anyhow::Error>,
    stop: CancellationToken,
) -> JoinHandle<MinerReport> {
    tokio::spawn(async move {
        let user = settings.user.clone();
        let (miner, observer) = Miner::new(settings);
        match miner.run(stop.cancelled_owned()).await {
            Ok(report) => report,
            Err(error) => {
                let error = anyhow::Error::new(error);
                let error = error.context(format!("the built-in miner {user} has stopped"));
                // There is room for one of each miner.
                let _ = failed.try_send(error);
                observer.progress.borrow().clone()
            }
        }
    })
}

/// Counts the blocks that the chain accepts, until there are as many as are `wanted`, or the
/// demonstration is stopped, or one of its miners cannot go on.
async fn watch_over(
    tips: watch::Receiver<Tip>,
    wanted: Option<NonZeroU32>,
    mut failures: mpsc::Receiver<anyhow::Error>,
    stop: &CancellationToken,
) -> anyhow::Result<u32> {
    tokio::select! {
        blocks = count_blocks(tips, wanted, stop) => Ok(blocks),
        Some(failure) = failures.recv() => Err(failure),
    }
}

/// Counts the blocks that the chain accepts: `wanted` of them, even if more come at once, or all
/// until the demonstration is stopped.
async fn count_blocks(
    mut tips: watch::Receiver<Tip>,
    wanted: Option<NonZeroU32>,
    stop: &CancellationToken,
) -> u32 {
    let wanted = wanted.map_or(u32::MAX, NonZeroU32::get);
    let first = tips.borrow_and_update().height;
    let enough = tips.wait_for(|tip| tip.height - first >= wanted);
    tokio::select! {
        () = stop.cancelled() => {}
        _ = enough => {}
    }
    (tips.borrow().height - first).min(wanted)
}

/// An address under which this computer reaches a listener of its own.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
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

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use super::*;
    use bitcoin::BlockHash;
    use bitcoin::hashes::Hash as _;

    fn tips() -> watch::Sender<Tip> {
        watch::Sender::new(tip(100))
    }

    fn tip(height: u32) -> Tip {
        let hash = BlockHash::all_zeros();
        Tip { height, hash }
    }

    #[tokio::test]
    async fn two_blocks_at_once_are_no_more_than_were_wanted() {
        let tips = tips();
        let stop = CancellationToken::new();
        let counting = count_blocks(tips.subscribe(), NonZeroU32::new(3), &stop);
        let blocks = async {
            tips.send_replace(tip(102));
            tokio::task::yield_now().await;
            tips.send_replace(tip(104));
        };
        assert_eq!(tokio::join!(counting, blocks).0, 3);
    }

    #[tokio::test]
    async fn a_demonstration_that_is_stopped_counts_what_there_is() {
        let tips = tips();
        let stop = CancellationToken::new();
        let counting = count_blocks(tips.subscribe(), NonZeroU32::new(3), &stop);
        let stopping = async {
            tips.send_replace(tip(102));
            stop.cancel();
        };
        assert_eq!(tokio::join!(counting, stopping).0, 2);
    }

    /// A pool that lets nobody in, once.
    fn refusing_pool() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
            while let Some(Ok(line)) = lines.next() {
                let request: serde_json::Value = serde_json::from_str(&line).unwrap();
                let (id, method) = (&request["id"], request["method"].as_str().unwrap());
                let result = match method {
                    "mining.subscribe" => r#"[[["mining.notify","1"]],"00000001",8]"#,
                    "mining.authorize" => "false",
                    _ => "null",
                };
                let answer = format!("{{\"id\":{id},\"result\":{result},\"error\":null}}\n");
                if socket.write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn a_miner_that_cannot_go_on_ends_the_demonstration_with_the_reason() {
        let url = format!("stratum+tcp://{}", refusing_pool());
        let settings = miner_settings(PoolUrl::parse(&url, false).unwrap(), Kind::Sv1);
        let (failed, failures) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let miner = start_miner(settings, failed, stop.clone());
        let tips = tips();
        let watched = watch_over(tips.subscribe(), None, failures, &stop).await;
        let error = format!("{:#}", watched.unwrap_err());
        assert!(error.contains(".sv1 has stopped: "), "{error}");
        assert!(error.contains("refuse"), "{error}");
        assert_eq!(miner.await.unwrap().shares_accepted, 0);
    }
}
