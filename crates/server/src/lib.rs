//! The pool as tasks: listeners, connections, the hub, the node, the ledger, the block journal.
//!
//! The rules of mining live in `headframe-mining`; here they meet sockets, clocks, files and
//! threads. Each piece of state has one owner, and owners talk by bounded queues:
//!
//! * the hub task owns the [`Hub`](headframe_mining::server::Hub) and hears the node;
//! * each connection's task owns its session and its socket;
//! * the ledger thread owns the ledger, the block threads own the journal and the ways to nodes;
//! * the board task owns what the dashboard shows.

mod blocks;
mod board;
mod clock;
mod connection;
mod hub;
mod hush;
mod keys;
mod ledger;
mod listener;
mod news;
mod pool;
mod random;
mod rejection;
mod settings;
mod vital;
mod wire;

pub use board::{Board, Feed};
pub use headframe_channels::DifficultySettings;
pub use keys::{KeyError, Keys};
pub use pool::{Parts, Pool, StartError};
pub use settings::{ListenSettings, Settings};
