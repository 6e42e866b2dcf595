//! What the operator of a running pool may ask of it over its control socket.
//!
//! One line of JSON is the question. The answer is a [`ControlRefusal`] in one line; or the lines that
//! were asked for until the connection ends, or a [`ControlDone`] in one line. Nothing that can be asked
//! changes the pool itself: a worker that is closed may come back.

use serde::{Deserialize, Serialize};

/// A question to a running pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ControlRequest {
    /// What a worker and the pool say to each other from now on, as the lines of a transcript.
    Trace(TraceRequest),
    /// End what the pool has with a worker, as far as that ends nothing of others.
    Close(CloseRequest),
}

/// Whose conversation is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceRequest {
    /// The worker's user name, or the part of it behind the address if only one worker has that.
    pub worker: String,
    /// For how long, from 1 to 3,600 seconds.
    pub seconds: u32,
    /// Whether to wait for a worker that is not connected. Its whole user name is needed then.
    #[serde(default)]
    pub wait: bool,
}

/// Who is to be closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseRequest {
    /// The worker's user name, or the part of it behind the address if only one worker has that.
    pub worker: String,
}

/// The answer to what was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlDone {
    /// What, in words for the operator.
    pub done: String,
}

/// The answer to a question that is not served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlRefusal {
    /// Why, and what to do, in words for the operator.
    pub refused: String,
}
