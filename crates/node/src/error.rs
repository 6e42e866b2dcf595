//! Why a node could not serve: whose fault it is, whether waiting helps, and what to do.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// Why a node could not serve.
///
/// The text is a reason in plain words; [`NodeError::advice`] is what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NodeError {
    /// Nobody listens there, or the network is down.
    #[error("no connection to the node at {address}: {reason}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the operating system said.
        reason: String,
    },
    /// The connection broke before the answer was complete.
    #[error("the node at {address} closed the connection during {method}: {reason}")]
    Broken {
        /// Host and port.
        address: String,
        /// The call.
        method: &'static str,
        /// What the HTTP library said.
        reason: String,
    },
    /// No complete answer in time.
    #[error("the node gave no answer to {method} within {seconds} s", seconds = .limit.as_secs_f32())]
    TimedOut {
        /// The call.
        method: &'static str,
        /// The time allowed.
        limit: Duration,
    },
    /// HTTP 503: all of the node's workers are taken.
    #[error("the node is busy (HTTP 503, work queue full)")]
    Busy,
    /// The node is starting (RPC error -28).
    #[error("the node is starting: {0}")]
    WarmingUp(String),
    /// The node has not caught up with its network (RPC error -10, or by its own account).
    #[error("the node is still syncing: {0}")]
    Syncing(String),
    /// The node has no peers (RPC error -9).
    #[error("the node is not connected to its network: {0}")]
    NoPeers(String),
    /// Cookie authentication is wanted and there is no cookie file.
    #[error("no cookie file found (looked for {})", paths(.looked))]
    NoCookie {
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// The cookie file exists and cannot be used.
    #[error("cookie file {} cannot be read: {reason}", .path.display())]
    UnreadableCookie {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// HTTP 401: user or password is wrong.
    #[error("the node at {address} refused the credentials ({tried})")]
    Unauthorized {
        /// Host and port.
        address: String,
        /// The cookie file or the user that was tried; never the password.
        tried: String,
    },
    /// HTTP 403: the node does not let this address, or this user, make the call.
    #[error("the node at {address} does not allow {method} (HTTP 403)")]
    Forbidden {
        /// Host and port.
        address: String,
        /// The call.
        method: &'static str,
    },
    /// The node is on another chain.
    #[error("the node is on chain {found}, the pool is configured for {expected}")]
    WrongNetwork {
        /// The pool's network.
        expected: headframe_work::Network,
        /// The node's name of its chain.
        found: String,
    },
    /// The node is on a chain that nobody mines on here, such as the third test network.
    #[error("the node is on chain {found:?}, which cannot be mined here")]
    UnknownChain {
        /// The node's name of its chain.
        found: String,
    },
    /// A signet whose challenge is not `OP_TRUE` cannot be mined here.
    #[error(
        "this signet has the challenge {challenge}; only the challenge 51 (OP_TRUE) can be mined"
    )]
    SignetChallenge {
        /// The challenge script in hexadecimal digits.
        challenge: String,
    },
    /// The template demands a rule that this program does not know (R-24, BIP9).
    #[error("the node's template demands the rule {rule}, which this version does not know")]
    UnknownRule {
        /// The rule's name.
        rule: String,
    },
    /// The template contradicts itself or cannot be read.
    #[error("the node's template is unusable: field {field}: {reason}")]
    Template {
        /// The JSON field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is not what the call promises.
    #[error("the node's answer to {method} cannot be read: {reason}")]
    Unintelligible {
        /// The call.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// None of several nodes can be mined on.
    #[error("none of the nodes can be mined on: {0}")]
    NoneOfSeveral(String),
    /// There is no socket of a node's mining interface, or nobody listens at it.
    #[error("no node answers at {}", paths(.looked))]
    NoSocket {
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// The node's socket is there and may not be opened.
    #[error("the node's socket {} cannot be opened: {reason}", .path.display())]
    SocketForbidden {
        /// The socket.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// The node speaks another mining interface than this program.
    #[error("the node's mining interface is not one that this version knows: {reason}")]
    UnknownInterface {
        /// What is different.
        reason: String,
    },
    /// What this node does not tell by its mining interface, and its RPC would.
    #[error("the node does not tell {what} by its mining interface")]
    NotTold {
        /// What is not told.
        what: &'static str,
    },
    /// The node's mining interface refused a call.
    #[error("the node answered {method} with an error: {message}")]
    Refused {
        /// The call.
        method: &'static str,
        /// The node's words.
        message: String,
    },
    /// A template provider that cannot be worked with now.
    #[error("the template provider at {address} cannot be used: {reason}")]
    Provider {
        /// Host and port.
        address: String,
        /// Why.
        reason: String,
    },
    /// Who answers is not the template provider whose key is configured.
    #[error("who answers at {address} is not the configured template provider: {reason}")]
    Impostor {
        /// Host and port.
        address: String,
        /// What the handshake showed.
        reason: String,
    },
    /// Templates of a template provider say too little for the network.
    #[error(
        "{network} cannot be mined by template distribution, which does not tell for which times a template's difficulty holds"
    )]
    Untold {
        /// The pool's network.
        network: headframe_work::Network,
    },
    /// A Template Provider is connected and says nothing, not even when it is asked.
    #[error(
        "the template provider at {address} has said nothing for {seconds} s, though it was asked",
        seconds = .silent.as_secs()
    )]
    Frozen {
        /// Host and port.
        address: String,
        /// For how long.
        silent: Duration,
    },
    /// The node is reached in a way in which it cannot be asked that.
    #[error("a template provider cannot be asked {what}")]
    NotAskable {
        /// What was to be asked.
        what: &'static str,
    },
    /// An RPC error that has no case of its own.
    #[error("the node answered {method} with error {code}: {message}")]
    Rpc {
        /// The call.
        method: &'static str,
        /// Bitcoin Core's RPC error code.
        code: i64,
        /// Bitcoin Core's words.
        message: String,
    },
}

