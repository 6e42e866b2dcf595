//! Templates are cut to the room that a coinbase needs (TD-9 to TD-13).

use std::sync::Arc;

use bitcoin::consensus::encode::deserialize;
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, OutPoint, Transaction};
use headframe_distribution::{CoinbaseConstraints, FitError, FittedTemplate};
use headframe_work::{Template, TemplateTransaction, merkle_path, witness_commitment};

use crate::support::{FEE, coin, template, transaction, transactions};

fn of(size: u32, sigops: u16) -> CoinbaseConstraints {
    CoinbaseConstraints { size, sigops }
}

fn weight(fitted: &FittedTemplate) -> u64 {
    fitted.transactions().map(|tx| u64::from(tx.weight)).sum()
}

/// What is told of a template is told of the transactions that it has.
fn holds_together(fitted: &FittedTemplate, whole: &Template) {
    let cut: Vec<&TemplateTransaction> = fitted.transactions().collect();
    let lost = FEE * (whole.transactions.len() - cut.len()) as u64;
    assert_eq!(fitted.value(), whole.coinbase_value - lost);
    let wtxids = cut.iter().map(|tx| tx.wtxid);
    assert_eq!(fitted.commitment(), Some(&witness_commitment(wtxids)));
    let txids = cut.iter().map(|tx| tx.txid.to_byte_array());
    assert_eq!(fitted.merkle_path(), merkle_path(txids));
    let fees: Amount = cut.iter().map(|tx| tx.fee).sum();
    assert_eq!(fitted.fees(), fees);
    assert_eq!(fitted.left_out(), whole.transactions.len() - cut.len());
    let there: Vec<_> = cut.iter().map(|tx| tx.txid).collect();
    let all: Vec<_> = whole.transactions.iter().map(|tx| tx.txid).collect();
    for (place, kept) in cut.iter().enumerate() {
        let read: Transaction = deserialize(&kept.data).unwrap();
        let parent = read.input[0].previous_output.txid;
        assert!(!all.contains(&parent) || there[..place].contains(&parent));
    }
}

#[test]
fn what_fits_is_the_node_s_own_template() {
    let whole = template(1, transactions(10));
    let fitted = FittedTemplate::new(&whole, of(153, 12)).unwrap();
    assert_eq!(fitted.left_out(), 0);
    assert_eq!(fitted.transactions().count(), 10);
    holds_together(&fitted, &whole);
}

/// A block that is full to the brim, as a node that reserves nothing would make it.
fn full() -> Vec<TemplateTransaction> {
    // Nearly 400,000 weight units each.
    (0..10).map(|n| transaction(coin(n), 399_500, 4)).collect()
}

#[test]
fn a_full_block_makes_room_for_a_coinbase_of_fifty_thousand_weight_units() {
    let whole = template(1, full());
    let heavy: u64 = whole
        .transactions
        .iter()
        .map(|tx| u64::from(tx.weight))
        .sum();
    assert!(heavy > 3_990_000);
    for size in [0, 1_000, 12_500, 100_000, 990_000] {
        let constraints = of(size, 0);
        let fitted = FittedTemplate::new(&whole, constraints).unwrap();
        let reserved = constraints.reserved_weight(true);
        assert!(weight(&fitted) + reserved <= 4_000_000, "{size}");
        holds_together(&fitted, &whole);
    }
    let fitted = FittedTemplate::new(&whole, of(12_500, 0)).unwrap();
    assert_eq!(fitted.left_out(), 1, "no more than has to go");
}

#[test]
fn signature_operations_are_reserved_too() {
    let heavy = (0..8).map(|n| transaction(coin(n), 10, 10_000)).collect();
    let whole = template(1, heavy);
    assert_eq!(FittedTemplate::new(&whole, of(0, 0)).unwrap().left_out(), 0);
    let fitted = FittedTemplate::new(&whole, of(0, 4)).unwrap();
    assert_eq!(fitted.left_out(), 1);
    holds_together(&fitted, &whole);
    let fitted = FittedTemplate::new(&whole, of(0, u16::MAX)).unwrap();
    assert_eq!(fitted.left_out(), 7);
    holds_together(&fitted, &whole);
}

/// A child goes with its parent, however small it is, and what needs neither stays.
#[test]
fn descendants_go_with_what_is_left_out() {
    let mut all = full();
    let parent = all[9].txid;
    let child = transaction(OutPoint::new(parent, 0), 10, 0);
    let grandchild = transaction(OutPoint::new(child.txid, 0), 10, 0);
    let stranger = transaction(coin(77), 10, 0);
    let kept = stranger.txid;
    all.extend([child, grandchild, stranger]);
    let whole = template(1, all);
    let fitted = FittedTemplate::new(&whole, of(12_500, 0)).unwrap();
    assert_eq!(fitted.left_out(), 3);
    assert_eq!(fitted.transactions().last().map(|tx| tx.txid), Some(kept));
    holds_together(&fitted, &whole);
}

/// TD-17: more than a block is refused.
#[test]
fn a_coinbase_larger_than_a_block_is_refused() {
    let whole = template(1, transactions(1));
    for size in [999_709, 1_000_000, 4_000_001, u32::MAX] {
        let refused = FittedTemplate::new(&whole, of(size, 0)).unwrap_err();
        assert!(matches!(refused, FitError::NoRoom { what: "weight", .. }));
    }
    assert!(FittedTemplate::new(&whole, of(999_708, 0)).is_ok());
}

#[test]
fn a_template_with_a_transaction_that_is_none_is_refused_where_it_has_to_be_cut() {
    let mut all = full();
    all[9].data.truncate(100);
    let whole = template(1, all);
    let refused = FittedTemplate::new(&whole, of(12_500, 0));
    assert!(matches!(refused, Err(FitError::Transaction { .. })));
}

#[test]
fn a_template_whose_fees_are_more_than_its_value_is_refused() {
    let mut whole = (*template(1, transactions(3))).clone();
    whole.coinbase_value = Amount::from_sat(1);
    let refused = FittedTemplate::new(&Arc::new(whole), of(0, 0));
    assert!(matches!(refused, Err(FitError::Template(_))));
}
