//! Against the reference implementation's `noise_sv2` and `codec_sv2`, in both roles.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use core::time::Duration;

use codec_sv2::{
    Decrypted, Handshake, HandshakeMessage, NoiseDecoder, NoiseEncoder, Transport,
    TransportDecryptState, TransportEncryptState,
};
use framing_sv2::framing::SerializedFrame;
use headframe_sv2_noise::{
    ACT1_LEN, ACT2_LEN, AuthorityPublicKey, AuthoritySecretKey, HandshakeError, Initiator, KeyRing,
    MAX_CHUNK, NoiseKey, RecordLayer, Trust, payload_len, respond, sealed_frame_len,
    sealed_payload_len,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const NOW: u32 = 1_750_000_000;

/// The lengths of section 4.6 where the number of chunks changes.
const LENGTHS: [usize; 9] = [
    0,
    1,
    24,
    MAX_CHUNK - 1,
    MAX_CHUNK,
    MAX_CHUNK + 1,
    2 * MAX_CHUNK,
    2 * MAX_CHUNK + 1,
    1_000_000,
];

fn authority() -> AuthoritySecretKey {
    AuthoritySecretKey::from_text("mkDLTBBRxdBv998612qipDYoTK3YUrqLe8uWw7gu3iXbSrn2n").unwrap()
}

fn key(rng: &mut StdRng) -> NoiseKey {
    NoiseKey::new(rng.r#gen(), rng.r#gen()).unwrap()
}

fn their_authority(public: AuthorityPublicKey) -> Box<noise_sv2::Initiator> {
    noise_sv2::Initiator::from_raw_k(public.to_bytes()).unwrap()
}

/// Our client, their server.
fn as_client(seed: u64, now: u32) -> (Result<RecordLayer, HandshakeError>, Transport) {
    let mut rng = StdRng::seed_from_u64(seed);
    let secret = [0x2a; 32];
    let public = AuthoritySecretKey::from_bytes(secret).unwrap().public();
    let responder = noise_sv2::Responder::from_authority_kp_with_rng(
        &public.to_bytes(),
        &secret,
        Duration::from_secs(3_600),
        &mut rng,
    );
    let responder = Handshake::responder(responder.unwrap());
    let (initiator, act1) = Initiator::start(Trust::Authority(public), key(&mut rng));
    let (act2, theirs) = responder.step_1_with_now_rng(act1, NOW, &mut rng).unwrap();
    let act2: [u8; ACT2_LEN] = act2.payload().try_into().unwrap();
    (initiator.finish(&act2, now).map(|ours| ours.record), theirs)
}

/// Our server, their client.
fn as_server(seed: u64) -> (RecordLayer, Transport) {
    let mut rng = StdRng::seed_from_u64(seed);
    let authority_secret: [u8; 32] = rng.r#gen();
    let ring = KeyRing::create(authority_secret, rng.r#gen(), &rng.r#gen(), NOW).unwrap();
    let initiator = Handshake::initiator(their_authority(ring.authority()));
    let (act1, initiator) = initiator.step_0().unwrap();
    let act1: [u8; ACT1_LEN] = act1.payload().try_into().unwrap();
    let (act2, ours) = respond(&ring.identity(), &act1, key(&mut rng));
    (ours, initiator.step_2_with_now(act2, NOW).unwrap())
}

fn frame(len: usize) -> Vec<u8> {
    let mut frame = vec![0xbc, 0x7a, 0x01];
    frame.extend_from_slice(&u32::try_from(len).unwrap().to_le_bytes()[..3]);
    frame.extend((0..len).map(|i| (i % 251) as u8));
    frame
}

fn exchange(mut ours: RecordLayer, theirs: Transport) {
    let (mut encrypt, mut decrypt) = theirs.split();
    let (mut encoder, mut decoder) = (NoiseEncoder::new(), NoiseDecoder::new());
    for len in LENGTHS {
        let plain = frame(len);
        let mut wire = Vec::new();
        ours.sealer.seal_frame(&plain, &mut wire).unwrap();
        assert_eq!(wire.len(), sealed_frame_len(len));
        let (read, next) = their_read(&mut decoder, decrypt, &wire);
        decrypt = next;
        assert!(read == plain, "they read our frame of {len} bytes");

        let mut wire = their_write(&mut encoder, &mut encrypt, &plain);
        assert!(
            our_read(&mut ours, &mut wire) == plain,
            "we read their frame of {len} bytes"
        );
    }
}

fn their_write(
    encoder: &mut NoiseEncoder,
    state: &mut TransportEncryptState,
    plain: &[u8],
) -> Vec<u8> {
    let frame = SerializedFrame::from_bytes(plain.to_vec()).unwrap();
    encoder.encode_transport(frame, state).unwrap().to_vec()
}

fn their_read(
    decoder: &mut NoiseDecoder,
    mut state: TransportDecryptState,
    mut wire: &[u8],
) -> (Vec<u8>, TransportDecryptState) {
    loop {
        let writable = decoder.writable();
        let (now, later) = wire.split_at(writable.len().min(wire.len()));
        writable[..now.len()].copy_from_slice(now);
        wire = later;
        match decoder.next_transport_frame(state).unwrap() {
            Decrypted::Frame(frame, next) => return (frame.as_bytes().to_vec(), next),
            Decrypted::Incomplete(_, next) => state = next,
        }
    }
}

fn our_read(ours: &mut RecordLayer, wire: &mut [u8]) -> Vec<u8> {
    let (header, payload) = wire.split_first_chunk_mut().unwrap();
    let mut plain = ours.opener.open_header(header).unwrap().to_vec();
    let announced = payload_len(plain.first_chunk().unwrap());
    assert_eq!(payload.len(), sealed_payload_len(announced));
    plain.extend_from_slice(ours.opener.open_payload(payload).unwrap());
    plain
}

#[test]
fn our_client_with_their_server() {
    for seed in 0..20 {
        let (ours, theirs) = as_client(seed, NOW);
        exchange(ours.unwrap(), theirs);
    }
}

#[test]
fn our_server_with_their_client() {
    for seed in 0..20 {
        let (ours, theirs) = as_server(seed);
        exchange(ours, theirs);
    }
}

#[test]
fn their_certificate_holds_as_long_as_it_says() {
    assert!(as_client(1, NOW + 3_600 + 60).0.is_ok());
    assert!(as_client(1, NOW + 3_600 + 61).0.is_err());
    assert!(as_client(1, NOW - 61).0.is_err());
}

#[test]
fn their_client_refuses_another_authority() {
    let mut rng = StdRng::seed_from_u64(7);
    let ring = KeyRing::create([1; 32], [2; 32], &[3; 32], NOW).unwrap();
    let initiator = Handshake::initiator(their_authority(authority().public()));
    let (act1, initiator) = initiator.step_0().unwrap();
    let act1: [u8; ACT1_LEN] = act1.payload().try_into().unwrap();
    let (act2, _) = respond(&ring.identity(), &act1, key(&mut rng));
    assert!(initiator.step_2_with_now(act2, NOW).is_err());
}

#[test]
fn a_handshake_message_of_theirs_is_act_1_unframed() {
    let initiator = Handshake::initiator(their_authority(authority().public()));
    let (act1, _): (HandshakeMessage, _) = initiator.step_0().unwrap();
    assert_eq!(act1.payload().len(), ACT1_LEN);
}
