//! The pool as a whole: real sockets on the loopback, the embedded chain, scripted miners.
//!
//! Where a test has to hold the ledger or the node, it holds them by a gate and goes on when they
//! have arrived there; nothing is timed.

#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod bad_input;
mod blocks;
mod client;
mod demands;
mod fakes;
mod harness;
mod life;
mod limits;
mod listeners;
#[cfg(target_os = "linux")]
mod outage;
mod proof;
mod resume;
mod shares;
mod strangers;
