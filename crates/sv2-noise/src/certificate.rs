//! Certificates: the authority's signature under the server's static key and a time window
//! (sv2-spec 4.5.2 and 4.5.3).
//!
//! A certificate is signed once for a static key, not per connection.

use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::secp256k1::{Message, schnorr};
use thiserror::Error;

use crate::CURVE;
use crate::authority::{AuthorityPublicKey, AuthoritySecretKey};

/// Bytes of a certificate on the wire: version U16, valid from U32, not valid after U32 (little
/// endian, unix seconds), BIP340 signature 64.
pub const CERTIFICATE_LEN: usize = 74;

/// By how many seconds a client's clock may be off before a certificate's window is held against
/// it. Miners keep poor clocks; the specification leaves the tolerance open.
pub const CLOCK_TOLERANCE: u32 = 60;

/// The only version there is.
const VERSION: u16 = 0;

/// What a server shows to prove that its static key belongs to the authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate {
    version: u16,
    valid_from: u32,
    not_valid_after: u32,
    signature: [u8; 64],
}

/// Which check of a certificate failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// The server's: a version that this client does not know (NX-21).
    #[error("the server's certificate has version {0}; only version 0 is known")]
    Version(u16),
    /// The server's, or this computer's clock: the window has not begun.
    #[error(
        "the server's certificate is valid from unix time {valid_from}, and it is {now} here; check this computer's clock"
    )]
    NotYetValid {
        /// First second of the window.
        valid_from: u32,
        /// The time it was checked at.
        now: u32,
    },
    /// The server's, or this computer's clock: the window has ended.
    #[error(
        "the server's certificate expired at unix time {not_valid_after}, and it is {now} here; check this computer's clock, else the pool has to renew it"
    )]
    Expired {
        /// Last second of the window.
        not_valid_after: u32,
        /// The time it was checked at.
        now: u32,
    },
    /// The operator's or an impostor's: another authority signed, or what it signed was changed.
    #[error(
        "the server's certificate is not signed by the configured authority key; compare the key with the one that the pool publishes"
    )]
    Signature,
}

impl Certificate {
    /// Signs a certificate for the static key `static_key` (x coordinate, 32 bytes, big endian).
    ///
    /// Times are unix seconds, both inclusive. `aux` are 32 fresh random bytes for BIP340.
    pub fn sign(
        authority: &AuthoritySecretKey,
        static_key: &[u8; 32],
        valid_from: u32,
        not_valid_after: u32,
        aux: &[u8; 32],
    ) -> Self {
        let mut certificate = Self {
            version: VERSION,
            valid_from,
            not_valid_after,
            signature: [0; 64],
        };
        certificate.signature = authority.sign(certificate.digest(static_key), aux);
        certificate
    }

    /// Reads the 74 bytes that a server sends. Any 74 bytes are a certificate; whether it is worth
    /// something, [`Certificate::verify`] says.
    pub fn from_bytes(bytes: &[u8; CERTIFICATE_LEN]) -> Self {
        let [v0, v1, f0, f1, f2, f3, a0, a1, a2, a3, signature @ ..] = *bytes;
        Self {
            version: u16::from_le_bytes([v0, v1]),
            valid_from: u32::from_le_bytes([f0, f1, f2, f3]),
            not_valid_after: u32::from_le_bytes([a0, a1, a2, a3]),
            signature,
        }
    }

    /// The 74 bytes that a server sends.
    pub fn to_bytes(&self) -> [u8; CERTIFICATE_LEN] {
        let mut bytes = [0; CERTIFICATE_LEN];
        bytes[..10].copy_from_slice(&self.window_bytes());
        bytes[10..].copy_from_slice(&self.signature);
        bytes
    }

    /// First second (unix) of the window.
    pub const fn valid_from(&self) -> u32 {
        self.valid_from
    }

    /// Last second (unix) of the window.
    pub const fn not_valid_after(&self) -> u32 {
        self.not_valid_after
    }

    /// Checks version, time window (inclusive, [`CLOCK_TOLERANCE`] seconds wider on both sides) and
    /// signature, in this order, and says which one failed.
    ///
    /// `static_key` is the key that the server used in the handshake (x coordinate, 32 bytes, big
    /// endian); `now` is in unix seconds.
    pub fn verify(
        &self,
        authority: &AuthorityPublicKey,
        static_key: &[u8; 32],
        now: u32,
    ) -> Result<(), CertificateError> {
        self.verify_version()?;
        self.verify_window(now)?;
        self.verify_signature(authority, static_key)
    }

    fn verify_version(&self) -> Result<(), CertificateError> {
        match self.version {
            VERSION => Ok(()),
            unknown => Err(CertificateError::Version(unknown)),
        }
    }

