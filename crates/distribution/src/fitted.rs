//! A node's template, cut to the room that a client's coinbase needs (spec §7.1).

use std::collections::HashSet;
use std::sync::Arc;

use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::{Amount, Transaction, TxOut, Txid};
use headframe_work::{
    PreparedTemplate, Template, TemplateError, TemplateTransaction, witness_commitment,
};
use thiserror::Error;

use crate::CoinbaseConstraints;

/// A template that holds with a client's coinbase: whatever outputs within the constraints the client
/// adds, with a script of up to 100 bytes, the block keeps within its limits.
///
/// Immutable, and shared by all clients with the same constraints.
#[derive(Debug)]
pub struct FittedTemplate {
    prepared: Arc<PreparedTemplate>,
    fees: Amount,
    left_out: usize,
    prefix: Vec<u8>,
    outputs: Vec<u8>,
    outputs_count: u32,
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
        let room = Room::beside(template, constraints)?;
        let fits = template.transactions.iter().try_fold(room, Room::without);
        let (template, left_out) = match fits {
            Some(_) => (Arc::clone(template), 0),
            None => cut(template, room)?,
        };
        let commitment = template.witness_commitment.as_ref();
        let outputs = commitment.map(|script| TxOut {
            value: Amount::ZERO,
            script_pubkey: script.clone(),
        });
        let prepared = PreparedTemplate::new(template)?;
        let template = prepared.template();
        Ok(Self {
            // They are less than the coinbase value: that was looked at right now.
            fees: template.transactions.iter().map(|tx| tx.fee).sum(),
            left_out,
            prefix: height_push(template.height),
            outputs_count: u32::from(outputs.is_some()),
            outputs: outputs.iter().flat_map(serialize).collect(),
            prepared: Arc::new(prepared),
        })
    }

    /// The template as the client has it, with all that is computed once.
    pub const fn prepared(&self) -> &Arc<PreparedTemplate> {
        &self.prepared
    }

    /// The template as the client has it.
    pub fn template(&self) -> &Template {
        self.prepared.template()
    }

    /// What its transactions pay together.
    pub const fn fees(&self) -> Amount {
        self.fees
    }

    /// How many of the node's transactions do not fit beside the client's coinbase.
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// What the coinbase's script begins with: the height (BIP34).
    pub(crate) fn coinbase_prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// The outputs that the coinbase has to end with, without a count, and their count.
    pub(crate) fn outputs(&self) -> (&[u8], u32) {
        (&self.outputs, self.outputs_count)
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

/// The template with those of its transactions that fit, and the number of the others.
fn cut(template: &Template, mut room: Room) -> Result<(Arc<Template>, usize), FitError> {
    let mut kept = Vec::with_capacity(template.transactions.len());
    let mut left_out = HashSet::new();
    let mut lost_fees = Amount::ZERO;
    for transaction in &template.transactions {
        let txid = transaction.txid;
        let read: Transaction =
            deserialize(&transaction.data).map_err(|_| FitError::Transaction { txid })?;
        let is_orphan = (read.input.iter()).any(|it| left_out.contains(&it.previous_output.txid));
        match room.without(transaction).filter(|_| !is_orphan) {
            Some(rest) => {
                room = rest;
                kept.push(transaction.clone());
            }
            None => {
                left_out.insert(txid);
                lost_fees = lost_fees
                    .checked_add(transaction.fee)
                    .unwrap_or(Amount::MAX);
            }
        }
    }
    let value = template.coinbase_value.checked_sub(lost_fees);
    let coinbase_value = value.ok_or(TemplateError::FeesAboveCoinbaseValue {
        fees: lost_fees,
        coinbase_value: template.coinbase_value,
    })?;
    let commitment = template.witness_commitment.as_ref();
    let cut = Template {
        coinbase_value,
        witness_commitment: commitment.map(|_| witness_commitment(kept.iter().map(|tx| tx.wtxid))),
        transactions: kept,
        ..*template
    };
    Ok((Arc::new(cut), left_out.len()))
}

/// BIP34's height, the shortest push of the number.
fn height_push(height: u32) -> Vec<u8> {
    bitcoin::script::Builder::new()
        .push_int(height.into())
        .into_bytes()
}
