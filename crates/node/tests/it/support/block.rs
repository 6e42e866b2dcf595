//! Blocks built from a template by the test itself, with the `bitcoin` crate.

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::Hash;
use bitcoin::script::Builder;
use bitcoin::{
    Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Witness,
    transaction,
};
use headframe_work::Template;

/// A block on the template, solved, that pays everything to a script nobody spends.
pub(crate) fn solved(template: &Template) -> Block {
    let mut block = unsolved(template);
    solve(&mut block);
    block
}

/// The same before its proof of work.
pub(crate) fn unsolved(template: &Template) -> Block {
    let others = template.transactions.iter().map(|transaction| {
        deserialize::<Transaction>(&transaction.data).expect("a template's transaction")
    });
    let txdata = std::iter::once(coinbase(template)).chain(others).collect();
    let mut block = Block {
        header: Header {
            version: Version::from_consensus(template.version as i32),
            prev_blockhash: template.prev_hash,
            merkle_root: TxMerkleNode::all_zeros(),
            time: template.current_time.as_secs(),
            bits: template.bits,
            nonce: 0,
        },
        txdata,
    };
    renew_merkle_root(&mut block);
    block
}

fn coinbase(template: &Template) -> Transaction {
    let mut witness = Witness::new();
    let mut output = vec![TxOut {
        value: template.coinbase_value,
        script_pubkey: ScriptBuf::from_bytes([&[0x00, 0x14][..], &[0x11; 20]].concat()),
    }];
    if let Some(commitment) = &template.witness_commitment {
        witness.push([0; 32]);
        output.push(TxOut {
            value: Amount::ZERO,
            script_pubkey: commitment.clone(),
        });
    }
    Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::from_consensus(template.coinbase_lock_time),
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: Builder::new()
                .push_int(template.height.into())
                .push_slice(b"headframe test")
                .into_script(),
            sequence: Sequence::from_consensus(template.coinbase_sequence),
            witness,
        }],
        output,
    }
}

/// Makes the merkle root again after a change of a transaction.
pub(crate) fn renew_merkle_root(block: &mut Block) {
    block.header.merkle_root = block.compute_merkle_root().expect("a block has a coinbase");
}

/// Makes the coinbase's commitment and the merkle root again after a change of a transaction.
pub(crate) fn renew_commitment(block: &mut Block) {
    let root = block.witness_root().expect("a block has a coinbase");
    let commitment = Block::compute_witness_commitment(&root, &[0; 32]);
    let script = [
        &[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed][..],
        commitment.as_byte_array(),
    ]
    .concat();
    block.txdata[0].output[1].script_pubkey = ScriptBuf::from_bytes(script);
    renew_merkle_root(block);
}

/// Looks for a nonce.
pub(crate) fn solve(block: &mut Block) {
    while !block.header.target().is_met_by(block.header.block_hash()) {
        block.header.nonce += 1;
    }
}

/// Looks for a nonce that is none.
pub(crate) fn unsolve(block: &mut Block) {
    while block.header.target().is_met_by(block.header.block_hash()) {
        block.header.nonce += 1;
    }
}

pub(crate) fn bytes(block: &Block) -> Vec<u8> {
    serialize(block)
}

pub(crate) fn hex(block: &Block) -> String {
    bitcoin::consensus::encode::serialize_hex(block)
}
