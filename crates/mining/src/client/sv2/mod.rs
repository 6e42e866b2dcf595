//! Stratum V2 from the miner's side: one connection with one channel (spec §3.6, §5).

mod bip141;
mod channel;
mod session;
mod settings;
#[cfg(test)]
mod tests;

pub use session::Sv2Session;
pub use settings::{ChannelKind, Sv2Settings};
