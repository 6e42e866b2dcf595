//! Authority keys and their text forms (sv2-spec 4.7).
//!
//! The authority signs certificates. Its public key is what a miner is configured with, always out of
//! band; it is never learned from a connection (NX-38).

use core::fmt;
use core::str::FromStr;

use bitcoin::base58;
use bitcoin::secp256k1::{Keypair, Message, SecretKey, XOnlyPublicKey};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::CURVE;
use crate::key_text::{
    AUTHORITY_PUBLIC, AUTHORITY_SECRET, KeyFileText, KeyText, KeyTextError, Lines,
};
use crate::noise_key::InvalidSecret;

/// Key version 1 as U16, little endian, in front of a public key.
const PUBLIC_PREFIX: [u8; 2] = [1, 0];

/// The longest text that is looked at. A public key takes 51 characters, a secret one 50 at most.
const MAX_TEXT: usize = 80;

/// An authority's public key: a BIP340 key, known to be on the curve.
///
/// As text: base58check of `01 00` and the 32-byte x coordinate, 51 characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuthorityPublicKey(XOnlyPublicKey);

/// An authority's secret key, erased when dropped.
///
/// As text: base58check of the bare 32 bytes.
///
/// Boxed, so that moving a key leaves no copy of it behind.
pub struct AuthoritySecretKey(Box<Keypair>);

/// What is wrong with the text of an authority key. The operator's to put right.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthorityKeyError {
    /// A character that base58 does not have.
    #[error(
        "authority key has the character {0:?}, which is not base58 (no 0, O, I or l, no spaces)"
    )]
    Character(char),
    /// The checksum does not fit: most likely a typing error.
    #[error("authority key has a wrong checksum; a character was mistyped or is missing")]
    Checksum,
    /// No text at all.
    #[error("authority key is empty")]
    Empty,
    /// The wrong number of bytes behind a right checksum.
    #[error("authority key holds {actual} bytes, not {expected}")]
    Length {
        /// Bytes found, without the checksum.
        actual: usize,
        /// Bytes of such a key.
        expected: usize,
    },
    /// Not a point of the curve.
    #[error("authority key is no point of the curve; nobody can hold its secret")]
    NotOnCurve,
    /// A public key where a secret one belongs.
    #[error("this is an authority public key; the secret key belongs here")]
    PublicKey,
    /// A secret key where a public one belongs.
    #[error(
        "this looks like an authority secret key; the public key belongs here, and the secret one nowhere but on the pool"
    )]
    SecretKey,
    /// Not a scalar in 1..n.
    #[error("authority secret key is zero or not below the curve's order")]
    Secret,
    /// Longer than any key.
    #[error("authority key is {0} characters long; such a key has 51 at most")]
    TooLong(usize),
    /// A key version that is not known.
    #[error("authority key has version {0}; only version 1 is known")]
    Version(u16),
}

impl AuthorityPublicKey {
    /// A key from its x coordinate, 32 bytes, big endian. Errors when no point has it (NX-39).
    pub fn from_bytes(x_only: &[u8; 32]) -> Result<Self, AuthorityKeyError> {
        XOnlyPublicKey::from_slice(x_only)
            .map(Self)
            .map_err(|_| AuthorityKeyError::NotOnCurve)
    }

    /// The x coordinate, 32 bytes, big endian.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0.serialize()
    }

    pub(crate) fn as_x_only(&self) -> &XOnlyPublicKey {
        &self.0
    }
}

impl FromStr for AuthorityPublicKey {
    type Err = AuthorityKeyError;

    /// Reads base58check text; nothing around it is tolerated, not even white space (NX-36).
    fn from_str(text: &str) -> Result<Self, AuthorityKeyError> {
        let bytes = decode(text)?;
        if bytes.len() == 32 {
            return Err(AuthorityKeyError::SecretKey);
        }
        let key = match bytes.split_first_chunk() {
            Some((&PUBLIC_PREFIX, key)) => key,
            Some((&version, _)) => {
                return Err(AuthorityKeyError::Version(u16::from_le_bytes(version)));
            }
            None => &[],
        };
        let key = key.try_into().map_err(|_| AuthorityKeyError::Length {
            actual: bytes.len(),
            expected: PUBLIC_PREFIX.len() + 32,
        })?;
        Self::from_bytes(key)
    }
}

