//! The outputs that can be spent on the embedded chain: those that pay `P2WSH(OP_TRUE)`.
//!
//! All other outputs can never be spent here, so they are not kept.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bitcoin::opcodes::OP_TRUE;
use bitcoin::script::Builder;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, Txid, Witness};

/// Blocks that must lie between a coinbase and the block that spends it, that block included.
const COINBASE_MATURITY: u32 = 100;

/// The witness script of every coin: whoever shows it may spend.
pub(super) static WITNESS_SCRIPT: LazyLock<ScriptBuf> =
    LazyLock::new(|| Builder::new().push_opcode(OP_TRUE).into_script());

/// The output script of every coin.
pub(super) static COIN_SCRIPT: LazyLock<ScriptBuf> = LazyLock::new(|| WITNESS_SCRIPT.to_p2wsh());

/// The witness that spends a coin.
pub(super) fn witness() -> Witness {
    Witness::from_slice(&[WITNESS_SCRIPT.as_bytes()])
}

/// An output that can be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coin {
    pub(super) value: Amount,
    height: u32,
    from_coinbase: bool,
}

impl Coin {
    /// Whether the block at `height` may spend it.
    pub(super) const fn is_mature(&self, height: u32) -> bool {
        !self.from_coinbase || height.saturating_sub(self.height) >= COINBASE_MATURITY
    }
}

/// All coins, in the order of their outpoints, so that choices among them are the same everywhere.
#[derive(Debug, Clone, Default)]
pub(super) struct Coins(BTreeMap<OutPoint, Coin>);

impl Coins {
    /// The coin at an outpoint, if it is there and unspent.
    pub(super) fn at(&self, outpoint: &OutPoint) -> Option<Coin> {
        self.0.get(outpoint).copied()
    }

    /// The coins that the block at `height` may spend.
    pub(super) fn mature(&self, height: u32) -> impl Iterator<Item = (OutPoint, Coin)> {
        self.0
            .iter()
            .filter(move |(_, coin)| coin.is_mature(height))
            .map(|(outpoint, coin)| (*outpoint, *coin))
    }

    /// Takes the outputs of a transaction of the block at `height` in.
    pub(super) fn add_outputs(&mut self, txid: Txid, transaction: &Transaction, height: u32) {
        let from_coinbase = transaction.is_coinbase();
        for (vout, output) in (0..).zip(&transaction.output) {
            if output.script_pubkey == *COIN_SCRIPT {
                let coin = Coin {
                    value: output.value,
                    height,
                    from_coinbase,
                };
                self.0.insert(OutPoint { txid, vout }, coin);
            }
        }
    }

    /// Takes the coins that a transaction spends out.
    pub(super) fn remove_inputs(&mut self, transaction: &Transaction) {
        for input in &transaction.input {
            self.0.remove(&input.previous_output);
        }
    }
}
