//! Shares, what they add up to, and how close they came.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Hashrates over several windows, in hashes per second, estimated from accepted shares. A window
/// longer than the time observed is taken over the time observed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct HashrateWindows {
    /// Over the last minute.
    pub one_minute: f64,
    /// Over the last five minutes.
    pub five_minutes: f64,
    /// Over the last hour.
    pub one_hour: f64,
    /// Over the last 24 hours.
    pub one_day: f64,
    /// How long the work has been observed, in seconds: since the first miner of this run came, or
    /// since this one connected. The rate over a longer window is the mean over this time.
    pub observed_seconds: u64,
}

/// Counted shares and their work.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShareCounts {
    /// Shares that were accepted, blocks included.
    pub accepted: u64,
    /// The sum of the difficulties at which they were accepted.
    pub accepted_work: f64,
    /// Shares that were rejected, for any reason.
    pub rejected: u64,
    /// `rejected` by reason; a reason that never occurred is absent.
    pub rejected_by_reason: BTreeMap<RejectReason, u64>,
}

/// Why a share was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// It arrived after the block that it built on was no longer the tip.
    Stale,
    /// It was sent before.
    Duplicate,
    /// Its hash does not reach the difficulty that was asked for.
    LowDifficulty,
    /// It names a job that was never sent, or is long gone.
    UnknownJob,
    /// It names a channel that is not open.
    UnknownChannel,
    /// Its time is too early or too late.
    Time,
    /// It changes version bits that may not be changed.
    Version,
    /// Its extranonce has the wrong length.
    Extranonce,
    /// It was sent under a name that was not authorised on the connection.
    Unauthorized,
    /// It could not be read.
    Malformed,
    /// Any other reason.
    Other,
}

/// What was acknowledged to a miner and may not be on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerSummary {
    /// Whether sums are kept on disk at all; false for the ledger in memory.
    pub persistent: bool,
    /// Accepted shares that no commit holds at this moment, whether acknowledged or not.
    pub shares_not_yet_durable: u64,
    /// Shares since the start that were acknowledged after 100 ms without a commit.
    pub shares_acknowledged_early: u64,
    /// Shares since the start that were acknowledged and that no commit will ever hold.
    pub shares_not_durable: u64,
    /// What is wrong with the ledger in plain words; `None` when nothing is.
    pub trouble: Option<String>,
}

/// How close the pool came to a block.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BestShares {
    /// The best share since the last block of this pool.
    pub this_round: Option<BestShare>,
    /// The best share that the ledger knows.
    pub ever: Option<BestShare>,
}

/// A share that came close.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BestShare {
    /// The difficulty of its hash (not the one that was asked for).
    pub difficulty: f64,
    /// The same in percent of the network's difficulty at that time; a block has 100 or more.
    pub percent_of_block: f64,
    /// The worker that found it. Text from a stranger.
    pub worker: String,
    /// When.
    pub at: u64,
}

/// How long a block takes at the present hashrate, and how the present round goes. A round lasts
/// from one block of this pool to the next.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Odds {
    /// The difficulty of the block being worked on; `None` before the first template.
    pub network_difficulty: Option<f64>,
    /// The hashrate of the whole network, if the node says.
    pub network_hashes_per_second: Option<f64>,
    /// The mean time between blocks of this pool at its hashrate of the last hour; `None` without
    /// hashrate or template.
    pub expected_seconds_to_block: Option<f64>,
    /// The chance of at least one block within 24 hours at that hashrate.
    pub chance_per_day_percent: Option<f64>,
    /// When the present round began: the last block of this pool, or the first share ever.
    pub round_started_at: Option<u64>,
    /// The work of the present round.
    pub round_work: f64,
    /// The work of the present round in percent of the work that a block takes on average.
    pub round_effort_percent: f64,
}
