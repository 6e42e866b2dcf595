//! What a miner has to tell: counts at the end and on the way, and events as they happen.

use core::time::Duration;
use std::collections::BTreeMap;
use std::fmt;

use headframe_work::{Difficulty, Hashrate, Target};
use serde::Serialize;

/// Kinds of rejection that are counted apart. A pool may invent as many codes as it likes.
const MAX_CODES: usize = 32;
const OTHER_CODES: &str = "other";

/// What the miner speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Stratum V1.
    Sv1,
    /// Stratum V2.
    Sv2,
}

/// The kind of channel on Stratum V2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// The pool makes the merkle root.
    Standard,
    /// The miner makes it.
    Extended,
}

/// Counts since the miner was started. As JSON it has the first four fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MinerReport {
    /// What was spoken.
    pub protocol: Protocol,
    /// The kind of channel; `None` on Stratum V1.
    pub channel: Option<Channel>,
    /// Shares that the pool accepted.
    pub shares_accepted: u64,
    /// Shares that the pool rejected, by its reason.
    pub shares_rejected: BTreeMap<String, u64>,
    /// Solutions whose work was void before they could be sent.
    #[serde(skip)]
    pub dropped: u64,
    /// Shares sent that meet the network's target as well. Only the pool knows what became of them.
    #[serde(skip)]
    pub block_candidates: u64,
    /// Hashes made.
    #[serde(skip)]
    pub hashes: u64,
    /// The rate of the last minute, or since the start.
    #[serde(skip)]
    pub hashrate: Hashrate,
    /// Whether the pool serves us at this moment.
    #[serde(skip)]
    pub mining: bool,
}

/// Something that a person may want to read. [`Display`](fmt::Display) makes a line of it.
#[derive(Debug, Clone, PartialEq)]
pub enum MinerEvent {
    /// The pool serves us.
    Ready {
        /// The pool, `host:port`.
        pool: String,
    },
    /// The target of the work that comes next.
    Target(Target),
    /// There is a new tip, or the first work came.
    NewTip,
    /// Shares were accepted.
    Accepted {
        /// How many.
        count: u32,
    },
    /// A share was rejected.
    Rejected {
        /// The pool's reason.
        code: String,
    },
    /// A share was sent that meets the network's target.
    BlockCandidate {
        /// The number of such so far.
        count: u64,
    },
    /// The pool, or we, have something to say.
    Notice(String),
    /// The connection is gone, or never came to be.
    Disconnected {
        /// Why.
        reason: String,
        /// When the next attempt is made.
        retry_in: Duration,
    },
}

impl MinerReport {
    pub(crate) const fn new(protocol: Protocol, channel: Option<Channel>) -> Self {
        Self {
            protocol,
            channel,
            shares_accepted: 0,
            shares_rejected: BTreeMap::new(),
            dropped: 0,
            block_candidates: 0,
            hashes: 0,
            hashrate: Hashrate::ZERO,
            mining: false,
        }
    }

    /// All rejected shares.
    pub fn rejected(&self) -> u64 {
        self.shares_rejected.values().sum()
    }

    /// The report as one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a struct of numbers and strings is JSON")
    }

    pub(crate) fn count_rejected(&mut self, code: &str) {
        let is_known = self.shares_rejected.contains_key(code);
        let code = match is_known || self.shares_rejected.len() < MAX_CODES {
            true => code,
            false => OTHER_CODES,
        };
        *self.shares_rejected.entry(code.to_owned()).or_default() += 1;
    }
}

impl fmt::Display for MinerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready { pool } => write!(f, "mining at {pool}"),
            Self::Target(target) => write!(f, "difficulty {}", Difficulty::of_target(*target)),
            Self::NewTip => f.write_str("new block"),
            Self::Accepted { count: 1 } => f.write_str("share accepted"),
            Self::Accepted { count } => write!(f, "{count} shares accepted"),
            Self::Rejected { code } => write!(f, "share rejected: {code}"),
            Self::BlockCandidate { .. } => f.write_str("share sent that makes a block"),
            Self::Notice(text) => f.write_str(text),
            Self::Disconnected { reason, retry_in } => {
                write!(
                    f,
                    "{reason}; next attempt in {:.0} s",
                    retry_in.as_secs_f64().ceil()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_what_scripts_read() {
        let mut report = MinerReport::new(Protocol::Sv2, Some(Channel::Standard));
        report.shares_accepted = 7;
        report.count_rejected("stale-share");
        report.count_rejected("stale-share");
        assert_eq!(
            report.to_json(),
            r#"{"protocol":"sv2","channel":"standard","shares_accepted":7,"shares_rejected":{"stale-share":2}}"#
        );
        assert_eq!(
            MinerReport::new(Protocol::Sv1, None).to_json(),
            r#"{"protocol":"sv1","channel":null,"shares_accepted":0,"shares_rejected":{}}"#
        );
    }

    #[test]
    fn a_pool_that_invents_codes_fills_no_memory() {
        let mut report = MinerReport::new(Protocol::Sv1, None);
        for i in 0..1_000 {
            report.count_rejected(&format!("code {i}"));
        }
        assert_eq!(report.shares_rejected.len(), MAX_CODES + 1);
        assert_eq!(
            report.shares_rejected[OTHER_CODES],
            1_000 - MAX_CODES as u64
        );
        assert_eq!(report.rejected(), 1_000);
    }
}