impl fmt::Display for AuthorityPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 34];
        bytes[..2].copy_from_slice(&PUBLIC_PREFIX);
        bytes[2..].copy_from_slice(&self.to_bytes());
        base58::encode_check_to_fmt(f, &bytes)
    }
}

impl AuthoritySecretKey {
    /// A key from 32 secret bytes. Errors when they are no scalar in 1..n.
    pub fn from_bytes(mut secret: [u8; 32]) -> Result<Self, InvalidSecret> {
        let key = SecretKey::from_slice(&secret);
        secret.zeroize();
        let mut key = key.map_err(|_| InvalidSecret)?;
        let pair = Box::new(Keypair::from_secret_key(&CURVE, &key));
        key.non_secure_erase();
        Ok(Self(pair))
    }

    /// Reads base58check text of the bare 32 bytes, as the reference implementation writes it.
    pub fn from_text(text: &str) -> Result<Self, AuthorityKeyError> {
        let bytes = decode(text)?;
        if bytes.len() == 34 && bytes.starts_with(&PUBLIC_PREFIX) {
            return Err(AuthorityKeyError::PublicKey);
        }
        let secret = bytes
            .as_slice()
            .try_into()
            .map_err(|_| AuthorityKeyError::Length {
                actual: bytes.len(),
                expected: 32,
            })?;
        Self::from_bytes(secret).map_err(|InvalidSecret| AuthorityKeyError::Secret)
    }

    /// The text form. It is the secret: keep it in a file that only the pool can read.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(base58::encode_check(&*self.secret_bytes()))
    }

    /// Reads the secret of a key file's text: an authority's own (`headframe-authority 1`), or a pool's
    /// that has it.
    pub fn from_key_file(text: &str) -> Result<Self, KeyTextError> {
        let lines = Lines::read(text, &[KeyText::Authority, KeyText::Keys])?;
        let secret = lines.authority_secret()?;
        secret.ok_or(KeyTextError::Missing(AUTHORITY_SECRET))
    }

    /// The text of the authority's own key file. It holds the secret.
    pub fn to_key_file(&self) -> Zeroizing<String> {
        let mut text = KeyFileText::of(KeyText::Authority);
        text.line(AUTHORITY_PUBLIC, self.public());
        text.line(AUTHORITY_SECRET, &*self.to_text());
        text.finish()
    }

    /// The public key that miners are configured with.
    pub fn public(&self) -> AuthorityPublicKey {
        AuthorityPublicKey(self.0.x_only_public_key().0)
    }

    pub(crate) fn secret_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.secret_bytes())
    }

    /// The same key once more, for a ring that takes another's place.
    pub(crate) fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    pub(crate) fn sign(&self, digest: Message, aux: &[u8; 32]) -> [u8; 64] {
        CURVE
            .sign_schnorr_with_aux_rand(&digest, &self.0, aux)
            .serialize()
    }
}

impl Drop for AuthoritySecretKey {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}

impl fmt::Debug for AuthoritySecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuthoritySecretKey")
            .field(&self.public())
            .finish()
    }
}

