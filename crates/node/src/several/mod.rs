//! Several nodes as one.

use tokio::sync::watch;

use crate::BlockSink;

/// The nodes besides the preferred one.
pub struct Backups {
    /// Where blocks go besides, in order of preference, each with what the node is called in the log.
    pub sinks: Vec<(String, Box<dyn BlockSink>)>,
    /// The node that is mined on: 0 for the preferred one, else its place among the others, from 1.
    pub mined_on: watch::Receiver<usize>,
}
