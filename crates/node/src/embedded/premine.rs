//! The first blocks of the embedded chain, the same for everybody.
//!
//! They exist because a coinbase can be spent only a hundred blocks later: after them, templates
//! have real transactions from the first one on.

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::Params;
use bitcoin::opcodes::OP_0;
use bitcoin::script::Builder;
use bitcoin::transaction;
use bitcoin::{
    Block, BlockHash, CompactTarget, OutPoint, Sequence, Transaction, TxIn, TxMerkleNode, TxOut,
    Witness,
};

use super::check::subsidy;
use super::coins::COIN_SCRIPT;
use super::difficulty::REGTEST_BITS;

/// Height of the last block that is made on open.
pub const PREMINE: u32 = 110;

/// Seconds between the header times of premined blocks.
const SPACING: u32 = 600;

/// The genesis block of Bitcoin's regtest.
pub(super) fn genesis() -> Block {
    bitcoin::constants::genesis_block(Params::REGTEST)
}

/// Blocks 1 to [`PREMINE`].
pub(super) fn premined() -> Vec<Block> {
    let genesis = genesis().header;
    let mut parent = genesis.block_hash();
    (1..=PREMINE)
        .map(|height| {
            let block = mine(height, parent, genesis.time + height * SPACING);
            parent = block.block_hash();
            block
        })
        .collect()
}

fn mine(height: u32, parent: BlockHash, time: u32) -> Block {
    let coinbase = coinbase(height);
    let mut header = Header {
        version: Version::from_consensus(0x2000_0000),
        prev_blockhash: parent,
        merkle_root: TxMerkleNode::from_raw_hash(coinbase.compute_txid().to_raw_hash()),
        time,
        bits: CompactTarget::from_consensus(REGTEST_BITS),
        nonce: 0,
    };
    while !header.target().is_met_by(header.block_hash()) {
        header.nonce += 1;
    }
    Block {
        header,
        txdata: vec![coinbase],
    }
}

/// A coinbase without commitment: the block has no other transaction.
fn coinbase(height: u32) -> Transaction {
    Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::from_consensus(height - 1),
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            // At least two bytes even where the height is one opcode.
            script_sig: Builder::new()
                .push_int(height.into())
                .push_opcode(OP_0)
                .into_script(),
            sequence: Sequence::ENABLE_LOCKTIME_NO_RBF,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: subsidy(height),
            script_pubkey: COIN_SCRIPT.clone(),
        }],
    }
}
