//! The chain itself: its index, its coins, the judgement of a block and the template of the next.

use std::collections::HashMap;
use std::time::Duration;

use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::Hash;
use bitcoin::{Amount, Block, BlockHash};
use headframe_work::{
    BlockLimits, Network, Template, TemplateTransaction, UnixTime, witness_commitment,
};

use super::chain::ChainError;
use super::check::{Parent, Proof, Reason, check_alone, check_in_place, check_spending, subsidy};
use super::coins::Coins;
use super::difficulty::{Difficulty, Pace};
use super::mempool;
use super::premine::{PREMINE, genesis, premined};
use super::store::Store;
use crate::Tip;

/// How many blocks the median time past looks at.
const MEDIAN_SPAN: usize = 11;
/// nVersion of templates: BIP9 with no signal.
const VERSION: u32 = 0x2000_0000;

/// A chain that always has at least the premine.
pub(super) struct State {
    /// Every block's index entry; the position is the height.
    index: Vec<Entry>,
    pub(super) heights: HashMap<BlockHash, u32>,
    /// The blocks after the premine, again, for the retarget.
    recent: Vec<Pace>,
    pub(super) coins: Coins,
    premine: Vec<Block>,
    pub(super) store: Store,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: BlockHash,
    time: UnixTime,
}

/// What a look at a block came to.
pub(super) enum Verdict {
    /// Valid on the tip; the coins after it.
    Extends(Coins),
    /// The chain has it.
    Known,
    /// It builds on an older block of the chain, and is valid as far as that can be seen.
    Branch,
    Invalid(Reason),
}

impl State {
    pub(super) fn premined() -> Self {
        let genesis = genesis();
        let mut state = Self {
            index: Vec::new(),
            heights: HashMap::new(),
            recent: Vec::new(),
            coins: Coins::default(),
            premine: Vec::new(),
            store: Store::Memory(Vec::new()),
        };
        state.add_entry(&genesis);
        state.premine.push(genesis);
        for block in premined() {
            let mut coins = std::mem::take(&mut state.coins);
            for transaction in &block.txdata {
                coins.add_outputs(transaction.compute_txid(), transaction, state.next_height());
            }
            state.connect(&block, coins);
            state.premine.push(block);
        }
        state
    }

    /// Takes in a block from disk. Its time has been judged when it was new.
    pub(super) fn replay(
        &mut self,
        block: &[u8],
        difficulty: Difficulty,
    ) -> Result<(), ChainError> {
        let invalid = |height, reason: Reason| ChainError::InvalidBlock {
            height,
            reason: reason.into_owned(),
        };
        let height = self.next_height();
        let decoded: Block =
            deserialize(block).map_err(|_| invalid(height, "Block decode failed".into()))?;
        let time = UnixTime::from_secs(decoded.header.time);
        match self.judge(&decoded, Proof::Required, difficulty, time) {
            Verdict::Extends(coins) => self.connect(&decoded, coins),
            Verdict::Known => return Err(invalid(height, "duplicate".into())),
            Verdict::Branch => return Err(invalid(height, "bad-prevblk".into())),
            Verdict::Invalid(reason) => return Err(invalid(height, reason)),
        }
        Ok(())
    }

    pub(super) fn judge(
        &self,
        block: &Block,
        proof: Proof,
        difficulty: Difficulty,
        now: UnixTime,
    ) -> Verdict {
        match self.look_at(block, proof, difficulty, now) {
            Ok(verdict) => verdict,
            Err(reason) => Verdict::Invalid(reason),
        }
    }

    fn look_at(
        &self,
        block: &Block,
        proof: Proof,
        difficulty: Difficulty,
        now: UnixTime,
    ) -> Result<Verdict, Reason> {
        check_alone(block, proof)?;
        if self.heights.contains_key(&block.block_hash()) {
            return Ok(Verdict::Known);
        }
        let parent_height = *self
            .heights
            .get(&block.header.prev_blockhash)
            .ok_or("prev-blk-not-found")?;
        check_in_place(block, &self.parent(parent_height, difficulty), now)?;
        if parent_height != self.tip().height {
            return Ok(Verdict::Branch);
        }
        check_spending(block, self.next_height(), &self.coins).map(Verdict::Extends)
    }

