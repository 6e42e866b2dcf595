//! What the operator decides about the pool.

use std::net::SocketAddr;

use headframe_channels::DifficultySettings;
use headframe_work::{PayoutPolicy, PoolTag};

/// The settings of a pool. Plain values: reading and checking them is the configuration's part.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where miners connect.
    pub listen: Vec<ListenSettings>,
    /// Connections at one time, all listeners together.
    pub max_connections: usize,
    /// Whom user names pay.
    pub payouts: PayoutPolicy,
    /// The pool's name in the coinbase.
    pub tag: PoolTag,
    /// How hard shares are made.
    pub difficulty: DifficultySettings,
}

/// One address that miners connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenSettings {
    /// The address.
    pub address: SocketAddr,
    /// Whether SV2 without encryption is served, to loopback and private addresses.
    pub plaintext_sv2: bool,
}
