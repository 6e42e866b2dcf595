//! Which Bitcoin node the pool works with.

use std::path::PathBuf;
use std::time::Duration;

use headframe_config::{NodeAuth, NodeConfig};
use headframe_node::rpc::{Candidate, RpcAddress, RpcAuth, RpcSettings, discover};
use headframe_work::Network;

/// How often the pool looks for a node while there is none.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is missing before the pool can work with a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) what: String,
    pub(crate) next_step: String,
    pub(crate) command: Option<String>,
}

/// The node that is configured, or the one that runs on this computer.
pub(crate) fn find(config: &NodeConfig, home: Option<PathBuf>) -> Result<RpcSettings, Missing> {
    match &config.address {
        Some(address) => configured(config, &address.host, address.port, home),
        None => local(config, home),
    }
}

fn configured(
    config: &NodeConfig,
    host: &str,
    port: Option<u16>,
    home: Option<PathBuf>,
) -> Result<RpcSettings, Missing> {
    let network = config.network.or_else(|| network_of_port(port));
    let network = network.unwrap_or(Network::Mainnet);
    let place = match port {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let address = RpcAddress::parse(&place, network).map_err(|error| Missing {
        what: format!("the node's address {place:?} cannot be used: {error}"),
        next_step: "correct node.url in the configuration".to_owned(),
        command: None,
    })?;
    let mut settings = RpcSettings::local(network, home.as_deref());
    settings.address = address;
    apply_auth(&mut settings, &config.auth);
    Ok(settings)
}

fn local(config: &NodeConfig, home: Option<PathBuf>) -> Result<RpcSettings, Missing> {
    if config.auth != NodeAuth::FindCookie {
        // Who says how to log in means a node at the usual place.
        let network = config.network.unwrap_or(Network::Mainnet);
        let mut settings = RpcSettings::local(network, home.as_deref());
        apply_auth(&mut settings, &config.auth);
        return Ok(settings);
    }
    let home = home.ok_or_else(|| Missing {
        what: "there is no home directory to look for a Bitcoin node in".to_owned(),
        next_step: "set node.url and node.cookie_file in the configuration".to_owned(),
        command: Some("headframe pool --sample-config > pool.toml".to_owned()),
    })?;
    let wanted = |candidate: &Candidate| {
        config
            .network
            .is_none_or(|network| network == candidate.network)
    };
    let candidates: Vec<Candidate> = discover(&home).into_iter().filter(wanted).collect();
    let answering: Vec<&Candidate> = candidates.iter().filter(|found| found.answering).collect();
    match answering.as_slice() {
        [found] => {
            let mut settings = RpcSettings::local(found.network, Some(&home));
            settings.address = found.address.clone();
            settings.auth = RpcAuth::Cookie(vec![found.cookie.clone()]);
            Ok(settings)
        }
        [] => Err(no_node(&candidates, config.network)),
        several => Err(several_nodes(several)),
    }
}

fn no_node(candidates: &[Candidate], network: Option<Network>) -> Missing {
    let network = network.map_or_else(String::new, |network| format!(" for {network}"));
    let what = match candidates {
        [] => format!("no Bitcoin node{network} was found on this computer"),
        [found, ..] => format!(
            "a Bitcoin node was here ({}), but it does not answer",
            found.cookie.display()
        ),
    };
    Missing {
        what,
        next_step: "start Bitcoin Core with its RPC server on, or say in the configuration where \
                    your node is; the pool goes on by itself as soon as it answers"
            .to_owned(),
        command: Some("bitcoind -server".to_owned()),
    }
}

fn several_nodes(found: &[&Candidate]) -> Missing {
    let networks: Vec<String> = found.iter().map(|node| node.network.to_string()).collect();
    Missing {
        what: format!(
            "there are several Bitcoin nodes here: {}",
            networks.join(", ")
        ),
        next_step: "say which one the pool is to use".to_owned(),
        command: Some(format!(
            "HEADFRAME_NODE_NETWORK={} headframe pool",
            networks[0]
        )),
    }
}

fn network_of_port(port: Option<u16>) -> Option<Network> {
    let mut networks = Network::ALL.into_iter();
    networks.find(|network| Some(RpcAddress::default_port(*network)) == port)
}

fn apply_auth(settings: &mut RpcSettings, auth: &NodeAuth) {
    match auth {
        NodeAuth::FindCookie => {}
        NodeAuth::Cookie(path) => settings.auth = RpcAuth::Cookie(vec![path.clone()]),
        NodeAuth::UserPassword { user, password } => {
            settings.auth = RpcAuth::UserPassword {
                user: user.clone(),
                password: password.reveal().to_owned(),
            };
        }
    }
}
