//! The symmetric state of a Noise handshake: chaining key, transcript hash, box key
//! (sv2-spec 4.4 and 4.5.1).

use bitcoin::hashes::{Hash, HashEngine, Hmac, HmacEngine, sha256};
use zeroize::Zeroizing;

use crate::cipher::{Cipher, Forged};
use crate::record::TAG_LEN;

/// SHA-256 of the protocol's name `Noise_NX_Secp256k1+EllSwift_ChaChaPoly_SHA256`.
const INITIAL_CHAINING_KEY: [u8; 32] = [
    0x2e, 0xb4, 0x78, 0x81, 0x20, 0x8e, 0x9e, 0xee, 0x1f, 0x66, 0x9f, 0x67, 0xc6, 0x6e, 0xe7, 0x0e,
    0xa9, 0xea, 0x88, 0x09, 0x0d, 0x50, 0x3f, 0xe8, 0x30, 0xdc, 0x4b, 0xc8, 0x3e, 0x29, 0xbf, 0x10,
];

/// SHA-256 of the former: the transcript after the empty prologue.
const INITIAL_TRANSCRIPT: [u8; 32] = [
    0x92, 0x2f, 0xa3, 0x2e, 0x4f, 0x48, 0x7c, 0x0d, 0x59, 0xca, 0xa3, 0xbe, 0xd7, 0x89, 0x9c, 0xe3,
    0xd9, 0x8d, 0xb7, 0xe1, 0x3d, 0xbd, 0x3b, 0x7c, 0xf2, 0xd2, 0x3d, 0xd4, 0x33, 0xdc, 0x61, 0x04,
];

/// What both sides agree on while they shake hands, before any key is mixed in.
pub(crate) struct Unkeyed(State);

/// The same once a shared secret is in: boxes can be sealed and opened.
pub(crate) struct Keyed {
    state: State,
    /// One box is sealed per key, so its counter is always 0 (NX-12).
    key: Zeroizing<[u8; 32]>,
}

struct State {
    chaining_key: Zeroizing<[u8; 32]>,
    transcript: [u8; 32],
}

/// The two keys that a finished handshake leaves.
pub(crate) struct TransportKeys {
    pub(crate) initiator_to_responder: Zeroizing<[u8; 32]>,
    pub(crate) responder_to_initiator: Zeroizing<[u8; 32]>,
}

impl Unkeyed {
    /// The state after act 1: the initiator's key and the act's empty payload are in the transcript
    /// (NX-7).
    pub(crate) fn after_act1(act1: &[u8; 64]) -> Self {
        let mut state = State::initial();
        state.mix_hash(act1);
        state.mix_hash(&[]);
        Self(state)
    }

    /// Takes in the responder's ephemeral key. No empty payload follows it: the payload of act 2 is
    /// the certificate.
    pub(crate) fn mix_responder_ephemeral(&mut self, encoding: &[u8; 64]) {
        self.0.mix_hash(encoding);
    }

    /// Takes in the first shared secret (`ee`).
    pub(crate) fn mix_key(self, shared: &[u8; 32]) -> Keyed {
        let mut state = self.0;
        let key = state.mix_key(shared);
        Keyed { state, key }
    }
}

impl Keyed {
    /// Takes in a further shared secret (`es`), which replaces the box key.
    pub(crate) fn mix_key(self, shared: &[u8; 32]) -> Self {
        let mut state = self.state;
        let key = state.mix_key(shared);
        Self { state, key }
    }

    /// Seals `plain` in place; the transcript absorbs ciphertext and tag (NX-14).
    pub(crate) fn seal(&mut self, plain: &mut [u8]) -> [u8; TAG_LEN] {
        let tag = Cipher::new(&self.key).seal(&self.state.transcript, plain);
        self.state.mix_hash_parts(plain, &tag);
        tag
    }

    /// Opens a box in place and returns the plaintext at its front.
    pub(crate) fn open<'a>(&mut self, sealed: &'a mut [u8]) -> Result<&'a mut [u8], Forged> {
        let mut next = State {
            chaining_key: self.state.chaining_key.clone(),
            transcript: self.state.transcript,
        };
        next.mix_hash(sealed);
        let plain = Cipher::new(&self.key).open(&self.state.transcript, sealed)?;
        self.state = next;
        Ok(plain)
    }

    /// The keys of the record layer (NX-23). The handshake's secrets end here.
    pub(crate) fn split(self) -> TransportKeys {
        let (initiator_to_responder, responder_to_initiator) = hkdf2(&self.state.chaining_key, &[]);
        TransportKeys {
            initiator_to_responder,
            responder_to_initiator,
        }
    }
}

impl State {
    fn initial() -> Self {
        Self {
            chaining_key: Zeroizing::new(INITIAL_CHAINING_KEY),
            transcript: INITIAL_TRANSCRIPT,
        }
    }

