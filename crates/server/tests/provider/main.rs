//! The Template Provider and the node adapter that takes templates from one: real sockets on the loopback,
//! the embedded chain, and providers that say what they are told.

#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod blocks;
mod clients;
mod harness;
mod script;
mod scripted;