    /// Whether the unix time `now` is in the window, as [`Certificate::verify`] sees it.
    pub fn verify_window(&self, now: u32) -> Result<(), CertificateError> {
        let (valid_from, not_valid_after) = (self.valid_from, self.not_valid_after);
        if now.saturating_add(CLOCK_TOLERANCE) < valid_from {
            return Err(CertificateError::NotYetValid { valid_from, now });
        }
        if now.saturating_sub(CLOCK_TOLERANCE) > not_valid_after {
            return Err(CertificateError::Expired {
                not_valid_after,
                now,
            });
        }
        Ok(())
    }

    /// As [`Certificate::verify`], at any time.
    pub(crate) fn verify_untimed(
        &self,
        authority: &AuthorityPublicKey,
        static_key: &[u8; 32],
    ) -> Result<(), CertificateError> {
        self.verify_version()?;
        self.verify_signature(authority, static_key)
    }

    fn verify_signature(
        &self,
        authority: &AuthorityPublicKey,
        static_key: &[u8; 32],
    ) -> Result<(), CertificateError> {
        let signature = schnorr::Signature::from_slice(&self.signature)
            .map_err(|_| CertificateError::Signature)?;
        CURVE
            .verify_schnorr(&signature, &self.digest(static_key), authority.as_x_only())
            .map_err(|_| CertificateError::Signature)
    }

    /// What is signed: SHA-256 of version, window and static key, 42 bytes in all (NX-18).
    fn digest(&self, static_key: &[u8; 32]) -> Message {
        let mut engine = sha256::Hash::engine();
        engine.input(&self.window_bytes());
        engine.input(static_key);
        Message::from_digest(sha256::Hash::from_engine(engine).to_byte_array())
    }

    fn window_bytes(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&self.version.to_le_bytes());
        bytes[2..6].copy_from_slice(&self.valid_from.to_le_bytes());
        bytes[6..].copy_from_slice(&self.not_valid_after.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: u32 = 1_700_000_000;
    const AFTER: u32 = 1_800_000_000;
    const STATIC: [u8; 32] = [3; 32];

    fn authority() -> AuthoritySecretKey {
        AuthoritySecretKey::from_bytes([5; 32]).unwrap()
    }

    fn certificate() -> Certificate {
        Certificate::sign(&authority(), &STATIC, FROM, AFTER, &[0; 32])
    }

    fn verify_at(now: u32) -> Result<(), CertificateError> {
        certificate().verify(&authority().public(), &STATIC, now)
    }

    #[test]
    fn a_clock_may_be_off_by_a_minute_and_no_more() {
        for now in [FROM - 60, FROM, AFTER, AFTER + 60] {
            assert_eq!(verify_at(now), Ok(()));
        }
        let early = FROM - 61;
        assert_eq!(
            verify_at(early),
            Err(CertificateError::NotYetValid {
                valid_from: FROM,
                now: early
            })
        );
        let late = AFTER + 61;
        assert_eq!(
            verify_at(late),
            Err(CertificateError::Expired {
                not_valid_after: AFTER,
                now: late
            })
        );
    }

    #[test]
    fn windows_at_the_ends_of_time_do_not_overflow() {
        let eternal = Certificate::sign(&authority(), &STATIC, 0, u32::MAX, &[0; 32]);
        for now in [0, u32::MAX] {
            assert_eq!(eternal.verify(&authority().public(), &STATIC, now), Ok(()));
        }
    }

    #[test]
    fn version_comes_before_window_and_window_before_signature() {
        let mut bytes = certificate().to_bytes();
        bytes[0] = 1;
        bytes[73] ^= 1;
        let unknown = Certificate::from_bytes(&bytes);
        let public = authority().public();
        assert_eq!(
            unknown.verify(&public, &STATIC, 0),
            Err(CertificateError::Version(1))
        );
        bytes[0] = 0;
        let forged = Certificate::from_bytes(&bytes);
        assert!(matches!(
            forged.verify(&public, &STATIC, 0),
            Err(CertificateError::NotYetValid { .. })
        ));
        assert_eq!(
            forged.verify(&public, &STATIC, FROM),
            Err(CertificateError::Signature)
        );
    }

    #[test]
    fn another_authority_or_static_key_fails_the_signature() {
        let other = AuthoritySecretKey::from_bytes([6; 32]).unwrap().public();
        let signature = Err(CertificateError::Signature);
        assert_eq!(certificate().verify(&other, &STATIC, FROM), signature);
        let public = authority().public();
        assert_eq!(certificate().verify(&public, &[4; 32], FROM), signature);
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        for bit in 0..CERTIFICATE_LEN * 8 {
            let mut bytes = certificate().to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let forged = Certificate::from_bytes(&bytes);
            let verdict = forged.verify(&authority().public(), &STATIC, 1_750_000_000);
            assert!(verdict.is_err(), "bit {bit}");
        }
    }
}
