//! A node's template, cut to the room that a client's coinbase needs (spec §7.1).

use std::collections::HashSet;
use std::sync::Arc;

use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, ScriptBuf, Transaction, TxOut, Txid};
use headframe_work::{
    Target, Template, TemplateError, TemplateTransaction, merkle_path, witness_commitment,
};
use thiserror::Error;

use crate::CoinbaseConstraints;

/// A template that holds with a client's coinbase: whatever outputs within the constraints the client
/// adds, with a script of up to 100 bytes, the block keeps within its limits.
///
/// Immutable, and shared by all clients with the same constraints. The transactions stay those of the node's
/// template, however many are made of it.
#[derive(Debug)]
pub struct FittedTemplate {
    whole: Arc<Template>,
    /// Places of the transactions that do not fit, rising.
    left_out: Vec<usize>,
    value: Amount,
    fees: Amount,
    commitment: Option<ScriptBuf>,
    merkle_path: Vec<[u8; 32]>,
    target: Target,
    prefix: Vec<u8>,
    outputs: Vec<u8>,
}

/// A client's constraints and a node's template have no block in common.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FitError {
    /// The client asks for more than a block holds. The client's fault.
    #[error("the coinbase is to have {needed} of {what}, and a block has {limit}")]
    NoRoom {
        /// `weight` or `sigops`.
        what: &'static str,
        /// What the client's coinbase may need.
        needed: u64,
        /// What a block may have.
        limit: u64,
    },
    /// The node's fault, or whoever made a template of its answer.
    #[error("transaction {txid} of the node's template cannot be read")]
    Transaction {
        /// The transaction.
        txid: Txid,
    },
    /// The node's fault.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl FittedTemplate {
    /// Cuts `template` to `constraints`.
    ///
    /// Where all transactions fit, nothing is changed. Else they are taken in order as long as they fit,
    /// and one whose parent was left out is left out too; value, path and commitment are made again.
    ///
    /// # Errors
    ///
    /// When there is no such block, or the template is none.
    pub fn new(
        template: &Arc<Template>,
        constraints: CoinbaseConstraints,
    ) -> Result<Self, FitError> {
        let whole = Arc::clone(template);
        let target = target_of(&whole)?;
        let room = Room::beside(&whole, constraints)?;
        let fits = whole.transactions.iter().try_fold(room, Room::without);
        let left_out = match fits {
            Some(_) => Vec::new(),
            None => left_out(&whole, room)?,
        };
        let fees = fees(&whole)?;
        let lost = left_out.iter().map(|place| whole.transactions[*place].fee);
        let lost: Amount = lost.sum();
        let mut fitted = Self {
            value: whole.coinbase_value - lost,
            fees: fees - lost,
            commitment: whole.witness_commitment.clone(),
            merkle_path: Vec::new(),
            target,
            prefix: height_push(whole.height),
            outputs: Vec::new(),
            left_out,
            whole,
        };
        let txids = fitted.transactions().map(|tx| tx.txid.to_byte_array());
        fitted.merkle_path = merkle_path(txids);
        if fitted.commitment.is_some() && !fitted.left_out.is_empty() {
            let wtxids = fitted.transactions().map(|tx| tx.wtxid);
            fitted.commitment = Some(witness_commitment(wtxids));
        }
        fitted.outputs = fitted.commitment.iter().flat_map(output).collect();
        Ok(fitted)
    }

    /// The node's template. Its transactions, its value and its commitment are not always this one's.
    pub fn whole(&self) -> &Template {
        &self.whole
    }

    /// The transactions that fit, in block order.
    pub fn transactions(&self) -> impl Iterator<Item = &TemplateTransaction> {
        let all = self.whole.transactions.iter().enumerate();
        let fits = |place: &usize| self.left_out.binary_search(place).is_err();
        all.filter(move |(place, _)| fits(place))
            .map(|(_, transaction)| transaction)
    }

    /// How many of the node's transactions do not fit beside the client's coinbase.
    pub fn left_out(&self) -> usize {
        self.left_out.len()
    }

    /// Subsidy and fees: what the client's outputs may spend.
    pub const fn value(&self) -> Amount {
        self.value
    }

    /// What the transactions pay together.
    pub const fn fees(&self) -> Amount {
        self.fees
    }

    /// Script of the output that commits to the witnesses, where the block has one.
    pub const fn commitment(&self) -> Option<&ScriptBuf> {
        self.commitment.as_ref()
    }

    /// The hashes from the coinbase to the merkle root, deepest first.
    pub fn merkle_path(&self) -> &[[u8; 32]] {
        &self.merkle_path
    }

    /// The network target: a hash that meets it is a block.
    pub const fn target(&self) -> Target {
        self.target
    }

    /// What the coinbase's script begins with: the height (BIP34).
    pub(crate) fn coinbase_prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// The outputs that the coinbase has to end with, without a count.
    pub(crate) fn outputs(&self) -> &[u8] {
        &self.outputs
    }
}