/// The bytes behind a base58check text, without the checksum.
fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, AuthorityKeyError> {
    const ALPHABET: &str = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    if text.is_empty() {
        return Err(AuthorityKeyError::Empty);
    }
    if text.len() > MAX_TEXT {
        return Err(AuthorityKeyError::TooLong(text.chars().count()));
    }
    if let Some(foreign) = text.chars().find(|c| !ALPHABET.contains(*c)) {
        return Err(AuthorityKeyError::Character(foreign));
    }
    base58::decode_check(text)
        .map(Zeroizing::new)
        .map_err(|_| AuthorityKeyError::Checksum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's example (sv2-spec 4.7).
    const SPEC_TEXT: &str = "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh";
    /// Pairs that the reference implementation publishes.
    const PAIRS: [(&str, &str); 2] = [
        (
            "9bDuixKmZqAJnrmP746n8zU1wyAQRrus7th9dxnkPg6RzQvCnan",
            "zmBEmPhqo3A92FkiLVvyCz6htc3e53ph3ZbD4ASqGaLjwnFLi",
        ),
        (
            "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72",
            "mkDLTBBRxdBv998612qipDYoTK3YUrqLe8uWw7gu3iXbSrn2n",
        ),
    ];

    fn public(text: &str) -> Result<AuthorityPublicKey, AuthorityKeyError> {
        text.parse()
    }

    #[test]
    fn the_specification_example_reads_and_writes() {
        let key = public(SPEC_TEXT).unwrap();
        let expected = "76637000979c1c11af0c300bcd8c7fe48610fce9b9c11e3daee35ae0b08a7455";
        assert_eq!(key.as_x_only().to_string(), expected);
        assert_eq!(key.to_string(), SPEC_TEXT);
    }

    #[test]
    fn published_secrets_have_the_published_public_keys() {
        for (public, secret) in PAIRS {
            let key = AuthoritySecretKey::from_text(secret).unwrap();
            assert_eq!(key.public().to_string(), public);
            assert_eq!(key.to_text().as_str(), secret);
        }
    }

    #[test]
    fn each_fault_of_a_public_key_is_named() {
        use AuthorityKeyError as E;
        let off_curve = base58::encode_check(&[&PUBLIC_PREFIX[..], &[0xff; 32]].concat());
        let long = base58::encode_check(&[&PUBLIC_PREFIX[..], &[1; 33]].concat());
        let padded = format!(" {SPEC_TEXT}");
        let broken_line = format!("{SPEC_TEXT}\n");
        let cases = [
            ("", E::Empty),
            (padded.as_str(), E::Character(' ')),
            (broken_line.as_str(), E::Character('\n')),
            (
                "9bDuixKmZqAJnrmP746n8zU1wyAQRrus7th9dxnkPg6RzQvCnam",
                E::Checksum,
            ),
            (
                "2myPhc5vkPzuC5FXNK5tee79WmP7uoLh55SxezoF8iqwF3E3rnPY",
                E::Version(12),
            ),
            (
                "2wmHTKZkLg2QzXyEXGMBXzKP7JXDUt8yy9SA5hoQwERc92qR6c",
                E::Length {
                    actual: 33,
                    expected: 34,
                },
            ),
            (
                long.as_str(),
                E::Length {
                    actual: 35,
                    expected: 34,
                },
            ),
            (off_curve.as_str(), E::NotOnCurve),
            (PAIRS[0].1, E::SecretKey),
            ("0OIl", E::Character('0')),
        ];
        for (text, error) in cases {
            assert_eq!(public(text), Err(error), "{text:?}");
        }
        assert_eq!(public(&"1".repeat(81)), Err(E::TooLong(81)));
    }

    #[test]
    fn each_fault_of_a_secret_key_is_named() {
        use AuthorityKeyError as E;
        let zero = base58::encode_check(&[0; 32]);
        let short = base58::encode_check(&[1; 31]);
        let cases = [
            (SPEC_TEXT, E::PublicKey),
            (zero.as_str(), E::Secret),
            (
                short.as_str(),
                E::Length {
                    actual: 31,
                    expected: 32,
                },
            ),
        ];
        for (text, error) in cases {
            assert_eq!(AuthoritySecretKey::from_text(text).unwrap_err(), error);
        }
    }

    #[test]
    fn a_key_file_reads_back_the_same_and_one_without_the_secret_does_not_sign() {
        let key = AuthoritySecretKey::from_bytes([0x11; 32]).unwrap();
        let text = key.to_key_file();
        let read = AuthoritySecretKey::from_key_file(&text).unwrap();
        assert_eq!(read.public(), key.public());
        let public = text.split_inclusive('\n').take(2).collect::<String>();
        let error = AuthoritySecretKey::from_key_file(&public).unwrap_err();
        assert_eq!(error, KeyTextError::Missing(AUTHORITY_SECRET));
        let other = AuthoritySecretKey::from_bytes([0x12; 32]).unwrap();
        let mixed = text.replace(&key.public().to_string(), &other.public().to_string());
        let error = AuthoritySecretKey::from_key_file(&mixed).unwrap_err();
        assert_eq!(error, KeyTextError::AuthorityMismatch);
    }

    #[test]
    fn debug_output_shows_the_public_key_alone() {
        let key = AuthoritySecretKey::from_bytes([0x11; 32]).unwrap();
        let secret = key.to_text();
        let shown = format!("{key:?}");
        assert!(!shown.contains(secret.as_str()) && !shown.contains(&"11".repeat(32)));
    }
}
