//! Every single bit of each act and of each box, flipped: all of it is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use headframe_sv2_noise::{
    ACT1_LEN, ACT2_LEN, AuthoritySecretKey, Certificate, CertificateError, HandshakeError,
    Initiator, KeyRing, MAX_CHUNK, NoiseKey, OpenError, RecordLayer, SEALED_HEADER_LEN, SealError,
    Sealer, StaticIdentity, TAG_LEN, Trust, respond, sealed_frame_len, sealed_payload_len,
};
use proptest::prelude::*;

const NOW: u32 = 1_750_000_000;

fn ring() -> KeyRing {
    KeyRing::create([1; 32], [2; 32], &[3; 32], NOW).unwrap()
}

fn key(secret: u8) -> NoiseKey {
    NoiseKey::new([secret; 32], [secret; 32]).unwrap()
}

fn start() -> (Initiator, [u8; ACT1_LEN]) {
    Initiator::start(Trust::Authority(ring().authority()), key(4))
}

fn pair() -> (RecordLayer, RecordLayer) {
    let (initiator, act1) = start();
    let (act2, server) = respond(&ring().identity(), &act1, key(5));
    (initiator.finish(&act2, NOW).unwrap().record, server)
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&[0, 0, 0x42, len[0], len[1], len[2]], payload].concat()
}

#[test]
fn a_bit_of_act_1() {
    let identity = ring().identity();
    for bit in 0..ACT1_LEN * 8 {
        let (initiator, mut act1) = start();
        act1[bit / 8] ^= 1 << (bit % 8);
        let (act2, _) = respond(&identity, &act1, key(5));
        assert_eq!(
            initiator.finish(&act2, NOW).unwrap_err(),
            HandshakeError::Forged,
            "bit {bit}"
        );
    }
}

#[test]
fn a_bit_of_act_2() {
    let identity = ring().identity();
    for bit in 0..ACT2_LEN * 8 {
        let (initiator, act1) = start();
        let (mut act2, _) = respond(&identity, &act1, key(5));
        act2[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            initiator.finish(&act2, NOW).unwrap_err(),
            HandshakeError::Forged,
            "bit {bit}"
        );
    }
}

#[test]
fn a_bit_of_a_header_box_and_the_right_box_still_opens() {
    let (mut client, mut server) = pair();
    let mut sealed = Vec::new();
    client
        .sealer
        .seal_frame(&frame(b"payload"), &mut sealed)
        .unwrap();
    let header: [u8; SEALED_HEADER_LEN] = *sealed.first_chunk().unwrap();
    for bit in 0..SEALED_HEADER_LEN * 8 {
        let mut forged = header;
        forged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            server.opener.open_header(&mut forged),
            Err(OpenError::Forged)
        );
    }
    assert!(server.opener.open_header(&mut header.clone()).is_ok());
}

#[test]
fn a_bit_of_a_payload_box() {
    let (mut client, mut server) = pair();
    let mut sealed = Vec::new();
    client
        .sealer
        .seal_frame(&frame(b"payload"), &mut sealed)
        .unwrap();
    let (header, payload) = sealed.split_first_chunk_mut().unwrap();
    server.opener.open_header(header).unwrap();
    for bit in 0..payload.len() * 8 {
        let mut forged = payload.to_vec();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            server.opener.open_payload(&mut forged),
            Err(OpenError::Forged)
        );
    }
    assert_eq!(server.opener.open_payload(payload).unwrap(), b"payload");
}

#[test]
fn a_bit_at_the_edges_of_every_chunk() {
    let plain = frame(&vec![0x5a; 2 * MAX_CHUNK + 1]);
    let mut sealed = Vec::new();
    Sealer::from_key(&[7; 32], 0)
        .seal_frame(&plain, &mut sealed)
        .unwrap();
    let box_len = MAX_CHUNK + TAG_LEN;
    let ends = [
        0,
        box_len,
        2 * box_len,
        sealed_payload_len(2 * MAX_CHUNK + 1),
    ];
    for place in ends
        .windows(2)
        .flat_map(|w| [w[0], w[1] - TAG_LEN - 1, w[1] - TAG_LEN, w[1] - 1])
    {
        let mut forged = sealed.clone();
        let (header, payload) = forged.split_first_chunk_mut().unwrap();
        let mut opener = headframe_sv2_noise::Opener::from_key(&[7; 32], 0);
        opener.open_header(header).unwrap();
        payload[place] ^= 0x80;
        assert_eq!(
            opener.open_payload(payload),
            Err(OpenError::Forged),
            "byte {place}"
        );
    }
}

#[test]
fn swapped_replayed_and_dropped_boxes() {
    let (mut client, mut server) = pair();
    let mut sealed = Vec::new();
    for payload in [b"first.", b"second".as_slice()] {
        client
            .sealer
            .seal_frame(&frame(payload), &mut sealed)
            .unwrap();
    }
    let (first, second) = sealed.split_at(sealed_frame_len(6));
    let header = |sealed: &[u8]| *sealed.first_chunk::<SEALED_HEADER_LEN>().unwrap();
    let forged = Err(OpenError::Forged);
    assert_eq!(server.opener.open_header(&mut header(second)), forged);
    assert!(server.opener.open_header(&mut header(first)).is_ok());
    assert_eq!(server.opener.open_header(&mut header(first)), forged);
    assert_eq!(server.opener.open_header(&mut header(second)), forged);
}

#[test]
fn lengths_that_no_payload_has() {
    let mut opener = headframe_sv2_noise::Opener::from_key(&[7; 32], 0);
    for len in 1..=TAG_LEN {
        let opened = opener.open_payload(&mut vec![0; len]).map(|_| ());
        assert_eq!(opened, Err(OpenError::Length(len)));
    }
    assert_eq!(opener.open_payload(&mut []).unwrap(), b"");
}

