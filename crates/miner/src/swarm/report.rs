//! What a swarm has measured.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Quality, TipTimes};
use crate::{Channel, Protocol};

/// The result of a run. As JSON it is one object with these names.
///
/// Times of replies and of connecting are measured in the swarm, from the moment at which a message
/// is handed to the socket to the one at which the answer was read, so its own delays count.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SwarmReport {
    /// What was spoken.
    pub protocol: Protocol,
    /// The kind of channel; `None` on Stratum V1.
    pub channel: Option<Channel>,
    /// What the shares were worth.
    pub shares_are: Quality,
    /// Connections that were asked for.
    pub connections: usize,
    /// Channels on each.
    pub channels_per_connection: usize,
    /// Connections on which all channels had work, at the time when the first share was sent.
    pub ready: usize,
    /// Connections that never came so far.
    pub failed: usize,
    /// Connections that were ready and were lost.
    pub lost: usize,
    /// From the beginning until all connections were ready or had failed.
    pub seconds_connecting: f64,
    /// From then until enough shares were found beforehand.
    pub seconds_preparing: f64,
    /// The time for which shares were sent: what all rates refer to.
    pub seconds: f64,
    /// The shares.
    pub shares: ShareCounts,
    /// From a share to its answer.
    pub reply_ms: Spread,
    /// From the beginning of a connection to its first job.
    pub connect_to_job_ms: Spread,
    /// New tips that reached a connection.
    pub tips_seen: u64,
    /// Whether times of tips begin with the swarm's own node, or with the first connection.
    pub tips_timed_by: TipZero,
    /// How long the newest hundred tips took.
    pub tips: Vec<TipTimes>,
    /// What went wrong, by kind.
    pub errors: BTreeMap<String, u64>,
    /// What the swarm itself used; absent where the system does not tell.
    pub swarm: Option<Cost>,
    /// What the process that was named used; absent where none was, or the system does not tell.
    pub process: Option<Cost>,
}

/// What became of the shares.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ShareCounts {
    /// Shares sent.
    pub sent: u64,
    /// Of them, answered before the run ended.
    pub answered: u64,
    /// Of the answered, those that were accepted.
    pub accepted: u64,
    /// Of the answered, those that were refused, by the pool's reason.
    pub rejected: BTreeMap<String, u64>,
    /// Sent and not answered, even after the run.
    pub unanswered: u64,
    /// Answers a second while shares were sent.
    pub answered_per_second: f64,
    /// How often a share was due and none had been found: then the swarm was the bottleneck.
    pub not_found_in_time: u64,
    /// Shares that were not sent because too many waited for an answer, or the swarm was behind.
    pub skipped: u64,
}

/// Percentiles in milliseconds; `None` where nothing was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    /// How many values there were.
    pub count: u64,
    /// The value that half do not exceed.
    pub p50: Option<f64>,
    /// The value that 99 of 100 do not exceed.
    pub p99: Option<f64>,
    /// The value that 999 of 1,000 do not exceed.
    pub p99_9: Option<f64>,
    /// The largest value.
    pub max: Option<f64>,
}

/// What a process used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// Processor time while the connections were opened, in seconds.
    pub connecting_cpu_seconds: f64,
    /// Processor time while shares were sent, in seconds.
    pub cpu_seconds: f64,
    /// The same per share that was answered in that time, in microseconds.
    pub cpu_us_per_share: Option<f64>,
    /// Resident memory before the first connection.
    pub memory_before_bytes: u64,
    /// Resident memory with all connections, before the first share.
    pub memory_connected_bytes: u64,
    /// Resident memory at the end, all connections still open.
    pub memory_after_bytes: u64,
    /// The most that was seen, looking once a second.
    pub memory_peak_bytes: u64,
}

/// Where the times of tips begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TipZero {
    /// With the word of the swarm's own node.
    Node,
    /// With the first connection that was told.
    FirstConnection,
}

impl Serialize for Quality {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Valid => "valid",
            Self::AboveTarget => "invalid",
        })
    }
}

impl SwarmReport {
    /// The report as one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a struct of numbers and strings is JSON")
    }
}
