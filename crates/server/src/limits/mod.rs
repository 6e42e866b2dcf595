//! What one address, and one connection, may take of the pool (R-20, R-30, NX-40).
//!
//! The same for both protocols, and in two places. The [`Door`] counts by address: who may come in,
//! how many at once, who is banned. Its decisions are a value ([`Limits`]) behind one small lock, taken
//! when a connection comes, is greeted, gives its first valid share, offends and goes: never for a
//! share. A [`Guest`] is one connection's account of itself, owned by its task.
//!
//! What guides the figures: the flood of an attacker is held to what costs the pool a few percent of a
//! core, and a farm behind one address that comes back after an outage is not held up. So nothing that an
//! honest device does can ban: not a stale, repeated or easy share, not a job or channel of an earlier
//! connection, not its return however often. And whoever mines is no attacker: a connection counts
//! against its address until its first valid share, and an address that mines is not banned.

mod bans;
mod conduct;
mod door;
mod guesses;
mod guest;
mod pace;
mod record;
mod source;
mod table;
mod warning;

pub(crate) use conduct::Cost;
pub(crate) use door::{Door, Visit};
pub(crate) use guest::Guest;
pub(crate) use source::Source;
pub(crate) use table::Limits;
pub(crate) use warning::Warning;

/// What counts against an address, unless it mines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offence {
    /// A connection ended by what cannot be decoded.
    Undecodable,
    /// Shares with impossible versions or times, and no valid one.
    ImpossibleShares,
    /// More than the pool reads, for long, and no valid share.
    Flood,
    /// Many wrong passwords.
    Guesses,
}

impl Offence {
    /// For the operator.
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Undecodable => "it sent what cannot be decoded, again and again",
            Self::ImpossibleShares => "it sent many shares with impossible versions or times",
            Self::Flood => "it flooded the pool with messages",
            Self::Guesses => "it guessed at a listener's password",
        }
    }
}
