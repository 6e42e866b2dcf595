//! What makes a block of the embedded chain valid, with Bitcoin Core's own words for what does
//! not.
//!
//! The order is Bitcoin Core's (`CheckBlock`, `AcceptBlockHeader`, `ContextualCheckBlock`,
//! `ConnectBlock`), so that a block with several faults is refused for the same one. Scripts are
//! not run: an input is valid when it spends a coin with the coin's one witness. A relative lock
//! time is refused rather than evaluated.

use std::borrow::Cow;
use std::collections::HashSet;

use bitcoin::hashes::{Hash, HashEngine};
use bitcoin::script::Builder;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, Sequence, Transaction, TxMerkleNode, Weight,
};
use headframe_work::{COMMITMENT_PREFIX, Network, UnixTime};

use super::coins::{Coins, witness};
use super::difficulty::{Difficulty, Pace};

/// How far a header may be ahead of the clock.
const MAX_FUTURE: std::time::Duration = std::time::Duration::from_secs(2 * 60 * 60);
/// BIP141 limit on signature operations.
const MAX_SIGOP_COST: usize = 80_000;
/// With this bit in a version-2 transaction's sequence there is no relative lock time (BIP68).
const RELATIVE_LOCK_DISABLED: u32 = 1 << 31;

/// Why a block is invalid, in Bitcoin Core's words.
pub(super) type Reason = Cow<'static, str>;

/// Whether the proof of work counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    Required,
    /// A proposal (BIP23) is not solved yet.
    Waived,
}

/// What a block's validity depends on besides itself.
pub(super) struct Parent<'a> {
    pub(super) hash: BlockHash,
    pub(super) height: u32,
    pub(super) time: UnixTime,
    pub(super) median_time_past: UnixTime,
    /// The blocks after the premine up to the parent; empty while the premine is made.
    pub(super) recent: &'a [Pace],
    pub(super) difficulty: Difficulty,
}

impl Parent<'_> {
    const fn next_height(&self) -> u32 {
        self.height.saturating_add(1)
    }
}

/// What the miner of the block at `height` may create besides the fees.
pub(super) fn subsidy(height: u32) -> Amount {
    Network::Regtest.subsidy(height)
}

/// Checks what needs no other block.
pub(super) fn check_alone(block: &Block, proof: Proof) -> Result<(), Reason> {
    let header = &block.header;
    if proof == Proof::Required && !header.target().is_met_by(header.block_hash()) {
        return refuse("high-hash");
    }
    check_merkle_root(block)?;
    if stripped_weight(block) > Weight::MAX_BLOCK {
        return refuse("bad-blk-length");
    }
    let Some((coinbase, others)) = block.txdata.split_first() else {
        return refuse("bad-blk-length");
    };
    if !coinbase.is_coinbase() {
        return refuse("bad-cb-missing");
    }
    if others.iter().any(Transaction::is_coinbase) {
        return refuse("bad-cb-multiple");
    }
    block.txdata.iter().try_for_each(check_transaction)?;
    let sigop_cost: usize = block
        .txdata
        .iter()
        .map(|tx| tx.total_sigop_cost(|_| None))
        .sum();
    if sigop_cost > MAX_SIGOP_COST {
        return refuse("bad-blk-sigops");
    }
    Ok(())
}

/// Checks a block against its parent, but for what it spends.
pub(super) fn check_in_place(
    block: &Block,
    parent: &Parent<'_>,
    now: UnixTime,
) -> Result<(), Reason> {
    check_header(block, parent, now)?;
    if !block.txdata.iter().all(|tx| is_final(tx, parent)) {
        return refuse("bad-txns-nonfinal");
    }
    let height = Builder::new()
        .push_int(parent.next_height().into())
        .into_script();
    let script = block
        .txdata
        .first()
        .and_then(|tx| tx.input.first())
        .map(|input| input.script_sig.as_bytes());
    if !script.is_some_and(|script| script.starts_with(height.as_bytes())) {
        return refuse("bad-cb-height");
    }
    check_witness_commitment(block)?;
    if block.weight() > Weight::MAX_BLOCK {
        return refuse("bad-blk-weight");
    }
    Ok(())
}

