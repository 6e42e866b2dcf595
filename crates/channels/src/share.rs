//! What a miner submits, and what the pool says to it.

use bitcoin::BlockHash;
use headframe_work::{Block, Rung, UnixTime, Work};

use crate::JobId;

/// A share as a miner submits it, whatever the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share<'a> {
    /// The job it was found on.
    pub job_id: JobId,
    /// The whole header version, rolled bits included.
    pub version: u32,
    /// The header time.
    pub time: UnixTime,
    /// The header nonce.
    pub nonce: u32,
    /// What the miner rolled of the extranonce; empty on a standard channel.
    pub extranonce: &'a [u8],
}

/// What the pool says to a share. A rejected share is a verdict, not an error.
#[derive(Debug)]
pub enum ShareVerdict {
    /// Proven work; to be credited.
    Accepted(Credit),
    /// The share is a block, which goes to the node whatever else is said to the share.
    Block(Box<Block>, Result<Credit, RejectReason>),
    /// Not credited.
    Rejected(RejectReason),
}

impl ShareVerdict {
    /// What the miner is told: credit, or the reason why not.
    pub fn credit(&self) -> Result<Credit, RejectReason> {
        match self {
            Self::Accepted(credit) => Ok(*credit),
            Self::Block(_, credit) => *credit,
            Self::Rejected(reason) => Err(*reason),
        }
    }
}

/// What an accepted share is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// The rung that the share was required to meet.
    pub rung: Rung,
    /// The hash, for the best-share tables.
    pub hash: BlockHash,
}

impl Credit {
    /// The work that is owed: that of the required difficulty, never that of the hash itself.
    pub fn work(&self) -> Work {
        Work::of_rung(self.rung)
    }
}

/// Why a share is not credited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectReason {
    /// The job was never sent on this channel, or is forgotten.
    UnknownJob,
    /// The job was for an older tip, or was retired.
    Stale,
    /// The same header was submitted before.
    Duplicate,
    /// The hash is above the target that the job was given.
    LowDifficulty,
    /// The extranonce does not have the length that was agreed on.
    BadExtranonceSize,
    /// Version bits were rolled that may not be.
    BadVersionBits,
    /// The header time is below the job's earliest.
    TimeTooOld,
    /// The header time is further in the future than the network accepts.
    TimeTooNew,
}

impl RejectReason {
    /// All reasons, for tables and counters.
    pub const ALL: [Self; 8] = [
        Self::UnknownJob,
        Self::Stale,
        Self::Duplicate,
        Self::LowDifficulty,
        Self::BadExtranonceSize,
        Self::BadVersionBits,
        Self::TimeTooOld,
        Self::TimeTooNew,
    ];
}
