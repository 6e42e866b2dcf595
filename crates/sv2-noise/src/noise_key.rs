//! A key pair as the handshake uses it: a secret scalar and its ElligatorSwift encoding.
//!
//! Not an authority key: that one signs certificates and never takes part in a handshake
//! (sv2-spec 4.3, BIP324).

use core::fmt;

use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::ellswift::{ElligatorSwift, ElligatorSwiftParty};
use bitcoin::secp256k1::{PublicKey, SecretKey};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::CURVE;

/// A secret key and the 64 bytes that stand for its public key in a handshake.
///
/// The secret is erased when the value is dropped.
pub struct NoiseKey {
    /// Boxed, so that moving a key leaves no copy of its secret behind.
    secret: Box<SecretKey>,
    encoding: ElligatorSwift,
}

/// Thirty-two bytes that are no secret key: zero, or not below the order of the curve.
///
/// Random bytes hit this once in 2^127 draws. Draw again; the bytes are never used (NX-32).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("these 32 bytes are no secp256k1 secret key: zero, or not below the curve's order")]
pub struct InvalidSecret;

impl NoiseKey {
    /// A key from 32 secret random bytes, encoded with 32 more random bytes so that the encoding is
    /// indistinguishable from noise (NX-34).
    ///
    /// Errors when `secret` is no scalar in 1..n.
    pub fn new(mut secret: [u8; 32], aux: [u8; 32]) -> Result<Self, InvalidSecret> {
        let key = SecretKey::from_slice(&secret);
        secret.zeroize();
        let secret = Box::new(key.map_err(|_| InvalidSecret)?);
        let encoding = ElligatorSwift::from_seckey(&CURVE, *secret, Some(aux));
        Ok(Self { secret, encoding })
    }

    /// A key whose encoding is always the same for the same secret.
    ///
    /// For static keys, which travel only inside a sealed box. An ephemeral key is sent in clear
    /// and needs [`NoiseKey::new`].
    pub fn with_fixed_encoding(secret: [u8; 32]) -> Result<Self, InvalidSecret> {
        let aux = sha256::Hash::hash(b"headframe static key encoding").to_byte_array();
        Self::new(secret, aux)
    }

    /// A key whose encoding is given, as known-answer vectors do.
    ///
    /// Errors when the encoding does not decode to the x coordinate of the secret's public key.
    pub fn with_encoding(mut secret: [u8; 32], encoding: [u8; 64]) -> Result<Self, InvalidSecret> {
        let key = SecretKey::from_slice(&secret);
        secret.zeroize();
        let key = Self {
            secret: Box::new(key.map_err(|_| InvalidSecret)?),
            encoding: ElligatorSwift::from_array(encoding),
        };
        let public = PublicKey::from_secret_key(&CURVE, &key.secret);
        match key.public() == public.x_only_public_key().0.serialize() {
            true => Ok(key),
            false => Err(InvalidSecret),
        }
    }

    /// The public key as it travels in a handshake: ElligatorSwift, 64 bytes.
    pub fn encoding(&self) -> [u8; 64] {
        self.encoding.to_array()
    }

    /// The public key's x coordinate, 32 bytes, big endian: what a certificate signs.
    pub fn public(&self) -> [u8; 32] {
        decode_x_only(&self.encoding.to_array())
    }

    /// The BIP324 shared secret with `peer`, as the side that started the handshake.
    pub(crate) fn agree_as_initiator(&self, peer: &[u8; 64]) -> Zeroizing<[u8; 32]> {
        let peer = ElligatorSwift::from_array(*peer);
        self.agree(self.encoding, peer, ElligatorSwiftParty::A)
    }

    /// The BIP324 shared secret with `peer`, as the side that answers.
    pub(crate) fn agree_as_responder(&self, peer: &[u8; 64]) -> Zeroizing<[u8; 32]> {
        let peer = ElligatorSwift::from_array(*peer);
        self.agree(peer, self.encoding, ElligatorSwiftParty::B)
    }

    fn agree(
        &self,
        initiator: ElligatorSwift,
        responder: ElligatorSwift,
        party: ElligatorSwiftParty,
    ) -> Zeroizing<[u8; 32]> {
        let shared = ElligatorSwift::shared_secret(initiator, responder, *self.secret, party, None);
        Zeroizing::new(shared.to_secret_bytes())
    }
}

impl Drop for NoiseKey {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

impl fmt::Debug for NoiseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoiseKey").finish_non_exhaustive()
    }
}

/// The x coordinate that 64 ElligatorSwift bytes stand for. Every 64 bytes stand for one (NX-35).
pub(crate) fn decode_x_only(encoding: &[u8; 64]) -> [u8; 32] {
    let point = PublicKey::from_ellswift(ElligatorSwift::from_array(*encoding));
    point.x_only_public_key().0.serialize()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: [u8; 32] = bitcoin::secp256k1::constants::CURVE_ORDER;

    #[test]
    fn zero_and_the_order_are_refused_and_their_neighbours_are_not() {
        let mut below = ORDER;
        below[31] -= 1;
        let mut above = ORDER;
        above[31] += 1;
        let mut one = [0; 32];
        one[31] = 1;
        for refused in [[0; 32], ORDER, above, [0xff; 32]] {
            assert_eq!(NoiseKey::new(refused, [0; 32]).unwrap_err(), InvalidSecret);
        }
        for accepted in [one, below] {
            assert!(NoiseKey::new(accepted, [0; 32]).is_ok());
        }
    }

    #[test]
    fn encodings_of_one_key_differ_with_the_random_bytes_and_mean_the_same_key() {
        let first = NoiseKey::new([7; 32], [1; 32]).unwrap();
        let second = NoiseKey::new([7; 32], [2; 32]).unwrap();
        assert_ne!(first.encoding(), second.encoding());
        assert_eq!(first.public(), second.public());
    }

    #[test]
    fn a_foreign_encoding_is_refused() {
        let other = NoiseKey::new([8; 32], [0; 32]).unwrap().encoding();
        assert!(NoiseKey::with_encoding([7; 32], other).is_err());
        let own = NoiseKey::new([7; 32], [9; 32]).unwrap().encoding();
        assert!(NoiseKey::with_encoding([7; 32], own).is_ok());
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let key = NoiseKey::new([7; 32], [1; 32]).unwrap();
        assert_eq!(format!("{key:?}"), "NoiseKey { .. }");
    }
}