    /// Makes a block that has been judged the tip.
    pub(super) fn connect(&mut self, block: &Block, coins: Coins) {
        if self.next_height() > PREMINE {
            self.recent.push(Pace {
                time: UnixTime::from_secs(block.header.time),
                bits: block.header.bits,
            });
        }
        self.add_entry(block);
        self.coins = coins;
    }

    fn add_entry(&mut self, block: &Block) {
        let hash = block.block_hash();
        let height = self.next_height();
        self.index.push(Entry {
            hash,
            time: UnixTime::from_secs(block.header.time),
        });
        self.heights.insert(hash, height);
    }

    pub(super) fn tip(&self) -> Tip {
        Tip {
            height: self.next_height().saturating_sub(1),
            hash: self
                .index
                .last()
                .map_or_else(BlockHash::all_zeros, |entry| entry.hash),
        }
    }

    pub(super) fn next_height(&self) -> u32 {
        u32::try_from(self.index.len()).unwrap_or(u32::MAX)
    }

    fn parent_time(&self, height: u32) -> UnixTime {
        self.index
            .get(height as usize)
            .map_or_else(UnixTime::default, |entry| entry.time)
    }

    /// How long until the next block is easier to find than one with a header time of now.
    pub(super) fn until_easier(&self, difficulty: Difficulty, now: UnixTime) -> Option<Duration> {
        let parent = self.parent(self.tip().height, difficulty);
        difficulty.until_easier(parent.recent, parent.time, now)
    }

    fn parent(&self, height: u32, difficulty: Difficulty) -> Parent<'_> {
        let entry = self.index.get(height as usize);
        Parent {
            hash: entry.map_or_else(BlockHash::all_zeros, |entry| entry.hash),
            height,
            time: self.parent_time(height),
            median_time_past: self.median_time_past(height),
            recent: self
                .recent
                .get(..height.saturating_sub(PREMINE) as usize)
                .unwrap_or_default(),
            difficulty,
        }
    }

    fn median_time_past(&self, height: u32) -> UnixTime {
        let end = height as usize + 1;
        let span = self
            .index
            .get(end.saturating_sub(MEDIAN_SPAN)..end)
            .unwrap_or_default();
        let mut times: Vec<UnixTime> = span.iter().map(|entry| entry.time).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    pub(super) fn block(&mut self, height: u32) -> Option<Vec<u8>> {
        match self.premine.get(height as usize) {
            Some(block) => Some(serialize(block)),
            None => self.store.block((height - PREMINE - 1) as usize),
        }
    }

    pub(super) fn template(&self, difficulty: Difficulty, now: UnixTime) -> Template {
        let parent = self.parent(self.tip().height, difficulty);
        let height = self.next_height();
        let earliest = parent
            .median_time_past
            .saturating_add(Duration::from_secs(1));
        let current_time = now.max(earliest);
        let entries = mempool::entries(&self.coins, height);
        let fees: Amount = entries.iter().map(|entry| entry.fee).sum();
        let transactions: Vec<_> = entries.iter().map(template_transaction).collect();
        Template {
            network: Network::Regtest,
            height,
            version: VERSION,
            fixed_version_bits: 0,
            prev_hash: parent.hash,
            bits: difficulty.bits(parent.recent, parent.time, current_time),
            min_time: difficulty
                .valid_from(parent.recent, parent.time, current_time)
                .map_or(earliest, |start| start.max(earliest)),
            current_time,
            coinbase_value: subsidy(height) + fees,
            coinbase_sequence: 0xffff_fffe,
            coinbase_lock_time: height - 1,
            witness_commitment: Some(commitment_script(&transactions)),
            transactions,
            limits: BlockLimits::default(),
        }
    }
}

fn template_transaction(entry: &mempool::Entry) -> TemplateTransaction {
    let transaction = &entry.transaction;
    TemplateTransaction {
        data: serialize(transaction),
        txid: transaction.compute_txid(),
        wtxid: transaction.compute_wtxid(),
        fee: entry.fee,
        sigops: 0,
        weight: transaction.weight().to_wu() as u32,
    }
}

fn commitment_script(transactions: &[TemplateTransaction]) -> bitcoin::ScriptBuf {
    witness_commitment(transactions.iter().map(|transaction| transaction.wtxid))
}
