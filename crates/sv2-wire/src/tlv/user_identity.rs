//! The worker that a share is from: extension 0x0002, worker-specific hashrate tracking.
//!
//! It changes who a share is counted for, never whom a block pays.

use core::fmt;

use thiserror::Error;

use super::Tlv;
use super::Tlvs;
use crate::bytes::write_escaped;
use crate::frame::Extension;

/// `user_identity`, the only field of extension 0x0002.
pub const USER_IDENTITY_FIELD: u8 = 0x01;

/// A worker's name in extension 0x0002: up to 32 bytes, meant as UTF-8 but kept as sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserIdentity<'a>(&'a [u8]);

/// A worker's name exceeds 32 bytes: the peer's fault in a received share, our caller's in one to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("user identity of {len} bytes, at most 32 are allowed")]
pub struct UserIdentityTooLong {
    /// The name's length in bytes.
    pub len: usize,
}

impl<'a> UserIdentity<'a> {
    /// The longest name in bytes.
    pub const MAX_LEN: usize = 32;

    /// A name of up to 32 bytes, without padding.
    ///
    /// # Errors
    /// [`UserIdentityTooLong`] above that.
    pub const fn new(bytes: &'a [u8]) -> Result<Self, UserIdentityTooLong> {
        if bytes.len() > Self::MAX_LEN {
            return Err(UserIdentityTooLong { len: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// The bytes as they were sent.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The field that carries this name.
    #[must_use]
    pub const fn to_tlv(self) -> Tlv<'a> {
        Tlv {
            extension: Extension::WORKER_HASHRATE_TRACKING.number(),
            field: USER_IDENTITY_FIELD,
            value: self.0,
        }
    }
}

impl fmt::Display for UserIdentity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(self.0, f)
    }
}

impl fmt::Debug for UserIdentity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl<'a> Tlvs<'a> {
    /// The worker that a share is from, by extension 0x0002; `None` if the share does not say.
    ///
    /// # Errors
    /// [`UserIdentityTooLong`] above 32 bytes: the share has to be refused (EX-13).
    pub fn user_identity(&self) -> Result<Option<UserIdentity<'a>>, UserIdentityTooLong> {
        self.value(Extension::WORKER_HASHRATE_TRACKING, USER_IDENTITY_FIELD)
            .map(UserIdentity::new)
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlv::TlvTail;

    /// EX-12, EX-13: 32 bytes are a name; 33 cannot be sent and make a received share one to refuse.
    #[test]
    fn names_have_at_most_32_bytes() {
        let name = [b'n'; 33];
        let too_long = UserIdentityTooLong { len: 33 };
        assert!(UserIdentity::new(&name[..32]).is_ok());
        assert_eq!(UserIdentity::new(&name), Err(too_long));

        let mut tail = vec![0x02, 0x00, 0x01, 33, 0x00];
        tail.extend(name);
        let fields = TlvTail::new(&tail)
            .unwrap()
            .read(&[Extension::WORKER_HASHRATE_TRACKING])
            .unwrap();
        assert_eq!(fields.user_identity(), Err(too_long));
    }

    #[test]
    fn names_are_shown_escaped() {
        assert_eq!(
            UserIdentity::new(b"rig\n\xff").unwrap().to_string(),
            "rig\\u{a}\\xff"
        );
    }
}
