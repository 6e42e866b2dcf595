//! What the ports ask of the thread that owns the connection.

use std::sync::mpsc::SyncSender;

use bitcoin::{BlockHash, Txid};
use tokio::sync::{mpsc, oneshot};

use crate::solution::Solution;
use crate::{BlockFate, CheckAnswer, NodeError, SubmitAnswer};

/// Questions that wait for the thread: the sink and those who check ask one at a time each.
pub(super) const QUEUE: usize = 16;

/// Where questions go.
pub(super) type Commands = mpsc::Sender<Command>;

/// The transactions asked for, `None` for those that the node does not know.
pub(super) type Found = Vec<Option<Vec<u8>>>;

/// A question, and where its answer goes. An answer that nobody waits for any more is dropped.
pub(super) enum Command {
    /// A block by its header and coinbase.
    Solution(Box<Solution>, SyncSender<SolutionAnswer>),
    /// A whole block.
    Block(Vec<u8>, SyncSender<SubmitAnswer>),
    /// A whole block that the node took and that is not its tip: is it a bad one?
    Judge(Vec<u8>, SyncSender<SubmitAnswer>),
    /// Where a block stands.
    Fate(BlockHash, SyncSender<Result<BlockFate, NodeError>>),
    /// Whether the node answers.
    StandBy(SyncSender<Result<(), NodeError>>),
    /// A block without proof of work.
    Check(Vec<u8>, oneshot::Sender<Result<CheckAnswer, NodeError>>),
    /// Transactions of the mempool.
    Transactions(Vec<Txid>, oneshot::Sender<Result<Found, NodeError>>),
}

/// What the node says to header and coinbase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SolutionAnswer {
    /// A word on the block.
    Said(SubmitAnswer),
    /// The node could not take it, or refused it and said not why: the whole block has to be shown.
    ShowBlock,
    /// The node took it and it is not the tip: the whole block has to be judged.
    JudgeBlock,
}
