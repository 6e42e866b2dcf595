//! From a client's solution to a block (spec §7.7).

use std::sync::Arc;

use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::Hash as _;
use bitcoin::hex::DisplayHex as _;
use bitcoin::{BlockHash, Transaction, VarInt, Witness};
use headframe_sv2_wire::template_distribution::SubmitSolution;
use headframe_work::{Header, UnixTime, merkle_root};
use thiserror::Error;

use crate::FittedTemplate;

/// A block that a client found.
#[derive(Debug, Clone)]
pub struct Solved {
    /// The template that it is of.
    pub template_id: u64,
    /// The header, whose hash meets the network's target.
    pub header: Header,
    /// The coinbase as it stands in the block, with its witness if the block commits to witnesses.
    pub coinbase: Vec<u8>,
    /// Where the other transactions come from.
    pub fitted: Arc<FittedTemplate>,
    /// Whether it builds on the tip before the present one.
    pub is_late: bool,
}

/// Why a solution makes no block.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SolutionFlaw {
    /// The template was never given to this client, or so long ago that it is not kept.
    #[error("the template is not known (any more)")]
    UnknownTemplate,
    /// The coinbase is no transaction, or not a coinbase.
    #[error("its coinbase cannot be read")]
    Coinbase,
    /// The hash misses the network's target.
    #[error("its hash {0} is no block's")]
    Hash(BlockHash),
}

impl Solved {
    /// Makes a block of a solution. What is wrong with it besides is for the node to say: nothing is
    /// looked at here but whether it is a block.
    pub(super) fn new(
        solution: &SubmitSolution<'_>,
        fitted: &Arc<FittedTemplate>,
        is_late: bool,
    ) -> Result<Self, SolutionFlaw> {
        let template = fitted.whole();
        let bytes = solution.coinbase_tx.as_bytes();
        let coinbase: Transaction = deserialize(bytes).map_err(|_| SolutionFlaw::Coinbase)?;
        if !coinbase.is_coinbase() {
            return Err(SolutionFlaw::Coinbase);
        }
        let leaf = coinbase.compute_txid().to_byte_array();
        let header = Header {
            version: solution.version,
            prev_hash: template.prev_hash,
            merkle_root: merkle_root(leaf, fitted.merkle_path()),
            time: UnixTime::from_secs(solution.header_timestamp),
            bits: template.bits,
            nonce: solution.header_nonce,
        };
        let hash = header.hash();
        if !fitted.target().is_met_by(&hash) {
            return Err(SolutionFlaw::Hash(hash));
        }
        Ok(Self {
            template_id: solution.template_id,
            header,
            coinbase: with_witness(coinbase, fitted.commitment().is_some()),
            fitted: Arc::clone(fitted),
            is_late,
        })
    }

    /// The block's hash.
    pub fn hash(&self) -> BlockHash {
        self.header.hash()
    }

    /// The block's height.
    pub fn height(&self) -> u32 {
        self.fitted.whole().height
    }

    /// The whole block in hexadecimal, as `submitblock` takes it.
    pub fn to_hex(&self) -> String {
        let transactions = || self.fitted.transactions().map(|tx| &tx.data);
        let count = VarInt::from(transactions().count() + 1);
        let head = [
            &self.header.to_bytes()[..],
            &serialize(&count),
            &self.coinbase,
        ]
        .concat();
        let bytes: usize = transactions().map(Vec::len).sum();
        let mut hex = String::with_capacity(2 * (head.len() + bytes));
        hex.push_str(&head.to_lower_hex_string());
        for data in transactions() {
            hex.push_str(&data.to_lower_hex_string());
        }
        hex
    }
}

/// The coinbase with the witness that a commitment asks for: a client that left it out has found a block
/// all the same.
fn with_witness(mut coinbase: Transaction, has_commitment: bool) -> Vec<u8> {
    let input = coinbase.input.first_mut();
    if let Some(input) = input.filter(|input| has_commitment && input.witness.is_empty()) {
        input.witness = Witness::from_slice(&[[0; 32]]);
    }
    serialize(&coinbase)
}
