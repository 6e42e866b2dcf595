//! What a session tells the pool.

use std::sync::Arc;

use bitcoin::BlockHash;
use headframe_channels::{ChannelId, ChannelKind, Credit, ExtranoncePrefix, Past, RejectReason};
use headframe_work::{Block, CoinbaseError, Hashrate, Miner, Rung};

use super::{Guess, ParkedSession};

/// Something that the rest of the pool is to know.
#[derive(Debug)]
pub enum SessionEvent {
    /// A miner has a seat.
    Joined(Box<Joined>),
    /// A Stratum V1 client came without the password of its listener.
    PasswordRefused {
        /// The name with which it came.
        user: String,
        /// What it said.
        guess: Guess,
    },
    /// A miner's name was refused.
    NameRefused {
        /// The name as it was given, printable.
        user: String,
        /// Why, in words for the miner's owner.
        reason: String,
    },
    /// A share is a block. Comes before everything else about that share.
    Block(Box<FoundBlock>),
    /// A share was judged.
    Share(ShareEvent),
    /// Shares were acknowledged before the ledger had them.
    NotDurable {
        /// The seat.
        seat: ChannelId,
        /// How many.
        shares: u32,
    },
    /// A seat's difficulty changed.
    Difficulty {
        /// The seat.
        seat: ChannelId,
        /// The rung of its next job.
        rung: Rung,
    },
    /// Something was found out about a miner, or it goes: to be remembered for when it comes back.
    Learnt {
        /// Its user name.
        user: Arc<str>,
        /// What to remember.
        past: Box<Past>,
    },
    /// A seat's device is known to bear no coinbase as long as those that it gets. Told once.
    LongCoinbase {
        /// The seat.
        seat: ChannelId,
        /// How long it is, and how long it may be.
        coinbase: LongCoinbase,
    },
    /// No job could be made for a seat; it goes on with its old one. The operator's to mend.
    NoJob {
        /// The seat.
        seat: ChannelId,
        /// Why.
        error: CoinbaseError,
    },
    /// The seat of a channel's own name is empty: shares name the workers behind it. Where none came
    /// under it, nobody ever sat there.
    Vacated {
        /// The seat.
        seat: ChannelId,
    },
    /// A seat is empty again.
    Left {
        /// The seat.
        seat: ChannelId,
    },
    /// A prefix is not used any more and goes back to the hub.
    PrefixReturned(ExtranoncePrefix),
    /// A Stratum V1 connection has ended, and its client may come back: for the hub to keep, with its
    /// prefix.
    Parked(Box<ParkedSession>),
}

/// A coinbase that is too long for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongCoinbase {
    /// Its length in bytes, without witness.
    pub len: usize,
    /// The longest that the device is known to hash whole, in bytes.
    pub limit: usize,
}

/// The protocol of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Stratum V1.
    Sv1,
    /// Stratum V2.
    Sv2,
}

/// What a device says of itself. Not to be trusted, but free of control characters. A clone is another
/// pointer to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device(Arc<str>);

impl Device {
    /// The longest text that is kept, in characters.
    const MAX_CHARS: usize = 128;

    /// The device that calls itself `text`.
    pub fn new(text: &str) -> Self {
        let printable = text.chars().filter(|c| !c.is_control());
        let text: String = printable.take(Self::MAX_CHARS).collect();
        Self(text.into())
    }

    /// The text, printable.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A miner that has a seat.
#[derive(Debug, Clone)]
pub struct Joined {
    /// Names the seat within the session. For SV2 it is the channel, or one of the workers that shares
    /// on a channel name (extension 0x0002); an SV1 connection has a seat for each of its workers.
    pub seat: ChannelId,
    /// Who it is, and whom its blocks pay.
    pub miner: Miner,
    /// The protocol.
    pub protocol: Protocol,
    /// What the miner may change.
    pub kind: ChannelKind,
    /// What the device says of itself.
    pub device: Device,
    /// The rung of its first job.
    pub rung: Rung,
    /// The hashrate that it declared; zero when it said nothing, as SV1 miners do.
    pub declared: Hashrate,
    /// The easiest rung that it accepts, from the `max_target` that it sent.
    pub easiest: Rung,
}

/// A share and what was said to it.
#[derive(Debug, Clone, Copy)]
pub struct ShareEvent {
    /// The seat.
    pub seat: ChannelId,
    /// The rung that its job asks for; of a job that is not known, the one that was told last.
    pub rung: Rung,
    /// Credit, or why there is none.
    pub outcome: Result<Credit, RejectReason>,
    /// For an accepted share: its number. The session waits for the ledger to commit it.
    pub sequence: u64,
}

/// A block that a miner found.
#[derive(Debug)]
pub struct FoundBlock {
    /// The seat.
    pub seat: ChannelId,
    /// The block.
    pub block: Block,
    /// Its hash.
    pub hash: BlockHash,
}
