//! How one node is reached: by its RPC, or by the socket of its mining interface, or both; or through a
//! Template Provider, with its RPC or without.

use std::io;
#[cfg(feature = "ipc")]
use std::path::Path;
use std::path::PathBuf;

use headframe_api::NodeKind;
#[cfg(feature = "ipc")]
use headframe_config::NodeSocket;
#[cfg(feature = "ipc")]
use headframe_node::ipc::{self, IpcSettings, socket_paths};
use headframe_node::rpc::{self, RpcSettings, RpcSink};
use headframe_node::tdp::{self, TdpSettings};
use headframe_node::{BlockSink, Node, TemplateSource};
use headframe_work::{Network, Reserve};

#[cfg(feature = "ipc")]
use crate::node::Missing;

/// How one node is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    /// By its RPC alone.
    Rpc(RpcSettings),
    /// By its socket, and by its RPC too where that is configured.
    #[cfg(feature = "ipc")]
    Ipc(Box<IpcSettings>),
    /// Through a Template Provider, and by its RPC too where that is configured.
    Provider(Box<TdpSettings>),
}

/// The way of a block to a node.
pub(crate) struct Way {
    /// What the node is called in the log.
    pub(crate) name: String,
    pub(crate) sink: Box<dyn BlockSink>,
    /// What comes by the same connection, which lasts as long as this is kept; `None` where each block has its own.
    pub(crate) templates: Option<Box<dyn TemplateSource>>,
}

impl Reach {
    pub(crate) fn network(&self) -> Network {
        match self {
            Self::Rpc(settings) => settings.network,
            #[cfg(feature = "ipc")]
            Self::Ipc(settings) => settings.network,
            Self::Provider(settings) => settings.network,
        }
    }

    pub(crate) fn kind(&self) -> NodeKind {
        match self {
            Self::Rpc(_) => NodeKind::Rpc,
            #[cfg(feature = "ipc")]
            Self::Ipc(_) => NodeKind::Ipc,
            Self::Provider(_) => NodeKind::TemplateDistribution,
        }
    }

    /// Host and port, or the path of the socket.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Rpc(settings) => settings.address.to_string(),
            #[cfg(feature = "ipc")]
            Self::Ipc(settings) => settings.place(),
            Self::Provider(settings) => settings.provider.to_string(),
        }
    }

    /// Its RPC, where that is used.
    pub(crate) fn rpc(&self) -> Option<&RpcSettings> {
        match self {
            Self::Rpc(settings) => Some(settings),
            #[cfg(feature = "ipc")]
            Self::Ipc(settings) => settings.rpc.as_ref(),
            Self::Provider(settings) => settings.rpc.as_ref(),
        }
    }

    /// Where its socket may be, the first that exists is taken; empty where it is not used.
    pub(crate) fn sockets(&self) -> &[PathBuf] {
        match self {
            Self::Rpc(_) | Self::Provider(_) => &[],
            #[cfg(feature = "ipc")]
            Self::Ipc(settings) => &settings.sockets,
        }
    }

    /// What the node is called in the log.
    pub(crate) fn name(&self) -> String {
        let what = match self {
            Self::Rpc(_) => "node",
            #[cfg(feature = "ipc")]
            Self::Ipc(_) => "node",
            Self::Provider(_) => "template provider",
        };
        format!("the {what} at {}", self.place())
    }

    /// Connects, with room in each block for the coinbase. A node over RPC has it by its own configuration, and a
    /// Template Provider is asked for what the largest coinbase needs.
    #[cfg_attr(not(feature = "ipc"), expect(unused_variables))]
    pub(crate) fn connect(self, reserve: Reserve) -> io::Result<Node> {
        match self {
            Self::Rpc(settings) => rpc::connect(settings),
            #[cfg(feature = "ipc")]
            Self::Ipc(settings) => ipc::connect(IpcSettings {
                reserve,
                ..*settings
            }),
            Self::Provider(settings) => tdp::connect(*settings),
        }
    }

    /// The way of one block to it, for who waits until it is connected.
    pub(crate) fn way(&self) -> io::Result<Way> {
        let by_rpc = match self {
            Self::Rpc(_) => true,
            #[cfg(feature = "ipc")]
            Self::Ipc(_) => false,
            Self::Provider(settings) => settings.rpc.is_some(),
        };
        if by_rpc {
            let (name, sink) = self.sink()?;
            return Ok(Way {
                name,
                sink,
                templates: None,
            });
        }
        let node = self.clone().connect(Reserve::for_outputs(3))?;
        Ok(Way {
            name: self.name(),
            sink: node.sink,
            templates: Some(node.templates),
        })
    }

    /// The way of blocks to it, with what it is called in the log.
    pub(crate) fn sink(&self) -> io::Result<(String, Box<dyn BlockSink>)> {
        let sink: Box<dyn BlockSink> = match self {
            Self::Rpc(settings) => Box::new(RpcSink::new(settings)?),
            #[cfg(feature = "ipc")]
            Self::Ipc(settings) => ipc::connect(settings.as_ref().clone())?.sink,
            Self::Provider(settings) => match &settings.rpc {
                Some(rpc) => Box::new(RpcSink::new(rpc)?),
                // It takes blocks of no templates but those that it has given over the same connection.
                None => tdp::connect(settings.as_ref().clone())?.sink,
            },
        };
        Ok((self.name(), sink))
    }
}