fn target_of(template: &Template) -> Result<Target, TemplateError> {
    let target = Target::from_compact(template.bits);
    match target == Target::ZERO {
        true => Err(TemplateError::ImpossibleBits {
            bits: template.bits.to_consensus(),
        }),
        false => Ok(target),
    }
}

/// What all transactions pay, which is not more than the coinbase may pay out.
fn fees(template: &Template) -> Result<Amount, TemplateError> {
    let coinbase_value = template.coinbase_value;
    let mut fees = template.transactions.iter().map(|tx| tx.fee);
    let fees = fees.try_fold(Amount::ZERO, Amount::checked_add);
    let fees = fees.unwrap_or(Amount::MAX);
    match fees > coinbase_value {
        true => Err(TemplateError::FeesAboveCoinbaseValue {
            fees,
            coinbase_value,
        }),
        false => Ok(fees),
    }
}

/// What is left of a block.
#[derive(Debug, Clone, Copy)]
struct Room {
    weight: u64,
    sigops: u64,
}

impl Room {
    /// What the client's coinbase leaves.
    fn beside(template: &Template, constraints: CoinbaseConstraints) -> Result<Self, FitError> {
        let left = |what, limit: u32, needed| {
            let limit = u64::from(limit);
            limit.checked_sub(needed).ok_or(FitError::NoRoom {
                what,
                needed,
                limit,
            })
        };
        let weight = constraints.reserved_weight(template.witness_commitment.is_some());
        let sigops = constraints.sigops.into();
        Ok(Self {
            weight: left("weight", template.limits.weight, weight)?,
            sigops: left("sigops", template.limits.sigops, sigops)?,
        })
    }

    /// What one more transaction leaves; `None` where it does not fit.
    fn without(self, transaction: &TemplateTransaction) -> Option<Self> {
        Some(Self {
            weight: self.weight.checked_sub(transaction.weight.into())?,
            sigops: self.sigops.checked_sub(transaction.sigops.into())?,
        })
    }
}

/// The places of what does not fit, and of what needs it.
fn left_out(template: &Template, mut room: Room) -> Result<Vec<usize>, FitError> {
    let mut left_out = Vec::new();
    let mut missing = HashSet::new();
    for (place, transaction) in template.transactions.iter().enumerate() {
        let txid = transaction.txid;
        let read: Transaction =
            deserialize(&transaction.data).map_err(|_| FitError::Transaction { txid })?;
        let is_orphan = (read.input.iter()).any(|it| missing.contains(&it.previous_output.txid));
        match room.without(transaction).filter(|_| !is_orphan) {
            Some(rest) => room = rest,
            None => {
                missing.insert(txid);
                left_out.push(place);
            }
        }
    }
    Ok(left_out)
}

/// An output that is paid nothing, serialized.
fn output(script: &ScriptBuf) -> Vec<u8> {
    serialize(&TxOut {
        value: Amount::ZERO,
        script_pubkey: script.clone(),
    })
}

/// BIP34's height, the shortest push of the number.
fn height_push(height: u32) -> Vec<u8> {
    bitcoin::script::Builder::new()
        .push_int(height.into())
        .into_bytes()
}
