//! `headframe swarm`: load a pool and measure it.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use bitcoin::{Address, CompressedPublicKey, KnownHrp};
use headframe_miner::{
    Pace, Quality, SwarmProgress, SwarmReport, SwarmSettings, TipSeen, run_swarm,
};
use headframe_node::rpc::{RpcAddress, RpcAuth, TipWatch, ask_network_with_cookies};
use headframe_transport::{Endpoint, PoolUrl};
use headframe_work::Network;
use tokio::sync::mpsc;

use crate::cli::{self, SwarmMode, SwarmNetwork};
use crate::{files, interrupt};

/// Tips that may wait to be noted. One comes every ten minutes, or a few a second on a test chain.
const TIPS: usize = 64;
/// A node that cannot be asked is asked again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(1);

pub(crate) fn run(command: cli::Swarm) -> anyhow::Result<()> {
    let settings = settings(&command)?;
    settings.check()?;
    check_place(settings.url.endpoint(), &command)?;
    let room = files::room_for(settings.connections);
    if room < settings.connections {
        bail!(
            "this system allows open files for {room} of the {} connections; raise the limit \
             (ulimit -n {}) or ask for fewer with --connections",
            settings.connections,
            settings.connections + 1_000
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads(&command))
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let report = runtime.block_on(load(settings, &command))?;
    println!("{}", report.to_json());
    match report.ready {
        0 => bail!("no connection came as far as a job; the errors are in the report"),
        _ => Ok(()),
    }
}

async fn load(settings: SwarmSettings, command: &cli::Swarm) -> anyhow::Result<SwarmReport> {
    let stop = interrupt::token();
    let tips = match &command.node {
        Some(node) => Some(watch_node(node, command).await?),
        None => None,
    };
    let report = run_swarm(settings, tips, tell, stop.cancelled_owned());
    Ok(report.await?)
}

/// Half of the cores: the pool that is measured needs the others.
fn threads(command: &cli::Swarm) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let half = (cores / 2).max(1);
    command
        .threads
        .map_or(half, |threads| threads.get() as usize)
}

fn settings(command: &cli::Swarm) -> anyhow::Result<SwarmSettings> {
    let url = PoolUrl::parse(&command.url, command.insecure)?;
    let users = match command.distinct_users {
        Some(count) => (1..=count.get())
            .map(|number| made_up(number, command.network))
            .collect(),
        None => command.user.clone(),
    };
    if users.is_empty() {
        bail!("a pool wants to know who is paid: --user ADDRESS, or --distinct-users N");
    }
    Ok(SwarmSettings {
        channel: command.channel.into(),
        users,
        connections: command.connections,
        channels: command.channels,
        sources: sources(command.sources),
        ramp: seconds("--ramp", command.ramp)?,
        duration: seconds("--duration", command.duration)?,
        shares: command.shares,
        pace: match command.rate {
            0.0 => Pace::AsAnswered {
                window: command.window,
            },
            rate => Pace::PerSecond(rate),
        },
        quality: match command.mode {
            SwarmMode::Valid => Quality::Valid,
            SwarmMode::Invalid => Quality::AboveTarget,
        },
        pid: command.pid,
        ..SwarmSettings::new(url, "")
    })
}

/// The address of the private key `number`.
fn made_up(number: u32, network: SwarmNetwork) -> String {
    let mut secret = [0; 32];
    secret[28..].copy_from_slice(&number.to_be_bytes());
    let secret = SecretKey::from_slice(&secret).expect("numbers from 1 to 2^32 are keys");
    let key = CompressedPublicKey(secret.public_key(&Secp256k1::signing_only()));
    let prefix = match network {
        SwarmNetwork::Mainnet => KnownHrp::Mainnet,
        SwarmNetwork::Testnet4 | SwarmNetwork::Signet => KnownHrp::Testnets,
        SwarmNetwork::Regtest => KnownHrp::Regtest,
    };
    Address::p2wpkh(&key, prefix).to_string()
}

fn sources(count: Option<u8>) -> Vec<IpAddr> {
    let source = |last| IpAddr::from([127, 0, 0, last]);
    count.map_or_else(Vec::new, |count| (1..=count).map(source).collect())
}

fn seconds(flag: &str, value: f64) -> anyhow::Result<Duration> {
    // A day is longer than any run.
    match (0.0..=86_400.0).contains(&value) {
        true => Ok(Duration::from_secs_f64(value)),
        false => bail!("{flag} {value}: 0 to 86400 seconds are possible"),
    }
}

