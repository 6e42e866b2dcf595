//! The job declaration protocol: a client proposes its own blocks to a pool (spec §6).

use crate::bytes::Bytes16M;
use crate::bytes::Bytes32;
use crate::bytes::Bytes64K;
use crate::bytes::Bytes255;
use crate::bytes::Str255;
use crate::codes::Code;
use crate::fuzz;
use crate::message::messages;
use crate::seq::Seq64K;
use crate::u256::U256;

messages! {
    /// A message of the job declaration protocol.
    enum JobDeclarationMessage of CORE;

    /// The client asks for a token.
    0x50 connection "6.4.2" "AllocateMiningJobToken" AllocateMiningJobToken<'a> {
        /// The user that the pool knows the client as.
        user_identifier: Str255<'a>,
        /// Comes back in the answer.
        request_id: u32,
    }

    /// A token, and the outputs that a job declared under it has to have.
    0x51 connection "6.4.3" "AllocateMiningJobToken.Success" AllocateMiningJobTokenSuccess<'a> {
        /// The request's.
        request_id: u32,
        /// Entitles the client to declare a job.
        mining_job_token: Bytes255<'a>,
        /// The pool's outputs, serialized as in a transaction: CompactSize count, then the outputs.
        coinbase_tx_outputs: Bytes64K<'a>,
    }

    /// The server lacks transactions of a declared job.
    0x55 connection "6.4.7" "ProvideMissingTransactions" ProvideMissingTransactions<'a> {
        /// That of the `DeclareMiningJob`.
        request_id: u32,
        /// Positions in `wtxid_list`, the first being 0.
        unknown_tx_position_list: Seq64K<'a, u16>,
    }

    /// The transactions that the server lacked.
    0x56 connection "6.4.8" "ProvideMissingTransactions.Success" ProvideMissingTransactionsSuccess<'a> {
        /// The request's.
        request_id: u32,
        /// The transactions in the order in which they were asked for.
        transaction_list: Seq64K<'a, Bytes16M<'a>>,
    }

    /// The client declares the block it wants to mine.
    0x57 connection "6.4.4" "DeclareMiningJob" DeclareMiningJob<'a> {
        /// Comes back in the answer.
        request_id: u32,
        /// The token from `AllocateMiningJobToken.Success`.
        mining_job_token: Bytes255<'a>,
        /// The header's version.
        version: u32,
        /// The coinbase transaction up to the extranonce, BIP 141 marker and flag included.
        coinbase_tx_prefix: Bytes64K<'a>,
        /// The coinbase transaction after the extranonce, BIP 141 witness included.
        coinbase_tx_suffix: Bytes64K<'a>,
        /// Witness ids of all transactions but the coinbase, in block order, in raw order of bytes.
        wtxid_list: Seq64K<'a, U256>,
        /// Further data that the pool may need to check the block.
        excess_data: Bytes64K<'a>,
    }

    /// The pool accepts a declared job.
    0x58 connection "6.4.5" "DeclareMiningJob.Success" DeclareMiningJobSuccess<'a> {
        /// The request's.
        request_id: u32,
        /// The token under which a `SetCustomMiningJob` may use the job.
        new_mining_job_token: Bytes255<'a>,
    }

    /// The pool refuses a declared job.
    0x59 connection "6.4.6" "DeclareMiningJob.Error" DeclareMiningJobError<'a> {
        /// The request's.
        request_id: u32,
        /// The reason.
        error_code: Code<'a>,
        /// More about the reason, in a form that the code defines.
        error_details: Bytes64K<'a>,
    }

    /// A block was found on a declared job.
    0x60 connection "6.4.9" "PushSolution" PushSolution<'a> {
        /// The full extranonce: prefix and rolled part.
        extranonce: Bytes32<'a>,
        /// The hash of the block before, in raw order.
        prev_hash: U256,
        /// The header's nonce.
        nonce: u32,
        /// The header's time, seconds since 1970.
        ntime: u32,
        /// The header's compact target.
        nbits: u32,
        /// The header's version, rolled bits included.
        version: u32,
    }
}

/// Feeds arbitrary bytes to the decoder of this subprotocol's connections.
#[doc(hidden)]
pub fn fuzz_job_declaration(data: &[u8]) {
    fuzz::check_round_trip(data, |data| {
        fuzz::decode_and_encode::<JobDeclarationMessage<'_>>(data)
    });
}
