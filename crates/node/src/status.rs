//! A node's health as a value, for the log, the dashboard and the decision to listen.

use std::time::Instant;

use bitcoin::BlockHash;
use headframe_work::Network;

use crate::NodeError;
use crate::zmq::Publisher;

/// What is known of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeStatus {
    /// Which node, in words for a person: `Bitcoin Core at 127.0.0.1:8332`, `embedded chain`.
    pub name: String,
    /// The network that the pool is configured for.
    pub network: Network,
    /// Whether it can be mined on.
    pub condition: Condition,
    /// The newest block, once known.
    pub tip: Option<Tip>,
    /// The node's version as it names itself, such as `/Satoshi:31.0.0/`.
    pub version: Option<String>,
    /// Connections to other nodes; `None` where that has no meaning or is not known.
    pub peers: Option<u32>,
    /// The part of its chain that the node has verified, from 0 to 1, by its own estimate; `None`
    /// where that has no meaning or is not known.
    pub verified: Option<f64>,
    /// When the newest template arrived.
    pub last_template: Option<Instant>,
    /// When a node that speaks only when there is something new has last shown that it is there: its newest
    /// template stands.
    pub last_sign: Option<Instant>,
    /// Where it publishes its new blocks and is listened to, as configured; empty: nowhere.
    pub publishers: Vec<Publisher>,
}

/// Whether a node can be mined on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Not asked yet.
    Starting,
    /// It gives templates.
    Ready,
    /// It gives no templates. The error's text is the reason in plain words, and
    /// [`advice`](NodeError::advice) says what to do.
    Unusable(NodeError),
}

/// A block at the end of the best chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Its height; the genesis block has 0.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
}

impl NodeStatus {
    /// The status before the first word from the node.
    pub fn starting(name: String, network: Network) -> Self {
        Self {
            name,
            network,
            condition: Condition::Starting,
            tip: None,
            version: None,
            peers: None,
            verified: None,
            last_template: None,
            last_sign: None,
            publishers: Vec::new(),
        }
    }

    /// Whether the node gives templates now.
    pub fn is_ready(&self) -> bool {
        self.condition == Condition::Ready
    }
}
