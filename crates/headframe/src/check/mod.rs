//! `headframe check`: reads the configuration, connects to what it names, and tells what is right and what is
//! not, each with one thing to do.
//!
//! It changes nothing: no directory is made, no key written, no port kept, and a pool may run meanwhile.

mod finding;
mod node;
mod place;
mod signals;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use headframe_api::NodeKind;
use headframe_config::{CertificateConfig, KeysName, Loaded, NodeAccess, PoolConfig, WrongNetwork};
use headframe_node::NodeError;
use headframe_node::rpc::{Examination, examine};
use headframe_server::KeyPlace;
use headframe_work::{Network, PayoutPolicy, Reserve, UnixTime, VersionBits};

use self::finding::Findings;
use self::node::Needs;
use crate::node::Missing;
use crate::reach::Reach;
use crate::{cli, data, files, say};

/// A node that needs longer for its first template is not waited for: a person waits.
const FIRST_TEMPLATE: Duration = Duration::from_secs(15);

/// Ends with 0 when nothing is wrong, and with 1 when something is.
pub(crate) fn run(command: &cli::Check) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    let data_dir = data::data_dir_flag(command.data_dir.as_ref());
    match data::configuration(command.config.as_deref(), data_dir) {
        Ok(loaded) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("cannot start the runtime")?;
            runtime.block_on(check(&mut findings, &loaded));
        }
        Err(error) => {
            let mut to = findings.about("configuration");
            for line in error.to_string().lines() {
                to.wrong("config", line, "correct it; docs/config.md has all keys");
            }
        }
    }
    match command.json {
        true => say(&serde_json::to_string_pretty(&findings.to_json())?),
        false => say(&findings.told()),
    }
    Ok(match findings.is_well() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn check(findings: &mut Findings, loaded: &Loaded) {
    let config = &loaded.config;
    let mut to = findings.about("configuration");
    to.ok(
        "config",
        match loaded.set.len() {
            0 => "every key has its default".to_owned(),
            1 => "it is valid; 1 key is set".to_owned(),
            keys => format!("it is valid; {keys} keys are set"),
        },
    );
    for notice in &loaded.notices {
        to.note("config", notice.to_string(), "correct it, or leave it out");
    }
    let is_running = place::is_running(&config.data_dir);
    let nodes = ask_all(config, is_running).await;
    let network = config
        .node
        .network
        .or_else(|| nodes.iter().find_map(|node| node.network));
    let policy = network.map(|network| config.payout.policy(network));
    let payouts = policy.as_ref().and_then(|policy| policy.as_ref().ok());
    tell_nodes(findings, config, &nodes, payouts);
    tell_payout(findings, config, policy.as_ref());
    place::directory(findings, &config.data_dir, network);
    let miners = config.listeners.iter().map(|listener| listener.address);
    place::ports(findings, miners, config.http.listen, is_running);
    let allowed = files::most_allowed();
    let room = (allowed, files::within(config.max_connections, allowed));
    place::files(findings, config.max_connections, room);
    credentials(findings, config);
}

/// A node and what it said.
struct Asked {
    name: String,
    network: Option<Network>,
    answer: Answer,
    /// Where its socket is, where that is used.
    socket: Option<PathBuf>,
    /// What came by its socket or its Template Provider, where one is used.
    pushed: Option<Result<Pushed, NodeError>>,
    /// Where it is to publish new blocks, by the configuration.
    published: Vec<String>,
    /// Whether its templates come through a Template Provider.
    is_provider: bool,
    /// What the name of its RPC's computer stands for.
    addresses: Vec<SocketAddr>,
}

/// The first template that was pushed.
pub(crate) struct Pushed {
    pub(crate) height: u32,
    pub(crate) transactions: usize,
    pub(crate) took: Duration,
}

enum Answer {
    Missing(Missing),
    Away(NodeError),
    Told(Box<Examination>),
    /// It has no RPC to be asked by.
    Unasked,
}

impl Asked {
    fn height(&self) -> Option<u32> {
        match &self.answer {
            Answer::Told(facts) => Some(facts.height),
            Answer::Missing(_) | Answer::Away(_) | Answer::Unasked => None,
        }
    }
}

/// All nodes, one after another: a person waits, and for less than a minute. A pool that `is_running` keeps its
/// Template Providers to itself: some of them serve a second client worse.
async fn ask_all(config: &PoolConfig, is_running: bool) -> Vec<Asked> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut asked = Vec::new();
    let mut network = config.node.network;
    for (place, access) in config.node.all().enumerate() {
        let found = crate::node::find_one(access, network, home.as_deref()).await;
        let node = ask(place, access, found, is_running).await;
        network = network.or(node.network);
        asked.push(node);
    }
    asked
}

