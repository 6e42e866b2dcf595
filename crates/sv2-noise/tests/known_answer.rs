//! The vectors of `noise_kat.json`, byte for byte: acts, certificate, frames, chunks.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bitcoin::hashes::{Hash, sha256};
use bitcoin::hex::{DisplayHex, FromHex};
use headframe_sv2_noise::{
    AuthorityPublicKey, AuthoritySecretKey, Certificate, Established, Initiator, NoiseKey, Opener,
    RecordLayer, Sealer, StaticIdentity, Trust, payload_len, respond, sealed_payload_len,
};
use serde_json::Value;

const NOW: u32 = 1_750_000_000;

fn kat() -> Value {
    serde_json::from_str(include_str!("../../testkit/vectors/noise_kat.json")).unwrap()
}

fn hex(value: &Value) -> Vec<u8> {
    Vec::from_hex(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    hex(value).try_into().unwrap()
}

fn key(kat: &Value, name: &str) -> NoiseKey {
    let secret = array(&kat["secret_keys"][name]);
    NoiseKey::with_encoding(secret, array(&kat["ellswift"][name])).unwrap()
}

fn authority(kat: &Value) -> AuthoritySecretKey {
    AuthoritySecretKey::from_bytes(array(&kat["secret_keys"]["authority"])).unwrap()
}

fn certificate(kat: &Value) -> Certificate {
    let window = &kat["certificate"];
    let second = |name: &str| u32::try_from(window[name].as_u64().unwrap()).unwrap();
    Certificate::sign(
        &authority(kat),
        &array(&kat["x_only"]["static"]),
        second("valid_from"),
        second("not_valid_after"),
        &[0; 32],
    )
}

/// Both ends of the vectors' handshake; the acts are compared on the way.
fn shake_hands(kat: &Value) -> (Established, RecordLayer) {
    let trust = Trust::Authority(authority(kat).public());
    let (initiator, act1) = Initiator::start(trust, key(kat, "e_initiator"));
    assert_eq!(act1.as_slice(), hex(&kat["act1"]));
    let identity = StaticIdentity::new(key(kat, "static"), certificate(kat));
    let (act2, server) = respond(&identity, &act1, key(kat, "e_responder"));
    assert_eq!(act2.as_slice(), hex(&kat["act2"]));
    (initiator.finish(&act2, NOW).unwrap(), server)
}

#[test]
fn authority_key_and_certificate() {
    let kat = kat();
    let public = authority(&kat).public();
    assert_eq!(public.to_bytes(), array(&kat["x_only"]["authority"]));
    let text = kat["authority_base58check"].as_str().unwrap();
    assert_eq!(public.to_string(), text);
    assert_eq!(text.parse::<AuthorityPublicKey>(), Ok(public));
    assert_eq!(
        certificate(&kat).to_bytes(),
        array(&kat["certificate"]["message74"])
    );
}

#[test]
fn acts_and_the_server_that_the_client_sees() {
    let kat = kat();
    let (client, _) = shake_hands(&kat);
    assert_eq!(client.server_key, array(&kat["x_only"]["static"]));
    assert_eq!(client.certificate, certificate(&kat));
}

#[test]
fn frames_in_both_directions() {
    let kat = kat();
    let (client, mut server) = shake_hands(&kat);
    let mut client = client.record;
    check_frames(
        &kat["frames_i2r_in_order"],
        &mut client.sealer,
        &mut server.opener,
    );
    check_frames(
        &kat["frames_r2i_in_order"],
        &mut server.sealer,
        &mut client.opener,
    );
}

/// The vectors name the payload; the header they hold only sealed, so it is opened first and the frame
/// that it begins is then sealed anew.
fn check_frames(frames: &Value, sealer: &mut Sealer, opener: &mut Opener) {
    let frames = frames.as_array().unwrap();
    assert!(!frames.is_empty());
    for expected in frames {
        let wire = hex(&expected["wire"]);
        let mut received = wire.clone();
        let frame = open_frame(opener, &mut received);
        if let Some(payload) = expected["plain_payload"].as_str() {
            assert_eq!(frame[6..].to_lower_hex_string(), payload);
        }
        let mut sealed = Vec::new();
        sealer.seal_frame(&frame, &mut sealed).unwrap();
        assert_eq!(sealed, wire, "{}", expected["what"]);
    }
}

fn open_frame(opener: &mut Opener, wire: &mut [u8]) -> Vec<u8> {
    let (header, payload) = wire.split_first_chunk_mut().unwrap();
    let mut frame = opener.open_header(header).unwrap().to_vec();
    let announced = payload_len(frame.first_chunk().unwrap());
    assert_eq!(payload.len(), sealed_payload_len(announced));
    frame.extend_from_slice(opener.open_payload(payload).unwrap());
    frame
}

#[test]
fn payloads_around_the_chunk_size() {
    let kat = kat();
    let key = array(&kat["k_initiator_to_responder"]);
    let chunking = kat["chunking_fresh_k1_ext7abc_type1_payload_i_mod_251"]
        .as_object()
        .unwrap();
    assert!(chunking.len() >= 6);
    for (len, expected) in chunking {
        let len: u32 = len.parse().unwrap();
        let mut frame = vec![0xbc, 0x7a, 0x01];
        frame.extend_from_slice(&len.to_le_bytes()[..3]);
        frame.extend((0..len).map(|i| u8::try_from(i % 251).unwrap()));

        let mut sealed = Vec::new();
        Sealer::from_key(&key, 0)
            .seal_frame(&frame, &mut sealed)
            .unwrap();
        assert_eq!(sealed.len() as u64, expected["wire_len"].as_u64().unwrap());
        assert_eq!(
            sha256::Hash::hash(&sealed).to_byte_array(),
            array(&expected["sha256"]),
            "payload of {len} bytes"
        );
        assert_eq!(
            open_frame(&mut Opener::from_key(&key, 0), &mut sealed),
            frame
        );
    }
}
