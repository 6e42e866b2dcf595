//! What is known of one address.

use std::time::{Duration, Instant};

use super::guesses::Guesses;
use super::pace::{Pace, Rate};

/// An address from which somebody mined in this time is one of miners: after an outage of the line or
/// the node all its devices come back before one of them has found a share.
const MINED_LATELY: Duration = Duration::from_secs(60 * 60);

/// Connections of an address: a farm's thousand miners come back at once, and wait five seconds at most.
/// The handshakes of a hundred a second take a few percent of a core.
pub(super) const ARRIVALS: Rate = Rate {
    burst: 512,
    interval: Duration::from_millis(10),
};

/// Offences of an address before it is banned, and how fast they are forgiven: one broken device that
/// connects again every minute is never banned, ten offences within a minute are no accident.
pub(super) const OFFENCES: Rate = Rate {
    burst: 10,
    interval: Duration::from_secs(60),
};

/// What is known of one address.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Connections whose handshake is not over.
    pub(super) greeting: u32,
    /// Connections without a valid share, those in their handshake included.
    pub(super) unproven: u32,
    /// Connections that gave a valid share.
    pub(super) proven: u32,
    pub(super) arrivals: Pace,
    pub(super) offences: Pace,
    pub(super) guesses: Guesses,
    /// When a connection that mines was last here.
    pub(super) mined_at: Option<Instant>,
    /// Its place among those without a connection.
    pub(super) idle: Option<u64>,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its handshake is not over.
    Greeting,
    /// It gave no valid share yet.
    Unproven,
    /// It mines.
    Proven,
}

impl Record {
    /// Whether somebody mines from here, or did lately.
    pub(super) fn mines(&self, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) < MINED_LATELY;
        self.proven > 0 || self.mined_at.is_some_and(lately)
    }

    pub(super) fn is_here(&self) -> bool {
        self.unproven > 0 || self.proven > 0
    }
}
