//! Stratum V1 from the miner's side: one connection with one worker.
//!
//! There is no specification; see `headframe_sv1_wire` for the sources.

mod difficulty;
mod session;
#[cfg(test)]
mod tests;

pub use session::{Sv1Session, Sv1Settings};