/// Checks what the block at `height` spends and creates; gives the coins after it.
pub(super) fn check_spending(block: &Block, height: u32, coins: &Coins) -> Result<Coins, Reason> {
    let mut coins = coins.clone();
    let mut fees = Amount::ZERO;
    for transaction in &block.txdata {
        if !transaction.is_coinbase() {
            fees = fees
                .checked_add(fee(transaction, height, &coins)?)
                .ok_or("bad-txns-accumulated-fee-outofrange")?;
            coins.remove_inputs(transaction);
        }
        coins.add_outputs(transaction.compute_txid(), transaction, height);
    }
    let created = block.txdata.first().and_then(output_total);
    let allowed = subsidy(height).checked_add(fees);
    match (created, allowed) {
        (Some(created), Some(allowed)) if created <= allowed => Ok(coins),
        _ => refuse("bad-cb-amount"),
    }
}

fn refuse<T>(reason: &'static str) -> Result<T, Reason> {
    Err(Cow::Borrowed(reason))
}

/// Refuses another merkle root, and a list of transactions that was lengthened without changing
/// the root (CVE-2012-2459).
fn check_merkle_root(block: &Block) -> Result<(), Reason> {
    let mut level: Vec<TxMerkleNode> = block
        .txdata
        .iter()
        .map(|transaction| transaction.compute_txid().into())
        .collect();
    let mut lengthened = false;
    while level.len() > 1 {
        lengthened |= level
            .chunks_exact(2)
            .any(|pair| pair.first() == pair.last());
        level = level.chunks(2).map(join).collect();
    }
    if level.first() != Some(&block.header.merkle_root) {
        return refuse("bad-txnmrklroot");
    }
    if lengthened {
        return refuse("bad-txns-duplicate");
    }
    Ok(())
}

/// The node above two nodes, or above one that has no neighbour and is taken twice.
fn join(pair: &[TxMerkleNode]) -> TxMerkleNode {
    let mut engine = TxMerkleNode::engine();
    for node in pair.iter().chain(pair).take(2) {
        engine.input(node.as_byte_array());
    }
    TxMerkleNode::from_engine(engine)
}

fn stripped_weight(block: &Block) -> Weight {
    let count = bitcoin::consensus::encode::VarInt::from(block.txdata.len()).size();
    let transactions: usize = block.txdata.iter().map(Transaction::base_size).sum();
    Weight::from_wu(4 * (80 + count + transactions) as u64)
}

fn check_transaction(transaction: &Transaction) -> Result<(), Reason> {
    if transaction.input.is_empty() {
        return refuse("bad-txns-vin-empty");
    }
    if transaction.output.is_empty() {
        return refuse("bad-txns-vout-empty");
    }
    if transaction
        .output
        .iter()
        .any(|output| output.value > Amount::MAX_MONEY)
    {
        return refuse("bad-txns-vout-toolarge");
    }
    if output_total(transaction).is_none() {
        return refuse("bad-txns-txouttotal-toolarge");
    }
    let mut spent = HashSet::new();
    if !transaction
        .input
        .iter()
        .all(|input| spent.insert(input.previous_output))
    {
        return refuse("bad-txns-inputs-duplicate");
    }
    if !transaction.is_coinbase() {
        let null = OutPoint::null();
        if transaction
            .input
            .iter()
            .any(|input| input.previous_output == null)
        {
            return refuse("bad-txns-prevout-null");
        }
        return Ok(());
    }
    let script = transaction
        .input
        .first()
        .map_or(0, |input| input.script_sig.len());
    if !(2..=100).contains(&script) {
        return refuse("bad-cb-length");
    }
    Ok(())
}

/// The sum of a transaction's outputs, at most all the money there can be.
fn output_total(transaction: &Transaction) -> Option<Amount> {
    transaction
        .output
        .iter()
        .try_fold(Amount::ZERO, |total, output| {
            total.checked_add(output.value)
        })
        .filter(|total| *total <= Amount::MAX_MONEY)
}

