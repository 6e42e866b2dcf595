//! Stratum V2 from the miner's side: one connection with one channel, or with many (spec §3.6, §5).

mod bip141;
mod channel;
mod crowd;
mod naming;
mod session;
mod settings;
#[cfg(test)]
mod tests;

pub use crowd::{CrowdEvent, Sv2Crowd};
pub use naming::MAX_WORKER_NAME_LEN;
pub use session::Sv2Session;
pub use settings::{ChannelKind, Sv2Settings};