/// Whether waiting can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// It may pass by itself.
    Transient,
    /// Somebody has to do something.
    Persistent,
}

/// Who can do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The node, or the way to it.
    Node,
    /// Whoever configured pool and node.
    Operator,
    /// This program: it is too old, or wrong.
    Ours,
}

impl NodeError {
    /// Whether waiting can help.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::TimedOut { .. }
            | Self::Busy
            | Self::WarmingUp(_)
            | Self::Syncing(_)
            | Self::NoPeers(_)
            | Self::NoCookie { .. }
            | Self::NoSocket { .. }
            | Self::Unintelligible { .. }
            | Self::NoneOfSeveral(_)
            | Self::Refused { .. }
            | Self::Provider { .. }
            | Self::Frozen { .. }
            | Self::Rpc { .. } => ErrorKind::Transient,
            Self::UnreadableCookie { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::WrongNetwork { .. }
            | Self::UnknownChain { .. }
            | Self::SignetChallenge { .. }
            | Self::UnknownRule { .. }
            | Self::SocketForbidden { .. }
            | Self::UnknownInterface { .. }
            | Self::NotTold { .. }
            | Self::Impostor { .. }
            | Self::Untold { .. }
            | Self::NotAskable { .. }
            | Self::Template { .. } => ErrorKind::Persistent,
        }
    }

    /// Who can do something about it.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::TimedOut { .. }
            | Self::Busy
            | Self::WarmingUp(_)
            | Self::Syncing(_)
            | Self::NoPeers(_)
            | Self::Template { .. }
            | Self::Unintelligible { .. }
            | Self::NoneOfSeveral(_)
            | Self::Refused { .. }
            | Self::Provider { .. }
            | Self::Frozen { .. }
            | Self::Rpc { .. } => Fault::Node,
            Self::NoCookie { .. }
            | Self::UnreadableCookie { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::WrongNetwork { .. }
            | Self::UnknownChain { .. }
            | Self::NoSocket { .. }
            | Self::SocketForbidden { .. }
            | Self::NotTold { .. }
            | Self::Impostor { .. }
            | Self::Untold { .. }
            | Self::NotAskable { .. }
            | Self::SignetChallenge { .. } => Fault::Operator,
            Self::UnknownRule { .. } | Self::UnknownInterface { .. } => Fault::Ours,
        }
    }

    /// What to do about it, in one sentence.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => {
                "start bitcoind with server=1, or set the node's address and port and restart headframe"
            }
            Self::Broken { .. } => "look at the node's debug.log; the pool tries again by itself",
            Self::TimedOut { .. } => {
                "see whether the node is overloaded; the pool tries again by itself"
            }
            Self::Busy => "raise rpcworkqueue and rpcthreads in bitcoin.conf if this lasts",
            Self::WarmingUp(_) | Self::Syncing(_) => {
                "wait; mining begins by itself when the node is ready"
            }
            Self::NoPeers(_) => "check the node's internet connection",
            Self::NoCookie { .. } => {
                "start bitcoind with server=1, or set the path of its .cookie file, or a user and password, and restart headframe"
            }
            Self::UnreadableCookie { .. } => {
                "let the pool's user read the cookie file (rpccookieperms=group in bitcoin.conf)"
            }
            Self::Unauthorized { .. } => {
                "set the cookie file of this very node, or the user and password of its rpcauth line, and restart headframe"
            }
            Self::Forbidden { .. } => {
                "add this host to rpcallowip, and the call to rpcwhitelist, in bitcoin.conf"
            }
            Self::WrongNetwork { .. } => {
                "set the pool's network to the node's, or the address of another node, and restart headframe"
            }
            Self::UnknownChain { .. } => {
                "set the address of a node on mainnet, testnet4, signet or regtest, and restart headframe"
            }
            Self::SignetChallenge { .. } => {
                "mine a signet started with -signetchallenge=51, or another network"
            }
            Self::UnknownRule { .. } => "update this program",
            Self::UnknownInterface { .. } => {
                "use Bitcoin Core 31 or 32 for node.ipc, or node.url instead, or update this program"
            }
            Self::NoSocket { .. } => {
                "start bitcoin-node (not bitcoind) with ipcbind=unix, or set node.ipc to its socket and restart headframe"
            }
            Self::SocketForbidden { .. } => {
                "run headframe as the node's user, or let a group of both open the socket (g+rw) and the folders above it (g+x)"
            }
            Self::NotTold { .. } => {
                "set node.url beside node.ipc and restart headframe, or use Bitcoin Core 32"
            }
            Self::Template { .. } | Self::Unintelligible { .. } => {
                "check that the address is Bitcoin Core's RPC port and its version is supported"
            }
            Self::NoneOfSeveral(_) => "see what is said of each node; one that is well is enough",
            Self::Refused { .. } | Self::Rpc { .. } => "look at the node's debug.log",
            Self::Provider { .. } => {
                "see that the template provider runs; the pool connects again by itself"
            }
            Self::Frozen { .. } => {
                "see whether the template provider or its node is frozen or overloaded; the pool connects again by itself"
            }
            Self::Impostor { .. } => {
                "set the authority key that the template provider shows behind its address, and restart headframe"
            }
            Self::Untold { .. } => {
                "take templates by RPC: leave template_provider empty, and restart headframe"
            }
            Self::NotAskable { .. } => "set the address of the node's RPC too",
        }
    }
}

fn paths(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    shown.join(", ")
}
