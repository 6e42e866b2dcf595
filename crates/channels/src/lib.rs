//! Mining channels: job tables, share verdicts, duplicates, difficulty control, extranonce space.
//!
//! One share path for all protocols: an SV1 connection is one extended [`Channel`] inside. This
//! crate knows no wire format, no connection and no storage; `now` and chance are arguments.

mod budget;
mod channel;
mod channel_map;
mod difficulty;
mod extranonce;
mod id;
mod jobs;
mod recipe;
mod seen;
mod share;

pub use budget::MemoryBudget;
pub use channel::{Channel, ChannelKind, SV1_VERSION_MASK, SV2_VERSION_MASK, StagedJob};
pub use channel_map::ChannelMap;
pub use difficulty::{DifficultyControl, DifficultyMemory, DifficultySettings, Past};
pub use extranonce::{ExtranoncePrefix, ExtranonceSpace};
pub use id::{ChannelId, JobId};
pub use jobs::{ChannelJob, JobTerms, NetworkClock};
pub use share::{Credit, RejectReason, Share, ShareVerdict};