fn check_header(block: &Block, parent: &Parent<'_>, now: UnixTime) -> Result<(), Reason> {
    let header = &block.header;
    let time = UnixTime::from_secs(header.time);
    if !bits_allowed(header.bits, parent, time) {
        return refuse("bad-diffbits");
    }
    if time <= parent.median_time_past {
        return refuse("time-too-old");
    }
    if time > now.saturating_add(MAX_FUTURE) {
        return refuse("time-too-new");
    }
    let version = header.version.to_consensus();
    if version < 4 {
        return Err(format!("bad-version(0x{version:08x})").into());
    }
    Ok(())
}

fn bits_allowed(bits: CompactTarget, parent: &Parent<'_>, time: UnixTime) -> bool {
    let difficulty = if parent.height < super::PREMINE {
        Difficulty::Regtest
    } else {
        parent.difficulty
    };
    difficulty.allows(bits, parent.recent, parent.time, time)
}

/// Bitcoin Core's `IsFinalTx`, with the median time past as the clock (BIP113).
fn is_final(transaction: &Transaction, parent: &Parent<'_>) -> bool {
    let lock_time = transaction.lock_time.to_consensus_u32();
    let passed = if transaction.lock_time.is_block_height() {
        lock_time < parent.next_height()
    } else {
        lock_time < parent.median_time_past.as_secs()
    };
    let mut inputs = transaction.input.iter();
    lock_time == 0 || passed || inputs.all(|input| input.sequence == Sequence::MAX)
}

fn check_witness_commitment(block: &Block) -> Result<(), Reason> {
    let Some(coinbase) = block.txdata.first() else {
        return refuse("bad-cb-missing");
    };
    let commitment = coinbase.output.iter().rev().find_map(|output| {
        let script = output.script_pubkey.as_bytes();
        script.strip_prefix(&COMMITMENT_PREFIX)?.get(..32)
    });
    let Some(commitment) = commitment else {
        let bare = block
            .txdata
            .iter()
            .all(|tx| tx.input.iter().all(|input| input.witness.is_empty()));
        return if bare {
            Ok(())
        } else {
            refuse("unexpected-witness")
        };
    };
    let reserved = coinbase.input.first().map(|input| &input.witness);
    let reserved = match reserved {
        Some(witness) if witness.len() == 1 => witness.nth(0).filter(|value| value.len() == 32),
        _ => None,
    };
    let Some(reserved) = reserved else {
        return refuse("bad-witness-nonce-size");
    };
    let expected = block
        .witness_root()
        .map(|root| Block::compute_witness_commitment(&root, reserved));
    if expected.is_some_and(|expected| expected.as_byte_array() == commitment) {
        Ok(())
    } else {
        refuse("bad-witness-merkle-match")
    }
}

/// What a transaction leaves to the miner, if it may spend what it spends.
fn fee(transaction: &Transaction, height: u32, coins: &Coins) -> Result<Amount, Reason> {
    let mut spent = Amount::ZERO;
    for input in &transaction.input {
        let Some(coin) = coins.at(&input.previous_output) else {
            return refuse("bad-txns-inputs-missingorspent");
        };
        if !coin.is_mature(height) {
            return refuse("bad-txns-premature-spend-of-coinbase");
        }
        spent = spent
            .checked_add(coin.value)
            .ok_or("bad-txns-inputvalues-outofrange")?;
    }
    let created = output_total(transaction).ok_or("bad-txns-txouttotal-toolarge")?;
    let fee = spent.checked_sub(created).ok_or("bad-txns-in-belowout")?;
    if transaction
        .input
        .iter()
        .any(|input| has_relative_lock(transaction, input.sequence))
    {
        return refuse("bad-txns-nonfinal");
    }
    let valid = transaction
        .input
        .iter()
        .all(|input| input.script_sig.is_empty() && input.witness == witness());
    if valid {
        Ok(fee)
    } else {
        refuse("block-script-verify-flag-failed")
    }
}

fn has_relative_lock(transaction: &Transaction, sequence: Sequence) -> bool {
    transaction.version.0 >= 2 && sequence.to_consensus_u32() & RELATIVE_LOCK_DISABLED == 0
}
