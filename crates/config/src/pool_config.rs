//! The configuration once it is valid.

use core::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use headframe_node::tdp::ProviderAddress;
use headframe_node::zmq::ZmqAddress;
use headframe_transport::{AddressSet, Endpoint, Protocols};
use headframe_work::{BasisPoints, Fee, Network, PayoutPolicy, PoolTag, Rung, VersionBits};

use crate::{KeysName, PayAddress, WrongNetwork};

/// All that an operator chooses.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolConfig {
    /// Where keys, ledger and found blocks are kept.
    pub data_dir: PathBuf,
    /// Where miners connect and how they are served there: at least one, no address twice.
    pub listeners: Vec<ListenerConfig>,
    /// The host that miners are told to dial; `None`: the one in the visitor's address bar.
    pub public_host: Option<String>,
    /// How many connections of miners there may be at once, at least 1.
    pub max_connections: usize,
    /// Where no limits apply to connections.
    pub unlimited_from: AddressSet,
    /// The pool's name in the coinbase.
    pub tag: PoolTag,
    /// How long miners may work on a block without transactions on a tip that has no template yet; zero: no
    /// tip is begun on one.
    pub empty_blocks: Duration,
    /// What blocks signal, whatever the node says.
    pub version_bits: VersionBits,
    /// Where SV2 miners that bear it are sent when the pool ends; `None`: where they are.
    pub move_to: Option<Endpoint>,
    /// The Bitcoin nodes.
    pub node: NodeConfig,
    /// Who is paid besides the miner.
    pub payout: PayoutConfig,
    /// What Stratum V2 clients have to put up with.
    pub sv2: Sv2Config,
    /// The dashboard.
    pub http: HttpConfig,
    /// How much is logged.
    pub log_level: LogLevel,
}

/// A place where miners connect.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerConfig {
    /// The address.
    pub address: SocketAddr,
    /// What is served. SV2 without Noise only where the address is loopback or private.
    pub protocols: Protocols,
    /// By which keys SV2 miners know the pool.
    pub keys: KeysName,
    /// What TLS is answered with, where it is served.
    pub certificate: CertificateConfig,
    /// What Stratum V1 miners have to say; `None`: whatever they like. Stratum V2 is not served then.
    pub password: Option<Secret>,
    /// The proxies whose PROXY header is demanded and believed here.
    pub proxy_protocol_from: AddressSet,
    /// Difficulty control.
    pub difficulty: DifficultyConfig,
    /// Whether difficulties that Stratum V1 devices suggest are passed over.
    pub ignore_suggestions: bool,
}

/// Where a certificate for TLS is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateConfig {
    /// The pool makes it.
    Own,
    /// These files, in PEM.
    Files {
        /// The certificate, followed by those that vouch for it.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
}

/// The nodes, and what is the same for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// The network that they have to be on; `None`: whichever the first is on that tells.
    pub network: Option<Network>,
    /// How long miners are held while no node can be used; `None`: for ever.
    pub hold: Option<Duration>,
    /// The node that is preferred.
    pub preferred: NodeAccess,
    /// The others, in order of preference.
    pub backups: Vec<NodeAccess>,
}

impl NodeConfig {
    /// All nodes, in order of preference.
    pub fn all(&self) -> impl Iterator<Item = &NodeAccess> {
        core::iter::once(&self.preferred).chain(&self.backups)
    }
}

/// How one node is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAccess {
    /// Where its RPC is; `None`: on this machine, on its network's usual port.
    pub address: Option<NodeAddress>,
    /// How the pool identifies itself.
    pub auth: NodeAuth,
    /// Where it publishes new blocks by ZeroMQ; empty: it is not listened to.
    pub zmq: Vec<ZmqAddress>,
    /// The socket of its mining interface; `None`: not used.
    pub socket: Option<NodeSocket>,
    /// Where templates come from and blocks go to, in place of socket and RPC; `None`: not used. Blocks go by
    /// RPC too where that is configured.
    pub template_provider: Option<ProviderAddress>,
}

impl NodeAccess {
    /// Whether something is said of its RPC.
    pub fn has_rpc(&self) -> bool {
        self.address.is_some() || self.auth != NodeAuth::FindCookie
    }
}

/// Where the socket of a node's mining interface is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeSocket {
    /// Where Bitcoin Core puts it when it is told no place.
    Find,
    /// There.
    At(PathBuf),
}

/// Host and port of a node's RPC, over plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAddress {
    /// Host name or IP address, an IPv6 address without brackets.
    pub host: String,
    /// The port; `None`: the network's usual one.
    pub port: Option<u16>,
}

/// How the pool identifies itself to the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeAuth {
    /// By a cookie file, looked for where Bitcoin Core puts it.
    FindCookie,
    /// By this cookie file.
    Cookie(PathBuf),
    /// By user and password.
    UserPassword {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
}

/// A text that is not shown: `Debug` leaves it out, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text itself. Not for logs.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Who is paid besides the miner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutConfig {
    /// What the operator keeps of a block; `None`: nothing.
    pub fee: Option<FeeConfig>,
    /// Who is paid for the blocks of user names that are no addresses; `None`: such are refused.
    pub plain_names: Option<PayAddress>,
}

/// What the operator keeps of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeConfig {
    /// The part of the block's value, above zero.
    pub rate: BasisPoints,
    /// Who gets it.
    pub address: PayAddress,
    /// A second receiver, and its part of the fee, above zero.
    pub split: Option<(BasisPoints, PayAddress)>,
}

impl PayoutConfig {
    /// The rule by which user names become payouts on the given network.
    ///
    /// # Errors
    ///
    /// An address is of another network. When the configuration names its network this was checked
    /// already, for that one.
    pub fn policy(&self, network: Network) -> Result<PayoutPolicy, WrongNetwork> {
        let fee = self.fee.as_ref().map(|fee| fee.on(network)).transpose()?;
        let plain_names = self.plain_names.as_ref().map(|address| address.on(network));
        Ok(PayoutPolicy {
            network,
            fee,
            plain_names: plain_names.transpose()?,
        })
    }
}

impl FeeConfig {
    fn on(&self, network: Network) -> Result<Fee, WrongNetwork> {
        let split = match &self.split {
            Some((part, address)) => Some((*part, address.on(network)?.script_pubkey())),
            None => None,
        };
        Ok(Fee {
            rate: self.rate,
            script: self.address.on(network)?.script_pubkey(),
            split,
        })
    }
}

/// What the operator wants of difficulty. `min` ≤ `start` ≤ `max`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DifficultyConfig {
    /// The rate of shares to aim for, per minute and miner: 1 to 120.
    pub shares_per_minute: f64,
    /// The rung of a miner of which nothing is known.
    pub start: Rung,
    /// The easiest rung.
    pub min: Rung,
    /// The hardest rung.
    pub max: Rung,
}

/// What the operator demands of Stratum V2 clients. By default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sv2Config {
    /// Whether jobs say that versions are not to be rolled.
    pub fixed_version: bool,
    /// Whether standard channels are refused.
    pub extended_channels_only: bool,
    /// Whether only clients are served that name the worker of each share (extension 0x0002).
    pub require_worker_names: bool,
}

/// The dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where it listens; `None`: there is none.
    pub listen: Option<SocketAddr>,
    /// Host names by which visitors may call it, besides those that are always allowed.
    pub allowed_hosts: Vec<String>,
}

/// How much is logged: this and what is graver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What needs the operator.
    Error,
    /// What may need him.
    Warn,
    /// What he cares about.
    Info,
    /// What one looks at when something is wrong.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// All levels, the gravest first.
    pub const ALL: [Self; 5] = [
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
