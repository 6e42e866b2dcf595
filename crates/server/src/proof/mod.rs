//! Proof before luck: the node is shown a block of a live job before one is found (BIP23, proposal).
//!
//! The block is a real miner's, built as a found one is, and lacks only the proof of work. A connection
//! that is asked for one builds it between two messages, and a task takes it to the node: after the
//! full job of a tip, at most once a minute, and when a way to pay appears for the first time. Nothing
//! of the pool waits for the answer.

mod desk;
mod layout;
mod pace;
mod prover;

pub(crate) use self::desk::ProofDesk;
pub(crate) use self::layout::Layouts;
pub(crate) use self::prover::{Parts, Prover};
