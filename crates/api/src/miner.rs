//! Miners, one per channel.

use serde::{Deserialize, Serialize};

use crate::{HashrateWindows, ShareCounts};

/// One mining channel (an SV1 connection is one), or a worker that was here lately and has gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Miner {
    /// Tells the entries of one run apart; means nothing else.
    pub id: u64,
    /// The whole user name as the miner gave it. Text from a stranger, at most 255 bytes.
    pub worker: String,
    /// The address that a block of this miner would pay; `None` only before that is known.
    pub payout_address: Option<String>,
    /// What the miner says it is: the SV1 user agent, or the SV2 vendor and hardware. Text from a
    /// stranger, at most 255 bytes; may be empty.
    pub device: String,
    /// Where it comes from: an IP address without a port. Empty when it has gone.
    pub peer: String,
    /// The protocol that it speaks.
    pub protocol: Protocol,
    /// The kind of its channel; `None` for SV1.
    pub channel: Option<ChannelKind>,
    /// How its connection is protected.
    pub encryption: Encryption,
    /// Whether it works.
    pub state: MinerState,
    /// When it connected, or last did.
    pub connected_at: u64,
    /// Its hashrate, estimated from accepted shares.
    pub hashes_per_second: HashrateWindows,
    /// The difficulty that is asked of its next share.
    pub difficulty: f64,
    /// Its shares; kept across reconnections by worker where the ledger can.
    pub shares: ShareCounts,
    /// The difficulty of its best hash ever; 0 before its first share.
    pub best_difficulty: f64,
    /// When its last share was accepted.
    pub last_share_at: Option<u64>,
    /// What is known of its silence, while it is [`MinerState::Quiet`].
    #[serde(default)]
    pub silence: Option<Silence>,
    /// What its device cannot bear of the pool's coinbases; `None` where nothing is known of the
    /// device or all is well.
    #[serde(default)]
    pub coinbase_too_long: Option<CoinbaseTooLong>,
}

/// A coinbase that is longer than a device is known to hash whole: its shares are wrong, or soon
/// will be. Fewer outputs help, or another firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoinbaseTooLong {
    /// The coinbase's length in bytes, without witness.
    pub bytes: u64,
    /// The longest that such devices bear, in bytes.
    pub limit_bytes: u64,
}

/// A miner that is connected, has work, and gives no share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// When its last share was accepted on this connection, or when it connected.
    pub since_at: u64,
    /// The time that a share takes it on average, by the hashrate that was measured or else by the
    /// one that it declared; `None` when neither is known.
    pub expected_share_seconds: Option<f64>,
    /// Why it may be silent, the most probable first; never empty.
    pub causes: Vec<SilenceCause>,
}

/// Why a miner may be silent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceCause {
    /// For scripts.
    pub code: SilenceCode,
    /// The cause in plain words, a sentence or two.
    pub text: String,
}

/// The kinds of causes why a miner may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SilenceCode {
    /// It reads the target, or hashes the header, in the wrong byte order.
    TargetByteOrder,
    /// The difficulty is too high for the hashrate that it declared.
    DifficultyTooHigh,
    /// Its shares have a time that no block may have.
    Clock,
    /// It works on what is over.
    OldWork,
    /// Shares arrive, and all of them are rejected for another reason.
    OnlyRejected,
    /// Nothing has arrived since it connected.
    NothingArrives,
    /// It gave shares on this connection, and nothing arrives any more.
    Stopped,
}

/// How many miners there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinerCounts {
    /// Open mining channels.
    pub connected: u64,
    /// Those of them that speak Stratum V1.
    pub sv1: u64,
    /// Those of them that are standard channels of Stratum V2.
    pub sv2_standard: u64,
    /// Those of them that are extended channels of Stratum V2.
    pub sv2_extended: u64,
    /// Those of them that are [`MinerState::Quiet`].
    pub quiet: u64,
    /// Entries that are [`MinerState::Gone`].
    pub gone: u64,
}

/// The protocol that a miner speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Stratum V1.
    Sv1,
    /// Stratum V2.
    Sv2,
}

/// The kind of an SV2 channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// Header-only mining.
    Standard,
    /// The miner rolls an extranonce.
    Extended,
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// Not at all.
    None,
    /// TLS.
    Tls,
    /// Noise, as SV2 has it.
    Noise,
}

/// Whether a miner works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MinerState {
    /// Connected, and its shares come in as expected, or it is too new to say.
    Mining,
    /// Connected, but its shares have been missing for much longer than expected.
    Quiet,
    /// Not connected any more.
    Gone,
}
