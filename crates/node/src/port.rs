//! The ports: what the pool asks of a node, whatever node it is.
//!
//! They are small on purpose, and usable as trait objects, because the adapter is chosen by the
//! configuration. None of them knows JSON, HTTP or a chain's rules.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bitcoin::{BlockHash, CompactTarget, Txid};
use headframe_work::{BlockHex, Template, UnixTime};
use tokio::sync::watch;

use crate::{BlockFate, CheckAnswer, HeaderWindow, NodeError, NodeStatus, SubmitAnswer, Tip};

/// A future in a box, so that the asynchronous ports can be trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One node: a value of each port, and what is known of the node's health.
pub struct Node {
    /// Where templates come from.
    pub templates: Box<dyn TemplateSource>,
    /// Where blocks go. Belongs on a thread of its own.
    pub sink: Box<dyn BlockSink>,
    /// Judges a block without proof of work.
    pub check: Arc<dyn BlockCheck>,
    /// Knows the transactions of the mempool.
    pub transactions: Arc<dyn TransactionSource>,
    /// The newest word on the node's health.
    pub status: watch::Receiver<NodeStatus>,
}

/// Gives block templates as they change.
pub trait TemplateSource: Send {
    /// Waits until there is something new to tell: a template on a new tip, a fresher template on
    /// the same tip, or an error that was not told before.
    ///
    /// Only the newest template is kept; one that was overtaken is never told. Cancel-safe: a
    /// future that is dropped has consumed nothing.
    ///
    /// # Errors
    ///
    /// Why the node gives no templates now. The source goes on trying by itself: call again, and
    /// an `Ok` means that the node is well again. Until then nothing that was told before may be
    /// mined on with confidence.
    fn next(&mut self) -> BoxFuture<'_, Result<TemplateUpdate, NodeError>>;

    /// The newest tip that the node told of before it had a template on it; `None` where it never does.
    ///
    /// The template follows, by [`next`](Self::next). After word of a tip no template on the one before it is
    /// told, unless the node was asked for it after that: then the word was wrong, and is taken back so.
    fn new_tips(&self) -> Option<watch::Receiver<Option<NewTip>>> {
        None
    }
}

/// Takes solved blocks. Every call blocks its thread, so it is called from a thread that does
/// nothing else, and never from asynchronous code.
pub trait BlockSink: Send {
    /// Gives a block to the node and says what became of it.
    ///
    /// `block` is the consensus serialisation of the whole block, coinbase with witness.
    ///
    /// There is no error apart from the answer: whatever stands between the block and the node is
    /// [`SubmitAnswer::Retry`].
    fn submit(&mut self, block: &BlockHex) -> SubmitAnswer;

    /// Where a block stands in the node's chain: for blocks whose answer left that open.
    ///
    /// # Errors
    ///
    /// The node could not be asked.
    fn fate(&mut self, hash: BlockHash) -> Result<BlockFate, NodeError>;

    /// Another way to the same node, so that a block need not wait for one that hangs, nor for a question.
    /// Does not wait for the node. `None`: this is the only way.
    fn another_way(&self) -> Option<Box<dyn BlockSink>> {
        None
    }

    /// Keeps the way to the node open. Called about every ten seconds while there is nothing to
    /// submit, since a node closes connections that are idle (Bitcoin Core after 30 s).
    ///
    /// # Errors
    ///
    /// The node could not be reached; a block would have to wait now.
    fn stand_by(&mut self) -> Result<(), NodeError>;
}

/// Judges blocks that have no proof of work yet (BIP23 proposal).
pub trait BlockCheck: Send + Sync {
    /// Whether the node would accept the block if its hash met the target. `block_hex` is its
    /// consensus serialisation, coinbase with witness, in hexadecimal digits.
    fn check<'a>(&'a self, block_hex: &'a str) -> BoxFuture<'a, Result<CheckAnswer, NodeError>>;
}

/// Knows transactions that are not in a block yet.
pub trait TransactionSource: Send + Sync {
    /// The consensus serialisation, with witness, of each transaction, in the order asked; `None`
    /// where the node does not know it.
    fn transactions<'a>(
        &'a self,
        txids: &'a [Txid],
    ) -> BoxFuture<'a, Result<Vec<Option<Vec<u8>>>, NodeError>>;
}

/// A template and what is known about it.
#[derive(Debug, Clone)]
pub struct TemplateUpdate {
    /// The template.
    pub template: Arc<Template>,
    /// Why it is told.
    pub cause: Cause,
    /// When the node's answer arrived; the age of the template counts from here.
    pub received: Instant,
    /// The header times that this template's bits are valid for.
    pub window: HeaderWindow,
}

impl TemplateUpdate {
    /// Consensus time: the node's clock as the template gave it, and the time that has
    /// passed since by a clock that never jumps.
    pub fn consensus_time(&self, now: Instant) -> UnixTime {
        self.template
            .current_time
            .saturating_add(now.saturating_duration_since(self.received))
    }
}

/// A block that a node has validated and builds on now, of which it told before it had a template.
///
/// The block that comes after it differs from the one that was mined on its parent in nothing but what is said
/// here, its height and its subsidy: a tip of which that is not certain is not told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewTip {
    /// The block.
    pub tip: Tip,
    /// The block that it builds on. Where the node does not tell that, the one that was mined on: one of that height,
    /// and which it is makes no difference to the block after.
    pub parent: BlockHash,
    /// The bits of the block after it.
    pub bits: CompactTarget,
    /// A header time that the block after it may have: the earliest, or one not long after it.
    pub earliest: UnixTime,
}

impl NewTip {
    /// Whether the block that is mined on `present`'s tip can have been this one, and the one after it differs from
    /// it in nothing but what is said here.
    pub(crate) fn can_follow(&self, present: &Template) -> bool {
        let next = present.height.checked_add(1);
        self.parent == present.prev_hash
            && self.tip.height == present.height
            && self.bits == present.bits
            && next.is_some_and(|next| present.network.is_like_its_parent(next))
    }
}

/// Why a template is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It builds on another block than the one before (also the first).
    NewTip,
    /// Same tip; transactions, fees, time or bits have moved on.
    Refresh,
}
