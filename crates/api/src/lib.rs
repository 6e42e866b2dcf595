//! What the outside sees of a pool: plain structs that serialise to the JSON of `/api/v1/`.
//!
//! The server fills an [`Overview`] about once a second and a [`History`] once a bucket; the
//! dashboard, the JSON API and the metrics are made from these two values and from nothing else.
//! There is no logic here, no socket, and no type of another crate: whoever reads the JSON can
//! read this crate as its reference. Everything there is read-only. What the operator may ask of a
//! running pool over its control socket is in [`ControlRequest`].
//!
//! # Conventions
//!
//! - A hashrate is an `f64` in hashes per second, and its field says `hashes_per_second`.
//! - A difficulty is an `f64` where 1 is the target `0x1d00ffff`. A sum of difficulties is *work*,
//!   and work of 1 is about 2^32 hashes.
//! - A time is a `u64` in unix seconds (UTC), and its field ends in `_at`. A duration ends in
//!   `_seconds`.
//! - Money is a `u64` in satoshi, and its field ends in `_sats`.
//! - A share of a whole is an `f64` in percent (50.0 is half), and its field has `percent` in it.
//! - Hashes are 64 lower-case hex digits in the order in which people read them (zeros first).
//! - Every `f64` is finite: JSON has no other numbers.
//! - Enums are `snake_case` strings, or objects with a `kind` where a variant has fields.
//! - Within version 1 fields are only added, never renamed, retyped or removed.
//!
//! Strings that a miner chose (worker, device) are unchecked text from a stranger. They are
//! bounded by the server and must be shown as text, never as markup.

mod alarm;
mod block;
mod connect;
mod control;
mod history;
mod miner;
mod node;
mod proof;
mod shares;
mod snapshot;

pub use alarm::{Alarm, Severity};
pub use block::{Block, BlockCounts, BlockFate, NodeAnswer};
pub use connect::{Connect, Listener, ListenerProtocol};
pub use control::{CloseRequest, ControlDone, ControlRefusal, ControlRequest, TraceRequest};
pub use history::{History, Series};
pub use miner::{
    ChannelKind, CoinbaseTooLong, Encryption, Miner, MinerCounts, MinerState, Protocol, Silence,
    SilenceCause, SilenceCode,
};
pub use node::{
    Node, NodeHealth, NodeKind, NodeStanding, NodeState, Publisher, PublisherState, TemplateSummary,
};
pub use proof::{BlockProof, ProofVerdict};
pub use shares::{
    BestShare, BestShares, HashrateWindows, LedgerSummary, Odds, RejectReason, ShareCounts,
};
pub use snapshot::{
    EmptyBlocks, Network, Overview, Payout, PoolState, SetupStep, Snapshot, Software, Summary,
};

/// The version in the path of the JSON API: `/api/v1/`.
pub const API_VERSION: u32 = 1;