/// Nobody is to load somebody else's pool by a slip.
fn check_place(endpoint: &Endpoint, command: &cli::Swarm) -> anyhow::Result<()> {
    let mut addresses = (endpoint.host(), endpoint.port())
        .to_socket_addrs()
        .with_context(|| format!("{} has no address", endpoint.host()))?;
    let is_here = addresses.all(|address| address.ip().to_canonical().is_loopback());
    match (is_here, command.anywhere, command.sources) {
        (false, false, _) => bail!(
            "{endpoint} is not on this computer; add --anywhere if the pool there is yours and \
             expects this"
        ),
        (false, true, Some(_)) => {
            bail!("--sources are loopback addresses, from which {endpoint} cannot be reached")
        }
        (false, true, None) | (true, _, _) => Ok(()),
    }
}

fn tell(progress: SwarmProgress) {
    let SwarmProgress {
        elapsed,
        phase,
        ready,
        gone,
        answered_per_second,
        reply_ms,
    } = progress;
    let p99 = reply_ms
        .p99
        .map_or_else(String::new, |p99| format!(", p99 {p99} ms"));
    let seconds = elapsed.as_secs_f64();
    eprintln!(
        "{seconds:.0} s: {phase}, {ready} connections, {gone} gone, {answered_per_second:.0} shares/s{p99}"
    );
}

/// The node's word on its tips, from now on.
async fn watch_node(node: &str, command: &cli::Swarm) -> anyhow::Result<mpsc::Receiver<TipSeen>> {
    let address = RpcAddress::parse(node, network(command.network))?;
    let auth = match &command.cookie {
        Some(cookie) => RpcAuth::Cookie(vec![cookie.clone()]),
        None => {
            let home = std::env::home_dir();
            let found = ask_network_with_cookies(&address, home.as_deref()).await;
            found
                .context("cannot ask the node; say where its cookie is with --cookie")?
                .1
        }
    };
    let mut watch = TipWatch::new(address, auth);
    // The present tip is none that comes.
    watch.next().await.context("cannot ask the node")?;
    let (sender, receiver) = mpsc::channel(TIPS);
    tokio::spawn(async move {
        loop {
            match watch.next().await {
                Ok(hash) => {
                    let at = Instant::now();
                    if sender.send(TipSeen { hash, at }).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    eprintln!("{error}");
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
        }
    });
    Ok(receiver)
}

fn network(network: SwarmNetwork) -> Network {
    match network {
        SwarmNetwork::Mainnet => Network::Mainnet,
        SwarmNetwork::Testnet4 => Network::Testnet4,
        SwarmNetwork::Signet => Network::Signet,
        SwarmNetwork::Regtest => Network::Regtest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn command(arguments: &[&str]) -> cli::Swarm {
        let arguments = ["headframe", "swarm"].iter().chain(arguments);
        match cli::Cli::try_parse_from(arguments).unwrap().command {
            Some(cli::Command::Swarm(swarm)) => swarm,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_this_computer_is_loaded_unless_told_otherwise() {
        let check = |arguments: &[&str]| {
            let command = command(arguments);
            let url = PoolUrl::parse(&command.url, false).unwrap();
            check_place(url.endpoint(), &command).map_err(|error| error.to_string())
        };
        for here in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1"] {
            assert_eq!(check(&[&format!("stratum+tcp://{here}")]), Ok(()));
        }
        let there = "stratum+tcp://192.0.2.1:3333";
        assert!(check(&[there]).unwrap_err().contains("--anywhere"));
        assert_eq!(check(&[there, "--anywhere"]), Ok(()));
        let error = check(&[there, "--anywhere", "--sources", "3"]).unwrap_err();
        assert!(error.contains("--sources"), "{error}");
    }

    #[test]
    fn users_are_given_or_made_up_for_the_network() {
        let url = "stratum+tcp://127.0.0.1:1";
        assert!(settings(&command(&[url])).is_err());
        let given = settings(&command(&[url, "--user", "a", "--user", "b"])).unwrap();
        assert_eq!(given.users, ["a", "b"]);
        let made = command(&[url, "--distinct-users", "2", "--network", "mainnet"]);
        // The address of the private key 1 is in BIP 173.
        let one = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
        let made = settings(&made).unwrap().users;
        assert_eq!((made.len(), made[0].as_str()), (2, one));
        assert_ne!(made[0], made[1]);
    }

    #[test]
    fn flags_become_settings() {
        let url = "stratum+tcp://127.0.0.1:1";
        let with = |more: &[&str]| {
            let arguments = [&[url, "--user", "a"], more].concat();
            settings(&command(&arguments))
        };
        assert_eq!(with(&[]).unwrap().pace, Pace::AsAnswered { window: 8 });
        assert_eq!(with(&["--rate", "50"]).unwrap().pace, Pace::PerSecond(50.0));
        assert_eq!(
            with(&["--mode", "invalid"]).unwrap().quality,
            Quality::AboveTarget
        );
        let last = with(&["--sources", "3"]).unwrap().sources.pop();
        assert_eq!(last, Some(IpAddr::from([127, 0, 0, 3])));
        assert!(with(&["--ramp=-1"]).is_err());
        assert!(with(&["--duration", "nan"]).is_err());
    }
}
