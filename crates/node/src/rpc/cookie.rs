//! How the pool identifies itself to a node, and how it finds a node on its own machine.
//!
//! Bitcoin Core writes a new cookie file at every start and takes it away when it ends. So the
//! file is read when it is needed, never kept for longer than the node accepts it.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headframe_work::Network;
use hyper::header::HeaderValue;

use super::RpcAddress;
use crate::NodeError;

/// A cookie file is about 75 bytes.
const LONGEST_COOKIE: u64 = 4_096;
/// How long a port on this machine may take to answer when nodes are looked for.
const KNOCK: Duration = Duration::from_millis(300);

/// How the pool identifies itself to a node.
#[derive(Clone, PartialEq, Eq)]
pub enum RpcAuth {
    /// By the first of these cookie files that exists.
    Cookie(Vec<PathBuf>),
    /// By user and password, as in the node's `rpcauth` or `rpcuser` and `rpcpassword`.
    UserPassword {
        /// The user.
        user: String,
        /// The password; never shown.
        password: String,
    },
}

impl fmt::Debug for RpcAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// A node on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its network.
    pub network: Network,
    /// Its cookie file.
    pub cookie: PathBuf,
    /// Where its RPC port should be.
    pub address: RpcAddress,
    /// Whether somebody listens there.
    pub answering: bool,
}

/// Looks for nodes of all networks on this machine by their cookie files, in the order of
/// [`Network::ALL`]: at most one of each network. Where several cookies lie about, the newest is
/// the one, since a node writes its cookie when it starts, and one that was killed leaves an old
/// one behind. Blocks for up to 300 ms per network.
pub fn discover(home: &Path) -> Vec<Candidate> {
    let candidates = Network::ALL.into_iter().filter_map(|network| {
        let paths = cookie_paths(network, Some(home)).into_iter();
        let existing = paths.filter(|path| path.is_file());
        Some(Candidate {
            network,
            cookie: existing.max_by_key(|path| written_at(path))?,
            address: RpcAddress::local(network),
            answering: answers(RpcAddress::default_port(network)),
        })
    });
    candidates.collect()
}

fn written_at(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

/// Where a node of this network keeps its cookie when it is told nothing: the data directory of
/// the user, then that of a system service.
pub fn cookie_paths(network: Network, home: Option<&Path>) -> Vec<PathBuf> {
    let folder = match network {
        Network::Mainnet => "",
        Network::Testnet4 => "testnet4",
        Network::Signet => "signet",
        Network::Regtest => "regtest",
    };
    let users = home.map(|home| {
        if cfg!(target_os = "macos") {
            home.join("Library/Application Support/Bitcoin")
        } else {
            home.join(".bitcoin")
        }
    });
    users
        .into_iter()
        .chain([PathBuf::from("/var/lib/bitcoind")])
        .map(|directory| directory.join(folder).join(".cookie"))
        .collect()
}

impl RpcAuth {
    /// What is tried, in words that are safe to log.
    pub fn name(&self) -> String {
        match self {
            Self::Cookie(paths) => {
                let path = paths
                    .iter()
                    .find(|path| path.exists())
                    .or_else(|| paths.first());
                path.map_or_else(
                    || "no cookie file".to_owned(),
                    |path| format!("cookie file {}", path.display()),
                )
            }
            Self::UserPassword { user, .. } => format!("user {user:?}"),
        }
    }

    /// The value of the `Authorization` header, with a cookie read anew.
    pub(super) fn header(&self) -> Result<HeaderValue, NodeError> {
        let credentials = match self {
            Self::Cookie(paths) => read_cookie(paths)?,
            Self::UserPassword { user, password } => format!("{user}:{password}"),
        };
        let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(credentials)))
            .expect("base64 is printable");
        value.set_sensitive(true);
        Ok(value)
    }
}

fn answers(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, KNOCK).is_ok()
}

fn read_cookie(paths: &[PathBuf]) -> Result<String, NodeError> {
    for path in paths {
        let unreadable = |reason: String| NodeError::UnreadableCookie {
            path: path.clone(),
            reason,
        };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let mut text = String::new();
        file.take(LONGEST_COOKIE)
            .read_to_string(&mut text)
            .map_err(|error| unreadable(error.to_string()))?;
        let cookie = text.trim_end();
        if !cookie.contains(':') {
            return Err(unreadable("it does not hold user:password".to_owned()));
        }
        return Ok(cookie.to_owned());
    }
    Err(NodeError::NoCookie {
        looked: paths.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_in_the_data_directory_of_its_network() {
        let home = Path::new("/home/ann");
        let first = |network| cookie_paths(network, Some(home))[0].clone();
        let data = if cfg!(target_os = "macos") {
            home.join("Library/Application Support/Bitcoin")
        } else {
            home.join(".bitcoin")
        };
        assert_eq!(first(Network::Mainnet), data.join(".cookie"));
        assert_eq!(first(Network::Testnet4), data.join("testnet4/.cookie"));
        assert_eq!(first(Network::Signet), data.join("signet/.cookie"));
        assert_eq!(first(Network::Regtest), data.join("regtest/.cookie"));
        let without_home = cookie_paths(Network::Signet, None);
        assert_eq!(
            without_home,
            [PathBuf::from("/var/lib/bitcoind/signet/.cookie")]
        );
    }

    #[test]
    fn the_first_cookie_that_exists_counts() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        let present = directory.path().join("present");
        std::fs::write(&present, "__cookie__:abc\n").unwrap();
        assert_eq!(
            read_cookie(&[missing.clone(), present]),
            Ok("__cookie__:abc".to_owned())
        );
        assert_eq!(
            read_cookie(std::slice::from_ref(&missing)),
            Err(NodeError::NoCookie {
                looked: vec![missing]
            })
        );
    }

    #[test]
    fn what_is_no_cookie_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".cookie");
        for content in [&b""[..], b"no colon", b"\xff\xfe:"] {
            std::fs::write(&path, content).unwrap();
            let error = read_cookie(std::slice::from_ref(&path)).unwrap_err();
            assert!(
                matches!(error, NodeError::UnreadableCookie { .. }),
                "{error}"
            );
            assert!(error.to_string().contains(&path.display().to_string()));
        }
    }

    #[test]
    fn discovery_finds_the_networks_that_have_a_cookie() {
        let home = tempfile::tempdir().unwrap();
        for network in [Network::Regtest, Network::Mainnet] {
            let cookie = cookie_paths(network, Some(home.path()))[0].clone();
            std::fs::create_dir_all(cookie.parent().unwrap()).unwrap();
            std::fs::write(cookie, "__cookie__:abc").unwrap();
        }
        let found: Vec<Network> = discover(home.path())
            .into_iter()
            .filter(|candidate| candidate.cookie.starts_with(home.path()))
            .map(|candidate| candidate.network)
            .collect();
        assert_eq!(found, [Network::Mainnet, Network::Regtest]);
    }

    #[test]
    fn a_password_is_never_shown() {
        let auth = RpcAuth::UserPassword {
            user: "ann".to_owned(),
            password: "hunter2".to_owned(),
        };
        assert_eq!(format!("{auth:?}"), "user \"ann\"");
        let header = auth.header().unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic YW5uOmh1bnRlcjI=");
        assert!(!format!("{header:?}").contains("YW5u"));
    }
}
