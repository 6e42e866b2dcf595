//! The crate from outside: the embedded chain, the RPC adapter against a node that says what it is
//! told, and both against a real Bitcoin Core where there is one.

// Helpers outside `#[test]` functions unwrap too.
#![allow(clippy::unwrap_used)]

mod battery;
mod bitcoind;
mod corpus;
mod embedded;
mod examine;
mod faults;
#[cfg(feature = "ipc")]
mod ipc;
#[cfg(feature = "ipc")]
mod ipc_releases;
mod network;
mod signals;
mod slow;
mod submit;
mod support;
mod templates;
mod tips;