    fn mix_hash(&mut self, data: &[u8]) {
        self.mix_hash_parts(data, &[]);
    }

    fn mix_hash_parts(&mut self, first: &[u8], second: &[u8]) {
        let mut engine = sha256::Hash::engine();
        engine.input(&self.transcript);
        engine.input(first);
        engine.input(second);
        self.transcript = sha256::Hash::from_engine(engine).to_byte_array();
    }

    fn mix_key(&mut self, shared: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        let (chaining_key, key) = hkdf2(&self.chaining_key, shared);
        self.chaining_key = chaining_key;
        key
    }
}

/// RFC 5869 with the chaining key as salt, empty info and two outputs (NX-11).
fn hkdf2(chaining_key: &[u8; 32], input: &[u8]) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
    let pseudorandom = hmac(chaining_key, &[input]);
    let first = hmac(&pseudorandom, &[&[1]]);
    let second = hmac(&pseudorandom, &[&*first, &[2]]);
    (first, second)
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut engine = HmacEngine::<sha256::Hash>::new(key);
    for part in parts {
        engine.input(part);
    }
    Zeroizing::new(Hmac::from_engine(engine).to_byte_array())
}

#[cfg(test)]
mod tests {
    use bitcoin::hex::FromHex;

    use super::*;
    use crate::noise_key::NoiseKey;

    const KAT: &str = include_str!("../../testkit/vectors/noise_kat.json");

    #[test]
    fn initial_values_are_the_hashes_of_the_protocol_name() {
        let name = sha256::Hash::hash(b"Noise_NX_Secp256k1+EllSwift_ChaChaPoly_SHA256");
        assert_eq!(name.to_byte_array(), INITIAL_CHAINING_KEY);
        let prologue = sha256::Hash::hash(&INITIAL_CHAINING_KEY);
        assert_eq!(prologue.to_byte_array(), INITIAL_TRANSCRIPT);
    }

    /// The responder's side, value by value; that the initiator arrives at the same keys is shown by
    /// the acts and frames in `tests/known_answer.rs`.
    #[test]
    fn every_intermediate_value_is_the_vectors() {
        let kat: serde_json::Value = serde_json::from_str(KAT).unwrap();
        let key = |name: &str| {
            let secret = bytes(&kat["secret_keys"][name]);
            NoiseKey::with_encoding(secret, bytes(&kat["ellswift"][name])).unwrap()
        };
        let (initiator, responder, server) =
            (key("e_initiator"), key("e_responder"), key("static"));
        let act1 = initiator.encoding();

        let mut steps = Vec::new();
        let mut unkeyed = Unkeyed(State::initial());
        unkeyed.0.mix_hash(&act1);
        steps.push(("h after e initiator", unkeyed.0.transcript));
        let mut unkeyed = Unkeyed::after_act1(&act1);
        steps.push(("h after empty payload act1", unkeyed.0.transcript));
        unkeyed.mix_responder_ephemeral(&responder.encoding());
        steps.push(("h after e responder", unkeyed.0.transcript));

        let ee = responder.agree_as_responder(&act1);
        assert_eq!(*ee, bytes(&kat["ecdh"]["ee"]));
        assert_eq!(ee, initiator.agree_as_initiator(&responder.encoding()));
        let mut keyed = unkeyed.mix_key(&ee);
        steps.push(("ck after ee", *keyed.state.chaining_key));
        steps.push(("k after ee", *keyed.key));
        keyed.seal(&mut server.encoding());
        steps.push(("h after static box", keyed.state.transcript));

        let es = server.agree_as_responder(&act1);
        assert_eq!(*es, bytes(&kat["ecdh"]["es"]));
        assert_eq!(es, initiator.agree_as_initiator(&server.encoding()));
        let mut keyed = keyed.mix_key(&es);
        steps.push(("ck after es", *keyed.state.chaining_key));
        steps.push(("k after es", *keyed.key));
        keyed.seal(&mut bytes::<74>(&kat["certificate"]["message74"]));
        steps.push(("h after cert box", keyed.state.transcript));

        let expected = kat["transcript"].as_array().unwrap();
        let expected: Vec<_> = expected
            .iter()
            .map(|step| (step[0].as_str().unwrap(), bytes(&step[1])))
            .collect();
        assert_eq!(steps, expected);
        let keys = keyed.split();
        assert_eq!(
            *keys.initiator_to_responder,
            bytes(&kat["k_initiator_to_responder"])
        );
        assert_eq!(
            *keys.responder_to_initiator,
            bytes(&kat["k_responder_to_initiator"])
        );
    }

    fn bytes<const N: usize>(value: &serde_json::Value) -> [u8; N]
    where
        [u8; N]: FromHex,
        <[u8; N] as FromHex>::Error: core::fmt::Debug,
    {
        <[u8; N]>::from_hex(value.as_str().unwrap()).unwrap()
    }
}
