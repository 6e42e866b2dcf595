//! The mining protocol, both ends as state machines, and the [`Hub`](server::Hub) that all server
//! sessions of a pool share.
//!
//! Sessions take messages and give messages; they own no socket, no clock and no randomness. One
//! share path serves both protocols: an SV1 connection is one extended channel inside.

pub mod client;
pub mod server;
