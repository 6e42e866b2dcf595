//! ChaCha20-Poly1305 with the counter nonce of Noise (sv2-spec 4.4.1, RFC 8439).
//!
//! Knows neither handshake nor frames.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::record::TAG_LEN;

/// A key and the number of boxes that were made or opened with it.
pub(crate) struct Cipher {
    /// Boxed, so that moving a cipher leaves no copy of its key behind.
    key: Box<Zeroizing<[u8; 32]>>,
    /// The key in `ring`'s form, which has room for any algorithm's, while it is in use.
    bound: Option<Box<Bound>>,
    next_nonce: u64,
}

struct Bound(LessSafeKey);

/// The counter would reach 2^64 − 1, which Noise reserves (NX-31).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NonceExhausted;

/// A box that this key did not make, or that was changed on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forged;

impl Cipher {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self::starting_at(key, 0)
    }

    pub(crate) fn starting_at(key: &[u8; 32], next_nonce: u64) -> Self {
        let mut copy = Box::new(Zeroizing::new([0; 32]));
        copy.copy_from_slice(key);
        Self {
            key: copy,
            bound: None,
            next_nonce,
        }
    }

    /// Gives back the memory that is needed for the next box only: half a kilobyte, of each direction of
    /// thousands of connections that are silent.
    pub(crate) fn rest(&mut self) {
        self.bound = None;
    }

    /// Whether `boxes` more boxes can be made or opened.
    pub(crate) fn require(&self, boxes: u64) -> Result<(), NonceExhausted> {
        match self.next_nonce.checked_add(boxes) {
            Some(_) => Ok(()),
            None => Err(NonceExhausted),
        }
    }

    /// Encrypts in place and returns the tag. The caller has asked [`Cipher::require`].
    pub(crate) fn seal(&mut self, ad: &[u8], plain: &mut [u8]) -> [u8; TAG_LEN] {
        let nonce = nonce(self.next_nonce);
        let tag = self
            .bound()
            .seal_in_place_separate_tag(nonce, Aad::from(ad), plain)
            .expect("ChaCha20-Poly1305 seals anything below 256 GiB");
        self.next_nonce += 1;
        let mut bytes = [0; TAG_LEN];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    /// Decrypts ciphertext and tag in place and returns the plaintext at its front. The caller has
    /// asked [`Cipher::require`]. A forged box does not advance the counter (NX-16).
    pub(crate) fn open<'a>(
        &mut self,
        ad: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], Forged> {
        let nonce = nonce(self.next_nonce);
        let plain = self
            .bound()
            .open_in_place(nonce, Aad::from(ad), sealed)
            .map_err(|_| Forged)?;
        self.next_nonce += 1;
        Ok(plain)
    }

    fn bound(&mut self) -> &LessSafeKey {
        let bind = || Box::new(Bound(bind(&self.key)));
        &self.bound.get_or_insert_with(bind).0
    }
}

impl Drop for Bound {
    /// `ring` does not erase its keys, so another key is written over this one. `black_box` keeps
    /// the compiler from dropping the write to memory that is about to be freed.
    fn drop(&mut self) {
        self.0 = bind(&[0; 32]);
        std::hint::black_box(&mut self.0);
    }
}

fn bind(key: &[u8; 32]) -> LessSafeKey {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key);
    LessSafeKey::new(key.expect("a ChaCha20-Poly1305 key is 32 bytes"))
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_counter_value_is_never_used() {
        let mut cipher = Cipher::starting_at(&[1; 32], u64::MAX - 1);
        assert_eq!(cipher.require(2), Err(NonceExhausted));
        assert_eq!(cipher.require(1), Ok(()));
        cipher.seal(&[], &mut [0; 4]);
        assert_eq!(cipher.require(1), Err(NonceExhausted));
    }

    #[test]
    fn rest_changes_nothing() {
        let (mut sealer, mut rested) = (Cipher::new(&[1; 32]), Cipher::new(&[1; 32]));
        for _ in 0..3 {
            let (mut plain, mut again) = ([7; 4], [7; 4]);
            assert_eq!(sealer.seal(&[], &mut plain), rested.seal(&[], &mut again));
            assert_eq!(plain, again);
            rested.rest();
            assert!(rested.bound.is_none());
        }
    }

    #[test]
    fn a_forged_box_does_not_advance_the_counter() {
        let mut sealer = Cipher::new(&[1; 32]);
        let mut opener = Cipher::new(&[1; 32]);
        let mut sealed = *b"abcd................";
        let (plain, tag) = sealed.split_at_mut(4);
        tag.copy_from_slice(&sealer.seal(b"ad", plain));
        let mut forged = sealed;
        forged[0] ^= 1;
        assert_eq!(opener.open(b"ad", &mut forged), Err(Forged));
        assert_eq!(opener.open(b"ad", &mut sealed).unwrap(), b"abcd");
    }
}
