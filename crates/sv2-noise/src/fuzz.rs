//! What the fuzz targets call: hostile bytes at each place where a peer's bytes come in.
//!
//! Each function panics when a promise of this crate is broken, and only then.

use std::sync::LazyLock;

use headframe_sv2_wire::HEADER_LEN;

use crate::record::{
    OpenError, Opener, SEALED_HEADER_LEN, Sealer, payload_len, sealed_frame_len, sealed_payload_len,
};
use crate::{
    ACT1_LEN, ACT2_LEN, AuthorityPublicKey, AuthoritySecretKey, CertificateRequest, Initiator,
    KeyRing, NoiseKey, SignedCertificate, StaticIdentity, StaticSecret, Trust, respond,
};

const NOW: u32 = 1_750_000_000;

static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    KeyRing::create([1; 32], [2; 32], &[3; 32], NOW).expect("fixed secrets are valid")
});
static IDENTITY: LazyLock<StaticIdentity> = LazyLock::new(|| RING.identity());

/// Acts of a handshake, and the texts of keys.
///
/// Any 64 bytes get an answer; any 234 bytes but the right ones are refused, whichever of the right
/// ones the input changes; any text reads as a key or is refused.
pub fn fuzz_handshake(data: &[u8]) {
    let (initiator, act1) = Initiator::start(trust(), ephemeral(4));
    let (mut act2, _) = respond(&IDENTITY, &act1, ephemeral(5));
    let genuine = act2;
    for (byte, flip) in act2.iter_mut().zip(data) {
        *byte ^= flip;
    }
    let finished = initiator.finish(&act2, NOW);
    assert_eq!(finished.is_ok(), act2 == genuine);

    let mut foreign = [0; ACT1_LEN];
    let len = data.len().min(ACT1_LEN);
    foreign[..len].copy_from_slice(&data[..len]);
    let (answer, _) = respond(&IDENTITY, &foreign, ephemeral(5));
    assert_eq!(answer.len(), ACT2_LEN);

    let text = String::from_utf8_lossy(data);
    if let Ok(key) = text.parse::<AuthorityPublicKey>() {
        assert_eq!(key.to_string(), text);
    }
    let _ = AuthoritySecretKey::from_text(&text);
    let _ = AuthoritySecretKey::from_key_file(&text);
    let _ = StaticSecret::from_text(&text);
    if let Ok(ring) = KeyRing::from_text(&text) {
        assert!(KeyRing::from_text(&ring.to_text()).is_ok());
    }
    if let Ok(request) = CertificateRequest::from_text(&text) {
        assert_eq!(
            CertificateRequest::from_text(&request.to_string()),
            Ok(request)
        );
    }
    if let Ok(signed) = SignedCertificate::from_text(&text) {
        assert_eq!(
            SignedCertificate::from_text(&signed.to_string()),
            Ok(signed)
        );
    }
}

/// Boxes of the record layer.
///
/// The first two bytes give a payload's length and the place of a change, the rest is the payload and
/// the stream of a peer who has no key: what was sealed opens, what was changed does not.
pub fn fuzz_record(data: &[u8]) {
    let (place, rest) = data.split_first_chunk::<2>().unwrap_or((&[0; 2], data));
    open_foreign(rest);
    open_changed(rest, usize::from(u16::from_le_bytes(*place)));
}

fn open_foreign(data: &[u8]) {
    let mut opener = Opener::from_key(&[7; 32], 0);
    if let Some(header) = data.first_chunk::<SEALED_HEADER_LEN>() {
        assert_eq!(
            opener.open_header(&mut header.clone()),
            Err(OpenError::Forged)
        );
    }
    let opened = opener
        .open_payload(&mut data.to_vec())
        .map(|plain| plain.len());
    assert_eq!(opened.is_ok(), data.is_empty());
}

fn open_changed(payload: &[u8], place: usize) {
    let mut frame = vec![0; HEADER_LEN];
    let len = u32::try_from(payload.len()).expect("fuzz inputs are small");
    frame[3..].copy_from_slice(&len.to_le_bytes()[..3]);
    frame.extend_from_slice(payload);

    let mut sealed = Vec::new();
    let sealing = Sealer::from_key(&[7; 32], 0).seal_frame(&frame, &mut sealed);
    sealing.expect("the header has the payload's length");
    assert_eq!(sealed.len(), sealed_frame_len(payload.len()));
    assert_eq!(open_frame(&mut sealed.clone()).as_deref(), Ok(&frame[..]));

    let place = place % (sealed.len() * 8);
    sealed[place / 8] ^= 1 << (place % 8);
    assert_eq!(open_frame(&mut sealed), Err(OpenError::Forged));
}

fn open_frame(sealed: &mut [u8]) -> Result<Vec<u8>, OpenError> {
    let mut opener = Opener::from_key(&[7; 32], 0);
    let (header, payload) = sealed.split_first_chunk_mut().ok_or(OpenError::Length(0))?;
    let mut frame = opener.open_header(header)?.to_vec();
    let announced = payload_len(frame.first_chunk().expect("a header was opened"));
    assert_eq!(payload.len(), sealed_payload_len(announced));
    frame.extend_from_slice(opener.open_payload(payload)?);
    Ok(frame)
}

fn trust() -> Trust {
    Trust::Authority(RING.authority())
}

fn ephemeral(secret: u8) -> NoiseKey {
    NoiseKey::new([secret; 32], [0; 32]).expect("fixed secrets are valid")
}