/// The sockets that are meant, and the network of the node behind them. Where neither the configuration nor the
/// place says it, it is mainnet; the node is asked before anything is mined.
#[cfg(feature = "ipc")]
pub(crate) fn sockets(
    socket: &NodeSocket,
    network: Option<Network>,
    home: Option<&Path>,
) -> Result<(Network, Vec<PathBuf>), Missing> {
    match (socket, network) {
        (NodeSocket::At(path), network) => {
            let network = network.unwrap_or_else(|| network_of(path));
            Ok((network, vec![path.clone()]))
        }
        (NodeSocket::Find, Some(network)) => Ok((network, socket_paths(network, home))),
        (NodeSocket::Find, None) => find_socket(home),
    }
}

/// Bitcoin Core keeps what belongs to a test network in a folder of that name.
#[cfg(feature = "ipc")]
fn network_of(path: &Path) -> Network {
    let folder = path.parent().and_then(Path::file_name);
    let is_named = |network: &Network| folder.is_some_and(|folder| *folder == *network.core_name());
    let mut networks = Network::ALL.into_iter();
    networks.find(is_named).unwrap_or(Network::Mainnet)
}

#[cfg(feature = "ipc")]
fn find_socket(home: Option<&Path>) -> Result<(Network, Vec<PathBuf>), Missing> {
    let all = Network::ALL.map(|network| (network, socket_paths(network, home)));
    let found: Vec<_> = all
        .into_iter()
        .filter(|(_, paths)| paths.iter().any(|path| path.exists()))
        .collect();
    match found.as_slice() {
        [(network, paths)] => Ok((*network, paths.clone())),
        [] => Err(Missing {
            what: "no socket of a Bitcoin node was found on this computer".to_owned(),
            next_step: "start bitcoin-node (not bitcoind) with ipcbind=unix, and the pool goes on by itself; if its socket is elsewhere, set node.ipc to it and restart headframe".to_owned(),
            command: Some("bitcoin-node -ipcbind=unix".to_owned()),
        }),
        [(first, _), ..] => {
            let networks: Vec<_> = found.iter().map(|(network, _)| network.to_string()).collect();
            Err(Missing {
                what: format!("there are sockets of several Bitcoin nodes here: {}", networks.join(", ")),
                next_step: "restart headframe with the network of the one that it is to use".to_owned(),
                command: Some(format!("HEADFRAME_NODE_NETWORK={first} headframe pool")),
            })
        }
    }
}

#[cfg(all(test, feature = "ipc"))]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_where_the_node_puts_it_and_tells_its_network() {
        let home = tempfile::tempdir().unwrap();
        let of = |network| socket_paths(network, Some(home.path())).swap_remove(0);
        let found = || sockets(&NodeSocket::Find, None, Some(home.path()));
        assert!(found().unwrap_err().next_step.contains("ipcbind=unix"));
        for network in [Network::Signet, Network::Regtest] {
            let path = of(network);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, []).unwrap();
            if network == Network::Signet {
                assert_eq!(found().unwrap().0, Network::Signet);
            }
        }
        assert!(found().unwrap_err().what.contains("signet, regtest"));
        let named = sockets(&NodeSocket::Find, Some(Network::Regtest), Some(home.path()));
        assert_eq!(named.unwrap().1[0], of(Network::Regtest));
    }

    #[test]
    fn a_socket_in_the_folder_of_a_network_is_of_that_network() {
        for (path, network) in [
            ("/data/node.sock", Network::Mainnet),
            ("/data/regtest/node.sock", Network::Regtest),
            ("/data/testnet4/other.sock", Network::Testnet4),
            ("node.sock", Network::Mainnet),
        ] {
            let (found, paths) = sockets(&NodeSocket::At(path.into()), None, None).unwrap();
            assert_eq!((found, paths), (network, vec![PathBuf::from(path)]));
        }
        let told = sockets(
            &NodeSocket::At("/x/node.sock".into()),
            Some(Network::Signet),
            None,
        );
        assert_eq!(told.unwrap().0, Network::Signet);
    }
}
