//! The pool as tasks: listeners, connections, the hub, the node, the ledger, the block journal.
//!
//! The rules of mining live in `headframe-mining`; here they meet sockets, clocks, files and
//! threads. Each piece of state has one owner, and owners talk by bounded queues:
//!
//! * the hub task owns the [`Hub`](headframe_mining::server::Hub) and hears the node;
//! * each connection's task owns its session and its socket;
//! * the ledger thread owns the ledger, the block threads own the journal and the ways to nodes;
//! * what addresses may take of the pool is behind one lock, which no share waits for;
//! * the board task owns what the dashboard shows.

mod ahead;
mod alarm;
mod bell;
mod blocks;
mod board;
mod clock;
mod closing;
mod connection;
mod control;
mod dues;
mod hold;
mod hub;
mod hush;
mod keys;
mod ledger;
mod limits;
mod listener;
mod news;
mod numbered;
mod panic;
mod pool;
mod proof;
mod provider;
mod random;
mod rejection;
mod settings;
#[cfg(test)]
mod silent;
mod tls;
mod trace;
mod vital;
mod wire;

pub use blocks::{ArchiveError, ArchivedBlock, LeftBlocks, read_archive};
pub use board::{Board, Feed, RollCall, Waiting};
pub use clock::{Started, Utc};
pub use control::CONTROL_SOCKET;
pub use headframe_channels::DifficultySettings;
pub use headframe_mining::server::{Password, Sv2Rules};
pub use headframe_transport::Protocols;
pub use keys::{Authority, KeyError, KeyFacts, KeyPlace, KeySets, Keys, KeysId};
pub use pool::{Parts, Pool, StartError, check_place};
pub use provider::{
    ANSWER_READ_WITHIN, MAX_CLIENTS, MAX_CLIENTS_OF_ADDRESS, MAX_FITS, NODE_GRACE, Provider,
    ProviderParts,
};
pub use settings::{AccessSettings, ListenSettings, Settings};
pub use tls::{Certificate, CertificateError, CertificateId, CertificatePlace, Certificates};
