//! The crate from outside: the embedded chain, the RPC adapter against a node that says what it is
//! told, and both against a real Bitcoin Core where there is one.

// Helpers outside `#[test]` functions unwrap too.
#![allow(clippy::unwrap_used)]

/// The battery, for each source of this crate.
macro_rules! for_each_source {
    ($($test:ident),* $(,)?) => {
        battery!(Embedded as embedded: $($test),*);
        battery!(Rpc as rpc: $($test),*);
        #[cfg(feature = "ipc")]
        battery!(Ipc as ipc: $($test),*);
        #[cfg(feature = "ipc")]
        battery!(IpcAndRpc as ipc_and_rpc: $($test),*);
    };
}

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