async fn ask(
    place: usize,
    access: &NodeAccess,
    found: Result<Reach, Missing>,
    is_running: bool,
) -> Asked {
    let reach = match found {
        Ok(reach) => reach,
        Err(missing) => {
            return Asked {
                name: match place {
                    0 => "node".to_owned(),
                    place => format!("backup node {place}"),
                },
                network: None,
                answer: Answer::Missing(missing),
                socket: None,
                pushed: None,
                published: Vec::new(),
                is_provider: false,
                addresses: Vec::new(),
            };
        }
    };
    let answer = match reach.rpc() {
        None => Answer::Unasked,
        Some(settings) => match examine(settings).await {
            Ok(facts) => Answer::Told(Box::new(facts)),
            Err(error) => Answer::Away(error),
        },
    };
    let published = access.zmq.iter().map(ToString::to_string).collect();
    let sockets = reach.sockets();
    let socket = sockets.iter().find(|path| path.exists());
    Asked {
        name: reach
            .name()
            .trim_start_matches("the ")
            .replacen(" at ", " ", 1),
        pushed: match reach.kind() {
            NodeKind::Rpc | NodeKind::Embedded => None,
            NodeKind::Ipc if socket.is_none() => None,
            NodeKind::TemplateDistribution if is_running => None,
            NodeKind::Ipc | NodeKind::TemplateDistribution => Some(pushed(&reach).await),
        },
        // One that is on another network says so as an error.
        network: (!matches!(answer, Answer::Away(_))).then(|| reach.network()),
        answer,
        socket: socket.or_else(|| sockets.first()).cloned(),
        published,
        is_provider: reach.kind() == NodeKind::TemplateDistribution,
        addresses: addresses(&reach).await,
    }
}

/// Where its RPC is, whatever it is called.
async fn addresses(reach: &Reach) -> Vec<SocketAddr> {
    let Some(settings) = reach.rpc() else {
        return Vec::new();
    };
    // A name that stands for nothing is told of where the node is asked.
    let found = tokio::net::lookup_host(settings.address.to_string()).await;
    found.into_iter().flatten().collect()
}

/// The first template by the way that the pool would take.
async fn pushed(reach: &Reach) -> Result<Pushed, NodeError> {
    let begun = Instant::now();
    let unconnected = |error: std::io::Error| NodeError::Unreachable {
        address: reach.place(),
        reason: error.to_string(),
    };
    let connected = reach.clone().connect(Reserve::for_outputs(3));
    let mut node = connected.map_err(unconnected)?;
    let first = tokio::time::timeout(FIRST_TEMPLATE, node.templates.next()).await;
    let update = first.map_err(|_| NodeError::TimedOut {
        method: "the first question for a template",
        limit: FIRST_TEMPLATE,
    })??;
    Ok(Pushed {
        height: update.template.height,
        transactions: update.template.transactions.len(),
        took: begun.elapsed(),
    })
}

