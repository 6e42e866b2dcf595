//! Sealing and opening a 60-byte message: this crate, the bare AEAD calls that it needs, and the
//! reference implementation.
//!
//! `cargo bench -p headframe-sv2-noise --bench record`; the ratios are in docs/benchmarks.md.

#![allow(clippy::unwrap_used, reason = "nothing here comes from outside")]

use codec_sv2::{Decrypted, Handshake, NoiseDecoder, NoiseEncoder};
use divan::{Bencher, black_box};
use framing_sv2::framing::SerializedFrame;
use headframe_sv2_noise::{Opener, Sealer, sealed_frame_len};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

const PAYLOAD: usize = 60;
const KEY: [u8; 32] = [7; 32];

fn main() {
    divan::main();
}

fn frame() -> Vec<u8> {
    let mut frame = vec![0, 0x80, 0x1b, PAYLOAD as u8, 0, 0];
    frame.resize(6 + PAYLOAD, 0x5a);
    frame
}

/// Two boxes sealed and two opened, with a nonce each and nothing else.
#[divan::bench(sample_count = 300, sample_size = 200)]
fn a_floor_bare_aead_calls(bencher: Bencher<'_, '_>) {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &KEY).unwrap());
    let frame = frame();
    let mut wire = vec![0; sealed_frame_len(PAYLOAD)];
    let mut counter = 0_u64;
    bencher.bench_local(|| {
        let (header, payload) = wire.split_at_mut(22);
        for (sealed, plain) in [(&mut *header, &frame[..6]), (&mut *payload, &frame[6..])] {
            let (body, tag) = sealed.split_at_mut(plain.len());
            body.copy_from_slice(black_box(plain));
            let made = key.seal_in_place_separate_tag(nonce(counter), Aad::empty(), body);
            tag.copy_from_slice(made.unwrap().as_ref());
            counter += 1;
        }
        counter -= 2;
        for sealed in [header, payload] {
            let opened = key.open_in_place(nonce(counter), Aad::empty(), sealed);
            black_box(opened.unwrap());
            counter += 1;
        }
    });
}

#[divan::bench(sample_count = 300, sample_size = 200)]
fn b_headframe(bencher: Bencher<'_, '_>) {
    let (mut sealer, mut opener) = (Sealer::from_key(&KEY, 0), Opener::from_key(&KEY, 0));
    let frame = frame();
    let mut wire = Vec::with_capacity(sealed_frame_len(PAYLOAD));
    bencher.bench_local(|| {
        wire.clear();
        sealer.seal_frame(black_box(&frame), &mut wire).unwrap();
        let (header, payload) = wire.split_first_chunk_mut().unwrap();
        black_box(opener.open_header(header).unwrap());
        black_box(opener.open_payload(payload).unwrap());
    });
}

#[divan::bench(sample_count = 300, sample_size = 200)]
fn c_rival_codec_sv2(bencher: Bencher<'_, '_>) {
    let (mut encrypt, decrypt) = their_halves();
    let (mut encoder, mut decoder) = (NoiseEncoder::new(), NoiseDecoder::new());
    let mut decrypt = Some(decrypt);
    let frame = frame();
    bencher.bench_local(|| {
        let frame = SerializedFrame::from_bytes(black_box(&frame).clone()).unwrap();
        let wire = encoder.encode_transport(frame, &mut encrypt).unwrap();
        let mut rest: &[u8] = wire.as_ref();
        let mut state = decrypt.take().unwrap();
        loop {
            let writable = decoder.writable();
            let (now, later) = rest.split_at(writable.len());
            writable.copy_from_slice(now);
            rest = later;
            match decoder.next_transport_frame(state).unwrap() {
                Decrypted::Incomplete(_, next) => state = next,
                Decrypted::Frame(frame, next) => {
                    black_box(frame.as_bytes());
                    decrypt = Some(next);
                    return;
                }
            }
        }
    });
}

fn their_halves() -> (
    codec_sv2::TransportEncryptState,
    codec_sv2::TransportDecryptState,
) {
    let secret = [0x2a; 32];
    let public = headframe_sv2_noise::AuthoritySecretKey::from_bytes(secret)
        .unwrap()
        .public();
    let initiator =
        Handshake::initiator(noise_sv2::Initiator::from_raw_k(public.to_bytes()).unwrap());
    let responder = Handshake::responder(
        noise_sv2::Responder::from_authority_kp(
            &public.to_bytes(),
            &secret,
            core::time::Duration::from_secs(3_600),
        )
        .unwrap(),
    );
    let (act1, initiator) = initiator.step_0().unwrap();
    let (act2, server) = responder
        .step_1(act1.payload().try_into().unwrap())
        .unwrap();
    let client = initiator
        .step_2(act2.payload().try_into().unwrap())
        .unwrap();
    (client.split().0, server.split().1)
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}
