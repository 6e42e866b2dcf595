//! Decoding one SubmitSharesExtended frame, here and in the reference implementation.
//!
//! Both start from a header and a plaintext payload. The reference implementation decodes from a mutable slice.

use std::hint::black_box;

use divan::Bencher;
use framing_sv2::header::Header as SriHeader;
use headframe_sv2_wire::Frame;
use headframe_sv2_wire::Incoming;
use headframe_sv2_wire::mining::MiningMessage;
use headframe_sv2_wire::write_frame;
use parsers_sv2::AnyMessage;

/// A share with 8 bytes of extranonce.
const SHARE: [u8; 39] = *b"\x00\x80\x1b\x21\x00\x00\
    \x03\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\xef\xbe\xad\xde\x01\xf1\x53\x65\x20\x00\x00\x20\
    \x08\x01\x02\x03\x04\x05\x06\x07\x08";

fn main() {
    divan::main();
}

#[divan::bench(sample_size = 1_000)]
fn headframe(bencher: Bencher<'_, '_>) {
    let bytes = SHARE;
    bencher.bench_local(|| {
        let (frame, _) = Frame::split(black_box(&bytes)).expect("a whole frame");
        match Incoming::<MiningMessage<'_>>::decode(frame) {
            Ok(Incoming::Protocol(MiningMessage::SubmitSharesExtended(share))) => {
                black_box(&share);
                share.nonce
            }
            other => panic!("{other:?}"),
        }
    });
}

#[divan::bench(sample_size = 1_000)]
fn parsers_sv2(bencher: Bencher<'_, '_>) {
    let mut bytes = SHARE;
    bencher.bench_local(|| {
        let (header, payload) = black_box(&mut bytes).split_at_mut(6);
        let header = SriHeader::from_bytes(header).expect("six bytes are a header");
        match AnyMessage::try_from((header, payload)) {
            Ok(AnyMessage::Mining(parsers_sv2::Mining::SubmitSharesExtended(share))) => {
                black_box(&share);
                share.nonce
            }
            other => panic!("{other:?}"),
        }
    });
}

#[divan::bench(sample_size = 1_000)]
fn headframe_encode(bencher: Bencher<'_, '_>) {
    let (frame, _) = Frame::split(&SHARE).expect("a whole frame");
    let Ok(Incoming::Protocol(MiningMessage::SubmitSharesExtended(share))) =
        Incoming::decode(frame)
    else {
        panic!("a share");
    };
    let mut out = Vec::with_capacity(64);
    bencher.bench_local(|| {
        out.clear();
        write_frame(black_box(&share), &mut out);
        black_box(&out).len()
    });
}
