//! The Template Provider and the node adapter that takes templates from one: real sockets on the loopback,
//! the embedded chain, and providers that say what they are told.

#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

/// The battery of the node's sources, for the adapter that takes templates from a provider.
macro_rules! for_each_source {
    ($($test:ident),* $(,)?) => {
        battery!(Embedded as embedded: $($test),*);
        battery!(Core as core: $($test),*);
        battery!(CoreAndRpc as core_and_rpc: $($test),*);
    };
}

#[path = "../../../node/tests/it/battery.rs"]
mod battery;
mod blocks;
mod clients;
mod harness;
mod script;
mod scripted;
mod support;
