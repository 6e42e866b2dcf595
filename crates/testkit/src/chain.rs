//! A chain that exists only as templates.

use std::sync::Arc;

use bitcoin::hashes::Hash;
use bitcoin::{
    Address, Amount, BlockHash, CompactTarget, Network as Net, OutPoint, ScriptBuf, Sequence,
    Transaction, TxIn, TxOut, Txid, WPubkeyHash, Witness, WitnessMerkleNode, absolute, consensus,
    merkle_tree, transaction,
};
use headframe_work::{BlockLimits, Network, Template, TemplateTransaction, UnixTime};

use crate::Chance;

/// Every second hash is a block.
pub const REGTEST_BITS: u32 = 0x207f_ffff;
/// One hash in 65,536 is a block: leaves room for shares that are none.
pub const EASY_BITS: u32 = 0x1f00_ffff;

/// What a node would know: a tip, and the transactions that wait.
#[derive(Debug, Clone)]
pub struct Chain {
    chance: Chance,
    /// Height of the next block.
    pub height: u32,
    /// Hash of the tip.
    pub tip: BlockHash,
    /// The network target.
    pub bits: u32,
    /// Transactions per template.
    pub transactions: usize,
    /// The node's clock.
    pub time: u32,
    /// The header version.
    pub version: u32,
}

impl Chain {
    /// A chain with `bits` whose templates have `transactions` transactions.
    pub fn new(seed: u64, bits: u32, transactions: usize) -> Self {
        let mut chance = Chance::new(seed);
        Self {
            height: 1_000,
            tip: BlockHash::from_byte_array(chance.bytes()),
            bits,
            transactions,
            time: 1_800_000_000,
            version: 0x2000_0000,
            chance,
        }
    }

    /// Somebody found a block.
    pub fn advance(&mut self) {
        self.height += 1;
        self.tip = BlockHash::from_byte_array(self.chance.bytes());
    }

    /// A template for the next block, with new transactions.
    pub fn template(&mut self) -> Template {
        let transactions: Vec<_> = (0..self.transactions).map(|_| self.transaction()).collect();
        let fees: Amount = transactions.iter().map(|tx| tx.fee).sum();
        Template {
            network: Network::Regtest,
            height: self.height,
            version: self.version,
            fixed_version_bits: 0,
            prev_hash: self.tip,
            bits: CompactTarget::from_consensus(self.bits),
            min_time: UnixTime::from_secs(self.time - 3_000),
            current_time: UnixTime::from_secs(self.time),
            coinbase_value: fees + Network::Regtest.subsidy(self.height),
            coinbase_sequence: 0xffff_fffe,
            coinbase_lock_time: self.height - 1,
            witness_commitment: Some(commitment(&transactions)),
            transactions,
            limits: BlockLimits::default(),
        }
    }

    /// [`Self::template`] behind the pointer that the hub takes.
    pub fn shared_template(&mut self) -> Arc<Template> {
        Arc::new(self.template())
    }

    fn transaction(&mut self) -> TemplateTransaction {
        let witness = [
            self.chance.bytes::<71>().to_vec(),
            self.chance.bytes::<33>().to_vec(),
        ];
        let transaction = Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint {
                    txid: Txid::from_byte_array(self.chance.bytes()),
                    vout: 0,
                },
                script_sig: ScriptBuf::new(),
                sequence: Sequence::MAX,
                witness: Witness::from_slice(&witness),
            }],
            output: vec![TxOut {
                value: Amount::from_sat(self.chance.below(1_000_000)),
                script_pubkey: script(self.chance.bytes()),
            }],
        };
        TemplateTransaction {
            data: consensus::serialize(&transaction),
            txid: transaction.compute_txid(),
            wtxid: transaction.compute_wtxid(),
            fee: Amount::from_sat(self.chance.below(10_000)),
            sigops: 1,
            weight: u32::try_from(transaction.weight().to_wu()).expect("a small transaction"),
        }
    }
}

/// A regtest address of its own for each `number`.
pub fn address(number: u64) -> Address {
    let script = script(Chance::new(number + 1).bytes());
    Address::from_script(&script, Net::Regtest).expect("P2WPKH has an address")
}

fn script(hash: [u8; 20]) -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array(hash))
}

/// The script that commits to the witnesses of a block with these transactions (BIP141).
fn commitment(transactions: &[TemplateTransaction]) -> ScriptBuf {
    let coinbase = WitnessMerkleNode::from_byte_array([0; 32]);
    let others = transactions.iter().map(|tx| tx.wtxid.to_raw_hash().into());
    let root = merkle_tree::calculate_root(core::iter::once(coinbase).chain(others));
    let root = root.expect("the coinbase is a leaf");
    let hash = bitcoin::Block::compute_witness_commitment(&root, &[0; 32]);
    let magic: &[u8] = &[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
    ScriptBuf::from_bytes([magic, hash.as_byte_array()].concat())
}
