//! What needs the operator.

use serde::{Deserialize, Serialize};

/// Something that needs the operator, with the one thing to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// A stable name of the cause, `snake_case`, for scripts: `block_refused`. One alarm per code;
    /// the server bounds the number of codes.
    pub code: String,
    /// How urgent it is.
    pub severity: Severity,
    /// What is wrong, a few words: `Block 840000 was refused`.
    pub title: String,
    /// The particulars, a sentence or two; may be empty.
    pub detail: String,
    /// The one thing to do.
    pub next_step: String,
    /// Since when.
    pub since_at: u64,
}

/// How urgent an alarm is. The order is that of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know; nothing is lost.
    Notice,
    /// Something is lost or soon will be: shares, a miner, redundancy.
    Warning,
    /// A block may be or was lost, or nothing is being mined.
    Critical,
}
