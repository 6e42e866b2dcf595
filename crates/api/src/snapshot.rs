//! The whole pool at one moment.

use serde::{Deserialize, Serialize};

use crate::{
    Alarm, BestShares, Block, BlockCounts, BlockProof, Connect, HashrateWindows, LedgerSummary,
    Miner, MinerCounts, Node, NodeHealth, Odds, ShareCounts,
};

/// The pool at one moment without its miners, of whom there may be very many: what is published whether
/// anybody looks or not. The miners are listed for those who ask.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// Everything but the lists; a few kilobytes whatever the size of the pool.
    pub summary: Summary,
    /// Found blocks, newest first. The server bounds the list (1,000 is plenty).
    pub blocks: Vec<Block>,
}

/// The whole pool at one moment: the summary that a page shows first, and the two long lists.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Everything but the lists; a few kilobytes whatever the size of the pool.
    pub summary: Summary,
    /// One entry per mining channel, and one per worker that was here lately and has gone. In any
    /// order.
    pub miners: Vec<Miner>,
    /// Found blocks, newest first. The server bounds the list (1,000 is plenty).
    pub blocks: Vec<Block>,
}

/// The answers that fit on one screen: does it work, how much, how close, what needs me.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Grows with every snapshot of one run, from 1.
    pub sequence: u64,
    /// When the snapshot was taken.
    pub taken_at: u64,
    /// Who answers.
    pub software: Software,
    /// The chain that the pool mines on; `None` while it is not known, because no node was found.
    pub network: Option<Network>,
    /// Whether this is `headframe demo`: an embedded chain whose coins are worth nothing.
    pub demo: bool,
    /// Whether the pool mines, and if not, why not.
    pub state: PoolState,
    /// When this process started.
    pub started_at: u64,
    /// How long this process has run, by the monotonic clock.
    pub uptime_seconds: u64,
    /// The pool's hashrate, estimated from accepted shares.
    pub hashes_per_second: HashrateWindows,
    /// How many miners there are.
    pub miners: MinerCounts,
    /// All shares since the ledger began, or since the start where there is no ledger on disk.
    pub shares: ShareCounts,
    /// What has been acknowledged and is not on disk.
    pub ledger: LedgerSummary,
    /// How close the pool came to a block.
    pub best: BestShares,
    /// How long a block takes, and how this round goes.
    pub odds: Odds,
    /// How many blocks there were, by fate.
    pub blocks: BlockCounts,
    /// Tips on which miners were given a block without transactions, because there was no template yet.
    #[serde(default)]
    pub empty_blocks: EmptyBlocks,
    /// The node that gives templates and takes blocks.
    pub node: Node,
    /// How each node is, the preferred one first. Empty where there is one.
    #[serde(default)]
    pub nodes: Vec<NodeHealth>,
    /// What the node says of a block of this pool before one is found; `None` until it has judged one.
    pub proof: Option<BlockProof>,
    /// Who is paid.
    pub payout: Payout,
    /// What to type into a miner.
    pub connect: Connect,
    /// What needs the operator, the most urgent first. Empty when all is well.
    pub alarms: Vec<Alarm>,
}

/// What was risked to begin on a new tip at once: a block that pays no fees. Since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct EmptyBlocks {
    /// Tips that were begun so.
    pub tips_begun: u64,
    /// Those of them that had no template yet.
    pub tips_awaited: u64,
    /// How long it was, in all, until miners were given other jobs.
    pub seconds: f64,
}

/// The program that answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Software {
    /// `headframe`.
    pub name: String,
    /// A semantic version, without a leading `v`.
    pub version: String,
}

/// The chain that a pool mines on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// The chain whose coins have value.
    Mainnet,
    /// The fourth test network.
    Testnet4,
    /// A signet with the challenge `OP_TRUE`.
    Signet,
    /// A private chain.
    Regtest,
}

/// Whether the pool mines, and if not, why not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PoolState {
    /// The process is up and something is still opening.
    #[default]
    Starting,
    /// Something that the pool cannot do without is missing. No mining port is open.
    Setup(SetupStep),
    /// Work is being handed out.
    Running,
    /// The node is silent or refuses to serve. Miners keep their last work for a time, and are released
    /// to whatever other pools they have then.
    NodeUnusable {
        /// What is wrong with the node in plain words, one sentence.
        reason: String,
        /// The one thing to do, one sentence.
        next_step: String,
        /// Since when.
        since_at: u64,
        /// When miners are released, or were: then no mining port is open. `None`: they are held for as
        /// long as it takes, or none could be here before the first work.
        release_at: Option<u64>,
    },
    /// The pool is draining its connections and will exit.
    Stopping,
}

/// The one thing to do next before the pool can mine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupStep {
    /// What is missing, one sentence: `No Bitcoin node was found on this machine.`
    pub missing: String,
    /// What to do, one sentence: `Start Bitcoin Core with server=1, or tell headframe where it is:`
    pub next_step: String,
    /// Lines to copy into a terminal or a file, if there are any.
    pub command: Option<String>,
}

/// Who is paid by a block of this pool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Payout {
    /// The operator's fee in percent of the block's value; 0 when there is none.
    pub fee_percent: f64,
    /// Where the fee goes; `None` when there is none.
    pub fee_address: Option<String>,
    /// Where the blocks of miners go whose user name is not an address; `None` when such miners
    /// are refused.
    pub plain_name_address: Option<String>,
}
