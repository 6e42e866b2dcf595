//! Bitcoin mining arithmetic: [`Template`] → [`PreparedTemplate`] → [`Job`] → [`Header`] → hash →
//! [`Target`].
//!
//! This crate knows how a block is put together and what a hash is worth. It knows no Stratum, no
//! connection and no clock: times are arguments, and the bytes that make a coinbase unique are
//! given by the caller.

mod amount;
mod block_hex;
mod coinbase;
mod commitment;
mod difficulty;
mod emptied;
mod hashrate;
mod header;
mod job;
mod lookalike;
mod merkle;
mod name;
mod network;
mod payout;
mod prepared;
mod reserve;
mod search;
mod sha256d;
mod target;
mod template;
mod time;
mod version_bits;

pub use amount::Work;
pub use block_hex::BlockHex;
pub use coinbase::{Coinbase, CoinbaseError, Imprint, PoolTag, PoolTagError, UniqueBytes};
pub use commitment::{COMMITMENT_PREFIX, witness_commitment};
pub use difficulty::{Difficulty, Rung};
pub use hashrate::Hashrate;
pub use header::Header;
pub use job::{Block, Job};
pub use lookalike::{address_flaw, looks_like_address};
pub use merkle::{merkle_path, merkle_root};
pub use name::{Miner, NameError, PayoutPolicy, split_user};
pub use network::Network;
pub use payout::{BasisPoints, Fee, Payout};
pub use prepared::{CoinbaseBudget, PreparedTemplate, TemplateError};
pub use reserve::Reserve;
pub use search::HeaderSearch;
pub use sha256d::sha256d;
pub use target::Target;
pub use template::{BlockLimits, Template, TemplateTransaction};
pub use time::UnixTime;
pub use version_bits::{BitError, KeptVersion, VersionBits};
