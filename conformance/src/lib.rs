//! What the conformance tests stand on: a Bitcoin Core, a pool, miners, and ways to look at them.
//!
//! Everything here is another process, seen from outside as an operator or a miner sees it: by its
//! log, its JSON API, its sockets, and the chain. Nothing of the project's own crates is used, so
//! that a mistake in them cannot be repeated here. Everything listens on 127.0.0.1 only and is
//! killed when its value is dropped, also by a test that panics.
//!
//! A harness is not a library for others: what goes wrong is a panic that says what was waited for.

pub mod between;
pub mod bitcoind;
pub mod block;
pub mod http;
pub mod line;
pub mod miner;
pub mod peers;
pub mod pool;
pub mod process;
pub mod program;
pub mod provider;
pub mod publisher;
pub mod sri;
pub mod sv1;
pub mod sv1_api;
pub mod troubled;
pub mod troubled_socket;
pub mod wait;
pub mod wallet;
pub mod way;

pub use bitcoind::{Bitcoind, Chain};
pub use block::FoundBlock;
pub use miner::{Miner, Protocol};
pub use pool::Pool;
pub use process::Process;
pub use provider::Provider;
pub use troubled::{Trouble, Troubled};
pub use troubled_socket::{SocketTrouble, TroubledSocket};
pub use wallet::Key;
pub use way::Way;
