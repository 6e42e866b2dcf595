//! What the rest of the pool tells the board.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bitcoin::{Amount, BlockHash};
use headframe_api::Encryption;
use headframe_channels::ChannelId;
use headframe_ledger::{Ban, BestShare, BlockFate, FoundBlock, Rejection, WorkerId};
use headframe_mining::server::{Joined, LongCoinbase};
use headframe_node::NodeStatus;
use headframe_node::several::NodeHealth;
use headframe_transport::Fingerprint;
use headframe_work::{Rung, UnixTime, Work};

use crate::ledger::LedgerState;
use crate::limits::Warning;
use crate::proof::Layouts;

/// Names a miner while it is connected: its connection, and its seat in the connection's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MinerKey {
    pub(crate) connection: u64,
    pub(crate) seat: ChannelId,
}

/// Something that the board shows.
#[derive(Debug)]
pub(crate) enum News {
    /// A miner has a seat.
    Joined {
        key: MinerKey,
        /// As the ledger knows it.
        worker: WorkerId,
        joined: Box<Joined>,
        peer: SocketAddr,
        encryption: Encryption,
        at: UnixTime,
    },
    /// What a miner submitted since it was last told.
    Shares {
        key: MinerKey,
        tally: Box<ShareTally>,
    },
    /// A miner's difficulty changed.
    Difficulty { key: MinerKey, rung: Rung },
    /// A miner's coinbases are longer than its device bears.
    LongCoinbase {
        key: MinerKey,
        coinbase: LongCoinbase,
    },
    /// A miner is gone. Under a name that was `vacated` nobody mined who is not here under another.
    Left {
        key: MinerKey,
        at: UnixTime,
        vacated: bool,
    },
    /// Somebody was turned away because of his user name.
    NameRefused {
        user: String,
        reason: String,
        peer: SocketAddr,
        at: UnixTime,
    },
    /// An address is close to a ban.
    Warned(Box<WarningNews>),
    /// An address is banned.
    Banned(Ban),
    /// No job can be made of the node's template.
    NoJob { reason: String, at: UnixTime },
    /// A block was found.
    BlockFound(Box<BlockNews>),
    /// There is news of a block.
    BlockFate {
        hash: BlockHash,
        fate: BlockFate,
        /// How often it was given to a node.
        attempts: u32,
        /// Why the last attempt settled nothing.
        trouble: Option<String>,
        /// What each node that has answered last said; empty: nothing new.
        answers: Vec<(String, String)>,
    },
    /// The node's health.
    Node(NodeStatus),
    /// The health of each of several nodes.
    Nodes(Vec<NodeHealth>),
    /// The pool works on another template.
    Work(WorkNews),
    /// What was risked to begin on tips at once.
    Empty(EmptyNews),
    /// How the ledger is doing.
    Ledger(LedgerState),
    /// A set of keys has this certificate now.
    Certificate(CertificateNews),
    /// The node is away, or back.
    Hold(HoldNews),
    /// TLS is answered with this certificate.
    Tls(TlsNews),
    /// The node has judged a block that has no proof of work yet.
    Proof(ProofNews),
}

/// What a node says of a block that was not found yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProofNews {
    /// How the block pays.
    pub(crate) layout: Layouts,
    pub(crate) height: u32,
    /// What the node is called.
    pub(crate) node: String,
    /// The miner's.
    pub(crate) address: String,
    /// What that address is paid.
    pub(crate) paid: Amount,
    /// The node's reason where it would refuse the block.
    pub(crate) verdict: Result<(), String>,
    pub(crate) at: UnixTime,
}

/// An address that is close to a ban.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WarningNews {
    pub(crate) warning: Warning,
    /// Who mines over the connection that earned it; empty where nobody does.
    pub(crate) miners: String,
    pub(crate) at: UnixTime,
}

/// A certificate, as its operator has to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateNews {
    /// The key file that it is in.
    pub(crate) path: PathBuf,
    /// Its last second.
    pub(crate) ends: UnixTime,
    /// From here on it is to be renewed.
    pub(crate) renew_from: UnixTime,
    /// Whether the pool does that by itself, because the authority's secret is here.
    pub(crate) is_renewed_here: bool,
}

/// What becomes of miners while the node is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct HoldNews {
    /// When they are released, or were; `None` where they are held for ever, or the node is there.
    pub(crate) release_at: Option<UnixTime>,
    /// Whether they were.
    pub(crate) is_released: bool,
}

/// Blocks without transactions that were mined on before the full ones, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct EmptyNews {
    pub(crate) tips: u64,
    /// Those that had no template yet.
    pub(crate) awaited: u64,
    pub(crate) spent: Duration,
}

/// A certificate for TLS, as its operator has to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsNews {
    /// The file that it is in.
    pub(crate) path: PathBuf,
    /// What miners know it by.
    pub(crate) fingerprint: Fingerprint,
    /// Its last second.
    pub(crate) ends: UnixTime,
    /// From here on its end is spoken of.
    pub(crate) warn_from: UnixTime,
    /// Whether the pool has made it.
    pub(crate) is_own: bool,
    /// Why what is in the files now is not in use, and since when.
    pub(crate) trouble: Option<(String, UnixTime)>,
}

/// What a miner submitted.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShareTally {
    pub(crate) accepted: u64,
    pub(crate) work: Work,
    pub(crate) rejected: BTreeMap<Rejection, u64>,
    pub(crate) best: Option<BestShare>,
    pub(crate) last_accepted: Option<UnixTime>,
    /// Accepted shares that were acknowledged before the ledger had them.
    pub(crate) not_durable: u64,
}

/// A block, as people see it.
#[derive(Debug, Clone)]
pub(crate) struct BlockNews {
    /// What the ledger keeps of it, so that it shows the same after a restart.
    pub(crate) record: FoundBlock,
    /// Where the block lies on disk.
    pub(crate) file: Option<String>,
}

/// A template, as people see it.
#[derive(Debug, Clone)]
pub(crate) struct WorkNews {
    pub(crate) height: u32,
    pub(crate) prev_hash: BlockHash,
    pub(crate) transactions: usize,
    pub(crate) fees: Amount,
    pub(crate) value: Amount,
    pub(crate) network_difficulty: f64,
    pub(crate) at: UnixTime,
}
