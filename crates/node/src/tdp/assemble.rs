//! An offered template, its tip and its transactions → [`Template`].
//!
//! Nothing is taken on trust that can be computed: the path is made again from the transactions, and so is
//! the witness commitment. What the protocol does not tell, which is each transaction's fee and signature
//! operations, is told where only the sums count.

use std::time::Instant;

use bitcoin::consensus::encode::deserialize;
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, ScriptBuf, Transaction};
use headframe_distribution::client::{OfferedTemplate, ProviderTip};
use headframe_distribution::{CoinbaseConstraints, ROLLED_VERSION_BITS};
use headframe_work::{
    BlockLimits, COMMITMENT_PREFIX, Network, Template, TemplateTransaction, UnixTime, merkle_path,
    witness_commitment,
};
use thiserror::Error;

/// The version of the coinbases that are made here.
const COINBASE_VERSION: u32 = 2;
/// What Bitcoin Core puts behind a height of one byte, which alone would be too short a script.
const PADDING: u8 = 0;

/// Why no block can be made of what a provider gives.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Flaw {
    #[error("its coinbases are to have version {0}, and those that are made here have 2")]
    CoinbaseVersion(u32),
    #[error("its coinbase script is to begin with more than the height")]
    Prefix,
    #[error("its coinbase is to have an output that is no witness commitment")]
    Output,
    #[error("transaction {0} of its template cannot be read")]
    Transaction(usize),
    #[error("the merkle path of its template is not that of the transactions")]
    Path,
    #[error("the witness commitment of its template is not that of the transactions")]
    Commitment,
    #[error("its template has transactions with witnesses and no witness commitment")]
    NoCommitment,
    #[error("its template has a coinbase value of {0}, which no block has")]
    Value(Amount),
    #[error("its template weighs more than a block may")]
    Weight,
}

/// What a template is made of.
#[derive(Debug)]
pub(super) struct Pieces<'a> {
    pub(super) network: Network,
    pub(super) template: &'a OfferedTemplate,
    pub(super) tip: &'a ProviderTip,
    /// The transactions as they came.
    pub(super) transactions: Vec<Vec<u8>>,
    /// What the provider was told to reserve.
    pub(super) constraints: CoinbaseConstraints,
    pub(super) now: Instant,
}

/// Puts a template together, or says why it is none.
pub(super) fn assemble(pieces: Pieces<'_>) -> Result<Template, Flaw> {
    let (offered, tip) = (pieces.template, pieces.tip);
    if offered.coinbase_version != COINBASE_VERSION {
        return Err(Flaw::CoinbaseVersion(offered.coinbase_version));
    }
    if offered.beyond_height().iter().any(|byte| *byte != PADDING) {
        return Err(Flaw::Prefix);
    }
    let commitment = commitment(offered)?;
    let mut transactions = read(pieces.transactions)?;
    check(offered, commitment.as_ref(), &transactions)?;
    let fees = fees(pieces.network, offered, transactions.is_empty())?;
    if let Some(first) = transactions.first_mut() {
        first.fee = fees;
    }
    Ok(Template {
        network: pieces.network,
        height: offered.height,
        version: offered.version,
        fixed_version_bits: !ROLLED_VERSION_BITS,
        prev_hash: tip.prev_hash,
        bits: tip.bits,
        min_time: tip.time,
        current_time: time_at(tip, pieces.now),
        coinbase_value: offered.value,
        coinbase_sequence: offered.coinbase_sequence,
        coinbase_lock_time: offered.coinbase_lock_time,
        transactions,
        witness_commitment: commitment,
        limits: BlockLimits {
            // What the transactions need is not known, what is left beside them is.
            sigops: pieces.constraints.sigops.into(),
            ..BlockLimits::default()
        },
    })
}

/// The header time that a tip's has become.
fn time_at(tip: &ProviderTip, now: Instant) -> UnixTime {
    tip.time
        .saturating_add(now.saturating_duration_since(tip.received))
}

/// The one output that templates of Bitcoin Core have.
fn commitment(offered: &OfferedTemplate) -> Result<Option<ScriptBuf>, Flaw> {
    match offered.outputs.as_slice() {
        [] => Ok(None),
        [output]
            if output.value == Amount::ZERO
                && output
                    .script_pubkey
                    .as_bytes()
                    .starts_with(&COMMITMENT_PREFIX) =>
        {
            Ok(Some(output.script_pubkey.clone()))
        }
        _ => Err(Flaw::Output),
    }
}

fn read(transactions: Vec<Vec<u8>>) -> Result<Vec<TemplateTransaction>, Flaw> {
    let numbered = transactions.into_iter().enumerate();
    let read = numbered.map(|(place, data)| {
        let transaction: Transaction = deserialize(&data).map_err(|_| Flaw::Transaction(place))?;
        if transaction.is_coinbase() {
            return Err(Flaw::Transaction(place));
        }
        let weight = u32::try_from(transaction.weight().to_wu());
        Ok(TemplateTransaction {
            txid: transaction.compute_txid(),
            wtxid: transaction.compute_wtxid(),
            fee: Amount::ZERO,
            sigops: 0,
            weight: weight.map_err(|_| Flaw::Weight)?,
            data,
        })
    });
    read.collect()
}

/// What a provider says of its transactions has to be true of them.
fn check(
    offered: &OfferedTemplate,
    commitment: Option<&ScriptBuf>,
    transactions: &[TemplateTransaction],
) -> Result<(), Flaw> {
    let path = merkle_path(transactions.iter().map(|tx| tx.txid.to_byte_array()));
    if path != offered.merkle_path {
        return Err(Flaw::Path);
    }
    let is_bare = |tx: &TemplateTransaction| tx.txid.to_raw_hash() == tx.wtxid.to_raw_hash();
    match commitment {
        None if !transactions.iter().all(is_bare) => return Err(Flaw::NoCommitment),
        Some(script) if *script != witness_commitment(transactions.iter().map(|tx| tx.wtxid)) => {
            return Err(Flaw::Commitment);
        }
        None | Some(_) => {}
    }
    let weight: u64 = transactions.iter().map(|tx| u64::from(tx.weight)).sum();
    match weight <= BlockLimits::default().weight.into() {
        true => Ok(()),
        false => Err(Flaw::Weight),
    }
}

/// What all transactions pay together: the value beyond the subsidy. Less than the subsidy is the provider's
/// right.
fn fees(network: Network, offered: &OfferedTemplate, is_empty: bool) -> Result<Amount, Flaw> {
    let fees = offered.value.checked_sub(network.subsidy(offered.height));
    let fees = fees.unwrap_or(Amount::ZERO);
    match offered.value > Amount::MAX_MONEY || (is_empty && fees > Amount::ZERO) {
        true => Err(Flaw::Value(offered.value)),
        false => Ok(fees),
    }
}
