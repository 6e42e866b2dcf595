//! The strings of `error_code` and `reason_code`, in one place (spec §3.5).
//!
//! The specification defines no list. These are the strings that deployed peers emit and match. A receiver must not
//! let its behaviour depend on one (FR-42): they are for people who read logs.

use core::fmt;

use thiserror::Error;

use crate::bytes::Str255;
use crate::codec::Field;
use crate::codec::Reader;
use crate::codec::WireType;
use crate::error::FieldError;

/// An `error_code` or `reason_code`: printable ASCII when we make it, whatever arrived when a peer did.
///
/// [`Display`](fmt::Display) escapes what a peer should not have sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Code<'a>(Str255<'a>);

/// A text that must not be sent as a code. Our caller's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a code is at most {max} printable ASCII characters", max = Code::MAX_LEN)]
pub struct NotACode;

impl<'a> Code<'a> {
    /// The longest code that we make. Devices keep them in buffers of 64 bytes.
    pub const MAX_LEN: usize = 63;

    /// A code to be sent.
    ///
    /// # Errors
    /// [`NotACode`] unless `text` is at most [`MAX_LEN`](Self::MAX_LEN) bytes of printable ASCII.
    pub const fn new(text: &'a str) -> Result<Self, NotACode> {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            if i >= Self::MAX_LEN || !matches!(bytes[i], 0x20..=0x7e) {
                return Err(NotACode);
            }
            i += 1;
        }
        match Str255::new(text) {
            Ok(text) => Ok(Self(text)),
            Err(_) => Err(NotACode),
        }
    }

    /// The bytes as they are on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0.as_bytes()
    }
}

impl<'a> Field<'a> for Code<'a> {
    const WIRE_TYPE: WireType = Str255::WIRE_TYPE;
    const IS_TEXT: bool = true;

    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, FieldError> {
        Str255::decode(reader).map(Self)
    }

    #[inline]
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl fmt::Display for Code<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Code<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

