//! A CPU miner on the client side of the mining protocol: Stratum V1, and Stratum V2 on a standard or
//! an extended channel.
//!
//! ```text
//! transport ── frames, lines ──> client session ── MiningWork ──> slot ──> worker threads
//!     ^                               │                                         │
//!     └───────────── share ───────────┴──────────── solutions ──────────────────┘
//! ```
//!
//! One task owns the connection and its session; worker threads see only the work in the slot and a
//! bounded queue for solutions. [`Miner::run`] keeps connecting until it is told to stop, and gives
//! back the counts.
//!
//! A processor cannot earn anything: this is for demonstrations, tests and trials of a pool. So is
//! [`run_swarm`], a load generator: thousands of connections that submit shares and measure the answers.

mod backoff;
mod connection;
mod crew;
mod error;
mod gauge;
mod miner;
mod report;
mod settings;
mod shift;
mod slot;
mod swarm;
mod variants;
mod worker;

pub use backoff::Backoff;
pub use error::MinerError;
pub use headframe_mining::client::CloseReason;
pub use miner::{Miner, Observer};
pub use report::{Channel, MinerEvent, MinerReport, Protocol};
pub use settings::MinerSettings;
pub use swarm::{
    Cost, MAX_CHANNELS, MAX_CONNECTIONS, MAX_WINDOW, Pace, Quality, ShareCounts, Spread,
    SwarmProgress, SwarmReport, SwarmSettings, SwarmSettingsError, TipSeen, TipTimes, TipZero,
    run_swarm,
};