fn tell_nodes(
    findings: &mut Findings,
    config: &PoolConfig,
    nodes: &[Asked],
    payouts: Option<&PayoutPolicy>,
) {
    for (place, asked) in nodes.iter().enumerate() {
        let others = nodes
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != place);
        let others = others.filter_map(|(_, other)| other.height()).max();
        let mut to = findings.about(asked.name.as_str());
        match &asked.answer {
            Answer::Missing(missing) => {
                let command = missing.command.as_ref();
                let command = command.map_or_else(String::new, |command| format!(": {command}"));
                to.wrong(
                    "node",
                    &missing.what,
                    format!("{}{command}", missing.next_step),
                );
            }
            Answer::Away(error) => node::away(&mut to, error),
            Answer::Told(facts) => {
                let needs = Needs {
                    network: asked.network,
                    payouts,
                    tag: &config.tag,
                    published: match asked.pushed {
                        None if !asked.is_provider => &asked.published,
                        None | Some(_) => &[],
                    },
                    others,
                    version_bits: match asked.is_provider {
                        false => config.version_bits,
                        true => VersionBits::default(),
                    },
                };
                node::examined(&mut to, facts, &needs);
            }
            Answer::Unasked => {}
        }
        if let Some(path) = &asked.socket {
            node::socket(&mut to, path);
        }
        if let Some(pushed) = &asked.pushed {
            node::pushed(&mut to, pushed, &asked.published);
        } else if asked.is_provider {
            node::taken(&mut to);
        }
        let same = |other: &&Asked| {
            other
                .addresses
                .iter()
                .any(|it| asked.addresses.contains(it))
        };
        if let Some(other) = nodes.iter().take(place).find(same) {
            node::twice(&mut to, &other.name);
        }
        if asked.is_provider {
            signals::through_provider(&mut to, config.version_bits);
        }
        if matches!(asked.answer, Answer::Unasked) {
            node::unasked(&mut to);
        }
    }
}

/// The operator's addresses, where there are any. `policy` is `None` where the network is not known.
fn tell_payout(
    findings: &mut Findings,
    config: &PoolConfig,
    policy: Option<&Result<PayoutPolicy, WrongNetwork>>,
) {
    let mut to = findings.about("payout");
    let has_addresses = config.payout.fee.is_some() || config.payout.plain_names.is_some();
    match policy {
        None if !has_addresses => to.ok("payout", told_payout(config)),
        None => to.note(
            "payout",
            "the network is not known, so that addresses cannot be checked",
            "set node.network, or see to the node",
        ),
        Some(Err(error)) => to.wrong(
            "payout",
            error.to_string(),
            "correct the address in [payout], or the network in [node]",
        ),
        Some(Ok(_)) => to.ok("payout", told_payout(config)),
    }
}

fn told_payout(config: &PoolConfig) -> String {
    let fee = match &config.payout.fee {
        None => "a block pays its miner in full".to_owned(),
        Some(fee) => {
            let percent = f64::from(fee.rate.get()) / 100.0;
            let split = match &fee.split {
                None => String::new(),
                Some((part, address)) => {
                    let part = f64::from(part.get()) / 100.0;
                    format!(", of which {part} % go to {address}")
                }
            };
            format!("a fee of {percent} % is paid to {}{split}", fee.address)
        }
    };
    match &config.payout.plain_names {
        None => format!("{fee}; names that are no address are refused"),
        Some(address) => format!("{fee}; names that are no address are paid to {address}"),
    }
}

/// Certificates for TLS and keys for Stratum V2, each once.
fn credentials(findings: &mut Findings, config: &PoolConfig) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since.map_or(0, |since| since.as_secs());
    let now = UnixTime::from_secs(u32::try_from(now).unwrap_or(u32::MAX));
    let (mut certificates, mut keys) = (Vec::new(), Vec::new());
    for listener in &config.listeners {
        if listener.protocols.sv1_tls && !certificates.contains(&&listener.certificate) {
            certificates.push(&listener.certificate);
        }
        if listener.protocols.sv2 && !keys.contains(&&listener.keys) {
            keys.push(&listener.keys);
        }
    }
    for certificate in certificates {
        let files = match certificate {
            CertificateConfig::Own => None,
            CertificateConfig::Files { certificate, key } => {
                Some((certificate.as_path(), key.as_path()))
            }
        };
        let about = match files {
            None => "certificate for TLS, the pool's own".to_owned(),
            Some((file, _)) => format!("certificate for TLS, {}", file.display()),
        };
        let mut to = findings.about(about);
        place::tls(&mut to, &config.data_dir, files, now);
    }
    for name in keys {
        let place = KeyPlace::new(&config.data_dir, &name.file_name());
        let mut to = findings.about(match *name == KeysName::OWN {
            true => "keys for Stratum V2".to_owned(),
            false => format!("keys for Stratum V2, {}", name.file_name()),
        });
        place::keys(&mut to, &place, now);
    }
}
