//! What the tests of several crates share: templates, a pool without sockets or a clock, scripted
//! miners. Only ever a dev-dependency.
//!
//! The miners compute every header with the `bitcoin` crate, from what is on the wire and nothing
//! else, so that they are an oracle for the pool's own arithmetic. They panic where the pool breaks
//! what the specification or deployed firmware asks of it.

mod allocations;
mod chain;
mod chance;
mod difficulty;
mod pool;
pub mod simulator;
mod sv1_miner;
mod sv2_miner;
pub mod transcript;
mod work;

pub use headframe_sv2_wire::U256;

pub use allocations::CountingAllocator;
pub use chain::{Chain, EASY_BITS, REGTEST_BITS, address};
pub use chance::Chance;
pub use difficulty::fixed_difficulty;
pub use pool::{Connection, Device, Pool, PoolSettings, Server};
pub use sv1_miner::Sv1Miner;
pub use sv2_miner::{ExtensionsAnswer, MinerChannel, Sv2Miner};
pub use work::{MinerJob, Nonce, RootSource};
