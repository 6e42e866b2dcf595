//! The chain as a handle that tasks and threads share.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::{Block, BlockHash, Txid};
use headframe_work::{Template, UnixTime};
use thiserror::Error;
use tokio::sync::watch;

use super::check::Proof;
use super::difficulty::Difficulty;
use super::mempool;
use super::state::{State, Verdict};
use super::store::{self, StoreError};
use crate::{BlockFate, CheckAnswer, SubmitAnswer, Tip};

/// What an embedded chain can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChainSettings {
    /// How hard blocks are. A chain on disk keeps the one that it was made with.
    pub difficulty: Difficulty,
}

/// Why an embedded chain could not be opened.
#[derive(Debug, Error)]
pub enum ChainError {
    /// The chain's file cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A block on disk breaks the chain's rules.
    #[error(
        "block {height} of the chain on disk is invalid ({reason}); move the chain's directory away to start a new one"
    )]
    InvalidBlock {
        /// The height that it should have.
        height: u32,
        /// In Bitcoin Core's words.
        reason: String,
    },
}

/// A handle to the chain. Clones are the same chain; every method may be called from any thread,
/// and returns after at most one write to disk.
#[derive(Clone)]
pub struct EmbeddedChain(Arc<Shared>);

struct Shared {
    difficulty: Difficulty,
    state: Mutex<State>,
    tip: watch::Sender<Tip>,
}

impl EmbeddedChain {
    /// Opens the chain in `directory`, or a new one that keeps its blocks in memory. Makes the premine (some hundred
    /// hashes), and checks every block on disk again.
    ///
    /// # Errors
    ///
    /// The directory cannot be used, belongs to another process or other settings, or holds an
    /// invalid block.
    pub fn open(directory: Option<&Path>, settings: ChainSettings) -> Result<Self, ChainError> {
        let difficulty = settings.difficulty;
        let mut state = State::premined();
        if let Some(directory) = directory {
            let premine_tip = state.tip().hash;
            let (store, cut_off) = store::open(directory, difficulty, premine_tip, |block| {
                state.replay(block, difficulty)
            })?;
            state.store = store;
            if cut_off > 0 {
                tracing::warn!(
                    directory = %directory.display(),
                    bytes = cut_off,
                    height = state.tip().height,
                    "the last block on disk was incomplete and has been cut off"
                );
            }
        }
        Ok(Self(Arc::new(Shared {
            difficulty,
            tip: watch::Sender::new(state.tip()),
            state: Mutex::new(state),
        })))
    }

    /// The newest block.
    pub fn tip(&self) -> Tip {
        *self.0.tip.borrow()
    }

    /// The newest block, now and whenever it changes.
    pub fn subscribe(&self) -> watch::Receiver<Tip> {
        self.0.tip.subscribe()
    }

    /// How hard blocks are.
    pub fn difficulty(&self) -> Difficulty {
        self.0.difficulty
    }

    /// The template of the next block, by the system's clock.
    pub fn template(&self) -> Template {
        self.template_at(system_time())
    }

    /// Checks a block (consensus serialisation) and, if it extends the tip, puts it on disk and
    /// makes it the tip.
    pub fn submit(&self, block: &[u8]) -> SubmitAnswer {
        self.submit_at(block, system_time())
    }

    /// Checks a block (consensus serialisation) that has no proof of work yet.
    pub fn check(&self, block: &[u8]) -> CheckAnswer {
        self.check_at(block, system_time())
    }

    /// The block at a height, in consensus serialisation, if the chain is that high.
    pub fn block(&self, height: u32) -> Option<Vec<u8>> {
        self.state().block(height)
    }

    /// Where a block stands.
    pub fn fate(&self, hash: BlockHash) -> BlockFate {
        let state = self.state();
        match state.heights.get(&hash) {
            Some(height) => BlockFate::InChain {
                confirmations: state.tip().height - height + 1,
            },
            None => BlockFate::Unknown,
        }
    }

    /// The transactions of the next block, in consensus serialisation, where they are among
    /// those asked for.
    pub fn transactions(&self, txids: &[Txid]) -> Vec<Option<Vec<u8>>> {
        let state = self.state();
        let entries = mempool::entries(&state.coins, state.next_height());
        drop(state);
        let known: HashMap<Txid, Vec<u8>> = entries
            .iter()
            .map(|entry| {
                (
                    entry.transaction.compute_txid(),
                    serialize(&entry.transaction),
                )
            })
            .collect();
        txids.iter().map(|txid| known.get(txid).cloned()).collect()
    }

    /// [`EmbeddedChain::template`] by the given clock.
    pub fn template_at(&self, now: UnixTime) -> Template {
        self.state().template(self.0.difficulty, now)
    }

    /// [`EmbeddedChain::submit`] by the given clock.
    pub fn submit_at(&self, block: &[u8], now: UnixTime) -> SubmitAnswer {
        let Ok(decoded) = deserialize::<Block>(block) else {
            return SubmitAnswer::Refused("Block decode failed".to_owned());
        };
        let mut state = self.state();
        match state.judge(&decoded, Proof::Required, self.0.difficulty, now) {
            Verdict::Known => SubmitAnswer::AlreadyKnown,
            Verdict::Branch => SubmitAnswer::Inconclusive,
            Verdict::Invalid(reason) => SubmitAnswer::Refused(reason.into_owned()),
            Verdict::Extends(coins) => match state.store.append(block) {
                Ok(()) => {
                    state.connect(&decoded, coins);
                    self.0.tip.send_replace(state.tip());
                    SubmitAnswer::Accepted
                }
                Err(error) => {
                    SubmitAnswer::Retry(format!("cannot write the block to disk: {error}"))
                }
            },
        }
    }

    /// [`EmbeddedChain::check`] by the given clock.
    pub fn check_at(&self, block: &[u8], now: UnixTime) -> CheckAnswer {
        let Ok(decoded) = deserialize::<Block>(block) else {
            return CheckAnswer::Refused("Block decode failed".to_owned());
        };
        let state = self.state();
        if state.heights.contains_key(&decoded.block_hash()) {
            return CheckAnswer::AlreadyKnown;
        }
        if decoded.header.prev_blockhash != state.tip().hash {
            return CheckAnswer::StaleTip;
        }
        match state.judge(&decoded, Proof::Waived, self.0.difficulty, now) {
            Verdict::Extends(_) => CheckAnswer::Valid,
            Verdict::Known => CheckAnswer::AlreadyKnown,
            Verdict::Branch => CheckAnswer::StaleTip,
            Verdict::Invalid(reason) => CheckAnswer::Refused(reason.into_owned()),
        }
    }

    /// How long until a template is easier than one for now.
    pub(super) fn until_easier(&self, now: UnixTime) -> Option<Duration> {
        self.state().until_easier(self.0.difficulty, now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A state is changed in one step after all that could fail, so it is whole even if a
        // thread died holding it.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Header time by the system's clock.
pub(super) fn system_time() -> UnixTime {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime::from_secs(u32::try_from(since_epoch.as_secs()).unwrap_or(u32::MAX))
}