macro_rules! codes {
    ($($(#[$attr:meta])* $NAME:ident = $text:literal;)*) => {
        $(
            $(#[$attr])*
            pub const $NAME: Code<'static> = match Code::new($text) {
                Ok(code) => code,
                Err(_) => panic!("a code is at most 63 printable ASCII characters"),
            };
        )*

        /// Every code that the project sends, for documentation and tests.
        pub const ALL: &[Code<'static>] = &[$($NAME,)*];
    };
}

codes! {
    /// `SetupConnection`: the server lacks a feature that a flag requires.
    UNSUPPORTED_FEATURE_FLAGS = "unsupported-feature-flags";
    /// `SetupConnection`: the subprotocol is not served here.
    UNSUPPORTED_PROTOCOL = "unsupported-protocol";
    /// `SetupConnection`: no version that both sides speak.
    PROTOCOL_VERSION_MISMATCH = "protocol-version-mismatch";
    /// `SetupConnection`: job declaration is served only with `DECLARE_TX_DATA`.
    MISSING_DECLARE_TX_DATA_FLAG = "missing-declare-tx-data-flag";

    /// Opening a channel: the user is not known.
    UNKNOWN_USER = "unknown-user";
    /// Opening a channel: the user identity cannot be paid.
    INVALID_USER_IDENTITY = "invalid-user-identity";
    /// Opening or updating a channel: the hashrate is not a number, infinite or negative.
    INVALID_NOMINAL_HASHRATE = "invalid-nominal-hashrate";
    /// Opening or updating a channel: no target that both sides accept.
    MAX_TARGET_OUT_OF_RANGE = "max-target-out-of-range";
    /// Opening an extended channel: so many bytes of extranonce are not to be had.
    MIN_EXTRANONCE_SIZE_TOO_LARGE = "min-extranonce-size-too-large";
    /// Opening a channel: the connection asked for standard jobs only.
    EXTENDED_CHANNELS_NOT_SUPPORTED_FOR_STANDARD_JOBS = "extended-channels-not-supported-for-standard-jobs";
    /// Opening a channel: the connection asked for work selection.
    STANDARD_CHANNELS_NOT_SUPPORTED_FOR_CUSTOM_WORK = "standard-channels-not-supported-for-custom-work";
    /// Opening a channel: the pool serves extended channels only.
    STANDARD_CHANNELS_NOT_SUPPORTED = "standard-channels-not-supported";
    /// Opening a channel: an extension that the pool requires was not agreed on.
    REQUIRED_EXTENSION_MISSING = "required-extension-missing";
    /// Opening a channel: the connection, or the pool, has as many as it may have.
    CHANNEL_CAPACITY_EXHAUSTED = "channel-capacity-exhausted";

    /// Closing a channel: the pool's operator wants it.
    CLOSED_BY_OPERATOR = "closed-by-operator";

    /// The connection has no such channel.
    INVALID_CHANNEL_ID = "invalid-channel-id";

    /// Share: the job was for an earlier tip.
    STALE_SHARE = "stale-share";
    /// Share: the hash does not meet the job's target.
    DIFFICULTY_TOO_LOW = "difficulty-too-low";
    /// Share: the channel has no such job.
    INVALID_JOB_ID = "invalid-job-id";
    /// Share: it was submitted before.
    DUPLICATE_SHARE = "duplicate-share";
    /// Share: time or form outside what the job allows.
    INVALID_SHARE = "invalid-share";
    /// Share: the extranonce does not have the channel's `extranonce_size`.
    BAD_EXTRANONCE_SIZE = "bad-extranonce-size";
    /// Share: the version was rolled though the job does not allow it.
    VERSION_ROLLING_NOT_ALLOWED = "version-rolling-not-allowed";
    /// Share: a version bit outside BIP 323 was changed.
    INVALID_NON_ROLLABLE_VERSION_BIT = "invalid-non-rollable-version-bit";

    /// Custom job: this pool does not take them.
    JD_NOT_SUPPORTED = "jd-not-supported";
    /// Custom or declared job: the token is unknown, used up or another user's.
    INVALID_MINING_JOB_TOKEN = "invalid-mining-job-token";
    /// Custom job: its declaration has not been judged yet.
    JOB_NOT_YET_VALIDATED = "job-not-yet-validated";
    /// Custom or declared job: built on another tip than the pool's.
    STALE_CHAIN_TIP = "stale-chain-tip";
    /// Custom job: `min_ntime` is impossible or not the declared one.
    INVALID_MIN_NTIME = "invalid-min-ntime";
    /// Custom job: `nbits` is not what the next block needs.
    INVALID_NBITS = "invalid-nbits";
    /// Custom job: `version` is not the declared one.
    INVALID_VERSION = "invalid-version";
    /// Custom or declared job: the coinbase transaction cannot be built or is invalid.
    INVALID_COINBASE_TX = "invalid-coinbase-tx";
    /// Custom job: the coinbase's version is not the declared one.
    INVALID_COINBASE_TX_VERSION = "invalid-coinbase-tx-version";
    /// Custom job: the scriptSig does not begin as declared.
    INVALID_COINBASE_PREFIX = "invalid-coinbase-prefix";
    /// Declared job: the coinbase's input is not that of a coinbase.
    INVALID_COINBASE_TX_INPUT = "invalid-coinbase-tx-input";
    /// Custom job: the coinbase's sequence number is not the declared one.
    INVALID_COINBASE_TX_INPUT_N_SEQUENCE = "invalid-coinbase-tx-input-n-sequence";
    /// Custom job: the outputs are not the declared ones, or do not pay.
    INVALID_COINBASE_TX_OUTPUTS = "invalid-coinbase-tx-outputs";
    /// Custom job: the coinbase's lock time is not the declared one.
    INVALID_COINBASE_TX_LOCKTIME = "invalid-coinbase-tx-locktime";
    /// Custom job: the merkle path is not that of the declared transactions.
    INVALID_MERKLE_PATH = "invalid-merkle-path";

    /// Declared job: transactions are missing after they were asked for.
    MISSING_TXS = "missing-txs";
    /// Declared job: it would not make a valid block.
    INVALID_JOB = "invalid-job";
    /// Declared job: the server failed; the client did nothing wrong.
    INTERNAL_ERROR = "internal-error";

    /// Template: there is no such template.
    TEMPLATE_ID_NOT_FOUND = "template-id-not-found";
    /// Template: it was for an earlier tip and is gone.
    STALE_TEMPLATE_ID = "stale-template-id";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FR-45: every code is printable ASCII of at most 63 bytes, and none stands there twice.
    #[test]
    fn our_codes_are_short_printable_ascii() {
        for (i, code) in ALL.iter().enumerate() {
            let bytes = code.as_bytes();
            assert!((1..=63).contains(&bytes.len()), "{code}");
            assert!(
                bytes.iter().all(|byte| (0x20..=0x7e).contains(byte)),
                "{code}"
            );
            assert!(!ALL[..i].contains(code), "{code} twice");
        }
    }

    /// FR-46: a code with control characters cannot be made; one that a peer sent is shown escaped.
    #[test]
    fn control_characters_are_refused_and_escaped() {
        for bad in (0x00..=0x1f)
            .chain([0x7f])
            .map(char::from)
            .chain(['\u{80}', 'é'])
        {
            assert_eq!(Code::new(&format!("a{bad}")), Err(NotACode), "{bad:?}");
        }
        assert_eq!(Code::new(&"x".repeat(64)), Err(NotACode));
        assert!(Code::new(&"x".repeat(63)).is_ok());
        assert!(Code::new(" ~").is_ok());

        let received = Code::decode(&mut Reader::new(b"\x04a\n\x1b\x7f")).unwrap();
        assert_eq!(received.to_string(), "a\\u{a}\\u{1b}\\u{7f}");
    }
}
