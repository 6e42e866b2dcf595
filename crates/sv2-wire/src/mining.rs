//! The mining protocol: channels, jobs, shares (spec §5).

use crate::bytes::Bytes32;
use crate::bytes::Bytes64K;
use crate::bytes::Bytes255;
use crate::bytes::Str255;
use crate::codes::Code;
use crate::fuzz;
use crate::message::messages;
use crate::seq::Seq64K;
use crate::seq::Seq255;
use crate::tlv::TlvTail;
use crate::u256::U256;

messages! {
    /// A message of the mining protocol.
    enum MiningMessage of CORE;

    /// The client opens a channel on which only the header is rolled.
    0x10 connection "5.3.2" "OpenStandardMiningChannel" OpenStandardMiningChannel<'a> {
        /// Comes back in the answer.
        request_id: u32,
        /// Who is to be paid, in the pool's own form.
        user_identity: Str255<'a>,
        /// Expected hashes per second. Any bits decode: NaN, infinities and negatives are for the receiver to judge.
        nominal_hash_rate: f32,
        /// The easiest target that the client accepts.
        max_target: U256,
    }

    /// A standard channel is open.
    0x11 connection "5.3.3" "OpenStandardMiningChannel.Success" OpenStandardMiningChannelSuccess<'a> {
        /// The request's.
        request_id: u32,
        /// The new channel.
        channel_id: u32,
        /// The highest hash that makes a share.
        target: U256,
        /// The channel's extranonce: all of it.
        extranonce_prefix: Bytes32<'a>,
        /// The group that the channel belongs to.
        group_channel_id: u32,
    }

    /// A channel, standard or extended, was not opened.
    0x12 connection "5.3.6" "OpenMiningChannel.Error" OpenMiningChannelError<'a> {
        /// The request's.
        request_id: u32,
        /// The reason.
        error_code: Code<'a>,
    }

    /// The client opens a channel on which it rolls an extranonce of its own.
    0x13 connection "5.3.4" "OpenExtendedMiningChannel" OpenExtendedMiningChannel<'a> {
        /// Comes back in the answer.
        request_id: u32,
        /// Who is to be paid, in the pool's own form.
        user_identity: Str255<'a>,
        /// Expected hashes per second. Any bits decode: NaN, infinities and negatives are for the receiver to judge.
        nominal_hash_rate: f32,
        /// The easiest target that the client accepts.
        max_target: U256,
        /// Bytes that the client needs to roll.
        min_extranonce_size: u16,
    }

    /// An extended channel is open.
    0x14 connection "5.3.5" "OpenExtendedMiningChannel.Success" OpenExtendedMiningChannelSuccess<'a> {
        /// The request's.
        request_id: u32,
        /// The new channel.
        channel_id: u32,
        /// The highest hash that makes a share.
        target: U256,
        /// Bytes that the client rolls, after the prefix.
        extranonce_size: u16,
        /// What the channel's extranonces begin with.
        extranonce_prefix: Bytes32<'a>,
        /// The group that the channel belongs to.
        group_channel_id: u32,
    }

    /// A job for a standard channel.
    0x15 channel "5.3.15" "NewMiningJob" NewMiningJob {
        /// The standard channel.
        channel_id: u32,
        /// Names the job in shares.
        job_id: u32,
        /// The earliest header time, seconds since 1970. `None` is a job for the tip that is yet to come.
        min_ntime: Option<u32>,
        /// The header's version.
        version: u32,
        /// The header's merkle root, in raw order.
        merkle_root: U256,
    }

    /// The client's hashrate changed.
    0x16 channel "5.3.7" "UpdateChannel" UpdateChannel {
        /// The channel.
        channel_id: u32,
        /// Expected hashes per second. Any bits decode: NaN, infinities and negatives are for the receiver to judge.
        nominal_hash_rate: f32,
        /// The easiest target that the client accepts.
        maximum_target: U256,
    }

    /// The server refuses an `UpdateChannel`.
    0x17 channel "5.3.8" "UpdateChannel.Error" UpdateChannelError<'a> {
        /// The channel.
        channel_id: u32,
        /// The reason.
        error_code: Code<'a>,
    }

    /// One side ends a channel, or all of a group.
    0x18 channel "5.3.9" "CloseChannel" CloseChannel<'a> {
        /// The channel or group.
        channel_id: u32,
        /// The reason.
        reason_code: Code<'a>,
    }

    /// A channel's extranonces begin otherwise from the next job on.
    0x19 channel "5.3.10" "SetExtranoncePrefix" SetExtranoncePrefix<'a> {
        /// The channel.
        channel_id: u32,
        /// The new prefix.
        extranonce_prefix: Bytes32<'a>,
    }

    /// A share of a standard channel.
    0x1a channel "5.3.11" "SubmitSharesStandard" SubmitSharesStandard {
        /// The channel.
        channel_id: u32,
        /// The client's count of its submissions.
        sequence_number: u32,
        /// The job.
        job_id: u32,
        /// The header's nonce.
        nonce: u32,
        /// The header's time, seconds since 1970.
        ntime: u32,
        /// The header's version, rolled bits included.
        version: u32,
    }

    /// A share of an extended channel.
    0x1b channel "5.3.12" "SubmitSharesExtended" SubmitSharesExtended<'a> {
        /// The channel.
        channel_id: u32,
        /// The client's count of its submissions.
        sequence_number: u32,
        /// The job.
        job_id: u32,
        /// The header's nonce.
        nonce: u32,
        /// The header's time, seconds since 1970.
        ntime: u32,
        /// The header's version, rolled bits included.
        version: u32,
        /// The rolled part of the extranonce, as long as the channel's `extranonce_size`.
        extranonce: Bytes32<'a>,
        /// Fields of extensions, if any.
        tlvs: TlvTail<'a>,
    }

    /// Shares were good.
    0x1c channel "5.3.13" "SubmitShares.Success" SubmitSharesSuccess {
        /// The channel.
        channel_id: u32,
        /// The newest submission that this answers.
        last_sequence_number: u32,
        /// Shares that this answers.
        new_submits_accepted_count: u32,
        /// The sum of the difficulties that these shares had to meet.
        new_shares_sum: u64,
    }

    /// A share was not good.
    0x1d channel "5.3.14" "SubmitShares.Error" SubmitSharesError<'a> {
        /// The channel.
        channel_id: u32,
        /// The submission.
        sequence_number: u32,
        /// The reason.
        error_code: Code<'a>,
    }

    /// A job for an extended channel or a group.
    0x1f channel "5.3.16" "NewExtendedMiningJob" NewExtendedMiningJob<'a> {
        /// The extended channel or the group.
        channel_id: u32,
        /// Names the job in shares.
        job_id: u32,
        /// The earliest header time, seconds since 1970. `None` is a job for the tip that is yet to come.
        min_ntime: Option<u32>,
        /// The header's version.
        version: u32,
        /// Whether the general-purpose version bits (BIP 323) may be rolled.
        version_rolling_allowed: bool,
        /// The hashes from the coinbase to the merkle root, deepest first, in raw order.
        merkle_path: Seq255<'a, U256>,
        /// The coinbase transaction up to the extranonce, without BIP 141 marker and flag.
        coinbase_tx_prefix: Bytes64K<'a>,
        /// The coinbase transaction after the extranonce, without BIP 141 witness.
        coinbase_tx_suffix: Bytes64K<'a>,
    }

    /// A new tip, and the job to mine on it.
    0x20 channel "5.3.17" "SetNewPrevHash" SetNewPrevHash {
        /// The channel or group.
        channel_id: u32,
        /// The future job that is now to be mined.
        job_id: u32,
        /// The tip's hash in raw order.
        prev_hash: U256,
        /// The earliest header time, seconds since 1970.
        min_ntime: u32,
        /// The header's compact target.
        nbits: u32,
    }

    /// Shares have to meet another target from here on.
    0x21 channel "5.3.21" "SetTarget" SetTarget {
        /// The channel or group.
        channel_id: u32,
        /// The highest hash that makes a share.
        maximum_target: U256,
    }

    /// The client mines a job of its own making.
    0x22 channel "5.3.18" "SetCustomMiningJob" SetCustomMiningJob<'a> {
        /// The extended channel.
        channel_id: u32,
        /// Comes back in the answer.
        request_id: u32,
        /// The token that entitles the client to this job.
        mining_job_token: Bytes255<'a>,
        /// The header's version.
        version: u32,
        /// The hash of the block before, in raw order.
        prev_hash: U256,
        /// The earliest header time, seconds since 1970.
        min_ntime: u32,
        /// The header's compact target.
        nbits: u32,
        /// The coinbase transaction's version.
        coinbase_tx_version: u32,
        /// What the coinbase's scriptSig begins with.
        coinbase_prefix: Bytes255<'a>,
        /// The coinbase input's sequence number.
        coinbase_tx_input_n_sequence: u32,
        /// The outputs, serialized as in a transaction: CompactSize count, then the outputs.
        coinbase_tx_outputs: Bytes64K<'a>,
        /// The coinbase transaction's lock time.
        coinbase_tx_locktime: u32,
        /// The hashes from the coinbase to the merkle root, deepest first, in raw order.
        merkle_path: Seq255<'a, U256>,
    }

    /// A custom job may be mined.
    0x23 channel "5.3.19" "SetCustomMiningJob.Success" SetCustomMiningJobSuccess {
        /// The channel.
        channel_id: u32,
        /// The request's.
        request_id: u32,
        /// Names the job in shares.
        job_id: u32,
    }

    /// A custom job is refused.
    0x24 channel "5.3.20" "SetCustomMiningJob.Error" SetCustomMiningJobError<'a> {
        /// The channel.
        channel_id: u32,
        /// The request's.
        request_id: u32,
        /// The reason.
        error_code: Code<'a>,
    }

    /// Channels are joined into a group.
    0x25 connection "5.3.22" "SetGroupChannel" SetGroupChannel<'a> {
        /// The group.
        group_channel_id: u32,
        /// The channels that belong to it from here on.
        channel_ids: Seq64K<'a, u32>,
    }
}

/// Feeds arbitrary bytes to the decoder of this subprotocol's connections.
#[doc(hidden)]
pub fn fuzz_mining(data: &[u8]) {
    fuzz::check_round_trip(data, |data| {
        fuzz::decode_and_encode::<MiningMessage<'_>>(data)
    });
}
