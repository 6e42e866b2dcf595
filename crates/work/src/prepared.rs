//! A template, made ready once for all the miners that will work on it.

use std::sync::{Arc, OnceLock};

use bitcoin::hashes::Hash;
use bitcoin::hex::DisplayHex;
use bitcoin::{Amount, VarInt};

use crate::{Target, Template, merkle_path};

/// A template with everything computed that does not depend on who is paid: the merkle path, the
/// network target, and what the coinbase may weigh.
#[derive(Debug)]
pub struct PreparedTemplate {
    template: Arc<Template>,
    merkle_path: Vec<[u8; 32]>,
    target: Target,
    budget: CoinbaseBudget,
    transactions_hex: OnceLock<Arc<String>>,
}

/// What a template leaves for the coinbase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoinbaseBudget {
    /// BIP141 weight units.
    pub weight: u64,
    /// Bytes, with witness.
    pub size: u64,
    /// Signature operation cost.
    pub sigops: u64,
}

/// A template that no valid block can be built from. The node's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The fees alone are more than the coinbase may pay out.
    #[error(
        "the node's template has fees of {fees}, more than its coinbase value {coinbase_value}"
    )]
    FeesAboveCoinbaseValue {
        /// Sum of the transactions' fees.
        fees: Amount,
        /// What the template says the coinbase may pay.
        coinbase_value: Amount,
    },
    /// The `bits` stand for no target that a hash could meet.
    #[error("the node's template has bits {bits:08x}, which stand for no target")]
    ImpossibleBits {
        /// The compact form as a number.
        bits: u32,
    },
    /// The transactions leave no room for a coinbase.
    #[error("the node's template leaves no room for a coinbase ({what} is used up)")]
    NoRoom {
        /// Which of the limits is reached.
        what: &'static str,
    },
}

impl PreparedTemplate {
    /// Prepares `template`.
    ///
    /// # Errors
    ///
    /// When no valid block can be built from it.
    pub fn new(template: impl Into<Arc<Template>>) -> Result<Self, TemplateError> {
        let template = template.into();
        let target = Target::from_compact(template.bits);
        if target == Target::ZERO {
            let bits = template.bits.to_consensus();
            return Err(TemplateError::ImpossibleBits { bits });
        }
        check_fees(&template)?;
        Ok(Self {
            merkle_path: merkle_path(
                template
                    .transactions
                    .iter()
                    .map(|tx| tx.txid.to_byte_array()),
            ),
            target,
            budget: CoinbaseBudget::left_by(&template)?,
            transactions_hex: OnceLock::new(),
            template,
        })
    }

    /// The template as the node gave it.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// The hashes that lead from the coinbase to the merkle root, deepest first.
    pub fn merkle_path(&self) -> &[[u8; 32]] {
        &self.merkle_path
    }

    /// The network target: a hash that meets it is a block.
    pub fn target(&self) -> Target {
        self.target
    }

    /// What the transactions leave for the coinbase.
    pub fn budget(&self) -> CoinbaseBudget {
        self.budget
    }

    /// The transactions after the coinbase, serialised one after the other, in hexadecimal. Made
    /// once, at the first call: call it when there is time, so that a found block need not wait
    ///
    pub fn transactions_hex(&self) -> &Arc<String> {
        self.transactions_hex.get_or_init(|| {
            let bytes = self.template.transactions.iter().map(|tx| tx.data.len());
            let mut hex = String::with_capacity(2 * bytes.sum::<usize>());
            for transaction in &self.template.transactions {
                hex.push_str(&transaction.data.to_lower_hex_string());
            }
            Arc::new(hex)
        })
    }
}

impl CoinbaseBudget {
    fn left_by(template: &Template) -> Result<Self, TemplateError> {
        let transactions = &template.transactions;
        let count = VarInt::from(transactions.len() + 1).size() as u64;
        let overhead = crate::Header::LEN as u64 + count;
        let size: u64 = transactions.iter().map(|tx| tx.data.len() as u64).sum();
        let weight: u64 = transactions.iter().map(|tx| u64::from(tx.weight)).sum();
        let sigops: u64 = transactions.iter().map(|tx| u64::from(tx.sigops)).sum();
        let left = |what, limit: u32, used| {
            u64::from(limit)
                .checked_sub(used)
                .ok_or(TemplateError::NoRoom { what })
        };
        Ok(Self {
            weight: left("weight", template.limits.weight, weight + 4 * overhead)?,
            size: left("size", template.limits.size, size + overhead)?,
            sigops: left("sigops", template.limits.sigops, sigops)?,
        })
    }
}

fn check_fees(template: &Template) -> Result<(), TemplateError> {
    let coinbase_value = template.coinbase_value;
    let fees = template
        .transactions
        .iter()
        .try_fold(Amount::ZERO, |sum, tx| sum.checked_add(tx.fee))
        .unwrap_or(Amount::MAX);
    if fees > coinbase_value {
        return Err(TemplateError::FeesAboveCoinbaseValue {
            fees,
            coinbase_value,
        });
    }
    Ok(())
}
