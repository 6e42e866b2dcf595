//! A template's transactions as hexadecimal digits, ready before a block is found.

use std::fmt::Write;
use std::sync::Arc;

use bitcoin::consensus::encode::VarInt;
use bitcoin::hex::DisplayHex;
use headframe_work::Template;

/// The part of a block that is known with its template: everything after the coinbase.
///
/// Made once per template, shared by all its jobs; at the block only header and coinbase are
/// encoded.
#[derive(Debug, Clone)]
pub struct BlockBody {
    transaction_count: usize,
    transactions_hex: Arc<str>,
}

impl BlockBody {
    /// The body of blocks with this template's transactions.
    pub fn of(template: &Template) -> Self {
        let bytes: usize = template.transactions.iter().map(|tx| tx.data.len()).sum();
        let mut hex = String::with_capacity(bytes * 2);
        for transaction in &template.transactions {
            push_hex(&mut hex, &transaction.data);
        }
        Self {
            transaction_count: template.transactions.len(),
            transactions_hex: hex.into(),
        }
    }

    /// The body of a block with a coinbase only.
    pub fn empty() -> Self {
        Self {
            transaction_count: 0,
            transactions_hex: "".into(),
        }
    }

    /// The block in hexadecimal digits, as `submitblock` takes it. `coinbase` is the consensus
    /// serialisation, with its witness if the block has a commitment.
    pub fn block_hex(&self, header: &[u8; 80], coinbase: &[u8]) -> String {
        let count = bitcoin::consensus::serialize(&VarInt::from(self.transaction_count + 1));
        let length =
            2 * (header.len() + count.len() + coinbase.len()) + self.transactions_hex.len();
        let mut hex = String::with_capacity(length);
        push_hex(&mut hex, header);
        push_hex(&mut hex, &count);
        push_hex(&mut hex, coinbase);
        hex.push_str(&self.transactions_hex);
        hex
    }
}

fn push_hex(hex: &mut String, bytes: &[u8]) {
    write!(hex, "{:x}", bytes.as_hex()).expect("writing to a String cannot fail");
}
