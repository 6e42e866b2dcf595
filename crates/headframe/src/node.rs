//! Which Bitcoin nodes the pool works with.

use std::io;
use std::path::Path;
use std::time::Duration;

use headframe_config::{NodeAccess, NodeAddress, NodeAuth, NodeConfig, NodeSocket};
#[cfg(feature = "ipc")]
use headframe_node::ipc::IpcSettings;
use headframe_node::rpc::{
    Candidate, RpcAddress, RpcAuth, RpcSettings, ask_network, ask_network_with_cookies, discover,
};
use headframe_node::several::{self, Backups};
use headframe_node::tdp::{Patience, ProviderAddress, TdpSettings};
use headframe_node::{BlockSink, Node, NodeError};
use headframe_work::{Network, Reserve};
use tokio_util::sync::CancellationToken;
use tracing::warn;

#[cfg(feature = "ipc")]
use crate::reach;
use crate::reach::{Reach, Way};

/// How often the pool looks for a node while there is none.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is missing before the pool can work with a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) what: String,
    pub(crate) next_step: String,
    pub(crate) command: Option<String>,
}

/// Does `look` until it finds what it looks for, and says in the log what is missing until then. `None`
/// when the program is stopped meanwhile.
pub(crate) async fn wait_for<T>(
    stop: &CancellationToken,
    mut look: impl AsyncFnMut() -> Result<T, Missing>,
) -> Option<T> {
    let mut told = None;
    loop {
        let missing = tokio::select! {
            () = stop.cancelled() => return None,
            found = look() => match found {
                Ok(found) => return Some(found),
                Err(missing) => missing,
            },
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

/// Nodes of one network, in order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nodes {
    pub(crate) network: Network,
    pub(crate) preferred: Reach,
    pub(crate) backups: Vec<Reach>,
}

impl Nodes {
    /// The ways of blocks to all of them, each with what the node is called in the log.
    pub(crate) fn sinks(&self) -> io::Result<Vec<(String, Box<dyn BlockSink>)>> {
        let all = core::iter::once(&self.preferred).chain(&self.backups);
        all.map(Reach::sink).collect()
    }

    /// The way of one block to each of them.
    pub(crate) fn ways(&self) -> io::Result<Vec<Way>> {
        let all = core::iter::once(&self.preferred).chain(&self.backups);
        all.map(Reach::way).collect()
    }

    /// What the nodes are called in the log.
    pub(crate) fn names(&self) -> String {
        let all = core::iter::once(&self.preferred).chain(&self.backups);
        let names: Vec<String> = all.map(Reach::name).collect();
        names.join(", ")
    }

    /// All nodes as one, and what is to be known of each where there are several. Each leaves room in its blocks
    /// for the coinbase, where it can be asked to.
    pub(crate) fn connect(self, reserve: Reserve) -> io::Result<(Node, Option<Backups>)> {
        let connect = |node: Reach| Ok((node.name(), node.connect(reserve)?));
        let others: io::Result<_> = self.backups.into_iter().map(connect).collect();
        Ok(several::join(connect(self.preferred)?, others?))
    }
}

/// The nodes that are configured, or the one that runs on this computer. Where the network is not
/// configured, the first that answers is asked for it: the pool can start when any of them is there.
pub(crate) async fn find(config: &NodeConfig, home: Option<&Path>) -> Result<Nodes, Missing> {
    let mut missing = None;
    for (place, node) in config.all().enumerate() {
        match find_one(node, config.network, home).await {
            Ok(found) => return nodes(config, (place, found), home),
            // What is said of the preferred one is what the operator can do most about.
            Err(what) => missing = missing.or(Some(what)),
        }
    }
    Err(missing.expect("there is a preferred node"))
}

/// All nodes, of which the one at that place was found.
fn nodes(
    config: &NodeConfig,
    (place, found): (usize, Reach),
    home: Option<&Path>,
) -> Result<Nodes, Missing> {
    let network = found.network();
    let mut nodes = config.all().enumerate().map(|(other, node)| {
        match other == place {
            true => Ok(found.clone()),
            // One at the usual place is expected there, though nobody answers yet.
            false => expected(node, network, home),
        }
    });
    let preferred = nodes.next().expect("there is a preferred node")?;
    Ok(Nodes {
        network,
        preferred,
        backups: nodes.collect::<Result<_, _>>()?,
    })
}

/// One node, with its own network where that is not configured.
pub(crate) async fn find_one(
    node: &NodeAccess,
    network: Option<Network>,
    home: Option<&Path>,
) -> Result<Reach, Missing> {
    if let Some(provider) = &node.template_provider {
        let network = network.ok_or_else(Missing::network)?;
        return through(provider, node, network, home);
    }
    if let Some(socket) = &node.socket {
        return by_socket(node, socket, network, home);
    }
    if !node.has_rpc() {
        let found = local(network, home).await?;
        let zmq = node.zmq.clone();
        return Ok(Reach::Rpc(RpcSettings { zmq, ..found }));
    }
    let settings = configured(node, network.unwrap_or(Network::Mainnet), home)?;
    let settings = match network {
        Some(_) => Ok(settings),
        None => ask(settings, &node.auth, home).await.map_err(Missing::of),
    };
    settings.map(Reach::Rpc)
}

/// One node of this network, as it is configured.
fn expected(node: &NodeAccess, network: Network, home: Option<&Path>) -> Result<Reach, Missing> {
    match (&node.template_provider, &node.socket) {
        (Some(provider), _) => through(provider, node, network, home),
        (None, Some(socket)) => by_socket(node, socket, Some(network), home),
        (None, None) => configured(node, network, home).map(Reach::Rpc),
    }
}

/// A node that is reached through a Template Provider, which need not be there.
fn through(
    provider: &ProviderAddress,
    node: &NodeAccess,
    network: Network,
    home: Option<&Path>,
) -> Result<Reach, Missing> {
    let rpc = node.has_rpc().then(|| configured(node, network, home));
    Ok(Reach::Provider(Box::new(TdpSettings {
        network,
        provider: provider.clone(),
        rpc: rpc.transpose()?,
        patience: Patience::default(),
    })))
}

#[cfg(feature = "ipc")]
fn by_socket(
    node: &NodeAccess,
    socket: &NodeSocket,
    network: Option<Network>,
    home: Option<&Path>,
) -> Result<Reach, Missing> {
    let (network, sockets) = reach::sockets(socket, network, home)?;
    let rpc = node.has_rpc().then(|| configured(node, network, home));
    Ok(Reach::Ipc(Box::new(IpcSettings {
        rpc: rpc.transpose()?,
        ..IpcSettings::local(network, sockets)
    })))
}

#[cfg(not(feature = "ipc"))]
fn by_socket(
    _: &NodeAccess,
    _: &NodeSocket,
    _: Option<Network>,
    _: Option<&Path>,
) -> Result<Reach, Missing> {
    Err(Missing {
        what: "node.ipc is set, and this headframe was built without it".to_owned(),
        next_step: "use a release, or build with --features ipc, or set node.url in its place, and restart headframe".to_owned(),
        command: Some("cargo build --release --features ipc".to_owned()),
    })
}

/// The node as it is configured. Who only says how to log in means a node at the usual place.
fn configured(
    node: &NodeAccess,
    network: Network,
    home: Option<&Path>,
) -> Result<RpcSettings, Missing> {
    let mut settings = RpcSettings {
        zmq: node.zmq.clone(),
        ..RpcSettings::local(network, home)
    };
    if let Some(NodeAddress { host, port }) = &node.address {
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.clone(),
        };
        let place = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        settings.address = RpcAddress::parse(&place, network).map_err(|error| Missing {
            what: format!("the node's address {place:?} cannot be used: {error}"),
            next_step: "correct its url in the configuration and restart headframe".to_owned(),
            command: None,
        })?;
    }
    match &node.auth {
        NodeAuth::FindCookie => {}
        NodeAuth::Cookie(path) => settings.auth = RpcAuth::Cookie(vec![path.clone()]),
        NodeAuth::UserPassword { user, password } => {
            settings.auth = RpcAuth::UserPassword {
                user: user.clone(),
                password: password.reveal().to_owned(),
            };
        }
    }
    Ok(settings)
}

/// Takes the network of the node itself.
async fn ask(
    settings: RpcSettings,
    auth: &NodeAuth,
    home: Option<&Path>,
) -> Result<RpcSettings, NodeError> {
    let (network, auth) = match auth {
        NodeAuth::FindCookie => ask_network_with_cookies(&settings.address, home).await?,
        NodeAuth::Cookie(_) | NodeAuth::UserPassword { .. } => {
            let network = ask_network(&settings.address, &settings.auth).await?;
            (network, settings.auth)
        }
    };
    Ok(RpcSettings {
        address: settings.address,
        auth,
        zmq: settings.zmq,
        ..RpcSettings::local(network, home)
    })
}

/// The node that is found by its cookie file.
async fn local(network: Option<Network>, home: Option<&Path>) -> Result<RpcSettings, Missing> {
    let home = home.ok_or_else(|| Missing {
        what: "there is no home directory to look for a Bitcoin node in".to_owned(),
        next_step: "set node.url and node.cookie_file in the configuration and restart headframe"
            .to_owned(),
        command: Some("headframe pool --sample-config > pool.toml".to_owned()),
    })?;
    let place = home.to_owned();
    let found = tokio::task::spawn_blocking(move || discover(&place)).await;
    let candidates = found.unwrap_or_default();
    choose(candidates, network, home)
}

/// The one that answers, of those that are of the network if that is configured.
fn choose(
    candidates: Vec<Candidate>,
    network: Option<Network>,
    home: &Path,
) -> Result<RpcSettings, Missing> {
    let is_wanted = |found: &Candidate| network.is_none_or(|network| network == found.network);
    let (candidates, others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(is_wanted);
    let answering: Vec<&Candidate> = candidates.iter().filter(|found| found.answering).collect();
    match answering.as_slice() {
        [found] => Ok(RpcSettings {
            address: found.address.clone(),
            auth: RpcAuth::Cookie(vec![found.cookie.clone()]),
            ..RpcSettings::local(found.network, Some(home))
        }),
        [] => Err(no_node(&candidates, network, &others)),
        several => Err(several_nodes(several)),
    }
}

impl Missing {
    /// A Template Provider does not tell what it is a provider of.
    fn network() -> Self {
        Self {
            what: "a template provider does not tell its network".to_owned(),
            next_step: "set node.network in the configuration and restart headframe".to_owned(),
            command: None,
        }
    }

    /// A node that cannot be asked, or not be used.
    fn of(error: NodeError) -> Self {
        Self {
            what: error.to_string(),
            next_step: error.advice().to_owned(),
            command: None,
        }
    }
}

/// `others` are those of other networks than the configured one.
fn no_node(candidates: &[Candidate], network: Option<Network>, others: &[Candidate]) -> Missing {
    const START: &str = "start Bitcoin Core with its RPC server on, and the pool goes on by itself";
    let network = candidates
        .first()
        .map_or(network, |found| Some(found.network));
    let other = others.iter().find(|found| found.answering);
    let (what, or) = match (candidates, network, other) {
        ([found, ..], ..) => (
            format!(
                "a Bitcoin node was here ({}), but it does not answer",
                found.cookie.display()
            ),
            ELSEWHERE.to_owned(),
        ),
        ([], Some(network), Some(other)) => (
            format!(
                "no Bitcoin node for {network} was found on this computer, but one for {}",
                other.network
            ),
            format!(
                "for that one, set node.network to {} in the configuration and restart headframe",
                other.network
            ),
        ),
        ([], Some(network), None) => (
            format!("no Bitcoin node for {network} was found on this computer"),
            ELSEWHERE.to_owned(),
        ),
        ([], None, _) => (
            "no Bitcoin node was found on this computer".to_owned(),
            ELSEWHERE.to_owned(),
        ),
    };
    Missing {
        what,
        next_step: format!("{START}; {or}"),
        command: Some(format!("bitcoind -server{}", chain_flag(network))),
    }
}

const ELSEWHERE: &str =
    "if it runs elsewhere, say where in the configuration and restart headframe";

/// What tells Bitcoin Core the network, with a space before it.
fn chain_flag(network: Option<Network>) -> String {
    match network {
        None | Some(Network::Mainnet) => String::new(),
        Some(network) => format!(" -{network}"),
    }
}

fn several_nodes(found: &[&Candidate]) -> Missing {
    let networks: Vec<String> = found.iter().map(|node| node.network.to_string()).collect();
    Missing {
        what: format!(
            "there are several Bitcoin nodes here: {}",
            networks.join(", ")
        ),
        next_step: "restart headframe with the network of the one that it is to use".to_owned(),
        command: Some(format!(
            "HEADFRAME_NODE_NETWORK={} headframe pool",
            networks[0]
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(host: &str, port: Option<u16>) -> NodeAccess {
        NodeAccess {
            address: Some(NodeAddress {
                host: host.to_owned(),
                port,
            }),
            auth: NodeAuth::FindCookie,
            zmq: Vec::new(),
            socket: None,
            template_provider: None,
        }
    }

    #[test]
    fn a_configured_address_is_the_node_s() {
        let address = |host: &str, port| {
            let node = access(host, port);
            let settings = configured(&node, Network::Mainnet, None).unwrap();
            settings.address.to_string()
        };
        assert_eq!(address("::1", Some(18_443)), "[::1]:18443");
        assert_eq!(address("::1", None), "[::1]:8332");
        assert_eq!(address("umbrel.local", Some(10_000)), "umbrel.local:10000");
        assert_eq!(address("umbrel.local", None), "umbrel.local:8332");
    }

    /// The preferred node is looked for at the usual place, where there is none now.
    #[tokio::test]
    async fn a_pool_can_start_on_a_backup() {
        let empty = tempfile::tempdir().unwrap();
        let config = |network| NodeConfig {
            network,
            hold: None,
            preferred: NodeAccess {
                address: None,
                auth: NodeAuth::FindCookie,
                zmq: Vec::new(),
                socket: None,
                template_provider: None,
            },
            backups: vec![access("second", None), access("third", Some(1))],
        };
        let found = find(&config(Some(Network::Signet)), Some(empty.path())).await;
        let found = found.unwrap();
        let all = [&[found.preferred], found.backups.as_slice()].concat();
        let addresses = all.iter().map(Reach::place);
        assert_eq!(
            addresses.collect::<Vec<_>>(),
            ["127.0.0.1:38332", "second:38332", "third:1"]
        );
        assert!(all.iter().all(|node| node.network() == Network::Signet));
    }

    /// A provider says nothing of its network, and is not asked for it.
    #[tokio::test]
    async fn a_template_provider_needs_no_rpc_but_a_network() {
        let key = "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh";
        let provider: ProviderAddress = format!("provider:8442/{key}").parse().unwrap();
        let config = |network, address: Option<&str>| NodeConfig {
            network,
            hold: None,
            preferred: NodeAccess {
                zmq: Vec::new(),
                template_provider: Some(provider.clone()),
                address: address.and_then(|host| access(host, None).address),
                auth: NodeAuth::FindCookie,
                socket: None,
            },
            backups: vec![],
        };
        let missing = find(&config(None, None), None).await.unwrap_err();
        assert!(missing.next_step.contains("node.network"), "{missing:?}");
        for (address, rpc) in [(None, None), (Some("node"), Some("node:38332"))] {
            let found = find(&config(Some(Network::Signet), address), None).await;
            let Reach::Provider(settings) = found.unwrap().preferred else {
                panic!("it is reached through its provider");
            };
            assert_eq!(settings.provider.to_string(), "provider:8442");
            let settings = settings.rpc.map(|rpc| rpc.address.to_string());
            assert_eq!(settings.as_deref(), rpc);
        }
    }

    fn candidate(network: Network, answering: bool) -> Candidate {
        Candidate {
            network,
            cookie: "/home/ann/.bitcoin/.cookie".into(),
            address: RpcAddress::local(network),
            answering,
        }
    }

    #[test]
    fn what_is_missing_fits_what_is_there() {
        use Network::{Mainnet, Regtest, Signet};
        let missing = |candidates: &[(Network, bool)], network| {
            let candidates = candidates.iter();
            let candidates = candidates.map(|(network, answering)| candidate(*network, *answering));
            choose(candidates.collect(), network, Path::new("/home/ann")).unwrap_err()
        };
        let none = missing(&[], None);
        assert_eq!(none.what, "no Bitcoin node was found on this computer");
        assert_eq!(none.command.as_deref(), Some("bitcoind -server"));

        let wanted = missing(&[], Some(Signet));
        assert!(wanted.what.contains("for signet"), "{wanted:?}");
        assert_eq!(wanted.command.as_deref(), Some("bitcoind -server -signet"));

        let stopped = missing(&[(Regtest, false)], None);
        assert!(stopped.what.contains(".cookie"), "{stopped:?}");
        assert_eq!(
            stopped.command.as_deref(),
            Some("bitcoind -server -regtest")
        );

        // One that runs is worth a word, one that does not is not.
        let other = missing(&[(Regtest, true)], Some(Mainnet));
        assert!(other.what.contains("for mainnet"), "{other:?}");
        assert!(other.what.ends_with("but one for regtest"), "{other:?}");
        assert!(
            other.next_step.contains("node.network to regtest"),
            "{other:?}"
        );
        let stopped = missing(&[(Regtest, false)], Some(Mainnet));
        assert!(!stopped.what.contains("regtest"), "{stopped:?}");

        let several = missing(&[(Mainnet, true), (Regtest, true)], None);
        assert!(several.what.ends_with("mainnet, regtest"), "{several:?}");
    }
}
