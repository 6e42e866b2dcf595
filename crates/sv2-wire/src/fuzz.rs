//! What the fuzz functions beside the decoders share.

use crate::frame::Frame;
use crate::incoming::Incoming;
use crate::incoming::Subprotocol;

/// Checks that what decodes encodes, and that the encoding is what decodes again. Bytes are compared, not values: a
/// hashrate may be NaN.
pub(crate) fn check_round_trip(data: &[u8], decode_and_encode: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    if let Some(once) = decode_and_encode(data) {
        let twice = decode_and_encode(&once);
        assert_eq!(twice.as_ref(), Some(&once), "encoding is stable");
    }
}

/// Decodes the first frame of `data` and encodes what it held. `None` if it is incomplete or malformed.
pub(crate) fn decode_and_encode<'a, P: Subprotocol<'a>>(data: &'a [u8]) -> Option<Vec<u8>> {
    let (frame, _) = Frame::split(data)?;
    let incoming = Incoming::<P>::decode(frame).ok()?;
    let mut out = Vec::new();
    incoming
        .write_frame(&mut out)
        .expect("what came in a frame fits a frame");
    let (_, rest) = Frame::split(&out).expect("a message is written as a whole frame");
    assert!(rest.is_empty(), "the header announces what was written");
    Some(out)
}
