//! A server's static secret key, with or without a certificate for it.
//!
//! As a key file (`headframe-static-key 1`) it waits for the certificate that an authority makes of
//! its [request](crate::CertificateRequest).

use core::fmt;

use bitcoin::base58;
use zeroize::{Zeroize, Zeroizing};

use crate::key_text::{KeyFileText, KeyText, KeyTextError, Lines, STATIC_SECRET};
use crate::noise_key::{InvalidSecret, NoiseKey};

/// Thirty-two secret bytes that are a scalar in 1..n, erased when dropped.
///
/// Boxed, so that moving a key leaves no copy of it behind.
#[derive(Clone)]
pub struct StaticSecret(Box<Zeroizing<[u8; 32]>>);

impl StaticSecret {
    /// A key from 32 secret random bytes. Errors when they are no scalar in 1..n: draw again.
    pub fn from_bytes(mut secret: [u8; 32]) -> Result<Self, InvalidSecret> {
        let kept = Self(Box::new(Zeroizing::new(secret)));
        secret.zeroize();
        NoiseKey::with_fixed_encoding(**kept.0).map(|_| kept)
    }

    /// Reads the text of a key file.
    pub fn from_text(text: &str) -> Result<Self, KeyTextError> {
        Self::of_lines(&Lines::read(text, &[KeyText::StaticKey])?)
    }

    /// The text of the key file. It is the secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = KeyFileText::of(KeyText::StaticKey);
        self.write_to(&mut text);
        text.finish()
    }

    /// The public key's x coordinate, 32 bytes, big endian: what a certificate signs.
    pub fn public(&self) -> [u8; 32] {
        self.key().public()
    }

    /// What takes part in handshakes.
    pub(crate) fn key(&self) -> NoiseKey {
        NoiseKey::with_fixed_encoding(**self.0).expect("it was made of a valid secret")
    }

    pub(crate) fn of_lines(lines: &Lines<'_>) -> Result<Self, KeyTextError> {
        Ok(Self(Box::new(lines.static_secret()?)))
    }

    pub(crate) fn write_to(&self, text: &mut KeyFileText) {
        let secret = Zeroizing::new(base58::encode_check(&**self.0));
        text.line(STATIC_SECRET, &*secret);
    }
}

impl fmt::Debug for StaticSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticSecret").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_key_reads_back_the_same_and_is_not_shown() {
        let key = StaticSecret::from_bytes([7; 32]).unwrap();
        let read = StaticSecret::from_text(&key.to_text()).unwrap();
        assert_eq!(read.public(), key.public());
        assert_eq!(format!("{key:?}"), "StaticSecret { .. }");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(StaticSecret::from_bytes([0; 32]).is_err());
        let other = KeyTextError::Kind {
            expected: KeyText::StaticKey,
            found: Some(KeyText::Keys),
        };
        let error = StaticSecret::from_text("headframe-keys 1\n").unwrap_err();
        assert_eq!(error, other);
        let zero = base58::encode_check(&[0; 32]);
        let text = format!("headframe-static-key 1\nstatic-secret {zero}\n");
        assert!(StaticSecret::from_text(&text).is_err());
    }
}
