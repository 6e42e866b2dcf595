//! A server's handshake: this crate, the bare curve operations that it needs, and the reference
//! implementation, which signs a certificate for every connection.
//!
//! `cargo bench -p headframe-sv2-noise --bench handshake`; the ratios are in docs/benchmarks.md.

#![allow(clippy::unwrap_used, reason = "nothing here comes from outside")]

use bitcoin::secp256k1::ellswift::{ElligatorSwift, ElligatorSwiftParty};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use divan::{Bencher, black_box};
use headframe_sv2_noise::{Initiator, KeyRing, NoiseKey, Trust, respond};

const NOW: u32 = 1_750_000_000;

fn main() {
    divan::main();
}

fn ring() -> KeyRing {
    KeyRing::create([0x2a; 32], [2; 32], &[3; 32], NOW).unwrap()
}

/// Another secret for every handshake, as in life.
fn secret(counter: &mut u64) -> [u8; 32] {
    *counter += 1;
    let mut secret = [1; 32];
    secret[..8].copy_from_slice(&counter.to_le_bytes());
    secret
}

fn act1() -> [u8; 64] {
    Initiator::start(Trust::Anyone, NoiseKey::new([4; 32], [0; 32]).unwrap()).1
}

/// One key encoded with ElligatorSwift, two shared secrets.
#[divan::bench(sample_count = 300, sample_size = 10)]
fn a_floor_bare_curve_operations(bencher: Bencher<'_, '_>) {
    let curve = Secp256k1::new();
    let client = ElligatorSwift::from_array(act1());
    let server_secret = SecretKey::from_slice(&[2; 32]).unwrap();
    let server = ElligatorSwift::from_seckey(&curve, server_secret, None);
    let mut counter = 0;
    bencher.bench_local(|| {
        let ephemeral_secret = SecretKey::from_slice(&secret(&mut counter)).unwrap();
        let ephemeral = ElligatorSwift::from_seckey(&curve, ephemeral_secret, Some([5; 32]));
        let party = ElligatorSwiftParty::B;
        let ee = ElligatorSwift::shared_secret(client, ephemeral, ephemeral_secret, party, None);
        let es = ElligatorSwift::shared_secret(client, server, server_secret, party, None);
        black_box((ephemeral.to_array(), ee, es));
    });
}

#[divan::bench(sample_count = 300, sample_size = 10)]
fn b_headframe(bencher: Bencher<'_, '_>) {
    let identity = ring().identity();
    let act1 = act1();
    let mut counter = 0;
    bencher.bench_local(|| {
        let ephemeral = NoiseKey::new(secret(&mut counter), [5; 32]).unwrap();
        black_box(respond(&identity, black_box(&act1), ephemeral));
    });
}

#[divan::bench(sample_count = 300, sample_size = 10)]
fn c_rival_noise_sv2(bencher: Bencher<'_, '_>) {
    let public = ring().authority().to_bytes();
    let act1 = act1();
    bencher.bench_local(|| {
        let mut responder = noise_sv2::Responder::from_authority_kp(
            &public,
            &[0x2a; 32],
            core::time::Duration::from_secs(3_600),
        )
        .unwrap();
        black_box(responder.step_1(black_box(act1)).unwrap());
    });
}
