//! The transactions that every template of the embedded chain has: a few segwit spends with fees,
//! made from the chain's own coins.
//!
//! They depend on coins and height only, so that a template for the same parent always has the
//! same ones, and every block has others than the block before.

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, Sequence, Transaction, TxIn, TxOut};

use super::coins::{COIN_SCRIPT, Coins, witness};

/// The fee of a block's first transaction, in satoshi; the others pay more, and it changes from
/// block to block so that coinbase values differ.
const BASE_FEE: u64 = 1_000;

/// A transaction and its fee.
pub(super) struct Entry {
    pub(super) transaction: Transaction,
    pub(super) fee: Amount,
}

/// The transactions of the block at `height`: a plain payment, one that splits the most valuable
/// of three coins in two, and one that joins the least valuable with the payment's output (a
/// parent in the same block). As many coins come out as go in, and none wastes away.
pub(super) fn entries(coins: &Coins, height: u32) -> Vec<Entry> {
    let mut mature: Vec<_> = coins
        .mature(height)
        .map(|(outpoint, coin)| (outpoint, coin.value))
        .take(3)
        .collect();
    mature.sort_by_key(|(_, value)| std::cmp::Reverse(*value));
    let fee = |step: u64| Amount::from_sat(BASE_FEE + u64::from(height % 7) * 100 + step * 450);
    let [most, middle, least] = mature.as_slice() else {
        return Vec::new();
    };
    let payment = spend(&[*middle], 1, fee(0));
    let split = spend(&[*most], 2, fee(1));
    let change = payment.as_ref().and_then(first_output);
    let join = change.and_then(|change| spend(&[change, *least], 1, fee(2)));
    [payment, split, join].into_iter().flatten().collect()
}

fn first_output(entry: &Entry) -> Option<(OutPoint, Amount)> {
    let value = entry.transaction.output.first()?.value;
    Some((OutPoint::new(entry.transaction.compute_txid(), 0), value))
}

/// Spends coins to `outputs` equal ones, or not at all if they cannot bear the fee.
fn spend(coins: &[(OutPoint, Amount)], outputs: u64, fee: Amount) -> Option<Entry> {
    let total: Amount = coins.iter().map(|(_, value)| *value).sum();
    let each = total.checked_sub(fee)?.checked_div(outputs)?;
    if each == Amount::ZERO {
        return None;
    }
    let transaction = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: coins.iter().map(|(outpoint, _)| input(*outpoint)).collect(),
        output: (0..outputs)
            .map(|_| TxOut {
                value: each,
                script_pubkey: COIN_SCRIPT.clone(),
            })
            .collect(),
    };
    Some(Entry {
        transaction,
        fee: total - each * outputs,
    })
}

fn input(previous_output: OutPoint) -> TxIn {
    TxIn {
        previous_output,
        script_sig: Default::default(),
        sequence: Sequence::MAX,
        witness: witness(),
    }
}
