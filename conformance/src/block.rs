//! A block that the pool found, as the node knows it.

use bitcoin::{Amount, Block, ScriptBuf};
use serde_json::json;

use crate::bitcoind::Bitcoind;

/// A block and what the node says that it may pay.
#[derive(Debug)]
pub struct FoundBlock {
    /// Its height.
    pub height: u64,
    /// The block.
    pub block: Block,
    /// The subsidy of its height.
    pub subsidy: Amount,
    /// The fees of its transactions, added up by the node from what they spend.
    pub fees: Amount,
    /// What consensus counts against 4,000,000.
    pub weight: u64,
}

impl FoundBlock {
    /// Reads a block of the best chain.
    ///
    /// # Panics
    ///
    /// When there is none at that height.
    pub fn at(node: &Bitcoind, height: u64) -> Self {
        let hash = node.hash_at(height);
        let wanted = ["subsidy", "totalfee", "total_weight"];
        let stats = node.call("getblockstats", json!([hash, wanted]));
        let amount = |key: &str| Amount::from_sat(stats[key].as_u64().expect("an amount"));
        let block = node.block(&hash);
        Self {
            height,
            subsidy: amount("subsidy"),
            fees: amount("totalfee"),
            weight: block.weight().to_wu(),
            block,
        }
    }

    /// What its coinbase has to pay.
    pub fn value(&self) -> Amount {
        self.subsidy + self.fees
    }

    /// What its coinbase pays: every output with coins, in order.
    pub fn payouts(&self) -> Vec<(ScriptBuf, Amount)> {
        let outputs = self.block.txdata[0].output.iter();
        outputs
            .filter(|output| output.value > Amount::ZERO)
            .map(|output| (output.script_pubkey.clone(), output.value))
            .collect()
    }

    /// The bits of the header's version, rolled ones included.
    pub fn version_bits(&self) -> u32 {
        self.block.header.version.to_consensus().cast_unsigned()
    }
}
