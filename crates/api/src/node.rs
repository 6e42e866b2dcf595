//! The node that gives templates and takes blocks.

use serde::{Deserialize, Serialize};

/// The node that gives templates and takes blocks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// How the pool speaks with it; `None` while that is not known.
    pub kind: Option<NodeKind>,
    /// Where it is, without user or password: `http://127.0.0.1:8332`. Empty for the embedded chain,
    /// and while no node was found. Where there are several, this is the preferred one, and the rest is of the
    /// one that is mined on ([`NodeHealth`]).
    pub endpoint: String,
    /// What it says it is: `/Satoshi:31.0.0/`.
    pub software: Option<String>,
    /// Whether it serves.
    pub state: NodeState,
    /// The height of its tip.
    pub height: Option<u64>,
    /// The hash of its tip.
    pub tip_hash: Option<String>,
    /// When the pool learnt of this tip.
    pub tip_seen_at: Option<u64>,
    /// How many peers it has; `None` where there are none by design or it does not say.
    pub peers: Option<u64>,
    /// When it last answered anything.
    pub last_answer_at: Option<u64>,
    /// The template that is being worked on.
    pub template: Option<TemplateSummary>,
    /// Where it publishes its new blocks and is listened to (`node.zmq`). Empty: nowhere.
    #[serde(default)]
    pub publishers: Vec<Publisher>,
}

/// A place where a node publishes its new blocks, and how it is to listen there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publisher {
    /// Where: `tcp://127.0.0.1:28332`.
    pub address: String,
    /// Whether it is heard.
    pub state: PublisherState,
    /// Since when.
    pub since_at: u64,
    /// When it last announced a block.
    pub last_block_at: Option<u64>,
    /// What is the matter with it: one sentence; `None` where nothing is, or it is not known yet.
    pub reason: Option<String>,
    /// What to do about that.
    pub next_step: Option<String>,
    /// Why it was last not heard, one sentence, also where it is heard again.
    pub last_error: Option<String>,
    /// Since when that was said.
    pub last_error_at: Option<u64>,
}

/// Whether a publisher is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublisherState {
    /// It is not connected, and is tried again and again.
    Connecting,
    /// It is connected.
    Connected,
    /// It is connected, and has told of no block though there was one: it publishes something else.
    Mute,
}

/// How one of several nodes is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHealth {
    /// The node, as the log names it.
    pub name: String,
    /// Whether it is mined on. Blocks go to all of them.
    pub mined_on: bool,
    /// Where it stands among the others.
    pub standing: NodeStanding,
    /// Since when it stands there.
    pub since_at: u64,
    /// Why it is not mined on, or what is the matter with it: one sentence; `None` where nothing is.
    pub reason: Option<String>,
    /// What to do about that, where somebody can do something.
    pub next_step: Option<String>,
    /// What it says it is.
    pub software: Option<String>,
    /// The height of its tip.
    pub height: Option<u64>,
    /// The hash of its tip.
    pub tip_hash: Option<String>,
    /// When the pool learnt of this tip from it.
    pub tip_seen_at: Option<u64>,
    /// How many peers it has; `None` where it does not say.
    pub peers: Option<u64>,
    /// When it last gave a template.
    pub template_at: Option<u64>,
    /// Where it publishes its new blocks and is listened to. Empty: nowhere.
    #[serde(default)]
    pub publishers: Vec<Publisher>,
}

/// Where one of several nodes stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStanding {
    /// Nothing was heard of it yet.
    Starting,
    /// It can be mined on.
    Well,
    /// It can be mined on, and was not well lately: another is mined on while there is one.
    Recovering,
    /// It can be mined on, though something is the matter: another is mined on while there is one.
    Doubtful,
    /// Another node's chain is longer. It is not mined on.
    Behind,
    /// It gives no templates.
    Failed,
}

/// How the pool speaks with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// The chain inside the process.
    Embedded,
    /// JSON-RPC.
    Rpc,
    /// Bitcoin Core's mining interface.
    Ipc,
    /// The SV2 template distribution protocol.
    TemplateDistribution,
}

/// Whether a node serves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NodeState {
    /// No answer yet.
    #[default]
    Connecting,
    /// It is catching up with the chain and gives no templates.
    Syncing {
        /// How far it is.
        progress_percent: f64,
    },
    /// It gives templates.
    Ready,
    /// It cannot be used.
    Unusable {
        /// Why, in plain words, one sentence.
        reason: String,
        /// Since when.
        since_at: u64,
    },
}

/// The template that is being worked on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSummary {
    /// The height of the block to be found.
    pub height: u64,
    /// Its transactions without the coinbase.
    pub transactions: u64,
    /// Their fees.
    pub fees_sats: u64,
    /// Subsidy and fees: what the coinbase may pay.
    pub value_sats: u64,
    /// When the pool received it.
    pub received_at: u64,
}