#[test]
fn frames_whose_header_does_not_fit_them_are_not_sealed() {
    let mut sealer = Sealer::from_key(&[7; 32], 0);
    let mut out = Vec::new();
    for (bytes, actual, announced) in [
        (&[0, 0, 1][..], 3, 6),
        (&[0, 0, 1, 1, 0, 0], 6, 7),
        (&[0, 0, 1, 0, 0, 0, 9], 7, 6),
    ] {
        let refused = Err(SealError::Length { actual, announced });
        assert_eq!(sealer.seal_frame(bytes, &mut out), refused);
    }
    assert!(out.is_empty());
}

#[test]
fn the_reserved_nonce_is_refused_before_a_byte_is_written() {
    let mut out = Vec::new();
    let mut sealer = Sealer::from_key(&[7; 32], u64::MAX - 1);
    let refused = Err(SealError::NonceExhausted);
    assert_eq!(sealer.seal_frame(&frame(b"x"), &mut out), refused);
    assert!(out.is_empty());
    assert_eq!(sealer.seal_frame(&frame(b""), &mut out), Ok(()));
    assert_eq!(sealer.seal_frame(&frame(b""), &mut out), refused);

    let mut opener = headframe_sv2_noise::Opener::from_key(&[7; 32], u64::MAX);
    let header = opener.open_header(&mut [0; SEALED_HEADER_LEN]);
    assert_eq!(header, Err(OpenError::NonceExhausted));
    let payload = opener.open_payload(&mut [0; 17]).map(|_| ());
    assert_eq!(payload, Err(OpenError::NonceExhausted));
}

#[test]
fn a_client_says_what_is_wrong_with_a_certificate() {
    let authority = AuthoritySecretKey::from_bytes([1; 32]).unwrap();
    let other = AuthoritySecretKey::from_bytes([9; 32]).unwrap();
    let server = key(2).public();
    let sign = |authority, static_key, from, after| {
        Certificate::sign(authority, static_key, from, after, &[0; 32])
    };
    let mut unknown = sign(&authority, &server, 0, u32::MAX).to_bytes();
    unknown[0] = 1;
    let cases = [
        (
            sign(&authority, &server, NOW + 61, u32::MAX),
            CertificateError::NotYetValid {
                valid_from: NOW + 61,
                now: NOW,
            },
        ),
        (
            sign(&authority, &server, 0, NOW - 61),
            CertificateError::Expired {
                not_valid_after: NOW - 61,
                now: NOW,
            },
        ),
        (
            sign(&other, &server, 0, u32::MAX),
            CertificateError::Signature,
        ),
        (
            sign(&authority, &key(8).public(), 0, u32::MAX),
            CertificateError::Signature,
        ),
        (
            Certificate::from_bytes(&unknown),
            CertificateError::Version(1),
        ),
    ];
    for (certificate, fault) in cases {
        let identity = StaticIdentity::new(key(2), certificate);
        let finish = |trust| {
            let (initiator, act1) = Initiator::start(trust, key(4));
            let (act2, _) = respond(&identity, &act1, key(5));
            initiator.finish(&act2, NOW)
        };
        let refused = finish(Trust::Authority(authority.public())).unwrap_err();
        assert_eq!(refused, HandshakeError::Certificate(fault));
        assert!(finish(Trust::Anyone).is_ok());
    }
}

#[test]
fn odd_and_even_keys_connect_in_all_combinations() {
    let parities: [Vec<u8>; 2] = [0, 1].map(|parity| {
        let odd = |secret: &u8| {
            let curve = bitcoin::secp256k1::Secp256k1::new();
            let secret = bitcoin::secp256k1::SecretKey::from_slice(&[*secret; 32]).unwrap();
            let point = bitcoin::secp256k1::PublicKey::from_secret_key(&curve, &secret);
            point.serialize()[0] == 2 + parity
        };
        (1..100).filter(odd).take(4).collect()
    });
    for combination in 0..16_usize {
        let secret = |i: usize| parities[(combination >> i) & 1][i];
        let ring = KeyRing::create([secret(0); 32], [secret(1); 32], &[0; 32], NOW).unwrap();
        let trust = Trust::Authority(ring.authority());
        let (initiator, act1) = Initiator::start(trust, key(secret(2)));
        let (act2, _) = respond(&ring.identity(), &act1, key(secret(3)));
        assert!(initiator.finish(&act2, NOW).is_ok(), "{combination:04b}");
    }
}

proptest! {
    #[test]
    fn any_64_bytes_are_answered(act1 in any::<[u8; 32]>(), rest in any::<[u8; 32]>()) {
        let act1: [u8; 64] = [act1, rest].concat().try_into().unwrap();
        let identity = ring().identity();
        for act1 in [act1, [0; 64], [0xff; 64]] {
            let (act2, _) = respond(&identity, &act1, key(5));
            prop_assert_eq!(&act2[..64], &key(5).encoding());
        }
    }

    #[test]
    fn what_is_sealed_opens_in_order(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20)
    ) {
        let (mut client, mut server) = pair();
        let mut wire = Vec::new();
        for payload in &payloads {
            client.sealer.seal_frame(&frame(payload), &mut wire).unwrap();
        }
        let mut rest = &mut wire[..];
        for payload in &payloads {
            let (header, tail) = rest.split_first_chunk_mut().unwrap();
            prop_assert_eq!(&server.opener.open_header(header).unwrap(), &frame(payload)[..6]);
            let (sealed, tail) = tail.split_at_mut(sealed_payload_len(payload.len()));
            prop_assert_eq!(&*server.opener.open_payload(sealed).unwrap(), &payload[..]);
            rest = tail;
        }
        prop_assert!(rest.is_empty());
    }
}
