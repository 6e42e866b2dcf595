//! A chain inside the process: nothing to install, and still every block is checked as Bitcoin
//! Core checks it.
//!
//! It has one node, no peers and no mempool. It is *not* a validating node for other people's
//! blocks: it knows the scripts that its own coins have and no others.
//!
//! # Consensus rules
//!
//! Bitcoin's regtest: its genesis block, halving every 150 blocks, coinbase maturity 100, BIP34
//! from height 1 (heights 1 to 16 are `OP_1` … `OP_16`), segwit and its commitment, weight, size
//! and signature operation limits, median time past, two hours into the future. What differs:
//!
//! - **Premine.** Blocks 1 to [`PREMINE`] are the same for everybody: made on open, with regtest's
//!   easiest bits, paying `P2WSH(OP_TRUE)`, so that mature coins exist for the transactions that
//!   every later template has.
//! - **Spending.** Only outputs that pay `P2WSH(OP_TRUE)` can be spent. Miners' rewards are
//!   counted and kept, but nobody can move them.
//! - **Bits** (unless [`Difficulty::Regtest`]): retargeted at every block from the work and the
//!   time of the last eight, by at most a factor of four, so that a block takes about
//!   `block_interval` at the hashrate actually seen. Since hashrate may leave (a visiting ASIC),
//!   a header that is more than eight intervals later than its parent may claim half the work,
//!   and half of that again for each further interval. Harder steps stay valid, so no job dies.
//! - **Side branches** are not kept. A block on an older block is checked as far as that is
//!   possible without its parent's coins and answered [`SubmitAnswer::Inconclusive`]; its
//!   [`BlockFate`](crate::BlockFate) stays unknown. A block on an unknown one is refused.
//!
//! - **As sent.** A block is judged by the bytes that came. Bitcoin Core's `submitblock` mends a
//!   coinbase without its reserved value and overlooks bytes after the block; here both are refused.
//!
//! With [`Difficulty::Regtest`] a real `bitcoind -regtest` accepts every block of the chain.

mod chain;
mod check;
mod coins;
mod difficulty;
mod mempool;
mod ports;
mod premine;
mod state;
mod store;

pub use chain::{ChainError, ChainSettings, EmbeddedChain};
pub use difficulty::Difficulty;
pub use premine::PREMINE;
pub use store::StoreError;

#[cfg(doc)]
use crate::SubmitAnswer;
