//! The template distribution protocol: from a node to whoever makes work from its templates (spec §7).

use crate::bytes::Bytes16M;
use crate::bytes::Bytes64K;
use crate::bytes::Bytes255;
use crate::codes::Code;
use crate::fuzz;
use crate::message::messages;
use crate::seq::Seq64K;
use crate::seq::Seq255;
use crate::u256::U256;

messages! {
    /// A message of the template distribution protocol.
    enum TemplateDistributionMessage of CORE;

    /// The client says how much room its coinbase outputs need.
    0x70 connection "7.1" "CoinbaseOutputConstraints" CoinbaseOutputConstraints {
        /// Bytes that the outputs may add to the coinbase transaction.
        coinbase_output_max_additional_size: u32,
        /// Sigops that the outputs may add, counted as the block limit counts them (legacy ones fourfold).
        coinbase_output_max_additional_sigops: u16,
    }

    /// A template for a block on the present tip or on the next.
    0x71 connection "7.2" "NewTemplate" NewTemplate<'a> {
        /// Names the template in all that follows.
        template_id: u64,
        /// Whether to keep the template until a `SetNewPrevHash` names it.
        future_template: bool,
        /// The header's version.
        version: u32,
        /// The coinbase transaction's version.
        coinbase_tx_version: u32,
        /// What the scriptSig of the coinbase begins with: the height and little more.
        coinbase_prefix: Bytes255<'a>,
        /// The coinbase input's sequence number.
        coinbase_tx_input_sequence: u32,
        /// Satoshis that the client's outputs may spend.
        coinbase_tx_value_remaining: u64,
        /// Number of outputs in `coinbase_tx_outputs`.
        coinbase_tx_outputs_count: u32,
        /// Outputs that the coinbase must have, serialized one after the other without a count.
        coinbase_tx_outputs: Bytes64K<'a>,
        /// The coinbase transaction's lock time.
        coinbase_tx_locktime: u32,
        /// The hashes from the coinbase to the merkle root, deepest first, in raw order.
        merkle_path: Seq255<'a, U256>,
    }

    /// A new tip, and the template to mine on it.
    0x72 connection "7.3" "SetNewPrevHash" SetNewPrevHash {
        /// The future template that is now to be mined.
        template_id: u64,
        /// The tip's hash in raw order.
        prev_hash: U256,
        /// The earliest header time, seconds since 1970.
        header_timestamp: u32,
        /// The header's compact target.
        nbits: u32,
        /// The highest hash that makes a block, as the node sees it.
        target: U256,
    }

    /// The client asks for the transactions of a template.
    0x73 connection "7.4" "RequestTransactionData" RequestTransactionData {
        /// The template.
        template_id: u64,
    }

    /// The transactions of a template.
    0x74 connection "7.5" "RequestTransactionData.Success" RequestTransactionDataSuccess<'a> {
        /// The request's.
        template_id: u64,
        /// What else is needed to check the block: the coinbase's witness reserved value.
        excess_data: Bytes64K<'a>,
        /// All transactions but the coinbase, serialized with witness, in block order.
        transaction_list: Seq64K<'a, Bytes16M<'a>>,
    }

    /// The transactions of a template are not to be had.
    0x75 connection "7.6" "RequestTransactionData.Error" RequestTransactionDataError<'a> {
        /// The request's.
        template_id: u64,
        /// The reason.
        error_code: Code<'a>,
    }

    /// A block was found.
    0x76 connection "7.7" "SubmitSolution" SubmitSolution<'a> {
        /// The template that was mined.
        template_id: u64,
        /// The header's version, rolled bits included.
        version: u32,
        /// The header's time, seconds since 1970.
        header_timestamp: u32,
        /// The header's nonce.
        header_nonce: u32,
        /// The whole coinbase transaction, witness included.
        coinbase_tx: Bytes64K<'a>,
    }
}

/// Feeds arbitrary bytes to the decoder of this subprotocol's connections.
#[doc(hidden)]
pub fn fuzz_template_distribution(data: &[u8]) {
    fuzz::check_round_trip(data, |data| {
        fuzz::decode_and_encode::<TemplateDistributionMessage<'_>>(data)
    });
}
